"""What holds for every clock, whatever the rule, the place, the pauses and the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_worker.domain.calendar import Calendar, end_of_day
from dsr_worker.domain.clock import (
    ClockRule,
    FirstDay,
    Pause,
    PauseEffect,
    PauseGround,
    PauseRule,
    Period,
    Roll,
    Unit,
    compute_due,
)
from dsr_worker.statutes import ClockSpec, LawPack, Right, load_pack, packs, request_clocks
from dsr_worker.statutes.model import RightsRow

"""The cores are shared; how long one example takes says nothing here."""

PLACES = (
    ("Europe/Berlin", Calendar("DE", "BY")),
    ("Europe/London", Calendar("GB", "ENG")),
    ("America/Los_Angeles", Calendar("US")),
    ("Pacific/Auckland", Calendar("NZ")),
    ("Asia/Riyadh", Calendar("SA")),
)
places = st.sampled_from(PLACES)
instants = st.datetimes(datetime(2015, 1, 1), datetime(2045, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone
civil_units = st.sampled_from([Unit.CALENDAR_DAYS, Unit.BUSINESS_DAYS, Unit.MONTHS])


@st.composite
def rules(draw: st.DrawFn) -> ClockRule:
    """Draw a rule on civil dates, with pauses of every effect, firm and not."""
    unit = draw(civil_units)
    return ClockRule(
        Period(draw(st.integers(1, 95)) if unit is not Unit.MONTHS else 1, unit),
        extension=Period(draw(st.integers(5, 60)) if unit is not Unit.MONTHS else 2, unit),
        roll=draw(st.sampled_from(Roll)),
        first_day=draw(st.sampled_from(FirstDay)),
        pauses=tuple(
            PauseRule(ground, draw(st.sampled_from(PauseEffect)), draw(st.booleans()))
            for ground in draw(st.sets(st.sampled_from(PauseGround)))
        ),
    )


@st.composite
def questions(draw: st.DrawFn, after: datetime) -> tuple[Pause, ...]:
    """Draw up to three questions, some without an answer."""
    found = []
    for _ in range(draw(st.integers(0, 3))):
        asked_at = after + timedelta(hours=draw(st.integers(0, 24 * 60)))
        wait = draw(st.none() | st.integers(0, 24 * 40))
        answered_at = None if wait is None else asked_at + timedelta(hours=wait)
        found.append(Pause(draw(st.sampled_from(PauseGround)), asked_at, answered_at))
    return tuple(found)


@given(st.data(), rules(), places, instants)
def test_conservative_is_never_later_and_extension_never_earlier(
    data: st.DataObject, rule: ClockRule, place: tuple[str, Calendar], at: datetime
) -> None:
    """Alerts never come after the law's date, and extending never brings a date nearer."""
    zone, calendar = place
    pauses = data.draw(questions(at))
    first = compute_due(rule, at, zone, calendar, pauses)
    later = compute_due(rule, at, zone, calendar, pauses, extended=True)
    for due in (first, later):
        assert due.due_on is not None
        assert due.unrolled_on is not None
        assert due.conservative_due_on <= due.due_on
        assert due.unrolled_on <= due.due_on
        assert due.due_at == end_of_day(due.due_on, zone)
        assert due.conservative_due_at <= due.due_at
    assert first.due_on is not None
    assert later.due_on is not None
    assert first.due_on <= later.due_on


@given(rules(), places, instants, st.integers(0, 24 * 400))
def test_later_receipt_is_never_due_earlier(
    rule: ClockRule, place: tuple[str, Calendar], at: datetime, hours: int
) -> None:
    """Due dates are monotone in the instant of receipt, in both readings."""
    zone, calendar = place
    early = compute_due(rule, at, zone, calendar)
    late = compute_due(rule, at + timedelta(hours=hours), zone, calendar)
    assert early.due_on is not None
    assert late.due_on is not None
    assert early.due_on <= late.due_on
    assert early.conservative_due_on <= late.conservative_due_on


@given(rules(), places, instants)
def test_rolled_date_is_a_working_day(
    rule: ClockRule, place: tuple[str, Calendar], at: datetime
) -> None:
    """A rolled period ends on a working day with no other between it and the raw date."""
    zone, calendar = place
    due = compute_due(rule, at, zone, calendar)
    assert due.due_on is not None
    assert due.unrolled_on is not None
    if rule.roll is Roll.NEXT_WORKING_DAY:
        assert calendar.is_working_day(due.due_on)
        skipped = (due.due_on - due.unrolled_on).days
        assert not any(
            calendar.is_working_day(due.unrolled_on + timedelta(days=offset))
            for offset in range(skipped)
        )
    else:
        assert due.due_on == due.unrolled_on


