"""Keeps other people's addresses out of what a person is given (Art. 15(4) GDPR).

In: a record of a subject, the collection it is from, the subject's own addresses. Out: the record
with every e-mail address in its free texts that is not the subject's replaced, and how many values
that were. A connector that knows more about other people withholds more; this holds for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from dsr_worker.contract import Collection, Record, Subject, Withheld
from dsr_worker.domain.identity import MAX_BYTES, canonical_stored

GROUND = "AC_RIGHTS_OF_OTHERS"
PLACE = "[withheld]"
_NO_PART = r"\s@<>()\[\]{}\",;:'"
_LOCAL_PART = re.compile(rf"[^{_NO_PART}]+")
_DOMAIN = re.compile(rf"[^{_NO_PART}]+\.[^{_NO_PART}.!?]+")


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
    row[name], foreign = _scrubbed(text, own)
    return Withheld(name, GROUND, foreign) if foreign else None


def _scrubbed(text: str, own: frozenset[str]) -> tuple[str, int]:
    """The text with a place in it for each foreign address, and how many those were."""
    parts, done = [], 0
    for start, end in addresses(text):
        if not _is_own(text[start:end], own):
            parts += [text[done:start], PLACE]
            done = end
    return "".join([*parts, text[done:]]), len(parts) // 2


def addresses(text: str) -> Iterator[tuple[int, int]]:
    """Where each e-mail address begins and ends.

    Takes time that grows with the text and no faster: from each `@` one look to the left and one to
    the right, none of which passes another `@`. However long a part is, it is taken whole.
    """
    backwards, length, done = text[::-1], len(text), 0
    at = text.find("@")
    while at >= 0:
        local = _LOCAL_PART.match(backwards, length - at, length - done)
        domain = _DOMAIN.match(text, at + 1)
        if local and domain:
            done = domain.end()
            yield length - local.end(), done
        at = text.find("@", at + 1)


def _is_own(address: str, own: frozenset[str]) -> bool:
    """Whether it is the subject's; what is longer than any address can be is nobody's."""
    return len(address) <= MAX_BYTES and canonical_stored("email", address) in own
