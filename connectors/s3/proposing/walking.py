"""A bounded walk over a bucket's folders: which places there are, and a few objects of each.

In: a bucket. Out: `Place`s. Folders that differ only in a date or an id are one place, of which a
few are entered; tables of Delta, Iceberg and Hudi are known by their folders and not entered.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from connectors.naming.words import means_customer, words
from connectors.s3.proposing.shapes import Segment, Shape, segments_of
from connectors.s3.server.bucket import Bucket, Version, with_no_budget
from connectors.s3.server.folders import Folder, folder

_MOST_REQUESTS = 400
_LONGEST_S = 60.0
_DEEPEST = 12
_ENTERED = 3  # of folders that differ in a date or an id alone
_KEPT = 200
_TABLES = {"_delta_log/": "table_delta", ".hoodie/": "table_hudi", "metadata/": "table_iceberg"}


@dataclass
class Place:
    """Objects whose keys are alike. `table` names the table format that owns them."""

    segments: tuple[Segment, ...]
    objects: list[Version] = field(default_factory=list, repr=False)
    table: str = ""
    more: bool = False  # not everything was looked at

    @property
    def prefix(self) -> str:
        """The folders that all of its keys begin with."""
        constant: list[str] = []
        for segment in self.segments:
            if segment.shape is not Shape.CONSTANT:
                break
            constant.append(f"{segment.text}/")
        return "".join(constant)

    @property
    def names(self) -> list[str]:
        """What its objects are called, without their folders."""
        return [version.key.rpartition("/")[2] for version in self.objects]


def walk(bucket: Bucket, prefix: str = "") -> Iterator[Place]:
    """Every place under a prefix, as far as the bounds let it see."""
    constants = tuple(Segment(Shape.CONSTANT, text) for text in prefix.split("/")[:-1])
    places: dict[tuple[Segment, ...], Place] = {}
    ends_at = time.monotonic() + _LONGEST_S
    left: deque[tuple[str, tuple[Segment, ...]]] = deque([(prefix, constants)])
    for _ in range(_MOST_REQUESTS):
        if not left or time.monotonic() > ends_at:
            break
        at, segments = left.popleft()
        found = folder(bucket, at, with_no_budget)
        table = _table(found, bucket)
        place = places.setdefault(segments, Place(segments))
        place.more = place.more or found.more
        place.objects += [v for v in found.objects if v.key != at][: _KEPT - len(place.objects)]
        if table:
            place.table = table
        elif len(segments) < _DEEPEST:
            left.extend(_below(found, segments))
    for _, segments in left:
        places.setdefault(segments, Place(segments)).more = True
    yield from (p for p in places.values() if p.objects or p.table or p.more)


def _below(
    found: Folder, segments: tuple[Segment, ...]
) -> Iterator[tuple[str, tuple[Segment, ...]]]:
    names = [name[len(found.prefix) : -1] for name in found.folders]
    after_date = bool(segments) and segments[-1].shape is Shape.DATE
    of_people = bool(segments) and means_customer(words(segments[-1].text))
    shaped = segments_of(names, after_date=after_date, of_people=of_people)
    for segment, alike in shaped.items():
        for name in _some(alike):
            yield f"{found.prefix}{name}/", (*segments, segment)


def _some(names: Sequence[str]) -> list[str]:
    """The first, the last and one between."""
    if len(names) <= _ENTERED:
        return list(names)
    return [names[0], names[len(names) // 2], names[-1]]


def _table(found: Folder, bucket: Bucket) -> str:
    """The table format whose folder this is."""
    for name, code in _TABLES.items():
        inner = f"{found.prefix}{name}"
        if inner not in found.folders:
            continue
        if code != "table_iceberg":
            return code
        described = folder(bucket, inner, with_no_budget).objects
        if any(version.key.endswith(".metadata.json") for version in described):
            return code
    return ""
