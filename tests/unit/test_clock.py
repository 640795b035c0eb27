"""The arithmetic of periods and the life of one clock, on rules made for the test."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from dsr_worker.domain.calendar import CALENDAR_VERSION, Calendar, end_of_day, local_date
from dsr_worker.domain.clock import (
    Clock,
    ClockRefusedError,
    ClockRule,
    ClockState,
    FirstDay,
    Pause,
    PauseEffect,
    PauseGround,
    PauseRule,
    Period,
    Roll,
    Unit,
    compute_due,
    extend,
    extension_notice_by,
    meet,
    pause,
    resume,
    state,
)

BERLIN = "Europe/Berlin"
GERMANY = Calendar("DE")
ENGLAND = Calendar("GB", "ENG")
MONTH = ClockRule(
    Period(1, Unit.MONTHS),
    extension=Period(2, Unit.MONTHS),
    roll=Roll.NEXT_WORKING_DAY,
    pauses=(
        PauseRule(PauseGround.IDENTITY, PauseEffect.RESTART, firm=True),
        PauseRule(PauseGround.CLARIFICATION, PauseEffect.SUSPEND, firm=True),
        PauseRule(PauseGround.FEE, PauseEffect.RESTART, firm=False),
    ),
)


def at(text: str) -> datetime:
    """Read an instant; a plain date means ten in the morning, UTC."""
    return datetime.fromisoformat(text if "T" in text else f"{text}T10:00+00:00")


def clock(received: str = "2026-03-02", rule: ClockRule = MONTH) -> Clock:
    """Start a clock in England."""
    return Clock(rule, at(received), "Europe/London", ENGLAND)


@pytest.mark.parametrize(
    ("aware", "due"),
    [
        pytest.param("2026-03-27T17:20+01:00", "2026-03-30T18:20+02:00", id="H1 spring change"),
        pytest.param("2026-10-23T17:20+02:00", "2026-10-26T16:20+01:00", id="H2 autumn change"),
        pytest.param("2026-12-24T18:05+01:00", "2026-12-27T18:05+01:00", id="H3 over Christmas"),
        pytest.param("2020-12-22T12:17+01:00", "2020-12-25T12:17+01:00", id="H4 on a holiday"),
    ],
)
def test_hours_run_on_instants(aware: str, due: str) -> None:
    """Seventy-two hours are exact: no holiday stops them and no change of the clock bends them."""
    found = compute_due(ClockRule(Period(72, Unit.HOURS)), at(aware), BERLIN, GERMANY)
    assert found.due_at == at(due)
    assert found.conservative_due_at == at(due)
    assert found.due_on == local_date(at(due), BERLIN)


def test_one_addition_not_two() -> None:
    """An extension is added to the original start at once: 31 January gives 30, not 28 April."""
    due = compute_due(MONTH, at("2026-01-31"), BERLIN, GERMANY, extended=True)
    assert due.unrolled_on == date(2026, 4, 30)
    assert due.extended


def test_due_at_is_the_exclusive_end_of_the_local_day() -> None:
    """A due date ends with the first instant of the next local day, in UTC."""
    due = compute_due(MONTH, at("2026-03-02"), BERLIN, GERMANY)
    assert due.due_on == date(2026, 4, 2)
    assert due.due_at == datetime(2026, 4, 2, 22, tzinfo=UTC)
    assert due.calendar_version == CALENDAR_VERSION
    assert due.calendar == "DE"


def test_a_day_whose_midnight_does_not_exist_still_ends() -> None:
    """Where clocks jump over midnight the day ends at the jump."""
    assert end_of_day(date(2018, 11, 3), "America/Sao_Paulo") == datetime(
        2018, 11, 4, 3, tzinfo=UTC
    )


def test_doubtful_first_day_is_counted_against_us() -> None:
    """Where the texts disagree on the first day, alerts go by the earlier date."""
    rule = ClockRule(Period(45, Unit.CALENDAR_DAYS), first_day=FirstDay.AMBIGUOUS)
    due = compute_due(rule, at("2026-01-02"), "UTC", Calendar("US"))
    assert (due.due_on, due.conservative_due_on) == (date(2026, 2, 16), date(2026, 2, 15))


def test_the_persons_own_date_counts_for_alerts() -> None:
    """Where controller and person were on different dates, alerts take the earlier one."""
    due = compute_due(
        MONTH,
        at("2026-03-31T23:30-04:00"),
        BERLIN,
        GERMANY,
        subject_zone="America/New_York",
    )
    assert due.started_on == date(2026, 4, 1)
    assert due.due_on == date(2026, 5, 4)
    assert due.conservative_due_on == date(2026, 4, 30)


def test_no_number_leaves_a_house_date() -> None:
    """A law without a number yields no statutory date but always one to be warned by."""
    rule = ClockRule(Period(0, Unit.NONE), house=Period(72, Unit.HOURS))
    due = compute_due(rule, at("2026-03-02"), BERLIN, GERMANY)
    assert due.due_on is None
    assert due.due_at is None
    assert due.conservative_due_at == at("2026-03-05")


def test_unverified_pause_moves_only_the_statutory_date() -> None:
    """A pause that nobody has verified may not delay an alert."""
    asked = Pause(PauseGround.FEE, at("2026-03-03"), at("2026-03-20"))
    due = compute_due(MONTH, at("2026-03-02"), "Europe/London", ENGLAND, [asked])
    assert due.due_on == date(2026, 4, 20)
    assert due.conservative_due_on == date(2026, 4, 2)


def test_clipped_month_does_not_turn_the_readings_around() -> None:
    """A restart into a clipped month can end before the reading that ignores it; alerts follow."""
    pauses = [
        Pause(PauseGround.CLARIFICATION, at("2025-01-28"), at("2025-01-30")),
        Pause(PauseGround.FEE, at("2025-01-28"), at("2025-01-31")),
    ]
    rule = replace(MONTH, roll=Roll.NONE)
    due = compute_due(rule, at("2025-01-28"), "Europe/London", ENGLAND, pauses)
    assert (due.due_on, due.conservative_due_on) == (date(2025, 2, 28), date(2025, 2, 28))


def test_question_after_the_end_moves_nothing() -> None:
    """A clock that has run out is not revived by a question."""
    asked = Pause(PauseGround.IDENTITY, at("2026-04-03"), at("2026-04-10"))
    due = compute_due(MONTH, at("2026-03-02"), "Europe/London", ENGLAND, [asked])
    assert due.due_on == date(2026, 4, 2)


def test_days_before_a_restart_are_not_excluded_twice() -> None:
    """Clarification that ended before the month began anew excludes no day of the new month."""
    pauses = [
        Pause(PauseGround.CLARIFICATION, at("2026-03-03"), at("2026-03-06")),
        Pause(PauseGround.IDENTITY, at("2026-03-04"), at("2026-03-10")),
    ]
    due = compute_due(MONTH, at("2026-03-02"), "Europe/London", ENGLAND, pauses)
    assert due.due_on == date(2026, 4, 10)


def test_overlapping_questions_exclude_a_day_once() -> None:
    """Two windows of clarification share their common days."""
    pauses = [
        Pause(PauseGround.CLARIFICATION, at("2026-03-10"), at("2026-03-14")),
        Pause(PauseGround.CLARIFICATION, at("2026-03-12"), at("2026-03-16")),
    ]
    due = compute_due(MONTH, at("2026-03-02"), "Europe/London", ENGLAND, pauses)
    assert due.unrolled_on == date(2026, 4, 9)


def test_business_days_skip_suspended_days() -> None:
    """A suspended working day is not counted among the business days."""
    rule = ClockRule(
        Period(3, Unit.BUSINESS_DAYS),
        pauses=(PauseRule(PauseGround.CLARIFICATION, PauseEffect.SUSPEND, firm=True),),
    )
    asked = Pause(PauseGround.CLARIFICATION, at("2026-03-10"), at("2026-03-11"))
    due = compute_due(rule, at("2026-03-09"), "UTC", Calendar("US"), [asked])
    assert due.due_on == date(2026, 3, 16)


def test_a_clock_lives_pauses_and_is_met() -> None:
    """Running, paused, running, met: each state follows from the value and the instant alone."""
    running = clock()
    assert state(running, at("2026-03-03")) is ClockState.RUNNING
    paused = pause(running, PauseGround.IDENTITY, at("2026-03-03"))
    assert state(paused, at("2026-06-01")) is ClockState.PAUSED
    resumed = resume(paused, PauseGround.IDENTITY, at("2026-03-20"))
    assert resumed.due.due_on == date(2026, 4, 20)
    assert state(meet(resumed, at("2026-04-20T22:59:59+00:00")), at("2027-01-01")) is ClockState.MET


def test_end_of_day_belongs_to_the_next_day() -> None:
    """Delivery in the last microsecond is in time, at the exclusive end it is not."""
    due_at = clock().due.due_at
    assert due_at is not None
    assert state(meet(clock(), due_at - timedelta(microseconds=1)), due_at) is ClockState.MET
    assert state(meet(clock(), due_at), due_at) is ClockState.MISSED
    assert state(clock(), due_at - timedelta(microseconds=1)) is ClockState.RUNNING
    assert state(clock(), due_at) is ClockState.MISSED


def test_extension_is_refused_outside_the_legal_window() -> None:
    """The notice is due by the first date before any roll, once, and only where the law has it."""
    received = clock("2026-03-06")
    assert extension_notice_by(received) == date(2026, 4, 6)
    assert received.due.due_on == date(2026, 4, 7)
    extended = extend(received, at("2026-04-06"))
    assert extended.due.unrolled_on == date(2026, 6, 6)
    assert extension_notice_by(extended) == date(2026, 4, 6)
    end = end_of_day(date(2026, 4, 6), received.zone)
    assert extend(received, end - timedelta(microseconds=1)).extended_at is not None
    with pytest.raises(ClockRefusedError, match="due by 2026-04-06"):
        extend(received, end)
    with pytest.raises(ClockRefusedError, match="already"):
        extend(extended, at("2026-04-01"))
    with pytest.raises(ClockRefusedError, match="knows no extension"):
        extend(replace(received, rule=ClockRule(Period(1, Unit.MONTHS))), at("2026-03-07"))


def test_pauses_that_the_law_does_not_know_are_refused() -> None:
    """No clock stops without a ground, twice for one ground, after its end, or once it ended."""
    plain = clock(rule=ClockRule(Period(45, Unit.CALENDAR_DAYS)))
    with pytest.raises(ClockRefusedError, match="does not stop"):
        pause(plain, PauseGround.IDENTITY, at("2026-03-03"))
    asked = pause(clock(), PauseGround.IDENTITY, at("2026-03-03"))
    with pytest.raises(ClockRefusedError, match="asked already"):
        pause(asked, PauseGround.IDENTITY, at("2026-03-04"))
    with pytest.raises(ClockRefusedError, match="run out"):
        pause(clock(), PauseGround.IDENTITY, at("2026-04-03"))
    with pytest.raises(ClockRefusedError, match="no open question"):
        resume(clock(), PauseGround.IDENTITY, at("2026-03-03"))
    with pytest.raises(ClockRefusedError, match="has ended"):
        pause(meet(clock(), at("2026-03-05")), PauseGround.IDENTITY, at("2026-03-06"))
    with pytest.raises(ValueError, match="before its question"):
        resume(asked, PauseGround.IDENTITY, at("2026-03-02"))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Period(-1, Unit.MONTHS), id="negative"),
        pytest.param(lambda: Period(3, Unit.NONE), id="a number without a unit"),
        pytest.param(lambda: ClockRule(Period(0, Unit.CALENDAR_DAYS)), id="no days"),
        pytest.param(lambda: ClockRule(Period(0, Unit.NONE)), id="no house period"),
        pytest.param(
            lambda: ClockRule(Period(72, Unit.HOURS), roll=Roll.NEXT_WORKING_DAY), id="hours roll"
        ),
        pytest.param(
            lambda: ClockRule(Period(1, Unit.MONTHS), extension=Period(60, Unit.CALENDAR_DAYS)),
            id="months extended by days",
        ),
        pytest.param(
            lambda: ClockRule(
                Period(1, Unit.MONTHS),
                pauses=(MONTH.pauses[0], MONTH.pauses[0]),
            ),
            id="one ground twice",
        ),
        pytest.param(lambda: Calendar("GB"), id="a kingdom without one calendar"),
        pytest.param(lambda: Calendar("DE", "XX"), id="no such state"),
        pytest.param(lambda: local_date(at("2026-01-01"), "Europe/Atlantis"), id="no such zone"),
        pytest.param(lambda: local_date(at("2026-01-01"), "../etc/passwd"), id="zone as path"),
        pytest.param(
            lambda: local_date(at("2026-01-01").replace(tzinfo=None), BERLIN), id="no offset"
        ),
        pytest.param(lambda: GERMANY.is_working_day(date(2101, 3, 2)), id="after all calendars"),
    ],
)
def test_what_has_no_meaning_is_refused(make: object) -> None:
    """Rules, places and instants without a meaning raise instead of guessing."""
    assert callable(make)
    with pytest.raises(ValueError, match=r".+"):
        make()


@pytest.mark.parametrize(
    ("ground", "answered", "due"),
    [
        pytest.param(PauseGround.CLARIFICATION, "2026-04-15", "2026-06-29", id="27 days excluded"),
        pytest.param(PauseGround.FEE, "2026-04-15", "2026-07-15", id="three months anew"),
    ],
)
def test_a_month_that_stands_is_not_over_for_the_notice_of_an_extension(
    ground: PauseGround, answered: str, due: str
) -> None:
    """Told past the nominal month while a question stands, the extension holds from the answer."""
    asked = pause(clock("2026-03-02"), ground, at("2026-03-20"))
    extended = extend(asked, at("2026-04-10"))
    answered_clock = resume(extended, ground, at(answered))
    assert answered_clock.due.due_on == date.fromisoformat(due)


def test_a_question_after_the_time_for_telling_opens_it_no_more() -> None:
    """A question put between the unrolled and the rolled end revives no right to extend."""
    late = pause(clock("2026-03-06"), PauseGround.CLARIFICATION, at("2026-04-07T08:00:00+00:00"))
    with pytest.raises(ClockRefusedError, match="due by 2026-04-06"):
        extend(late, at("2026-04-07T09:00:00+00:00"))


def _stood_for_nothing() -> Clock:
    """Who they are was asked in time and answered the next day, which is recorded after the end."""
    return pause(clock("2026-03-02"), PauseGround.IDENTITY, at("2026-03-05"))


def test_a_question_that_came_after_the_end_stops_nothing_once_that_is_known() -> None:
    """Put while another question seemed to stand, it leaves the clock missed, not paused."""
    asked = pause(_stood_for_nothing(), PauseGround.CLARIFICATION, at("2026-04-20"))
    known = resume(asked, PauseGround.IDENTITY, at("2026-03-06"))
    assert state(known, at("2026-04-21")) is ClockState.MISSED
    assert (known.open_pauses, known.due.due_on) == ((), date(2026, 4, 7))
    with pytest.raises(ClockRefusedError, match="asked already"):
        pause(known, PauseGround.CLARIFICATION, at("2026-04-01"))
    answered = resume(known, PauseGround.CLARIFICATION, at("2026-04-21"))
    assert answered.due == known.due


def test_an_extension_told_after_the_end_does_not_count_once_that_is_known() -> None:
    """Told past the month while a question seemed to stand, it gives no further months."""
    extended = extend(_stood_for_nothing(), at("2026-04-20"))
    known = resume(extended, PauseGround.IDENTITY, at("2026-03-06"))
    assert (known.is_extended, known.due.due_on) == (False, date(2026, 4, 7))
    late = resume(extended, PauseGround.IDENTITY, at("2026-04-21"))
    assert (late.is_extended, late.due.due_on) == (True, date(2026, 7, 21))
