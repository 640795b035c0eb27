"""The parts in which a bucket is read: ranges of keys of the shared collections.

In: rooms by collection, a bucket. Out: units whose ranges follow each other without a gap, so that
an object that is written meanwhile lies in one of them as well. A collection of whole objects of
people is one part: it is read by listings of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from connectors.s3.server.ranges import KeyRange
from dsr_worker.contract import Unit

Load = tuple[str, int, int]  # up to this key: so many objects, of so many bytes
Loads = Callable[[str, str], Iterator[Load]]  # of a collection, after a key; in the order of keys


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of keys of one collection."""

    collection: str
    keys: KeyRange


def name_of(pieces: list[Piece]) -> str:
    """The name of the unit that reads these pieces."""
    return json.dumps([[p.collection, p.keys.after, p.keys.upto] for p in pieces])


def pieces_of(name: str) -> list[Piece]:
    """The pieces of a unit of this name."""
    return [Piece(c, KeyRange(after, upto)) for c, after, upto in json.loads(name)]


def is_first(name: str, collections: Iterable[str]) -> bool:
    """Whether a unit of this name is the first of those that read these collections."""
    first = pieces_of(name)[0]
    return first.collection == next(iter(collections)) and not first.keys.after


class Cutter:
    """Gathers pieces, and cuts where a unit is full."""

    def __init__(self, most_objects: int, most_bytes: int) -> None:
        self._most_objects = most_objects
        self._most_bytes = most_bytes
        self._pieces: list[Piece] = []
        self._objects = 0
        self._size_bytes = 0

    def units(self, collections: Mapping[str, bool], loads: Loads, after: str) -> Iterator[Unit]:
        """The units after the one named `after`; true marks the collections that are divided."""
        left, start = _left(collections, after)
        for name in left:
            begun = start
            for upto, objects, size_bytes in loads(name, start) if collections[name] else ():
                if self._is_full(objects, size_bytes):
                    if begun != start:
                        yield self._cut(Piece(name, KeyRange(start, begun)))
                        start = begun
                    elif self._pieces:
                        yield self._cut()
                begun = upto
                self._objects += objects
                self._size_bytes += size_bytes
            self._pieces.append(Piece(name, KeyRange(start, None)))
            start = ""
        if self._pieces:
            yield self._cut()

    def _is_full(self, objects: int, size_bytes: int) -> bool:
        return (
            self._objects + objects > self._most_objects
            or self._size_bytes + size_bytes > self._most_bytes
        )

    def _cut(self, *last: Piece) -> Unit:
        unit = Unit(name_of([*self._pieces, *last]), self._size_bytes)
        self._pieces, self._objects, self._size_bytes = [], 0, 0
        return unit


def _left(collections: Mapping[str, bool], after: str) -> tuple[list[str], str]:
    """The collections that are not done yet, and the key from which the first of them goes on."""
    names = list(collections)
    if not after:
        return names, ""
    last = pieces_of(after)[-1]
    at = names.index(last.collection)
    if last.keys.upto is None:
        return names[at + 1 :], ""
    return names[at:], last.keys.upto
