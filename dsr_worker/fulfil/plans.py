"""What a plan says, and what an approval of it covers. Pure.

In: a plan as the ledger keeps it, outcomes. Out: its hash, the reasons that void its approval, and
where its records have free text. A plan holds counts, codes and keyed digests, no personal data.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dsr_worker.contract import Collection, Outcome, System
from dsr_worker.domain.decision import canonical_json
from dsr_worker.domain.plan import Plan, PlannedOutcome, approval_voided, upper_bound

CORRECTED = "corrected"  # fact and part of a plan: which fields are to be put right, by place
CORRECTIONS_DIGEST = "corrections_digest"  # the same: a keyed digest of what they are to say
FOUND = "found"  # what an access plan says of rows: nothing happens to them
CHANGES = frozenset(
    {
        Outcome.ERASED,
        Outcome.MASKED,
        Outcome.REDACTED,
        Outcome.RECTIFIED,
        Outcome.RESTRICTED,
        Outcome.LIFTED,
        Outcome.RETAINED,
    }
)
"""Outcomes that an approval speaks of; what is absent or already gone needs none."""


def free_texts(
    systems: Mapping[str, System], outcomes: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    """How many found records have free text, by `system.collection`.

    Others may have written it or be named in it. Their addresses are withheld wherever they stand;
    a name alone nobody but a human finds, so the approver is told where to look.
    """
    counted: Counter[str] = Counter()
    for o in outcomes:
        collection = systems[o["system"]].collections[o["collection"]]
        if o["outcome"] == FOUND and has_free_text(collection):
            counted[f"{o['system']}.{o['collection']}"] += o["rows"]
    return dict(counted)


def free_text_notice(plan: Mapping[str, Any]) -> str | None:
    """One line for whoever lets an access package go; None where it holds no free text."""
    counted = plan.get("free_texts") or {}
    if not counted:
        return None
    places = ", ".join(f"{at} {rows or ''}".strip() for at, rows in sorted(counted.items()))
    return (
        f"free text in {places}: other people may have written it or be named in it. Their "
        "addresses are withheld, names alone are not: read these records before the package "
        "leaves; a field that must stay back is marked `third_party` in the data map, and the "
        "request submitted anew"
    )


def has_free_text(collection: Collection) -> bool:
    """Whether other people may have written or be named in one of its fields."""
    return any(field.free_text for field in collection.fields.values())


def hash_of(plan: Mapping[str, Any]) -> str:
    """The SHA-256 (hex) of a plan, with the upper bounds that its approval would cover."""
    bounded = [{**o, "at_most": upper_bound(o["rows"])} for o in plan["outcomes"]]
    return hashlib.sha256(canonical_json({**plan, "outcomes": bounded}).encode()).hexdigest()


def reasons_void(plan: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why these outcomes are not covered by an approval of `plan`; empty where it stands."""
    before = _plan_of(plan, plan["outcomes"])
    now = _plan_of(plan, outcomes)
    return sorted({str(v.code) for v in approval_voided(before, now)})


def _plan_of(plan: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any]]) -> Plan:
    parts = tuple(
        PlannedOutcome(
            o["system"], o["collection"], Outcome(o["outcome"]), o.get("ground", ""), o["rows"]
        )
        for o in outcomes
    )
    return Plan(
        identities=frozenset(plan["identities"]),
        collections=frozenset((p.system, p.collection) for p in parts),
        outcomes=parts,
        versions=plan["versions"],
        cutoffs={n: datetime.fromisoformat(at) for n, at in plan.get("cutoffs", {}).items()},
    )


def rows_by_outcome(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many rows have each outcome, in all systems."""
    counts: dict[str, int] = defaultdict(int)
    for outcome in outcomes:
        counts[outcome["outcome"]] += outcome["rows"]
    return dict(counts)
