"""One row against its decision table, in Python: for `explain` and as a check on connectors.

Why this room exists: connectors evaluate tables in SQL or record by record; this is the plain
reading that they must agree with. A table, a row and its surroundings enter; the rule that decides
leaves, and in words why it won and what lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from dsr_worker.contract import (
    Action,
    Always,
    Before,
    DecisionTable,
    Frozen,
    HeldPeople,
    HeldRows,
    HeldSubjects,
    Identity,
    NeededByKept,
    Predicate,
    Rule,
    Since,
)
from dsr_worker.domain.rights import NO_MEANS


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a row cannot say by itself.

    `subject_ref` is whose it is in this batch, `owners` the identities that own it directly or
    through parents, `staying_children` the child collections of which a staying row refers to it.
    """

    subject_ref: str | None = None
    owners: frozenset[Identity] = frozenset()
    staying_children: frozenset[str] = frozenset()


ALONE = Surroundings()


def evaluate(table: DecisionTable, row: Mapping[str, object], around: Surroundings = ALONE) -> Rule:
    """Return the first rule that matches `row`.

    Clock fields may be instants, dates, ISO 8601 texts or absent; what is no time counts as absent,
    and an absent clock is always inside a minimum and never past a limit.

    Raises:
        ValueError: the table has no rule for the row, so it does not end in `Always`.

    """
    for rule in table.rules:
        if matches(rule.when, row, around):
            return rule
    raise ValueError(f"the table of {table.collection} does not end in a rule for every row")


def matches(  # noqa: PLR0911 - one line per predicate reads best
    when: Predicate, row: Mapping[str, object], around: Surroundings = ALONE
) -> bool:
    """Say whether a predicate matches `row`."""
    match when:
        case Always() | Frozen():
            return True
        case HeldSubjects(refs):
            return around.subject_ref in refs
        case HeldPeople(identities):
            return not around.owners.isdisjoint(identities)
        case HeldRows(field, values):
            value = row.get(field)
            return value is not None and str(value) in values
        case Since(field, cutoff):
            return not _is_before(row.get(field), cutoff)
        case Before(field, cutoff):
            return _is_before(row.get(field), cutoff)
        case NeededByKept(children):
            return not around.staying_children.isdisjoint(children)


def _is_before(value: object, cutoff: datetime) -> bool:
    at = _instant(value)
    return at is not None and at < cutoff


def _instant(value: object) -> datetime | None:
    """Return a clock value as an instant; without a time or an offset it is read in UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return datetime.combine(value, time.min, UTC) if isinstance(value, date) else None


_REASONS: Mapping[tuple[str, Action], str] = {
    ("hold", Action.KEEP): "kept whole: a legal hold stands",
    ("minimum", Action.KEEP): "kept whole: a period of keeping runs",
    ("minimum", Action.MASK): "kept with its protected fields only: a period of keeping runs",
    ("needed", Action.MASK): "masked: a row that stays refers to it",
    ("needed", Action.KEEP): "kept: a row that stays refers to it, and the map names no mask",
    ("limit", Action.ERASE): "erased: its period is over",
    ("limit", Action.MASK): "masked: its period is over",
    ("default", Action.ERASE): "erased: nothing asks for keeping it",
    ("default", Action.KEEP): "left alone: no limit is reached",
    ("minimum", Action.RECTIFY): "put right but for its protected fields: a period of keeping runs",
    ("default", Action.RECTIFY): "put right: nothing asks for keeping it as it is",
    ("default", Action.RESTRICT): "restricted by the means that the map names",
    ("default", Action.LIFT): "freed by the means that the map names",
}
_NO_MEANS = "left as it is: the map names no means of restriction"


def explain(table: DecisionTable, row: Mapping[str, object], around: Surroundings = ALONE) -> str:
    """Return the winning rule in words and codes, then the later rules that matched and lost.

    It names collection, grounds, clock fields and cut-offs, never a value of the row.
    """
    winner = evaluate(table, row, around)
    reason = (
        _NO_MEANS
        if winner.ground == NO_MEANS
        else _REASONS.get((winner.code, winner.action), f"{winner.action}: {winner.code}")
    )
    lines = [f"{table.collection}: {reason}{_detail(winner)}"]
    position = table.rules.index(winner)
    lines += [
        f"  before: {rule.code} would {rule.action}{_detail(rule)}"
        for rule in table.rules[position + 1 :]
        if matches(rule.when, row, around)
    ]
    return "\n".join(lines)


def _detail(rule: Rule) -> str:
    parts = [rule.ground] if rule.ground else []
    match rule.when:
        case Since(field, cutoff):
            parts.append(f"{field} since {cutoff.isoformat()}")
        case Before(field, cutoff):
            parts.append(f"{field} before {cutoff.isoformat()}")
        case NeededByKept(children):
            parts.append(f"by {', '.join(children)}")
        case _:
            pass
    if rule.kept_fields:
        parts.append(f"keeps {', '.join(sorted(rule.kept_fields))}")
    if rule.masks:
        parts.append(f"masks {', '.join(sorted(rule.masks))}")
    return f" ({'; '.join(parts)})" if parts else ""
