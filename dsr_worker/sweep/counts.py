"""Receipts of a sweep added up: a connector gives one per committed part, a sweep has one account.

In: a stream of receipts, or the outcomes that a plan keeps. Out: rows by collection, outcome and
ground, and how many of them change. No personal data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dsr_worker.contract import Outcome, OutcomeCount, Receipt
from dsr_worker.domain.decision import NOT_DUE, Decisions
from dsr_worker.engine.receipts import ends, from_json

CHANGES = frozenset(
    {
        Outcome.ERASED,
        Outcome.MASKED,
        Outcome.REDACTED,
        Outcome.RESTRICTED,
        Outcome.PENDING_REMOTE,
    }
)
"""Outcomes that are no longer what the row was."""
Intended = tuple[str, OutcomeCount]
"""A collection, and what an attempt was about to change in it."""
_NOTHING = frozenset({Outcome.ABSENT, Outcome.ALREADY_GONE})
_MOST_SAMPLES = 5


@dataclass
class Counts:
    """Rows of one system by collection, outcome and ground; memory does not grow with the rows."""

    parts: dict[tuple[str, Outcome, str], OutcomeCount] = field(default_factory=dict)
    samples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Keyed digests of a few rows that stay although a limit is reached, by collection."""
    all_told: set[str] = field(default_factory=set)
    """Collections of which the connector counts the rows that are not due as well."""
    not_due: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @classmethod
    def of(cls, receipts: Iterable[Receipt]) -> Counts:
        """Add up receipts as they come."""
        counts = cls()
        for receipt in receipts:
            for part in receipt.outcomes:
                counts.add(receipt.collection, part)
            told = counts.samples[receipt.collection]
            told.extend(sorted(receipt.kept)[: _MOST_SAMPLES - len(told)])
        return counts

    def add(self, collection: str, part: OutcomeCount) -> None:
        """Count one outcome."""
        if part.outcome is Outcome.RETAINED and part.ground == NOT_DUE:
            self.all_told.add(collection)
            self.not_due[collection] += part.rows
            return
        if part.outcome in _NOTHING or not part.rows:
            return
        place = (collection, part.outcome, part.ground)
        before = self.parts.get(place, OutcomeCount(part.outcome, 0, ground=part.ground))
        self.parts[place] = before.plus(part)

    def changed(self, collection: str | None = None) -> int:
        """How many rows change, in one collection or in all."""
        return sum(
            part.rows
            for (name, outcome, _), part in self.parts.items()
            if outcome in CHANGES and collection in {None, name}
        )

    def of_collection(self, collection: str) -> tuple[OutcomeCount, ...]:
        """The outcomes of one collection."""
        return tuple(part for (name, _, _), part in self.parts.items() if name == collection)

    def share(self, ordered: Sequence[str]) -> float:
        """The largest part of an ordered collection that changes, from 0 to 1.

        Where a connector does not count the rows that are not due, the share is unknown and counts
        as the whole. Rows that only go along with a parent have no share of their own.
        """
        return max((self._share(name) for name in ordered), default=0.0)

    def _share(self, collection: str) -> float:
        own = [p for p in self.of_collection(collection) if p.ground]
        changed = sum(p.rows for p in own if p.outcome in CHANGES)
        if not changed:
            return 0.0
        if collection not in self.all_told:
            return 1.0
        return changed / (sum(p.rows for p in own) + self.not_due[collection])

    def to_json(self, system: str, decisions: Decisions) -> list[dict[str, Any]]:
        """The outcomes as a plan keeps them."""
        return [
            {
                "system": system,
                "collection": collection,
                "outcome": outcome.value,
                "ground": ground,
                "rows": part.rows,
                "until": _text(ends(collection, part, decisions).last_on),
                "latest_at": _text(part.latest_at),
                "earliest_at": _text(part.earliest_at),
            }
            for (collection, outcome, ground), part in sorted(self.parts.items())
        ]


def changed_rows(outcomes: Iterable[Mapping[str, Any]]) -> int:
    """How many rows the outcomes of a plan change."""
    return sum(o["rows"] for o in outcomes if Outcome(o["outcome"]) in CHANGES)


def intended(intents: Sequence[Mapping[str, Any]] | None, attempt: int) -> list[Intended]:
    """What attempts other than `attempt` were about to change, in order."""
    return [
        (receipt["collection"], from_json(plain))
        for intent in intents or ()
        if intent["attempt"] != attempt
        for receipt in intent["receipts"]
        for plain in receipt["outcomes"]
        if Outcome(plain["outcome"]) in CHANGES and plain["rows"]
    ]


def first_rows(parts: Iterable[OutcomeCount], rows: int) -> Iterator[OutcomeCount]:
    """The first `rows` rows of these outcomes, the last of them cut short."""
    for part in parts:
        taken = min(rows, part.rows)
        if taken:
            yield replace(part, rows=taken)
        rows -= taken


def _text(value: object) -> str | None:
    return None if value is None else str(value)
