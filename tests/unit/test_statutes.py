"""The dates by which the laws of the EU, the UK and California want an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dsr_worker.domain.clock import Due, Pause, PauseGround
from dsr_worker.statutes import ClockKind, ClockSpec, complaint_clocks, load_pack, request_clocks
from tests.unit.statutes_asked import day, received, respond


def extended(spec: ClockSpec) -> Due:
    """Return the extended due date, which must be there."""
    assert spec.extended_due is not None
    return spec.extended_due


@pytest.mark.parametrize(
    ("country", "on", "due"),
    [
        pytest.param("DE-BE", "2026-03-05", "2026-04-07", id="E1 Easter Sunday, then Monday"),
        pytest.param("DE", "2026-01-31", "2026-03-02", id="E2 clip to 28 February, roll"),
        pytest.param("DE", "2028-01-31", "2028-02-29", id="E3 clip in a leap year"),
        pytest.param("DE", "2025-01-31", "2025-02-28", id="E4 clip to a working day"),
        pytest.param("DE", "2026-08-31", "2026-09-30", id="E5 31 to 30"),
        pytest.param("FR", "2026-03-06", "2026-04-07", id="E6 raw date is Easter Monday"),
        pytest.param("DE", "2026-03-03", "2026-04-07", id="E7 raw date is Good Friday"),
        pytest.param("FR", "2026-03-03", "2026-04-03", id="E8 Good Friday is none in France"),
        pytest.param("DE-BY", "2026-11-26", "2026-12-28", id="E9 26 December on a Saturday"),
        pytest.param("DE", "2026-04-01", "2026-05-04", id="E10 1 May on a Friday"),
        pytest.param("DE", "2026-12-25", "2027-01-25", id="E11 received on a holiday"),
        pytest.param("IE", "2026-11-30", "2026-12-30", id="E12 no clip"),
        pytest.param("DE", "2028-02-29", "2028-03-29", id="E15 from the leap day"),
        pytest.param("DE-BY", "2025-12-06", "2026-01-07", id="E16 Epiphany in Bavaria"),
        pytest.param("DE-BE", "2025-12-06", "2026-01-06", id="E16 no Epiphany in Berlin"),
        pytest.param("DE", "2025-12-06", "2026-01-06", id="E16 nor in the national list"),
        pytest.param("FR", "2026-12-31", "2027-02-01", id="E17 31 January on a Sunday"),
        pytest.param("FR", "2026-06-14", "2026-07-15", id="E18 14 July"),
        pytest.param("ES", "2026-09-12", "2026-10-13", id="E19 12 October"),
        pytest.param(
            "DE", "2026-01-31T23:30-05:00", "2026-03-02", id="E20 the controller is a day ahead"
        ),
        pytest.param("DE", "2026-03-31T23:59:59+02:00", "2026-04-30", id="E21 the last second"),
        pytest.param("DE", "2026-03-29T01:59:59+01:00", "2026-04-29", id="E23 before the gap"),
        pytest.param("DE", "2026-10-25T02:30+02:00", "2026-11-25", id="E24 in the fold"),
    ],
)
def test_one_month_in_the_eu(country: str, on: str, due: str) -> None:
    """GDPR Art 12(3) with Regulation 1182/71 Art 3: same date, clipped, rolled to a working day."""
    found = respond("eu-gdpr", country, on).due
    assert found.due_on == day(due)
    assert found.conservative_due_on <= day(due)


def test_extension_counts_from_the_original_start() -> None:
    """E13, E14: three months from receipt, clipped once, then rolled."""
    assert extended(respond("eu-gdpr", "DE", "2026-01-31")).due_on == day("2026-04-30")
    assert extended(respond("eu-gdpr", "DE", "2026-11-30")).due_on == day("2027-03-01")


def test_notice_of_extension_is_due_before_the_roll() -> None:
    """The notice of an extension does not profit from the weekend that moves the due date."""
    spec = respond("eu-gdpr", "DE", "2026-01-31")
    assert spec.extension_notice_by == day("2026-02-28")
    assert spec.due.due_on == day("2026-03-02")


def test_conservative_date_is_not_rolled() -> None:
    """Alerts go by the date before any roll."""
    assert respond("eu-gdpr", "DE", "2026-03-03").due.conservative_due_on == day("2026-04-03")


@pytest.mark.parametrize(
    ("country", "on", "due"),
    [
        pytest.param("GB-ENG", "2026-04-01T00:30+02:00", "2026-04-30", id="E22 still 31 March"),
        pytest.param("GB-ENG", "2026-09-03", "2026-10-05", id="U1 Saturday"),
        pytest.param("GB-ENG", "2026-03-06", "2026-04-07", id="U2 Easter Monday in England"),
        pytest.param("GB-SCT", "2026-03-06", "2026-04-06", id="U2 not in Scotland"),
        pytest.param("GB-ENG", "2026-11-25", "2026-12-29", id="U3 Christmas Day"),
        pytest.param("GB-ENG", "2026-11-26", "2026-12-29", id="U3 Boxing Day on a Saturday"),
        pytest.param("GB-ENG", "2026-11-28", "2026-12-29", id="U3 the substitute Monday"),
        pytest.param("GB-ENG", "2026-07-31", "2026-09-01", id="U4 late summer in England"),
        pytest.param("GB-SCT", "2026-07-31", "2026-08-31", id="U4 not in Scotland"),
        pytest.param("GB-NIR", "2026-06-12", "2026-07-14", id="U10 substitute for 12 July"),
        pytest.param("GB-ENG", "2026-06-12", "2026-07-13", id="U10 only a Sunday in England"),
        pytest.param("GB", "2026-03-06", "2026-04-07", id="England's list without a nation"),
    ],
)
def test_one_month_in_the_uk(country: str, on: str, due: str) -> None:
    """UK GDPR Art 12(3): the corresponding date, rolled by the nation's own bank holidays."""
    assert respond("uk-gdpr", country, on).due.due_on == day(due)


