"""Texts kept by hash, and the sets of them that jobs are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from dsr_worker.ledger.connection import Cursor, Ledger, values


class FrozenTexts(NamedTuple):
    """The texts of one set: data map, policies, law pack, and the instant it decides by."""

    id: int
    map_hash: str
    policy_hash: str
    law_hash: str
    decided_at: datetime
    map_text: str
    policy_text: str


def keep(cursor: Cursor, texts: Mapping[str, tuple[str, str]], decided_at: datetime) -> int:
    """The id of the set of these texts (`map`, `policy`, `law` -> hash, text), kept if new."""
    values(
        cursor,
        "INSERT INTO texts (hash, kind, body) VALUES %s ON CONFLICT (hash) DO NOTHING",
        [(digest, kind, body) for kind, (digest, body) in sorted(texts.items())],
    )
    hashes = tuple(texts[kind][0] for kind in ("map", "policy", "law"))
    cursor.execute(
        "INSERT INTO frozen (map_hash, policy_hash, law_hash, decided_at) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (*hashes, decided_at),
    )
    cursor.execute(
        "SELECT id FROM frozen WHERE (map_hash, policy_hash, law_hash, decided_at)"
        " = (%s, %s, %s, %s)",
        (*hashes, decided_at),
    )
    return int(cursor.fetchone().id)


def read(ledger: Ledger, frozen_id: int) -> FrozenTexts:
    """The texts of a set. Raises LookupError."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "SELECT f.id, f.map_hash, f.policy_hash, f.law_hash, f.decided_at, m.body AS map_text,"
            " p.body AS policy_text FROM frozen f JOIN texts m ON m.hash = f.map_hash"
            " JOIN texts p ON p.hash = f.policy_hash WHERE f.id = %s",
            (frozen_id,),
        )
        row = cursor.fetchone()
    if row is None:
        message = f"the ledger has no frozen texts {frozen_id}"
        raise LookupError(message)
    return FrozenTexts(*row)


def law(cursor: Cursor, frozen_id: int) -> tuple[str, str]:
    """The hash and the text of a set's law pack."""
    cursor.execute(
        "SELECT f.law_hash, t.body FROM frozen f JOIN texts t ON t.hash = f.law_hash"
        " WHERE f.id = %s",
        (frozen_id,),
    )
    row = cursor.fetchone()
    return str(row.law_hash), str(row.body)


def keep_texts(cursor: Cursor, texts: Mapping[str, str]) -> None:
    """Keep law packs by hash, so that what comes later is judged by the law of the first day."""
    values(
        cursor,
        "INSERT INTO texts (hash, kind, body) VALUES %s ON CONFLICT (hash) DO NOTHING",
        [(digest, "law", body) for digest, body in sorted(texts.items())],
    )


def text(cursor: Cursor, digest: str) -> str:
    """A kept text. Raises LookupError."""
    cursor.execute("SELECT body FROM texts WHERE hash = %s", (digest,))
    row = cursor.fetchone()
    if row is None:
        message = f"the ledger keeps no text {digest}"
        raise LookupError(message)
    return str(row.body)
