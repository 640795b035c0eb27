"""The bucket in parts: `units`, `units_of`, `unit_of` and `in_unit` of the contract.

In: the connector's rooms and bucket. Out: units, and the connector narrowed to one of them. Where
a report of S3 Inventory says how the objects lie, nothing is listed to divide; each unit lists its
own range of keys, now, so that nothing depends on how old or right the report is.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from operator import itemgetter
from typing import Self

from connectors.s3.config import Config
from connectors.s3.rooms.room import Room, Rooms
from connectors.s3.scanning.inventory import Report, ReportUnusableError, newest
from connectors.s3.scanning.parts import Cutter, Load, Loads, Piece, is_first, pieces_of
from connectors.s3.server.bucket import Bucket, with_no_budget
from connectors.s3.server.ranges import KeyRange
from dsr_worker.contract import (
    Call,
    Configuration,
    Context,
    Finding,
    Key,
    Severity,
    Subject,
    Unit,
)

_CHECK_EVERY = 1000
_WEIGHT = 20  # an object that is written anew costs as much as so many that are read


class InParts:
    """What makes the connector one that falls into units."""

    _bucket: Bucket
    _config: Config
    _rooms: Rooms
    _pieces: dict[str, Piece] | None = None  # None: all of it

    def units(
        self, call: Call, subjects: Sequence[Subject], ctx: Context, after: str
    ) -> Iterator[Unit]:
        """Ranges of keys, each of about `unit_objects` objects or `unit_bytes`.

        They are the same for every call that reads objects one by one, whoever it is about.
        """
        reads = any(_reads_all(room, call, subjects) for room in self._rooms.values())
        divides = reads and self._divides(call)
        divided = {name: divides and room.apart for name, room in self._rooms.items()}
        cutter = Cutter(self._config.unit_objects, self._config.unit_bytes)
        parts = cutter.units(divided, self._loads(divided, ctx), after)
        yield from self._led(parts) if call is Call.SWEEP else parts

    def units_of(self, keys: Iterable[Key], ctx: Context, after: str) -> Iterator[Unit]:
        """Ranges that hold so many of the objects that these keys name as are soon written anew.

        What is not divided lies in the first of them. It leads: a hold on the owner of a linked
        object is seen by the rows that link it.
        """
        named: dict[str, set[str]] = {name: set() for name in self._rooms}
        for key in self._own(keys):
            if key.collection not in named:
                raise Configuration(f"this system has no collection {key.collection}")
            named[key.collection].add(key.key[0])
        ctx.check()
        divided = {name: room.apart for name, room in self._rooms.items()}

        def loads(name: str, after: str) -> Iterator[Load]:
            start = after.encode()
            for object_key in sorted(key for key in named[name] if key.encode() > start):
                yield object_key, _WEIGHT, 0

        cutter = Cutter(self._config.unit_objects, self._config.unit_bytes)
        yield from self._led(cutter.units(divided, loads, after))

    def unit_of(self, names: Sequence[str]) -> Callable[[Key], int | None]:
        """Which of these units holds an object's key."""
        found: dict[str, list[tuple[bytes, KeyRange, int]]] = {}
        for number, name in enumerate(names):
            for piece in pieces_of(name):
                start = piece.keys.after.encode()
                found.setdefault(piece.collection, []).append((start, piece.keys, number))
        for ranges in found.values():
            ranges.sort(key=itemgetter(0))

        def unit_of(key: Key) -> int | None:
            ranges = found.get(key.collection, [])
            at = bisect_left(ranges, key.key[0].encode(), key=itemgetter(0)) - 1
            if at < 0 or key.key[0] not in ranges[at][1]:
                return None
            return ranges[at][2]

        return unit_of

    def _led(self, parts: Iterator[Unit]) -> Iterator[Unit]:
        """The same; the first of them all leads where something of it is not divided."""
        whole = any(not room.apart for room in self._rooms.values())
        for part in parts:
            leads = whole and is_first(part.name, self._rooms)
            yield replace(part, leads=leads)

    def _own(self, keys: Iterable[Key]) -> Iterator[Key]:
        """Those of these keys that are of the bucket which is divided."""
        yield from keys

    def in_unit(self, name: str) -> Self:
        """The same connector within one unit.

        Rooms that read other rooms (those of objects that rows link) go on reading them whole.
        """
        pieces = {piece.collection: piece for piece in pieces_of(name)}
        rooms = {
            name: room.within(pieces[name].keys)
            for name, room in self._rooms.items()
            if name in pieces
        }
        part = copy.copy(self)
        vars(part).update(_pieces=pieces, _rooms=rooms)
        return part

    def _divides(self, call: Call) -> bool:
        """Whether a call may be made in several units."""
        del call
        return True

    def _here(self, keys: Iterable[Key]) -> Iterator[Key]:
        """Those of these keys that lie in this unit."""
        for key in keys:
            piece = None if self._pieces is None else self._pieces.get(key.collection)
            if self._pieces is None or (piece is not None and key.key[0] in piece.keys):
                yield key

    def _loads(self, divided: dict[str, bool], ctx: Context) -> Loads:
        report = self._report(divided, ctx)

        def loads(name: str, after: str) -> Iterator[Load]:
            prefix = self._rooms[name].prefix
            if report is not None:
                yield from report.loads(prefix, after)
                return
            listed = self._bucket.objects(prefix, ctx.spend, KeyRange(after))
            for number, versions in zip(count(), listed, strict=False):
                if number % _CHECK_EVERY == 0:
                    ctx.check()
                yield versions[0].key, 1, sum(v.size_bytes for v in versions)

        return loads

    def _report(self, divided: dict[str, bool], ctx: Context) -> Report | None:
        """What the newest report says; None where it is of no use, and listing has to do."""
        wanted = self._config.inventory
        prefixes = {room.prefix for name, room in self._rooms.items() if divided[name]}
        if wanted is None or not prefixes:
            return None
        try:
            manifest = newest(self._bucket, wanted, ctx.spend, ctx.now)
            return manifest.read(prefixes, self._config.unit_bytes, ctx)
        except ReportUnusableError:
            return None

    def _inventory_found(self) -> Iterator[Finding]:
        """Whether the inventory that the configuration names is of use."""
        wanted = self._config.inventory
        if wanted is None:
            return
        try:
            manifest = newest(self._bucket, wanted, with_no_budget, None)
        except ReportUnusableError as error:
            yield Finding(
                Severity.WARNING,
                "inventory",
                f"{error}: the bucket is listed instead",
                "look at the bucket's inventory configuration and its destination",
            )
        else:
            yield Finding(Severity.OK, "inventory", f"a {manifest.format} report is there")


def _reads_all(room: Room, call: Call, subjects: Sequence[Subject]) -> bool:
    """Whether the call reads the room's objects one by one."""
    kinds = room.collection.takes
    named = call in {Call.MENTIONS, Call.SWEEP} or any(
        s.values(kind) for s in subjects for kind in kinds
    )
    return named and room.apart