@given(places, instants, st.integers(1, 60))
def test_business_days_against_a_plain_count(
    place: tuple[str, Calendar], at: datetime, amount: int
) -> None:
    """Between start and due date lie exactly so many working days, the due date the last."""
    zone, calendar = place
    due = compute_due(ClockRule(Period(amount, Unit.BUSINESS_DAYS)), at, zone, calendar)
    assert due.due_on is not None
    days = [
        due.started_on + timedelta(days=offset)
        for offset in range(1, (due.due_on - due.started_on).days + 1)
    ]
    assert sum(calendar.is_working_day(on) for on in days) == amount
    assert calendar.is_working_day(due.due_on)


@given(instants, st.sampled_from([zone for zone, _ in PLACES]), st.integers(1, 200))
def test_hours_are_elapsed_time(at: datetime, zone: str, hours: int) -> None:
    """Hours measure elapsed time in every zone."""
    due = compute_due(ClockRule(Period(hours, Unit.HOURS)), at, zone, Calendar("US"))
    assert due.due_at == at + timedelta(hours=hours)


@given(st.data(), places, st.dates(date(2016, 1, 1), date(2040, 1, 1)), st.integers(1, 24))
def test_offset_of_the_receipt_does_not_matter(
    data: st.DataObject, place: tuple[str, Calendar], on: date, months: int
) -> None:
    """The same instant written with another offset is due on the same date."""
    zone, calendar = place
    at = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
    offset = timedelta(minutes=data.draw(st.integers(-14 * 60, 14 * 60)))
    written = datetime.fromisoformat((at + offset).replace(tzinfo=None).isoformat() + _sign(offset))
    rule = ClockRule(Period(months, Unit.MONTHS), roll=Roll.NEXT_WORKING_DAY)
    assert compute_due(rule, at, zone, calendar) == compute_due(rule, written, zone, calendar)


def _sign(offset: timedelta) -> str:
    minutes = int(offset.total_seconds() // 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


@given(instants.filter(lambda at: at.year >= 2024), st.integers(0, 24 * 200))
def test_packs_are_monotone_in_receipt(at: datetime, hours: int) -> None:
    """A later request is never due earlier under any shipped law and right."""
    later = at + timedelta(hours=hours)
    for name in packs():
        pack = load_pack(name)
        country = pack.default_country or pack.countries[0]
        for row in pack.rights:
            right = next(iter(row.provisions))
            early, late = _of_row(row, pack, right, country, at, later)
            for first, second in zip(early, late, strict=True):
                assert first.due.conservative_due_at <= second.due.conservative_due_at
                assert first.kind is second.kind


def _of_row(
    row: RightsRow, pack: LawPack, right: Right, country: str, *instants: datetime
) -> list[list[ClockSpec]]:
    """The clocks of requests at these instants; none where another row was in force."""
    found = []
    for at in instants:
        near = (at.date() - timedelta(days=1), at.date() + timedelta(days=1))
        in_force = all(row.in_force(on) for on in near)
        found.append(request_clocks(pack, right, country, at) if in_force else [])
    return found if all(found) else [[] for _ in instants]


@pytest.mark.parametrize("machine", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
def test_the_machines_zone_does_not_matter(machine: str) -> None:
    """The same question gives the same dates on a machine in any zone."""
    program = (
        "from datetime import datetime\n"
        "from dsr_worker.statutes import load_pack, request_clocks, market, breach_duties\n"
        "at = datetime.fromisoformat('2026-03-31T23:30:00-05:00')\n"
        "print(request_clocks(load_pack('eu-gdpr'), 'access', 'DE', at)[0].due.due_at)\n"
        "print(request_clocks(load_pack('us-ca-ccpa'), 'access', None, at)[1].due.due_at)\n"
        "print(max(d.house_due_at for d in breach_duties([market('US-CA')], at)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TZ": machine},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split("\n")[:3] == [
        "2026-05-04 22:00:00+00:00",
        "2026-04-15 07:00:00+00:00",
        "2026-05-01 07:00:00+00:00",
    ]


@given(
    place=places,
    at=instants,
    asked_h=st.integers(0, 24 * 25),
    wait_h=st.integers(0, 24 * 40),
    firm=st.booleans(),
)
def test_what_stands_still_is_due_no_later_than_what_begins_anew(
    place: tuple[str, Calendar], at: datetime, asked_h: int, wait_h: int, *, firm: bool
) -> None:
    """A suspension never gives more days than the whole period from the day of the answer."""
    zone, calendar = place
    asked_at = at + timedelta(hours=asked_h)
    pauses = [Pause(PauseGround.FEE, asked_at, asked_at + timedelta(hours=wait_h))]
    due = {
        effect: compute_due(
            ClockRule(
                Period(30, Unit.CALENDAR_DAYS),
                pauses=(PauseRule(PauseGround.FEE, effect, firm=firm),),
            ),
            at,
            zone,
            calendar,
            pauses,
        )
        for effect in PauseEffect
    }
    stands, anew = due[PauseEffect.SUSPEND], due[PauseEffect.RESTART]
    assert stands.due_on is not None
    assert anew.due_on is not None
    assert stands.due_on <= anew.due_on
    assert stands.conservative_due_on <= anew.conservative_due_on
