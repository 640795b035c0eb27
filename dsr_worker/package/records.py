"""The records of one system, by collection, without holding a large answer in memory.

In: a source that can be read several times. Out: counts, and the records of one collection at a
time, without the fields that are about other people.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from dsr_worker.contract import Collection
from dsr_worker.package.contents import PackageRefused, RecordSource, Source

_HELD_BYTES = 4 * 1024 * 1024  # a smaller answer is read once and kept; a larger one read again
_RIGHTS_OF_OTHERS = "AC_RIGHTS_OF_OTHERS"  # Art. 15(4) GDPR; the code that connectors use
_RECORD_BYTES = 400  # what a held record costs beside its body

Withheld = Counter[tuple[str, str, str, str, bool]]
"""(system, collection, field, ground, whether only in part) -> values"""


class Records:
    """One source, read once for its counts and, if it is small, kept by collection."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.counts: Counter[str] = Counter()
        self.attachments = 0
        self.withheld: Withheld = Counter()
        self._held: dict[str, list[RecordSource]] | None = {}
        self._scan()

    @property
    def is_held(self) -> bool:
        """Whether all records are in memory."""
        return self._held is not None

    def of(self, collection: str) -> Iterable[RecordSource]:
        """The records of one collection, in the order spooled."""
        if self._held is not None:
            return self._held.get(collection, [])
        return (r for r in self._source.read() if r.collection == collection)

    def _scan(self) -> None:
        system, held_bytes = self._source.system, 0
        for record in self._source.read():
            if record.collection not in system.collections:
                raise PackageRefused(
                    f"{system.name} answered with the collection {record.collection!r}, which its "
                    "data map does not have: check the connector and the map."
                )
            self.counts[record.collection] += 1
            self.attachments += record.attachment is not None
            if record.withheld:
                self._note(record)
            if self._held is not None:
                held_bytes += len(record.body) + _RECORD_BYTES
                self._held.setdefault(record.collection, []).append(record)
                if held_bytes > _HELD_BYTES:
                    self._held = None

    def _note(self, record: RecordSource) -> None:
        """Count what a connector left out. A field that is still there lost a part of its text."""
        shown = _parsed(record.body)
        for part in record.withheld:
            is_part = _value(shown, part.field) is not None
            where = (self._source.system.name, record.collection, part.field, part.ground, is_part)
            self.withheld[where] += part.values


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

    def bodies(self, records: Iterable[RecordSource], *, count: bool) -> Iterator[bytes]:
        """Each record's body, as spooled unless something had to go."""
        for record in records:
            yield self.body(record.body, count=count)

    def body(self, body: bytes, *, count: bool) -> bytes:
        """One body. Raises PackageRefused when it is no JSON object."""
        # An escaped name (\\u0061…) hides from a comparison of bytes, so such bodies are parsed.
        if not self._names or not (b"\\" in body or any(mark in body for mark in self._marks)):
            return body
        try:
            content = json.loads(body)
        except ValueError:
            raise PackageRefused(
                f"{self._system}.{self._collection}: a record is not JSON."
            ) from None
        gone = [name for name in self._names if _take_out(content, name)]
        if not gone:
            return body
        if count:
            for name in gone:
                where = (self._system, self._collection, name, _RIGHTS_OF_OTHERS, False)
                self._withheld[where] += 1
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )


def _take_out(content: Any, name: str) -> bool:
    """Take the field out; True when it held a value. `a->>b` names `b` within the document `a`."""
    if not isinstance(content, dict):
        return False
    if name in content:
        return content.pop(name) is not None
    *above, last = _path(name)
    for step in above:
        content = content.get(step)
        if not isinstance(content, dict):
            return False
    return bool(above) and content.pop(last, None) is not None


def _parsed(body: bytes) -> Any:
    """A body's content; None where it has none, which whoever writes it will find out."""
    try:
        return json.loads(body)
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
