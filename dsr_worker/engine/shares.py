"""What became of a unit's rows, as the ledger keeps it, and all units of a step added up.

In: a connector's receipts of one unit, the intents of earlier attempts at it. Out: JSON that keeps
every outcome with whether it was counted before a commit that nobody saw; of all units together,
one receipt for each collection, and such outcomes as an intent of before. No personal data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dsr_worker.contract import Outcome, OutcomeCount, Proof, Receipt
from dsr_worker.engine.receipts import from_json, plain, with_intents

_UNSEEN = "unseen"
_BEFORE_ALL = -1  # the attempt of what units account for: before any of the step's


def settled(receipts: Iterable[Receipt], earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A unit's share of an erasure: each located row is told, gone ones by the earlier intents."""
    return {"receipts": _plain(receipts, earlier), "earlier": []}


def unsettled(receipts: Iterable[Receipt], earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A unit's share of a sweep, which does not tell what is gone: the whole settles that."""
    total = Total()
    total.add({"receipts": _plain(receipts, ()), "earlier": []})
    told = [total.receipt(None, name) for name in total.collections()]
    return {"receipts": _plain(told, ()), "earlier": list(earlier)}


def _plain(
    receipts: Iterable[Receipt], earlier: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    return [
        {
            "collection": receipt.collection,
            "outcomes": [
                {**plain(part), _UNSEEN: unseen}
                for part, unseen in with_intents(receipt, 0, earlier)
            ],
            "kept": sorted(receipt.kept),
            "proofs": [[proof.place, proof.before, proof.after] for proof in receipt.proofs],
        }
        for receipt in receipts
        if any(part.rows for part in receipt.outcomes)
    ]


@dataclass
class Total:
    """All shares of one step."""

    _parts: dict[tuple[str, Outcome, str], OutcomeCount] = field(default_factory=dict)
    _unseen: list[dict[str, Any]] = field(default_factory=list)
    _kept: dict[str, set[str]] = field(default_factory=dict)
    _proofs: dict[str, list[Proof]] = field(default_factory=dict)

    def add(self, frame: Mapping[str, Any]) -> None:
        """Add a unit's share."""
        self._unseen.extend(r for intent in frame["earlier"] for r in intent["receipts"])
        for receipt in frame["receipts"]:
            name = receipt["collection"]
            for part in receipt["outcomes"]:
                count = from_json(part)
                if part[_UNSEEN] and count.outcome is Outcome.ERASED:
                    self._unseen.append({"collection": name, "outcomes": [part]})
                    count = OutcomeCount(Outcome.ALREADY_GONE, count.rows)
                place = (name, count.outcome, count.ground)
                before = self._parts.get(place)
                self._parts[place] = count if before is None else before.plus(count)
            self._kept.setdefault(name, set()).update(receipt["kept"])
            self._proofs.setdefault(name, []).extend(Proof(*p) for p in receipt["proofs"])

    def collections(self) -> list[str]:
        """Where any row is told of."""
        return sorted({name for name, _, _ in self._parts})

    def intents(self) -> list[dict[str, Any]]:
        """What earlier attempts at units committed unseen, as intents of one call before."""
        return [{"attempt": _BEFORE_ALL, "receipts": self._unseen}] if self._unseen else []

    def effects(self) -> list[dict[str, Any]]:
        """The same of everything that was done, for who looks at it anew."""
        seen = [
            {"collection": name, "outcomes": [plain(part)]}
            for (name, _, _), part in self._parts.items()
        ]
        return [{"attempt": _BEFORE_ALL, "receipts": [*seen, *self._unseen]}]

    def receipt(self, ref: str | None, collection: str) -> Receipt:
        """The step's receipt for a collection."""
        parts = tuple(part for (name, _, _), part in self._parts.items() if name == collection)
        return Receipt(
            ref,
            collection,
            parts or (OutcomeCount(Outcome.ABSENT, 0),),
            frozenset(self._kept.get(collection, ())),
            tuple(self._proofs.get(collection, ())),
        )
