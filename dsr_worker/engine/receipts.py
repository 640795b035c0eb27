"""Receipts as JSON for an intent, and what a repeat makes of intents whose end was not seen.

In: a connector's receipts, the intents of earlier calls. Out: the receipts to record, and each as a
row for the ledger. A repeat that finds rows already gone, masked or put right, reports them as the
earlier intent counted them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dsr_worker.contract import Outcome, OutcomeCount, Receipt, is_remainder
from dsr_worker.domain.decision import Decisions, Ends
from dsr_worker.ledger.rows import ReceiptRow

IN_PLACE = {
    Outcome.REDACTED,
    Outcome.MASKED,
    Outcome.RECTIFIED,
    Outcome.RESTRICTED,
    Outcome.LIFTED,
}
"""Outcomes of rows that stay, whose `fields` say how many values were not yet as decided."""


def plain(part: OutcomeCount) -> dict[str, Any]:
    """One outcome of a receipt as plain JSON."""
    return {
        "outcome": part.outcome.value,
        "rows": part.rows,
        "fields": part.fields,
        "ground": part.ground,
        "latest_at": None if part.latest_at is None else part.latest_at.isoformat(),
        "earliest_at": None if part.earliest_at is None else part.earliest_at.isoformat(),
        "until_at": None if part.until_at is None else part.until_at.isoformat(),
        "first_until_at": None if part.first_until_at is None else part.first_until_at.isoformat(),
    }


def from_json(plain: Mapping[str, Any]) -> OutcomeCount:
    """One outcome of a receipt as `to_json` wrote it."""
    moments = (plain.get(n) for n in ("latest_at", "earliest_at", "until_at", "first_until_at"))
    return OutcomeCount(
        Outcome(plain["outcome"]),
        plain["rows"],
        plain["fields"],
        plain["ground"],
        *(datetime.fromisoformat(at) if at else None for at in moments),
    )


def to_json(receipt: Receipt) -> dict[str, Any]:
    """A receipt's counts as plain JSON, without the digests of what stays."""
    return {
        "collection": receipt.collection,
        "outcomes": [plain(part) for part in receipt.outcomes],
    }


def with_intents(
    receipt: Receipt, attempt: int, intents: Sequence[Mapping[str, Any]] | None
) -> tuple[tuple[OutcomeCount, bool], ...]:
    """A receipt's outcomes, each with whether it was counted before a commit seen by nobody.

    Rows that are `already_gone` now and that an earlier call was about to erase are reported as
    that call counted them, never more than are gone. Rows that stay and in which nothing was left
    to change are reported with the values that an earlier call was about to change. Intents of
    `attempt` are this call's own and left out; with 0, none is.
    """
    others = [intent for intent in intents or () if intent["attempt"] != attempt]
    earlier = list(_intended(receipt.collection, others))
    gone = sum(o.rows for o in receipt.outcomes if o.outcome is Outcome.ALREADY_GONE)
    told = [
        _in_place(o, earlier) for o in receipt.outcomes if o.outcome is not Outcome.ALREADY_GONE
    ]
    for erased in (o for o in earlier if o.outcome is Outcome.ERASED):
        counted = min(gone, erased.rows)
        if counted == 0:
            break
        gone -= counted
        told.append((replace(erased, rows=counted), True))
    if gone:
        told.append((OutcomeCount(Outcome.ALREADY_GONE, gone), False))
    return tuple(told)


def _in_place(part: OutcomeCount, earlier: Sequence[OutcomeCount]) -> tuple[OutcomeCount, bool]:
    same = [o.fields for o in earlier if (o.outcome, o.ground) == (part.outcome, part.ground)]
    if part.outcome not in IN_PLACE or part.fields or not any(same):
        return part, False
    return replace(part, fields=max(same)), True


def _intended(collection: str, intents: Iterable[Mapping[str, Any]]) -> Iterator[OutcomeCount]:
    for intent in intents:
        for receipt in intent["receipts"]:
            if receipt["collection"] != collection:
                continue
            yield from map(from_json, receipt["outcomes"])


def ledger_row(
    collection: str, part: OutcomeCount, decisions: Decisions, *, unseen: bool
) -> ReceiptRow:
    """One outcome as the ledger keeps it."""
    stays = ends(collection, part, decisions)
    return ReceiptRow(
        collection=collection,
        outcome=part.outcome.value,
        rows=part.rows,
        fields=part.fields,
        ground=part.ground,
        until_on=stays.last_on,
        first_until_on=stays.first_on,
        before_commit=unseen,
    )


def ends(collection: str, part: OutcomeCount, decisions: Decisions) -> Ends:
    """Until when rows stay: as long as a period says, or as their store does."""
    if not is_remainder(part.ground):
        return decisions.ends(collection, part)
    moments = (part.first_until_at or part.until_at, part.until_at)
    return Ends(*(None if at is None else at.astimezone(UTC).date() for at in moments))
