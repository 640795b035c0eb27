"""What people write about a complaint: sealed notes, under the key of its case.

In: a text. Out: a sealed note with a salted commitment, of which an event carries number and
commitment. A note may say anything about anybody, so it stands nowhere else and goes with the case.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import NamedTuple

from dsr_worker.evidence import commit
from dsr_worker.ledger import notices
from dsr_worker.ledger.connection import Cursor
from dsr_worker.vault import CaseKey

PURPOSE = "note"
MOST_BYTES = 256 * 1024


class Note(NamedTuple):
    """A note as it can be read: `text` is None once it is shredded."""

    number: int
    made_at: datetime
    text: str | None


def keep(cursor: Cursor, job_id: int, key: CaseKey, text: str) -> dict[str, object]:
    """Seal a text in a new note; the fields `note` and `commitment` for its event."""
    salt, commitment = commit(text.encode())
    plain = json.dumps({"salt": salt.hex(), "text": text}).encode()
    number = notices.add_note(cursor, job_id, key.seal(plain, PURPOSE), commitment)
    return {"note": number, "commitment": commitment.hex()}


def read(cursor: Cursor, job_id: int, key: CaseKey | None) -> list[Note]:
    """The notes of a complaint, oldest first."""
    return [
        Note(row.id, row.made_at, _text(key, row.sealed)) for row in notices.notes(cursor, job_id)
    ]


def _text(key: CaseKey | None, sealed: bytes | None) -> str | None:
    if key is None or sealed is None:
        return None
    return str(json.loads(key.open(bytes(sealed), PURPOSE))["text"])
