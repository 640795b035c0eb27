"""The Postgres connector: sets inside the database, streams out of it, values only as data."""

from connectors.postgres.connector import Postgres, PostgresConfig

__all__ = ["Postgres", "PostgresConfig"]
