"""What an approver approves, and when that approval no longer covers what would happen.

Why this room exists: between approval and effect the world goes on. Fewer rows, a new hold or a new
keep may go ahead; anything that reaches further than what was read and signed may not. Plans enter;
a hash to sign and the reasons why an approval is void leave. A plan holds counts, codes and keyed
digests, no personal data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from dsr_worker.contract import Outcome, Receipt
from dsr_worker.domain.decision import canonical_json

SLACK_ROWS = 10
SLACK_PERCENT = 5

_SEVERITY: Mapping[Outcome, int] = {
    Outcome.RETAINED: 0,
    Outcome.LIFTED: 1,
    Outcome.RESTRICTED: 1,
    Outcome.RECTIFIED: 2,
    Outcome.MASKED: 3,
    Outcome.REDACTED: 3,
    Outcome.ERASED: 4,
    Outcome.PENDING_REMOTE: 4,
}
"""How far an outcome reaches; outcomes that are absent here touch nothing."""
_REACHES = sorted(set(_SEVERITY.values()) - {0})


@dataclass(frozen=True, slots=True, order=True)
class PlannedOutcome:
    """How many rows of one collection come out one way, and on what ground."""

    system: str
    collection: str
    outcome: Outcome
    ground: str
    rows: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen. `collections` lists every place that was looked in, rows or not.

    `identities` are keyed digests, `versions` the hashes of data map, policies and law pack,
    `cutoffs` the instants by which periods were decided.
    """

    identities: frozenset[str]
    collections: frozenset[tuple[str, str]]
    outcomes: tuple[PlannedOutcome, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    cutoffs: Mapping[str, datetime] = field(default_factory=dict)


class VoidCode(StrEnum):
    """Why an approval no longer covers what would happen."""

    NEW_IDENTITY = "new_identity"
    NEW_COLLECTION = "new_collection"
    HARSHER_DISPOSITION = "harsher_disposition"
    OVER_BOUND = "over_bound"
    RULES_CHANGED = "rules_changed"


@dataclass(frozen=True, slots=True, order=True)
class Voided:
    """One reason, where it was seen, and the numbers that were approved and are now."""

    code: VoidCode
    place: str = ""
    approved: int = 0
    now: int = 0


def upper_bound(planned: int) -> int:
    """Return how many rows an approval of `planned` covers: plus 10, or 5 % if that is more."""
    return planned + max(SLACK_ROWS, -(-planned * SLACK_PERCENT // 100))


def tally(system: str, receipts: Iterable[Receipt]) -> tuple[PlannedOutcome, ...]:
    """Return the outcomes of a dry run's receipts, added up over subjects; zeros are left out."""
    rows: dict[tuple[str, Outcome, str], int] = {}
    for receipt in receipts:
        for part in receipt.outcomes:
            place = (receipt.collection, part.outcome, part.ground)
            rows[place] = rows.get(place, 0) + part.rows
    return tuple(
        PlannedOutcome(system, collection, outcome, ground, count)
        for (collection, outcome, ground), count in sorted(rows.items())
        if count
    )


def plan_text(plan: Plan) -> str:
    """Return the plan as canonical JSON, upper bounds included: what the hash covers."""
    return canonical_json(
        {
            "identities": sorted(plan.identities),
            "collections": [list(place) for place in sorted(plan.collections)],
            "outcomes": [
                {
                    "system": part.system,
                    "collection": part.collection,
                    "outcome": part.outcome.value,
                    "ground": part.ground,
                    "rows": part.rows,
                    "at_most": upper_bound(part.rows),
                }
                for part in sorted(plan.outcomes)
            ],
            "versions": dict(plan.versions),
            "cutoffs": {name: at.isoformat() for name, at in plan.cutoffs.items()},
        }
    )


def plan_hash(plan: Plan) -> str:
    """Return the SHA-256 (hex) of the plan's text: equal for equal plans, in any order of parts."""
    return hashlib.sha256(plan_text(plan).encode()).hexdigest()


def approval_voided(approved: Plan, now: Plan) -> tuple[Voided, ...]:
    """Return why `now` is not covered by the approval of `approved`; empty where it stands.

    Counts are compared as "rows that something happens to", "rows that are put right or worse" and
    so on to "rows that go", so that a row which now stays for a new hold, or is masked where it was
    to be erased, never counts against the approval.
    """
    found = [Voided(VoidCode.NEW_IDENTITY)] * bool(now.identities - approved.identities)
    places = {(part.system, part.collection) for part in now.outcomes} | now.collections
    found += [
        Voided(VoidCode.NEW_COLLECTION, ".".join(place))
        for place in sorted(places - approved.collections)
    ]
    for place in sorted(places & approved.collections):
        found += _further(".".join(place), _reach(approved, place), _reach(now, place))
    if approved.versions != now.versions or approved.cutoffs != now.cutoffs:
        found.append(Voided(VoidCode.RULES_CHANGED))
    return tuple(found)


def _reach(plan: Plan, place: tuple[str, str]) -> Mapping[int, int]:
    """Return how many rows of one collection reach at least as far as each severity."""
    parts = [
        (_SEVERITY[part.outcome], part.rows)
        for part in plan.outcomes
        if (part.system, part.collection) == place and part.outcome in _SEVERITY
    ]
    return {least: sum(rows for at, rows in parts if at >= least) for least in (0, *_REACHES)}


def _further(place: str, approved: Mapping[int, int], now: Mapping[int, int]) -> list[Voided]:
    """Return at most one reason of each code, rows that change before rows that go."""
    found: dict[VoidCode, Voided] = {}
    for severity in _REACHES:
        before, after = approved[severity], now[severity]
        spared_before, spared_after = approved[0] - before, now[0] - after
        unknown_here = approved[0] > 0 and before == 0
        if after > before and (unknown_here or spared_after < spared_before):
            code = VoidCode.HARSHER_DISPOSITION
        elif after > upper_bound(before):
            code = VoidCode.OVER_BOUND
        else:
            continue
        found.setdefault(code, Voided(code, place, before, after))
    return list(found.values())
