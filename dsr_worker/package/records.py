"""The records of one system, by collection, without holding a large answer in memory.

In: a source that can be read several times. Out: counts, and the records of one collection at a
time, without the fields that are about other people.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, cast

from dsr_worker import contract
from dsr_worker.contract import Collection, body_of, content_of
from dsr_worker.package.contents import (
    BlockSource,
    Found,
    PackageRefused,
    RecordSource,
    Source,
    is_block,
)

_HELD_BYTES = 4 * 1024 * 1024  # a smaller answer is read once and kept; a larger one read again
_RIGHTS_OF_OTHERS = "AC_RIGHTS_OF_OTHERS"  # Art. 15(4) GDPR; the code that connectors use
_RECORD_BYTES = 400  # what a held record costs beside its body

Place = tuple[str, str, str, str, bool, str]
"""System, collection, field, ground, whether only in part, the day on which it may be had, if any.
"""
Withheld = Counter[Place]


class Records:
    """One source, read once for its counts and, if it is small, kept by collection."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.counts: Counter[str] = Counter()
        self.attachments = 0
        self.withheld: Withheld = Counter()
        self._held: dict[str, list[Found]] | None = {}
        self._held_bytes = 0
        self._scan()

    @property
    def is_held(self) -> bool:
        """Whether all records are in memory."""
        return self._held is not None

    def of(self, collection: str) -> Iterable[Found]:
        """The records of one collection, in the order spooled."""
        if self._held is not None:
            return self._held.get(collection, [])
        if self._source.read_of is not None:
            return self._source.read_of(collection)
        return (found for found in self._source.read() if found.collection == collection)

    def _scan(self) -> None:
        system = self._source.system
        for found in self._source.read():
            if found.collection not in system.collections:
                raise PackageRefused(
                    f"{system.name} answered with the collection {found.collection!r}, which its "
                    "data map does not have: check the connector and the map.",
                    system=system.name,
                    collection=found.collection,
                )
            if is_block(found):
                self._count_block(found)
            else:
                self._count(cast("RecordSource", found))

    def _count(self, record: RecordSource) -> None:
        self.counts[record.collection] += 1
        self.attachments += record.attachment is not None
        if record.withheld:
            shown = _parsed(record.body)
            for part in record.withheld:  # a field that is still there lost a part of its text
                self._note(record, part, is_part=_value(shown, part.field) is not None)
        self._hold(record, len(record.body) + _RECORD_BYTES)

    def _count_block(self, block: BlockSource) -> None:
        self.counts[block.collection] += block.rows
        for part in block.withheld:
            self._note(block, part, is_part=False)
        line_breaks = block.rows - 1
        size = block.size_bytes - line_breaks + block.rows * _RECORD_BYTES
        if self._held is not None and self._held_bytes + size <= _HELD_BYTES:
            block.keep()
        self._hold(block, size)

    def _note(self, found: Found, part: contract.Withheld, *, is_part: bool) -> None:
        """Count what a connector left out."""
        until = "" if part.until_at is None else part.until_at.date().isoformat()
        place = (part.field, part.ground, is_part, until)
        self.withheld[self._source.system.name, found.collection, *place] += part.values

    def _hold(self, found: Found, size_bytes: int) -> None:
        """Keep it while the whole answer is small."""
        if self._held is None:
            return
        self._held_bytes += size_bytes
        self._held.setdefault(found.collection, []).append(found)
        if self._held_bytes > _HELD_BYTES:
            self._held = None


class ThirdParty:
    """Leaves out, of a collection's bodies, the fields that are about other people.

    A connector leaves them out already; this is the second lock. What it finds is counted.
    """

    def __init__(self, system: str, collection: Collection, withheld: Withheld) -> None:
        self._names = [f.name for f in collection.fields.values() if f.third_party]
        self._marks = [f'{_path(name)[-1]}"'.encode() for name in self._names]
        self._system = system
        self._collection = collection.name
        self._withheld = withheld

    def elements(self, found: Iterable[Found]) -> Iterator[bytes]:
        """The bodies as elements of one JSON array; what had to go is counted."""
        for one in found:
            if is_block(one):
                yield self.lines(one.lines(), count=True).replace(b"\n", b",\n")
            else:
                yield self.body(cast("RecordSource", one).body, count=True)

    def lines(self, lines: bytes, *, count: bool) -> bytes:
        """The bodies of a block, one a line."""
        if not self._is_suspect(lines):
            return lines
        return b"\n".join(self.body(body, count=count) for body in lines.split(b"\n"))

    def body(self, body: bytes, *, count: bool) -> bytes:
        """One body, as spooled unless something had to go. Raises PackageRefused when not JSON."""
        if not self._is_suspect(body):
            return body
        try:
            content, repeats = _read(body)
        except ValueError:
            raise PackageRefused(
                f"{self._system}.{self._collection}: a record is not JSON.",
                system=self._system,
                collection=self._collection,
            ) from None
        taken = {name: _take_out(content, name) for name in self._names}
        if not (repeats or any(taken.values())):
            return body
        if count:
            held = (n for n, found in taken.items() if _held_values(found, repeats=repeats))
            for name in held:
                where = (self._system, self._collection, name, _RIGHTS_OF_OTHERS, False, "")
                self._withheld[where] += 1
        return body_of(content)

    def _is_suspect(self, bodies: bytes) -> bool:
        """Whether a field about others could be in there."""
        # An escaped name (\\u0061…) hides from a comparison of bytes, so such bodies are parsed.
        return bool(self._names) and (
            b"\\" in bodies or any(mark in bodies for mark in self._marks)
        )


def _read(body: bytes) -> tuple[Any, bool]:
    """A body's content, and whether an object in it names a key twice: only the last is in there.

    Another reader may show the first, so such a body is never handed out as it is.
    """
    repeats = False

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        found = dict(pairs)
        repeats = repeats or len(found) < len(pairs)
        return found

    return json.loads(body, object_pairs_hook=as_object), repeats


def _take_out(content: Any, name: str) -> list[Any]:
    """Take the field out wherever its name leads: `a->>b` is also `b` within the document `a`."""
    *above, last = _path(name)
    holders = [(content, name)]
    if above:
        for step in above:
            content = content.get(step) if isinstance(content, dict) else None
        holders.append((content, last))
    return [
        holder.pop(key) for holder, key in holders if isinstance(holder, dict) and key in holder
    ]


def _held_values(taken: list[Any], *, repeats: bool) -> bool:
    """Whether a field held something: a null that stood there twice may have hidden a value."""
    return any(value is not None for value in taken) or (repeats and bool(taken))


def _parsed(body: bytes) -> Any:
    """A body's content; None where it has none, which whoever writes it will find out."""
    try:
        return content_of(body)
    except ValueError:
        return None


def _value(content: Any, name: str) -> Any:
    """A field's value, `a->>b` within a document; None where there is none."""
    if isinstance(content, dict) and name in content:
        return content[name]
    for step in _path(name):
        content = content.get(step) if isinstance(content, dict) else None
    return content


def _path(name: str) -> list[str]:
    return name.replace("->>", "->").split("->")
