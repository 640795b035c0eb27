"""Counts on their way to becoming receipts.

In: what became of one row at a time. Out: exactly one receipt per subject and collection asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from connectors.s3.server.locks import Refusal
from dsr_worker.contract import Outcome, OutcomeCount, Proof, Receipt, Remainder, is_remainder

ACCESS_DENIED = Remainder.DENIED
OLD_VERSION = Remainder.BESIDE  # an old version cannot be rewritten, and something in it stays
HIDES_VERSION = Remainder.BESIDE  # without this marker a version that stays would be current again


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one row, and why."""

    outcome: Outcome
    fields: int = 0
    ground: str = ""
    clock: datetime | None = None
    quiet: bool = False  # simply not due: a sweep says nothing of it
    until_at: datetime | None = None  # when the store lets it go, where that is known

    @property
    def stays(self) -> bool:
        """Whether any of the row stays."""
        return self.outcome in (Outcome.RETAINED, Outcome.MASKED)

    @property
    def changes(self) -> bool:
        """Whether the row is to be erased or masked."""
        return self.outcome is Outcome.ERASED or (
            self.outcome is Outcome.MASKED and self.fields > 0
        )

    def retained(self, ground: str, until_at: datetime | None = None) -> Fate:
        """The same row, which has to stay as it is."""
        return Fate(Outcome.RETAINED, 0, ground, self.clock, until_at=until_at)


_CHANGED = (Outcome.ERASED, Outcome.MASKED)
_STRENGTH = {Outcome.RETAINED: 3, Outcome.MASKED: 2, Outcome.ERASED: 1, Outcome.ALREADY_GONE: 0}


def stronger(one: Fate | None, other: Fate) -> Fate:
    """Of two fates of copies of one row, the one in which more of it stays, or for longer."""
    return other if one is None or _weight(other) > _weight(one) else one


def _weight(fate: Fate) -> tuple[int, int, bool, tuple[bool, float]]:
    refused = is_remainder(fate.ground)  # what a law keeps stays for longer
    length = Refusal(fate.ground, fate.until_at).length
    return _STRENGTH[fate.outcome], fate.fields, not refused, length


@dataclass(slots=True)
class _Counted:
    rows: int = 0
    fields: int = 0
    latest_at: datetime | None = None
    earliest_at: datetime | None = None
    until_at: datetime | None = None
    first_until_at: datetime | None = None

    def reach(self, earliest_at: datetime | None, latest_at: datetime | None) -> None:
        """Let the clock values reach from one to the other at least; None says nothing."""
        self.latest_at = max(filter(None, (self.latest_at, latest_at)), default=None)
        self.earliest_at = min(filter(None, (self.earliest_at, earliest_at)), default=None)

    def stay(self, first_until_at: datetime | None, until_at: datetime | None) -> None:
        """Let the days on which the store lets them go reach from one to the other at least."""
        self.until_at = max(filter(None, (self.until_at, until_at)), default=None)
        self.first_until_at = min(filter(None, (self.first_until_at, first_until_at)), default=None)


@dataclass
class Tally:
    """Fates of rows by subject, collection, outcome and ground."""

    _counts: dict[tuple[str | None, str], dict[tuple[Outcome, str], _Counted]] = field(
        default_factory=dict
    )
    _kept: dict[tuple[str | None, str], set[str]] = field(default_factory=dict)
    _proofs: dict[tuple[str | None, str], list[Proof]] = field(default_factory=dict)

    def add(self, ref: str | None, collection: str, fate: Fate, kept: str | None = None) -> None:
        """Count one row; `kept` is the digest of its key when it stays."""
        of_pair = self._counts.setdefault((ref, collection), {})
        counted = of_pair.setdefault((fate.outcome, fate.ground), _Counted())
        counted.rows += 1
        counted.fields += fate.fields
        counted.reach(fate.clock, fate.clock)
        counted.stay(fate.until_at, fate.until_at)
        if kept is not None:
            self._kept.setdefault((ref, collection), set()).add(kept)

    def merge(self, other: Tally, refusal: Refusal | None = None) -> None:
        """Take over the counts of `other`; where they are refused, its changes as retained."""
        for (ref, collection), of_pair in other._counts.items():
            mine = self._counts.setdefault((ref, collection), {})
            for (outcome, old_ground), counted in of_pair.items():
                stopped = refusal is not None and outcome is not Outcome.RETAINED
                ground = refusal.ground if refusal is not None and stopped else old_ground
                place = (Outcome.RETAINED if stopped else outcome, ground)
                sum_ = mine.setdefault(place, _Counted())
                sum_.rows += counted.rows
                sum_.fields += 0 if stopped else counted.fields
                sum_.reach(counted.earliest_at, counted.latest_at)
                sum_.stay(counted.first_until_at, counted.until_at)
                if refusal is not None and stopped:
                    sum_.stay(refusal.until_at, refusal.until_at)
        for pair, kept in other._kept.items():
            self._kept.setdefault(pair, set()).update(kept)
        for pair, proofs in other._proofs.items():
            self._proofs.setdefault(pair, []).extend(proofs)

    def prove(self, proof: Proof) -> None:
        """Note a proof for everybody of whose rows any were erased or masked."""
        for pair, of_pair in self._counts.items():
            if any(outcome in _CHANGED for outcome, _ in of_pair):
                self._proofs.setdefault(pair, []).append(proof)

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to tell."""
        return not self._counts

    def changes(self) -> int:
        """Rows that were, or would be, erased or masked."""
        return sum(
            counted.rows
            for of_pair in self._counts.values()
            for (outcome, _), counted in of_pair.items()
            if outcome in _CHANGED
        )

    def receipts(self) -> Iterator[Receipt]:
        """A receipt for every subject and collection that was counted."""
        for ref, collection in self._counts:
            yield self._receipt(ref, collection)

    def complete(self, refs: Iterable[str], collections: Iterable[str]) -> Iterator[Receipt]:
        """One receipt per subject and collection, `absent` where nothing was located."""
        names = tuple(collections)
        for ref in refs:
            for name in names:
                yield self._receipt(ref, name)

    def _receipt(self, ref: str | None, collection: str) -> Receipt:
        of_pair = self._counts.get((ref, collection))
        if not of_pair:
            return Receipt(ref, collection, (OutcomeCount(Outcome.ABSENT, 0),))
        outcomes = tuple(
            OutcomeCount(
                outcome,
                c.rows,
                c.fields,
                ground,
                c.latest_at,
                c.earliest_at,
                c.until_at,
                c.first_until_at,
            )
            for (outcome, ground), c in sorted(of_pair.items())
        )
        kept = frozenset(self._kept.get((ref, collection), ()))
        proofs = tuple(self._proofs.get((ref, collection), ()))
        return Receipt(ref, collection, outcomes, kept, proofs)
