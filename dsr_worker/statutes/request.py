"""The clocks of one request: which rows apply on the day of receipt, and what they give.

Why this module exists: it joins a pack's rows (law) with the arithmetic (domain). Pack, right,
country and the instant of receipt enter; one `ClockSpec` per clock leaves, with citation,
standing and every due date. A request is judged by the law in force on the civil date of its
receipt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum

from dsr_worker.domain.calendar import local_date
from dsr_worker.domain.clock import Clock, Due, Pause, extension_notice_by
from dsr_worker.domain.retention import CalendarPeriod
from dsr_worker.statutes.model import (
    ClockRow,
    DatedRow,
    LawPack,
    Right,
    RightsRow,
    Standing,
)
from dsr_worker.statutes.names import UnknownNameError
from dsr_worker.statutes.places import Locality, locality_under

UNLIMITED = "not limited"
REASONABLE = "a reasonable period after the decision"
"""The times for an appeal to whoever answered, as the packs write them."""


class ClockKind(StrEnum):
    """What is due at the end of a clock."""

    RESPOND = "respond"
    ACKNOWLEDGE = "acknowledge"
    APPEAL = "appeal"


@dataclass(frozen=True, slots=True)
class ClockSpec:
    """One statutory clock of one request or complaint, with its source."""

    kind: ClockKind
    law: str
    row_id: str
    country: str
    clock: Clock
    """The running clock: pauses, extension and delivery are applied to it."""
    due: Due
    extended_due: Due | None
    extension_notice_by: date | None
    """Last day for telling the person of an extension."""
    citation: str
    standing: Standing
    checked_on: date

    @property
    def verified(self) -> bool:
        """False where nobody has read a source for this clock."""
        return self.standing is not Standing.UNVERIFIED


def rights_row(pack: LawPack, right: Right | str, received_on: date) -> RightsRow:
    """Return the row for `right` in force on `received_on`: clocks, refusal contents, fee.

    Raises:
        UnknownNameError: this law knows no such right.
        ValueError: it gives none at all, or was not in force on that day.

    """
    if not pack.rights:
        raise ValueError(f"{pack.name} gives no rights to ask for; name the law that does")
    known = {own: None for row in pack.rights for own in row.provisions}
    if right not in known:
        raise UnknownNameError(f"right under {pack.name}", str(right), known)
    rows = (row for row in pack.rights if right in row.provisions and row.in_force(received_on))
    found = next(rows, None)
    if found is None:
        raise ValueError(_not_in_force(pack, right, received_on))
    return found


def _not_in_force(pack: LawPack, right: Right | str, received_on: date) -> str:
    starts = [row.effective_from for row in pack.rights if right in row.provisions]
    known = max(received_on, pack.version)
    later = [start for start in starts if start is not None and start > known]
    if not later and None not in starts:
        return f"{pack.name} gave no {right} on {received_on}; check the year"
    since = f"from {min(later)} on" if later else "from a day that is not set yet"
    return (
        f"{pack.name} gives {right} {since} and was not in force on {received_on}: no statute sets"
        " a date there. If the law of your own establishment protects the person, submit under it"
        " (--law LAW --country ITS-COUNTRY); else answer by hand"
    )


def request_clocks(
    pack: LawPack,
    right: Right | str,
    country: str | None,
    received_at: datetime,
    zone: str | None = None,
    *,
    pauses: Iterable[Pause] = (),
    subject_zone: str | None = None,
) -> list[ClockSpec]:
    """Return the clocks that a request starts: respond, and acknowledge where the law has it.

    `zone` overrides that of the country's capital or the state. Pauses move the answer alone.

    Raises:
        UnknownNameError: country or right are not known.
        ValueError: the law does not apply there or then, or an instant has no offset.

    """
    receipt = _receive(pack, country, received_at, zone, subject_zone)
    row = rights_row(pack, right, receipt.received_on)
    answer = _spec(ClockKind.RESPOND, receipt, row, row.respond, tuple(pauses))
    specs = [replace(answer, citation=f"{row.provisions[Right(right)]}; {answer.citation}")]
    if row.acknowledge is not None:
        specs.append(_spec(ClockKind.ACKNOWLEDGE, receipt, row, row.acknowledge))
    return specs


def appeal_clock(
    pack: LawPack,
    right: Right | str,
    country: str | None,
    received_at: datetime,
    appealed_at: datetime,
    zone: str | None = None,
) -> ClockSpec | None:
    """Return the clock of an appeal against a refusal; None where the law gives no appeal.

    The law is that of the day on which the request came.

    Raises:
        UnknownNameError: country or right are not known.
        ValueError: the law does not apply there or then, or an instant has no offset.

    """
    row = rights_row(pack, right, _receive(pack, country, received_at, zone, None).received_on)
    if row.appeal is None or row.appeal.answer is None:
        return None
    appeal = _receive(pack, country, appealed_at, zone, None)
    return _spec(ClockKind.APPEAL, appeal, row, row.appeal.answer)


def appeal_until(row: RightsRow, answered_on: date, house: CalendarPeriod) -> date | None:
    """Return the last day for an appeal to whoever answered; None where nothing limits it.

    Where the law says "a reasonable period", `house` is what the house takes for one.

    Raises:
        ValueError: the row gives no such appeal, or a time that is not known here.

    """
    if row.appeal is None or row.appeal.answer is None:
        raise ValueError(f"{row.id} gives no appeal to whoever answered")
    if row.appeal.file_within == UNLIMITED:
        return None
    if row.appeal.file_within == REASONABLE:
        return house.after(answered_on)
    raise ValueError(f"{row.id}: `{row.appeal.file_within}` is no time for an appeal known here")


def complaint_clocks(
    pack: LawPack, country: str | None, received_at: datetime, zone: str | None = None
) -> list[ClockSpec]:
    """Return the clocks of a complaint to the controller; none where the law sets none then.

    Raises:
        UnknownNameError: the country is not known.
        ValueError: the law does not apply there, or the instant has no offset.

    """
    receipt = _receive(pack, country, received_at, zone, None)
    row = next((row for row in pack.complaints if row.in_force(receipt.received_on)), None)
    if row is None:
        return []
    return [
        _spec(ClockKind.ACKNOWLEDGE, receipt, row, row.acknowledge),
        _spec(ClockKind.RESPOND, receipt, row, row.respond),
    ]


@dataclass(frozen=True, slots=True)
class _Receipt:
    pack: LawPack
    where: Locality
    received_at: datetime
    received_on: date
    subject_zone: str | None


def _receive(
    pack: LawPack,
    country: str | None,
    received_at: datetime,
    zone: str | None,
    subject_zone: str | None,
) -> _Receipt:
    if country is None:
        country = pack.default_country
    if country is None:
        raise ValueError(
            f"{pack.name} holds in several countries; name one of {', '.join(pack.countries)}"
        )
    where = locality_under(pack, country, zone)
    pack.jurisdiction(where.country)
    received_on = local_date(received_at, where.zone)
    return _Receipt(pack, where, received_at, received_on, subject_zone)


def _spec(
    kind: ClockKind,
    receipt: _Receipt,
    row: DatedRow,
    clock_row: ClockRow,
    pauses: tuple[Pause, ...] = (),
) -> ClockSpec:
    where = receipt.where
    clock = Clock(
        rule=clock_row.rule(),
        started_at=receipt.received_at,
        zone=where.zone,
        calendar=where.calendar,
        pauses=pauses,
        subject_zone=receipt.subject_zone,
    )
    extensible = clock.rule.extension is not None
    return ClockSpec(
        kind=kind,
        law=receipt.pack.name,
        row_id=row.id,
        country=where.country,
        clock=clock,
        due=clock.due,
        extended_due=replace(clock, extended_at=clock.started_at).due if extensible else None,
        extension_notice_by=extension_notice_by(clock),
        citation=clock_row.citation,
        standing=clock_row.standing,
        checked_on=clock_row.checked_on,
    )
