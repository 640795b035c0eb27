"""A sweep's plan: what a person is shown, the hash that an approval binds, who may skip it.

In: the counts of every system, the frozen versions. Out: a plan, its hash, reasons why what would
happen now is no longer what was approved, and the verdict of a standing approval. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dsr_worker.contract import Outcome
from dsr_worker.domain.plan import Plan, PlannedOutcome, Voided, approval_voided, plan_hash
from dsr_worker.sweep.counts import changed_rows


@dataclass(frozen=True, slots=True)
class Standing:
    """A standing approval: sweeps of exactly this policy, up to so many rows and such a share.

    `share` is of a collection's rows, from 0 to 1. Zero means zero.
    """

    policy_hash: str
    rows: int
    share: float
    approved_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


def hash_of(plan: Mapping[str, Any]) -> str:
    """The SHA-256 (hex) of a sweep's plan, policy and upper bounds included."""
    return plan_hash(_plan(plan, plan["outcomes"], plan["collections"]))


def reasons_void(
    plan: Mapping[str, Any], system: str, outcomes: Iterable[Mapping[str, Any]]
) -> tuple[Voided, ...]:
    """Why the outcomes of a system reach further than the approved plan; empty where it stands."""
    places = [place for place in plan["collections"] if place[0] == system]
    approved = [o for o in plan["outcomes"] if o["system"] == system]
    return approval_voided(_plan(plan, approved, places), _plan(plan, outcomes, places))


def changes_of(plan: Mapping[str, Any], system: str, collection: str) -> int:
    """How many rows of a collection the plan changes."""
    place = (system, collection)
    return changed_rows(o for o in plan["outcomes"] if (o["system"], o["collection"]) == place)


def stops(
    plan: Mapping[str, Any],
    standing: Sequence[Standing],
    swept_before: frozenset[tuple[str, str]],
    now: datetime,
) -> str:
    """Why a scheduled sweep stops for a person, as a code; empty when it may go on by itself.

    `swept_before` are the places that earlier, approved sweeps of this policy looked in.
    """
    places = {(system, collection) for system, collection in plan["collections"]}
    valid = [s for s in standing if s.revoked_at is None]
    mine = next((s for s in valid if s.policy_hash == plan["policy_hash"]), None)
    if not swept_before:
        return "first_run"
    if mine is None:
        return "policy_changed" if valid else "no_standing_approval"
    reasons = {
        "standing_approval_expired": mine.expires_at is not None and mine.expires_at <= now,
        "new_collection": bool(places - swept_before),
        "over_rows": plan["rows"] > mine.rows,
        "over_share": plan["share"] > mine.share,
    }
    return next((code for code, holds in reasons.items() if holds), "")


def _plan(
    plan: Mapping[str, Any],
    outcomes: Iterable[Mapping[str, Any]],
    places: Iterable[Sequence[str]],
) -> Plan:
    return Plan(
        identities=frozenset(),
        collections=frozenset((system, collection) for system, collection in places),
        outcomes=tuple(
            PlannedOutcome(
                o["system"], o["collection"], Outcome(o["outcome"]), o["ground"], o["rows"]
            )
            for o in outcomes
        ),
        versions={**plan["versions"], "sweep": f"{plan['policy']}@{plan['policy_hash']}"},
        cutoffs={name: datetime.fromisoformat(at) for name, at in plan["cutoffs"].items()},
    )
