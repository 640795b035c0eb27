"""Prose of a breach: what people write about it, sealed in notes of its job.

In: texts by language and part. Out: a sealed note with a salted commitment; the job's facts name
the latest one. Prose may name anything, so it never stands in events or facts, and goes with the
case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dsr_worker.breach.leak import PARTS
from dsr_worker.evidence import commit
from dsr_worker.ledger import notices
from dsr_worker.ledger.connection import Cursor
from dsr_worker.vault import CaseKey

PURPOSE = "note"
OTHER_PARTS = ("late_reasons",)

Prose = Mapping[str, Mapping[str, str]]


def faults(prose: Prose) -> list[str]:
    """Parts of no known name."""
    known = (*PARTS, *OTHER_PARTS)
    return [
        f"no part {part} in a notice; there are {', '.join(known)}"
        for parts in prose.values()
        for part in parts
        if part not in known
    ]


def keep_prose(cursor: Cursor, job_id: int, key: CaseKey, prose: Prose) -> dict[str, Any]:
    """Seal prose in a new note; the fields `note` and `commitment` for its event."""
    text = json.dumps({k: dict(v) for k, v in prose.items()})
    salt, commitment = commit(text.encode())
    plain = json.dumps({"salt": salt.hex(), "text": text}).encode()
    number = notices.add_note(cursor, job_id, key.seal(plain, PURPOSE), commitment)
    return {"note": number, "commitment": commitment.hex()}


def read_prose(
    cursor: Cursor, job_id: int, key: CaseKey, facts: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """The prose that the job's facts name; empty where there is none."""
    number = facts.get("prose")
    sealed = None if number is None else notices.note(cursor, job_id, number)
    if sealed is None:
        return {}
    plain = json.loads(key.open(sealed, PURPOSE))
    found: dict[str, dict[str, str]] = json.loads(plain["text"])
    return found
