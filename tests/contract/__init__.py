"""Connectors against the contract, on real systems."""
