"""Brings the ledger's schema up to date. Apart from the rest: few processes need Alembic at all.

In: an open connection. Out: the schema of `migrations.HEAD`.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

_LOCK = 0x6473725F6D6967  # any fixed number of our own


def upgrade(connection: Connection) -> None:
    """Migrate to the newest revision, one process at a time; idempotent."""
    connection.exec_driver_sql("SET lock_timeout = 0")
    connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (_LOCK,))
    connection.commit()
    try:
        config = scripts()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    finally:
        connection.rollback()
        connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (_LOCK,))
        connection.commit()


def scripts() -> Config:
    """Where Alembic finds the migrations."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
