"""The keys that a call in units was given: all of them, and those of one unit.

In: a scan's sealed keys. Out: the keys for whoever divides the call, sealed anew for each unit that
it makes; for whoever works on a unit, those that lie in it and no others. A connector that cannot
tell where a key lies is handed all of them in each unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dsr_worker.contract import Call, ChangesInUnits, Key
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.ledger import Ledger, scans, units
from dsr_worker.ledger.units import UnitClaim
from dsr_worker.spool import Frame, KeySpool, read_keys
from dsr_worker.store import Store, new_name

_SIDE_BY_SIDE = 10_000  # units and people whose keys are sealed at once: each waits in memory


def at_once(unit: UnitClaim, batch: Batch, page: int) -> int:
    """How many units to make at once, up to a page."""
    return max(1, min(page, _SIDE_BY_SIDE // len(batch.members))) if _parts(unit, batch) else page


def _parts(unit: UnitClaim, batch: Batch) -> bool:
    """Whether each unit of a call is given the keys alone that lie in it."""
    takes_keys = unit.call in {Call.ERASE, Call.RECHECK}
    return takes_keys and isinstance(batch.connector, ChangesInUnits)


@dataclass(frozen=True, slots=True)
class Given:
    """Where given keys lie."""

    ledger: Ledger
    store: Store

    def of(self, unit: UnitClaim, batch: Batch) -> Iterator[Key]:
        """The keys that a unit was given."""
        if not _parts(unit, batch):
            yield from self.of_all(unit, batch)
            return
        given = units.given(self.ledger, unit)
        for member in batch.members:
            yield from self._opened(given.get(str(member.claim.id)), member)

    def of_all(self, unit: UnitClaim, batch: Batch) -> Iterator[Key]:
        """The keys that the whole call was given."""
        given = {s.step_id: s.frame for s in scans.of_scan(self.ledger, unit.scan_id)}
        for member in batch.members:
            yield from self._opened(given.get(member.claim.id), member)

    def parted(
        self, unit: UnitClaim, batch: Batch, names: Sequence[str]
    ) -> list[dict[int, dict[str, Any]]]:
        """For each of these units, where its keys lie now, by step."""
        given: list[dict[int, dict[str, Any]]] = [{} for _ in names]
        if not _parts(unit, batch):
            return given
        place_of = batch.connector.unit_of(names)
        numbers = range(len(names))
        places = {f"{n} {m.subject.ref}": (n, m) for n in numbers for m in batch.members}
        case_keys = {place: m.key for place, (_, m) in places.items()}
        name = new_name("keys", batch.ctx.now.date())
        with KeySpool(self.store, name, case_keys) as spool:
            for key in self.of_all(unit, batch):
                number = place_of(key)
                if number is not None:
                    spool.add(replace(key, subject_ref=f"{number} {key.subject_ref}"))
            frames = spool.finish()
        for place, frame in frames.items():
            number, member = places[place]
            if frame.records:
                given[number][member.claim.id] = frame.to_json()
        if not any(given):
            self.store.destroy(name)
        return given

    def _opened(self, frame: Mapping[str, Any] | None, member: Member) -> Iterator[Key]:
        if frame is not None:
            lies = Frame.from_json(frame)
            yield from read_keys(self.store, lies, member.key, member.subject.ref)
