"""Whose rows are whose, and what of them leaves the database."""
