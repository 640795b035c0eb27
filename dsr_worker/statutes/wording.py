"""Rows of a law in a few words: for tables, pages and `dsr statutes show`.

In: rows of a pack. Out: plain English. What nobody has read a source for says so.
"""

from __future__ import annotations

from datetime import date

from dsr_worker.domain.headcount import Compare, Counted
from dsr_worker.domain.period import FirstDay, Roll, StartKind, Unit
from dsr_worker.statutes.model import BreachRow, ClockRow, DatedRow, SourcedRow
from dsr_worker.statutes.model.rows import PeriodRow

NOT_VERIFIED = "NOT VERIFIED"
_UNITS = {
    Unit.CALENDAR_DAYS: ("day", "days"),
    Unit.BUSINESS_DAYS: ("business day", "business days"),
    Unit.MONTHS: ("month", "months"),
    Unit.HOURS: ("hour", "hours"),
}
_STARTS = {
    StartKind.RECEIPT: "receipt",
    StartKind.ID_VERIFIED: "verification",
    StartKind.FEE_PAID: "payment of the fee",
    StartKind.DETERMINATION: "the determination",
    StartKind.AWARENESS: "awareness",
    StartKind.DISCOVERY: "discovery",
    StartKind.CLASSIFICATION: "the classification",
    StartKind.AFTER_OTHER_NOTICE: "the other notice",
    StartKind.YEAR_END: "the end of the year of the discovery",
    StartKind.RANSOM_PAYMENT: "the payment of a ransom",
}
_COMPARED = {
    Compare.MORE_THAN: "more than {}",
    Compare.AT_LEAST: "{} or more",
    Compare.FEWER_THAN: "fewer than {}",
}
_COUNTED = {
    Counted.RESIDENTS: "residents",
    Counted.PERSONS_TOLD: "persons told, wherever they live",
    Counted.PERSONS: "persons, wherever they live",
    Counted.ONE_PART: "residents of one state",
}


def period(row: PeriodRow) -> str:
    """Such as `45 days`; a period without a number is told by whoever knows the house's."""
    if row.unit is Unit.NONE:
        return "no number"
    one, many = _UNITS[row.unit]
    return f"{row.amount} {one if row.amount == 1 else many}"


def clock(row: ClockRow, after: str | None = None) -> str:
    """A clock with what moves it, such as `45 days from receipt, 45 days more`."""
    start = f"the notice to {after}" if after else _STARTS[row.start]
    parts = [f"{period(row.period)} from {start}"]
    if row.house is not None:
        parts = [f"no number in the law, house {period(row.house)} from {start}"]
    if row.extension is not None:
        parts.append(f"at most {period(row.extension)} more")
    if row.roll is Roll.NEXT_WORKING_DAY:
        parts.append("to the next working day")
    if row.first_day is FirstDay.AMBIGUOUS:
        parts.append("whether the first day counts is in doubt")
    parts.extend(f"{pause.ground} {pause.effect}s it" for pause in row.pauses)
    return ", ".join(parts)


def threshold(row: BreachRow) -> str:
    """From how many people on a duty binds; empty where number matters to nothing."""
    if row.threshold is None:
        return ""
    number = _COMPARED[row.threshold.compare].format(f"{row.threshold.count:,}")
    return f"{number} {_COUNTED[row.threshold.counted]}"


def standing(row: SourcedRow) -> str:
    """How sure we are of a row, and since when."""
    return f"{row.standing}, {row.checked_on}" if row.verified else NOT_VERIFIED


def in_force(row: DatedRow) -> str:
    """Since when, and until when a row is law."""
    return dates(row.effective_from, row.effective_to) or "not in force yet, no date"


def dates(since: date | None, until: date | None) -> str:
    """Such as `since 2025-01-01`; empty where neither day is known."""
    if until is None:
        return f"since {since}" if since else ""
    return f"{since} until {until}" if since else f"until {until}"
