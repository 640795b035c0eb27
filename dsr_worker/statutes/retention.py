"""Statutory retention: how long a class of records must be kept, or may be kept at most.

Why this module exists: policies name a rule by its id and must not repeat the law. An id enters;
period, anchor and source leave, ready for `dsr_worker.domain.retention`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from dsr_worker.domain.retention import AnchorKind, CalendarPeriod
from dsr_worker.statutes.load import retention_table
from dsr_worker.statutes.model import RetentionRow, Standing
from dsr_worker.statutes.model.tables import Nature
from dsr_worker.statutes.names import UnknownNameError


@dataclass(frozen=True, slots=True)
class RetentionLimit:
    """One side of a retention rule, a minimum or a maximum."""

    id: str
    country: str | None
    title: str
    nature: Nature
    period: CalendarPeriod
    anchor: AnchorKind
    citation: str
    standing: Standing
    checked_on: date
    effective_from: date | None
    effective_to: date | None
    note: str

    @property
    def verified(self) -> bool:
        """False where nobody has read a source for this rule."""
        return self.standing is not Standing.UNVERIFIED


def retention_rules() -> tuple[RetentionRow, ...]:
    """Return all retention rules as they are written."""
    return retention_table().rules


def retention_minimum(rule_id: str) -> RetentionLimit:
    """Return the minimum of the rule `rule_id`, such as `de-ao-147-voucher`.

    Raises:
        UnknownNameError: no rule with a minimum has this id; near ids are given.

    """
    row = _row(rule_id, [row for row in retention_rules() if row.minimum], "retention minimum")
    return _limit(row, row.minimum or "")


def retention_maximum(rule_id: str) -> RetentionLimit:
    """Return the maximum of the rule `rule_id`, such as `fr-cnil-inactive-customer`.

    Raises:
        UnknownNameError: no rule with a maximum has this id; near ids are given.

    """
    row = _row(rule_id, [row for row in retention_rules() if row.maximum], "retention maximum")
    return _limit(row, row.maximum or "")


def _row(rule_id: str, rows: list[RetentionRow], kind: str) -> RetentionRow:
    for row in rows:
        if row.id == rule_id:
            return row
    raise UnknownNameError(kind, rule_id, [row.id for row in rows])


def _limit(row: RetentionRow, period: str) -> RetentionLimit:
    return RetentionLimit(
        id=row.id,
        country=row.country,
        title=row.title,
        nature=row.nature,
        period=CalendarPeriod.parse(period),
        anchor=row.anchor,
        citation=row.citation,
        standing=row.standing,
        checked_on=row.checked_on,
        effective_from=row.effective_from,
        effective_to=row.effective_to,
        note=row.note,
    )
