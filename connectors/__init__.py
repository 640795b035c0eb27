"""Connectors to systems that hold personal data; of ours they import the contract alone."""
