"""Alembic migrations of the ledger; each runs the SQL file of its own name."""
