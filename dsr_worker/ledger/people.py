"""People who act: their public keys, and the nonces of what they signed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from dsr_worker.ledger.connection import Cursor


class Actor(NamedTuple):
    """A person known to the ledger."""

    name: str
    public_key: bytes
    added_at: datetime
    retired_at: datetime | None


def add(cursor: Cursor, name: str, public_key: bytes) -> bool:
    """Register a person; False when that name or key is taken."""
    cursor.execute(
        "INSERT INTO actors (name, public_key) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (name, public_key),
    )
    return cursor.rowcount == 1


def find(cursor: Cursor, name: str) -> Actor | None:
    """The person of this name."""
    cursor.execute(
        "SELECT name, public_key, added_at, retired_at FROM actors WHERE name = %s", (name,)
    )
    row = cursor.fetchone()
    return None if row is None else Actor(row.name, bytes(row.public_key), *row[2:])


def everyone(cursor: Cursor) -> list[Actor]:
    """All people, by name."""
    cursor.execute("SELECT name, public_key, added_at, retired_at FROM actors ORDER BY name")
    return [Actor(r.name, bytes(r.public_key), *r[2:]) for r in cursor.fetchall()]


def use_nonce(cursor: Cursor, nonce: str) -> bool:
    """Use up a nonce; False when it was used before."""
    cursor.execute("INSERT INTO used_nonces (nonce) VALUES (%s) ON CONFLICT DO NOTHING", (nonce,))
    return cursor.rowcount == 1


def forget_nonces(cursor: Cursor, older_than: timedelta) -> int:
    """Forget nonces used longer ago; how many. What they signed is too old to be taken by then."""
    cursor.execute("DELETE FROM used_nonces WHERE used_at < now() - %s", (older_than,))
    return cursor.rowcount


def retire(cursor: Cursor, name: str) -> bool:
    """Let a person act no longer; False when there is none of that name, or they are retired."""
    cursor.execute(
        "UPDATE actors SET retired_at = now() WHERE name = %s AND retired_at IS NULL", (name,)
    )
    return cursor.rowcount == 1
