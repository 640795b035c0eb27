"""Receipts as JSON for an intent, and what a repeat makes of intents whose end was not seen.

In: a connector's receipts, the intents of earlier attempts. Out: the receipts to record. A repeat
that finds rows already gone reports them as the earlier intent counted them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from dsr_worker.contract import Outcome, OutcomeCount, Receipt

_EFFECTS = {Outcome.ERASED, Outcome.REDACTED, Outcome.MASKED}


def to_json(receipt: Receipt) -> dict[str, Any]:
    """A receipt's counts as plain JSON, without the digests of what stays."""
    return {
        "collection": receipt.collection,
        "outcomes": [
            {
                "outcome": o.outcome.value,
                "rows": o.rows,
                "fields": o.fields,
                "ground": o.ground,
                "latest_at": None if o.latest_at is None else o.latest_at.isoformat(),
            }
            for o in receipt.outcomes
        ],
    }


def with_intents(
    receipt: Receipt, attempt: int, intents: Sequence[Mapping[str, Any]] | None
) -> tuple[tuple[OutcomeCount, bool], ...]:
    """A receipt's outcomes, each with whether it was counted before a commit seen by nobody.

    Rows that are `already_gone` now and that an earlier attempt was about to change are reported as
    that attempt counted them, never more than are gone.
    """
    gone = sum(o.rows for o in receipt.outcomes if o.outcome is Outcome.ALREADY_GONE)
    seen = [(o, False) for o in receipt.outcomes if o.outcome is not Outcome.ALREADY_GONE]
    for earlier in _effects(receipt.collection, attempt, intents or ()):
        counted = min(gone, earlier.rows)
        if counted == 0:
            break
        gone -= counted
        seen.append(
            (
                OutcomeCount(
                    earlier.outcome, counted, earlier.fields, earlier.ground, earlier.latest_at
                ),
                True,
            )
        )
    if gone:
        seen.append((OutcomeCount(Outcome.ALREADY_GONE, gone), False))
    return tuple(seen)


def _effects(
    collection: str, attempt: int, intents: Iterable[Mapping[str, Any]]
) -> Iterable[OutcomeCount]:
    for intent in intents:
        if intent["attempt"] == attempt:
            continue
        for receipt in intent["receipts"]:
            if receipt["collection"] != collection:
                continue
            for plain in receipt["outcomes"]:
                outcome = OutcomeCount(
                    Outcome(plain["outcome"]),
                    plain["rows"],
                    plain["fields"],
                    plain["ground"],
                    plain["latest_at"] and datetime.fromisoformat(plain["latest_at"]),
                )
                if outcome.outcome in _EFFECTS:
                    yield outcome
