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

from dsr_worker.contract import (
    Collection,
    Record,
    RecordBlock,
    Subject,
    Withheld,
    body_of,
    content_of,
)
from dsr_worker.domain.identity import MAX_BYTES, canonical_stored

GROUND = "AC_RIGHTS_OF_OTHERS"
PLACE = "[withheld]"
_AT_SIGNS = (b"@", rb"\u0040")  # as it stands in JSON, plain or escaped
_NO_PART = r"\s@<>()\[\]{}\",;:'"
_LOCAL_PART = re.compile(rf"[^{_NO_PART}]+")
_DOMAIN = re.compile(rf"[^{_NO_PART}]+\.[^{_NO_PART}.!?]+")


def block_without_strangers(
    block: RecordBlock, collection: Collection, subject: Subject
) -> Iterator[Record | RecordBlock]:
    """The block as its subject may see it: whole, or cut where something had to go."""
    if not _may_name(block.bodies, _free_texts(collection)):
        yield block
        return
    whole: list[bytes] = []
    withheld = block.withheld  # goes along with what comes first
    for body in block.lines():
        shown: Record | None = None
        if any(sign in body for sign in _AT_SIGNS):
            record = block.record(body)
            shown = without_strangers(record, collection, subject)
            shown = None if shown is record else shown
        if shown is None:
            whole.append(body)
            continue
        if whole:
            yield replace(block, bodies=b"\n".join(whole), rows=len(whole), withheld=withheld)
            whole, withheld = [], ()
        yield replace(shown, withheld=(*withheld, *shown.withheld))
        withheld = ()
    if whole:
        yield replace(block, bodies=b"\n".join(whole), rows=len(whole), withheld=withheld)


def without_strangers(record: Record, collection: Collection, subject: Subject) -> Record:
    """The record as its subject may see it; the same object where nothing had to go.

    A free text may be a string, or a list or an object with texts at any depth, keys included.
    """
    texts = _free_texts(collection)
    if not _may_name(record.body, texts):
        return record
    own = frozenset(subject.values("email"))
    row = content_of(record.body)
    withheld = [w for name in texts if (w := _withhold(row, name, own))]
    if not withheld:
        return record
    return replace(record, body=body_of(row), withheld=(*record.withheld, *withheld))


def _free_texts(collection: Collection) -> list[str]:
    return [field.name for field in collection.fields.values() if field.free_text]


def _may_name(bodies: bytes, texts: list[str]) -> bool:
    """Whether an address could stand in a free text of these bodies."""
    return bool(texts) and any(sign in bodies for sign in _AT_SIGNS)


def _withhold(row: dict[str, Any], name: str, own: frozenset[str]) -> Withheld | None:
    pen = _Pen(own)
    holder, last = _holder(row, name)
    if holder is None:
        return None
    holder[last] = pen.scrub(holder[last])
    return Withheld(name, GROUND, pen.foreign) if pen.foreign else None


def _holder(row: dict[str, Any], name: str) -> tuple[dict[str, Any] | None, str]:
    """The object in which a field stands, and its key: `a->>b` is `b` within the document `a`."""
    if name in row:
        return row, name
    holder: Any = row
    *above, last = name.replace("->>", "->").split("->")
    for step in above:
        holder = holder.get(step) if isinstance(holder, dict) else None
    return (holder, last) if isinstance(holder, dict) and last in holder else (None, last)


class _Pen:
    """Puts a place where a foreign address stands, and counts."""

    def __init__(self, own: frozenset[str]) -> None:
        self._own = own
        self.foreign = 0

    def scrub(self, value: Any) -> Any:
        """A value with the foreign addresses replaced, at whatever depth."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self.scrub(item) for item in value]
        if isinstance(value, dict):
            return self._object(value)
        return value

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        """The keys too: two that become alike are numbered, so that no value is lost."""
        shown: dict[str, Any] = {}
        for name, item in value.items():
            key = first = self._text(name)
            number = 1
            while key in shown or (key != name and key in value):
                number += 1
                key = f"{first} {number}"
            shown[key] = self.scrub(item)
        return shown

    def _text(self, text: str) -> str:
        parts, done = [], 0
        for start, end in addresses(text):
            if not _is_own(text[start:end], self._own):
                parts += [text[done:start], PLACE]
                done = end
        self.foreign += len(parts) // 2
        return "".join([*parts, text[done:]])


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
