"""Receipts of an erasure as a plan keeps them: counts, grounds, ends of keeping.

In: a connector's receipts. Out: outcomes for a plan; checks that each subject and collection has
exactly one and that the outcomes add up to what was located.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from dsr_worker.contract import Outcome, Receipt
from dsr_worker.domain.decision import Decisions, canonical_json
from dsr_worker.engine.batch import Batch
from dsr_worker.engine.receipts import IN_PLACE, ends

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
        for until in [ends(receipt.collection, part, decisions).last_on]
    ]


def changes(receipts: Sequence[Receipt]) -> int:
    """How many rows would go or change; one in which all is in place already would not."""
    parts = [part for receipt in receipts for part in receipt.outcomes]
    erased = sum(p.rows for p in parts if p.outcome is Outcome.ERASED)
    in_place = (p for p in parts if p.outcome in IN_PLACE)
    return erased + sum(min(p.rows, p.fields) for p in in_place)


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
