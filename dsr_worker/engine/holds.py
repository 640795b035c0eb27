"""Holds as rules need them: rows of the ledger opened once and kept while they are active.

In: a cursor. Out: the domain's `Hold` values. A hold never changes once placed but for its release,
and released ones are not read, so an opened one may be reused.
"""

from __future__ import annotations

import json
from datetime import date

from dsr_worker.contract import Identity
from dsr_worker.domain.hold import DatasetHeld, Hold, PeopleHeld, RowsHeld, Scope
from dsr_worker.engine.identities import IDENTITY
from dsr_worker.ledger import holds
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.holds import HoldRow
from dsr_worker.vault import KeyRing

ROWS = "hold rows"


class HoldReader:
    """Reads the active holds that concern a system."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._opened: dict[str, Hold] = {}

    def read(self, cursor: Cursor, system: str) -> tuple[Hold, ...]:
        """Active holds as this transaction sees them, in the order of their references."""
        rows = holds.active(cursor, system)
        known = self._opened
        active = {row.ref: known.get(row.ref) or self._open(row) for row in rows}
        self._opened = {**known, **active}  # of two threads at once one opens again
        return tuple(active.values())

    def _open(self, row: HoldRow) -> Hold:
        return Hold(
            id=row.ref,
            matter=row.matter,
            reason=row.reason_code,
            scope=self._scope(row),
            review_on=row.review_on or date.max,
        )

    def _scope(self, row: HoldRow) -> Scope:
        if row.scope == "dataset":
            return DatasetHeld(row.system or "", row.collection)
        key = self._keys.unwrap(row.data_key)
        if row.scope == "rows":
            values = json.loads(key.open(row.sealed or b"", ROWS))
            return RowsHeld(row.system or "", row.collection or "", row.field or "", tuple(values))
        found = [Identity(k, key.open(sealed, IDENTITY).decode()) for k, sealed in row.identities]
        return PeopleHeld(tuple(found))
