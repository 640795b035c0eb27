"""Holds as rules need them: rows of the ledger opened once and kept while they are active.

In: a cursor. Out: the domain's `Hold` values. A hold never changes once placed but for its release,
and released ones are not read, so an opened one may be reused. What an erasure promised goes by
other names than the person is known by: a hold on people holds those names too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from dsr_worker.contract import Identity
from dsr_worker.domain.hold import DatasetHeld, Hold, PeopleHeld, RowsHeld, Scope
from dsr_worker.engine.identities import IDENTITY
from dsr_worker.engine.promised import Promised
from dsr_worker.ledger import holds
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.holds import HoldRow, KnownBy
from dsr_worker.vault import KeyRing, SealBroken

ROWS = "hold rows"


class _Opened(NamedTuple):
    """A hold in the clear, and the digests of the people whom it names."""

    hold: Hold
    digests: frozenset[bytes]


class HoldReader:
    """Reads the active holds that concern a system."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._opened: dict[str, _Opened] = {}

    def read(self, cursor: Cursor, system: str) -> tuple[Hold, ...]:
        """Active holds as this transaction sees them, in the order of their references."""
        rows = holds.active(cursor, system)
        known = self._opened
        active = {row.ref: known.get(row.ref) or self._open(row) for row in rows}
        self._opened = {**known, **active}  # of two threads at once one opens again
        wanted = frozenset[bytes]().union(*(one.digests for one in active.values()))
        promised = holds.known_by(cursor, system, sorted(wanted)) if wanted else []
        return tuple(
            self._widened(
                one.hold, [row for row in promised if not one.digests.isdisjoint(row.digests)]
            )
            for one in active.values()
        )

    def _widened(self, hold: Hold, known: Sequence[KnownBy]) -> Hold:
        if not isinstance(hold.scope, PeopleHeld) or not known:
            return hold
        names = (name for row in known for name in self._names(row))
        return replace(
            hold, scope=PeopleHeld(tuple(dict.fromkeys((*hold.scope.identities, *names))))
        )

    def _names(self, row: KnownBy) -> Iterator[Identity]:
        try:
            key = self._keys.unwrap(row.data_key)
            if row.kind is not None:
                yield Identity(row.kind, key.open(row.sealed, IDENTITY).decode())
            else:
                yield from Promised.opened(key, row.sealed).names
        except SealBroken:
            return  # it asks a human when it comes due

    def _digests(self, scope: Scope) -> frozenset[bytes]:
        people = scope.identities if isinstance(scope, PeopleHeld) else ()
        return frozenset(d for i in people for d in self._keys.index_digests(i.kind, i.value))

    def _open(self, row: HoldRow) -> _Opened:
        hold = Hold(
            id=row.ref,
            matter=row.matter,
            reason=row.reason_code,
            scope=self._scope(row),
            review_on=row.review_on or date.max,
        )
        return _Opened(hold, self._digests(hold.scope))

    def _scope(self, row: HoldRow) -> Scope:
        if row.scope == "dataset":
            return DatasetHeld(row.system or "", row.collection)
        key = self._keys.unwrap(row.data_key)
        if row.scope == "rows":
            values = json.loads(key.open(row.sealed or b"", ROWS))
            return RowsHeld(row.system or "", row.collection or "", row.field or "", tuple(values))
        found = [Identity(k, key.open(sealed, IDENTITY).decode()) for k, sealed in row.identities]
        return PeopleHeld(tuple(found))
