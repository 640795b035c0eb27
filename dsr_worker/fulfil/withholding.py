"""Keeps other people's addresses out of what a person is given (Art. 15(4) GDPR).

In: a record of a subject, the collection it is from, the subject's own addresses. Out: the record
with every e-mail address in its free texts that is not the subject's replaced, and how many values
that were. A connector that knows more about other people withholds more; this holds for all.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import orjson

from dsr_worker.contract import Collection, Record, Subject, Withheld
from dsr_worker.domain.identity import canonical_stored

GROUND = "AC_RIGHTS_OF_OTHERS"
PLACE = "[withheld]"
_NO_PART = r"\s@<>()\[\]{}\",;:'"
_ADDRESS = re.compile(rf"[^{_NO_PART}]+@[^{_NO_PART}]+\.[^{_NO_PART}.!?]+")


def without_strangers(record: Record, collection: Collection, subject: Subject) -> Record:
    """The record as its subject may see it; the same object where nothing had to go."""
    texts = [field.name for field in collection.fields.values() if field.free_text]
    if not texts or b"@" not in record.body:
        return record
    own = frozenset(subject.values("email"))
    row = orjson.loads(record.body)
    withheld = [w for name in texts if (w := _withhold(row, name, own))]
    if not withheld:
        return record
    return replace(record, body=orjson.dumps(row), withheld=(*record.withheld, *withheld))


def _withhold(row: dict[str, Any], name: str, own: frozenset[str]) -> Withheld | None:
    text = row.get(name)
    if not isinstance(text, str):
        return None
    foreign = 0

    def judge(found: re.Match[str]) -> str:
        nonlocal foreign
        if canonical_stored("email", found[0]) in own:
            return found[0]
        foreign += 1
        return PLACE

    row[name] = _ADDRESS.sub(judge, text)
    return Withheld(name, GROUND, foreign) if foreign else None