def test_uk_extension() -> None:
    """U8: three months from 15 May end on a Saturday."""
    assert extended(respond("uk-gdpr", "GB-ENG", "2026-05-15")).due_on == day("2026-08-17")


def paused(spec: ClockSpec, ground: PauseGround, asked: str, answered: str) -> Due:
    """Return the due date with one answered question."""
    question = Pause(ground, received(asked, "GB"), received(answered, "GB"))
    return replace(spec.clock, pauses=(question,)).due


def test_uk_identity_restarts_the_month() -> None:
    """U5: the month begins anew with the identity information."""
    spec = respond("uk-gdpr", "GB-ENG", "2026-03-02")
    due = paused(spec, PauseGround.IDENTITY, "2026-03-03", "2026-03-20")
    assert due.due_on == day("2026-04-20")


def test_uk_clarification_suspends_both_days_inclusive() -> None:
    """U6: five days inclusive; the conservative reading excludes four."""
    spec = respond("uk-gdpr", "GB-ENG", "2026-03-02")
    due = paused(spec, PauseGround.CLARIFICATION, "2026-03-10", "2026-03-14")
    assert (due.unrolled_on, due.due_on) == (day("2026-04-07"), day("2026-04-07"))
    assert due.conservative_due_on == day("2026-04-06")


def test_uk_rule_follows_the_day_of_receipt() -> None:
    """U7: a request received before 2026-02-05 keeps the rule under which nothing is suspended."""
    old = respond("uk-gdpr", "GB-ENG", "2026-02-03")
    due = paused(old, PauseGround.CLARIFICATION, "2026-02-10", "2026-02-20")
    assert due.due_on == day("2026-03-03")
    assert old.row_id == "uk-gdpr-12-3-before-2026-02-05"
    assert respond("uk-gdpr", "GB-ENG", "2026-02-04T23:59:59+00:00").row_id == old.row_id
    assert respond("uk-gdpr", "GB-ENG", "2026-02-05T00:00+00:00").row_id == "uk-gdpr-12a"


