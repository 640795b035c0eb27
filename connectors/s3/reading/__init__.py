"""Whose objects and records are whose, and what of them leaves the bucket."""
