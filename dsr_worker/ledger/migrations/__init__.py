"""Alembic migrations of the ledger; each runs the SQL file of its own name."""

HEAD = "0001"  # the newest revision: the schema that this version works with