def test_uk_complaints_are_acknowledged_within_thirty_days() -> None:
    """U9: thirty days, rolled; no such clock before 2026-06-19."""
    pack = load_pack("uk-gdpr")
    dues = [
        complaint_clocks(pack, None, received(on, "GB"))[0].due.due_on
        for on in ("2026-11-02", "2026-11-27")
    ]
    assert dues == [day("2026-12-02"), day("2026-12-29")]
    assert complaint_clocks(pack, "GB", received("2026-06-18", "GB")) == []
    assert complaint_clocks(load_pack("eu-gdpr"), "DE", received("2026-06-18", "DE")) == []


def test_california_forty_five_days() -> None:
    """C1, C5: calendar days without any roll; the day of receipt counts for alerts."""
    spec = respond("us-ca-ccpa", "US-CA", "2026-01-02", "erasure")
    assert spec.due.due_on == day("2026-02-16")
    assert spec.due.conservative_due_on == day("2026-02-15")
    assert extended(spec).due_on == day("2026-04-02")
    leap = respond("us-ca-ccpa", "US-CA", "2028-01-20", "erasure")
    assert leap.due.due_on == day("2028-03-05")


@pytest.mark.parametrize(
    ("on", "due", "conservative"),
    [
        pytest.param("2026-01-02", "2026-01-16", "2026-01-16", id="C2 no holiday in between"),
        pytest.param("2026-12-24", "2027-01-11", "2027-01-07", id="C2 Christmas and New Year"),
    ],
)
def test_california_acknowledges_in_ten_business_days(on: str, due: str, conservative: str) -> None:
    """11 CCR 7021(a): federal holidays are left out, for alerts only Saturdays and Sundays."""
    specs = request_clocks(load_pack("us-ca-ccpa"), "erasure", None, received(on, "US-CA"))
    (found,) = [spec for spec in specs if spec.kind is ClockKind.ACKNOWLEDGE]
    assert found.due.due_on == day(due)
    assert found.due.conservative_due_on == day(conservative)
    assert found.due.calendar == "US"
    assert found.extended_due is None
    assert found.extension_notice_by is None


@pytest.mark.parametrize(
    ("on", "due", "conservative"),
    [
        pytest.param("2026-11-20", "2026-12-14", "2026-12-11", id="C3 Thanksgiving"),
        pytest.param("2026-06-26", "2026-07-20", "2026-07-17", id="C4 4 July kept on Friday"),
    ],
)
def test_california_opt_out_in_fifteen_business_days(on: str, due: str, conservative: str) -> None:
    """An opt-out takes effect within fifteen business days, with no extension to lean on."""
    specs = request_clocks(load_pack("us-ca-ccpa"), "opt-out", "US-CA", received(on, "US-CA"))
    assert [spec.kind for spec in specs] == [ClockKind.RESPOND]
    assert specs[0].due.due_on == day(due)
    assert specs[0].due.conservative_due_on == day(conservative)
    assert specs[0].extended_due is None


def test_california_counts_from_the_local_date() -> None:
    """C6: the same UTC day is two days in Los Angeles."""
    early = respond("us-ca-ccpa", "US-CA", "2026-03-01T06:30+00:00").due
    late = respond("us-ca-ccpa", "US-CA", "2026-03-01T09:00+00:00").due
    assert (early.due_on, late.due_on) == (day("2026-04-14"), day("2026-04-15"))


def test_california_verification_never_moves_the_date() -> None:
    """11 CCR 7021(b): the period begins on receipt, however long verification takes."""
    question = Pause(
        PauseGround.IDENTITY, received("2026-01-05", "US-CA"), received("2026-01-25", "US-CA")
    )
    spec = respond("us-ca-ccpa", "US-CA", "2026-01-02")
    assert replace(spec.clock, pauses=(question,)).due == spec.due
