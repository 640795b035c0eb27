"""Receipts of an erasure as the ledger and a plan keep them: counts, grounds, ends of keeping.

In: a connector's receipts. Out: rows for the ledger, outcomes for a plan; checks that each subject
and collection has exactly one and that the outcomes add up to what was located.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from itertools import islice
from typing import Any

from dsr_worker.contract import Outcome, OutcomeCount, Receipt, is_remainder
from dsr_worker.domain.decision import Decisions, Ends, canonical_json
from dsr_worker.engine.batch import Batch
from dsr_worker.engine.receipts import IN_PLACE
from dsr_worker.ledger.rows import ReceiptRow

_MOST_PROOFS = 1_000


class ReceiptsWrong(Exception):  # noqa: N818 - reads as what it says
    """A connector's receipts do not account for what was located."""


def by_subject(batch: Batch, receipts: Iterable[Receipt]) -> dict[str, list[Receipt]]:
    """Receipts by subject. Raises ReceiptsWrong for a stranger's, a second, or a missing one."""
    found: dict[str, dict[str, Receipt]] = {m.subject.ref: {} for m in batch.members}
    for receipt in receipts:
        mine = found.get(receipt.subject_ref or "")
        if mine is None or receipt.collection in mine:
            message = f"system {batch.ctx.system.name}: a receipt too many for {receipt.collection}"
            raise ReceiptsWrong(message)
        mine[receipt.collection] = receipt
    wanted = set(batch.ctx.system.collections)
    for mine in found.values():
        if set(mine) != wanted:
            missing = ", ".join(sorted(wanted - set(mine)))
            message = f"system {batch.ctx.system.name}: no receipt for {missing}"
            raise ReceiptsWrong(message)
    return {ref: list(mine.values()) for ref, mine in found.items()}


def require_sums(located: Mapping[str, int], receipts: Sequence[Receipt], system: str) -> None:
    """Raise ReceiptsWrong unless each collection's outcomes add up to the rows located in it."""
    for receipt in receipts:
        counted = sum(o.rows for o in receipt.outcomes if o.outcome is not Outcome.ABSENT)
        if counted != located.get(receipt.collection, 0):
            message = (
                f"system {system}, {receipt.collection}: {located.get(receipt.collection, 0)} rows"
                f" were located and {counted} are accounted for"
            )
            raise ReceiptsWrong(message)


def planned(system: str, receipts: Sequence[Receipt], decisions: Decisions) -> list[dict[str, Any]]:
    """Outcomes for a plan; collections without rows are left out."""
    return [
        {
            "system": system,
            "collection": receipt.collection,
            "outcome": part.outcome.value,
            "ground": part.ground,
            "rows": part.rows,
            "until": str(until) if until else None,
        }
        for receipt in receipts
        for part in receipt.outcomes
        if part.rows and part.outcome is not Outcome.ABSENT
        for until in [_ends(receipt.collection, part, decisions).last_on]
    ]


def changes(receipts: Sequence[Receipt]) -> int:
    """How many rows would go or change; one in which all is in place already would not."""
    parts = [part for receipt in receipts for part in receipt.outcomes]
    erased = sum(p.rows for p in parts if p.outcome is Outcome.ERASED)
    in_place = (p for p in parts if p.outcome in IN_PLACE)
    return erased + sum(min(p.rows, p.fields) for p in in_place)


def row(collection: str, part: OutcomeCount, decisions: Decisions, *, unseen: bool) -> ReceiptRow:
    """One outcome as the ledger keeps it."""
    ends = _ends(collection, part, decisions)
    return ReceiptRow(
        collection=collection,
        outcome=part.outcome.value,
        rows=part.rows,
        fields=part.fields,
        ground=part.ground,
        until_on=ends.last_on,
        first_until_on=ends.first_on,
        before_commit=unseen,
    )


def _ends(collection: str, part: OutcomeCount, decisions: Decisions) -> Ends:
    """Until when rows stay: as long as a period says, or as their store does."""
    if not is_remainder(part.ground):
        return decisions.ends(collection, part)
    moments = (part.first_until_at or part.until_at, part.until_at)
    return Ends(*(None if at is None else at.astimezone(UTC).date() for at in moments))


def count_located(keys: Iterable[Any]) -> dict[str, Counter[str]]:
    """How many keys of each collection each subject has."""
    located: dict[str, Counter[str]] = defaultdict(Counter)
    for key in keys:
        located[key.subject_ref][key.collection] += 1
    return located


def proofs(receipts: Iterable[Receipt]) -> list[dict[str, str]]:
    """The proofs of receipts as plain JSON, a thousand at most."""
    found = (
        {"collection": r.collection, "place": p.place, "before": p.before, "after": p.after}
        for r in receipts
        for p in r.proofs
    )
    return list(islice(found, _MOST_PROOFS))


def digest_of(proven: Sequence[Mapping[str, str]]) -> str:
    """The SHA-256 (hex) of proofs, by which the event of their effect holds them."""
    return hashlib.sha256(canonical_json(list(proven)).encode()).hexdigest()
