"""Rooms together, on a real ledger."""
