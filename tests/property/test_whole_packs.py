"""What holds for every row of every law in every country it covers, not for one of them.

The days are those on which deadlines go wrong: the ends of all months of three years, and every
other day of a winter with a leap day in it: Thanksgiving, Christmas, New Year, Carnival, Easter.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import cycle, pairwise
from typing import NamedTuple

import pytest
from ruamel.yaml import YAML

from dsr_worker.domain.breach import BreachFacts, Duty, Notice
from dsr_worker.domain.calendar import Calendar, local_date
from dsr_worker.domain.clock import Due, StartKind, compute_due
from dsr_worker.domain.period import ClockRule, Unit
from dsr_worker.domain.retention import (
    Anchor,
    AnchorKind,
    CalendarPeriod,
    YearEnd,
    cutoff_on,
    ends_on,
)
from dsr_worker.statutes import (
    ClockSpec,
    LawPack,
    Market,
    appeal_clock,
    breach_duties,
    complaint_clocks,
    load_pack,
    pack_text_and_hash,
    packs,
    request_clocks,
    retention_rules,
)
from dsr_worker.statutes.load import countries
from dsr_worker.statutes.model import DatedRow
from dsr_worker.statutes.model.tables import RetentionRow
from dsr_worker.statutes.places import locality_under
from tests import law_model as model

_WINTER = [date(2027, 11, 20) + timedelta(days=n) for n in range(0, 152, 2)]
_ENDS = [
    date(year, month, 1) + timedelta(days=offset)
    for year in (2026, 2027, 2028)
    for month in range(1, 13)
    for offset in (-1, 0)
]
DAYS = sorted({*_WINTER, *_ENDS})
AT = tuple(
    datetime(on.year, on.month, on.day, hour, tzinfo=UTC)
    for on, hour in zip(DAYS, cycle((10, 23)), strict=False)
)
"""In the late hour it is the next day already in half of the world."""


class Row(NamedTuple):
    """One clock of a pack, as the packs give it and as it stands in their text."""

    law: str
    name: str
    rule: ClockRule
    plain: model.Plain


class Spot(NamedTuple):
    """Where a clock may run: zone and calendar, and the days that the law itself closes."""

    zone: str
    calendar: Calendar
    code: str
    closed: tuple[tuple[str, str], ...]


@cache
def _codes(law: str) -> tuple[str, ...]:
    """Every country and part of one that a law covers and the table knows."""
    pack = load_pack(law)
    known = (code for code in countries().countries if pack.covers(code))
    return tuple(sorted({*pack.countries, *known}))


@cache
def _plain(law: str) -> model.Plain:
    found: model.Plain = YAML(typ="safe").load(pack_text_and_hash(law)[0])
    return found


def _rows(law: str) -> Iterator[Row]:
    pack, plain = load_pack(law), _plain(law)
    for right, text in zip(pack.rights, plain.get("rights", ()), strict=True):
        yield Row(law, f"{right.id} answer", right.respond.rule(), text["respond"])
        if right.acknowledge is not None:
            yield Row(law, f"{right.id} receipt", right.acknowledge.rule(), text["acknowledge"])
        if right.appeal is not None and right.appeal.answer is not None:
            answer = text["appeal"]["answer"]
            yield Row(law, f"{right.id} appeal", right.appeal.answer.rule(), answer)
    for complaint, text in zip(pack.complaints, plain.get("complaints", ()), strict=True):
        yield Row(law, f"{complaint.id} receipt", complaint.acknowledge.rule(), text["acknowledge"])
        yield Row(law, f"{complaint.id} answer", complaint.respond.rule(), text["respond"])
    for duty, text in zip(pack.breach, plain.get("breach", ()), strict=True):
        yield Row(law, duty.id, duty.clock.rule(), text["clock"])


def _spots(law: str) -> set[Spot]:
    pack = load_pack(law)
    closed = tuple((row.first, row.last) for row in pack.closed)
    found = (locality_under(pack, code) for code in _codes(law))
    return {Spot(at.zone, at.calendar, at.calendar.code, closed) for at in found}


def _civil(rule: ClockRule) -> bool:
    house = rule.house if rule.period.unit is Unit.NONE else None
    return Unit.HOURS not in {rule.period.unit, house and house.unit}


def _dues(row: Row, spot: Spot, *, extended: bool) -> list[tuple[datetime, Due]]:
    instants = AT if _civil(row.rule) else AT[::8]
    return [
        (at, compute_due(row.rule, at, spot.zone, spot.calendar, extended=extended))
        for at in instants
    ]


@pytest.mark.parametrize("law", packs())
def test_every_clock_of_a_law_is_monotone_and_warns_in_time(law: str) -> None:
    """A later start is never due earlier, an extension never nearer, an alert never too late."""
    for row in _rows(law):
        for spot in _spots(law):
            dues = [due for _, due in _dues(row, spot, extended=False)]
            _refuse_steps_back(row, dues)
            if row.rule.extension is None:
                continue
            longer = [due for _, due in _dues(row, spot, extended=True)]
            _refuse_steps_back(row, longer)
            for first, later in zip(dues, longer, strict=True):
                assert _instant(first.due_at) <= _instant(later.due_at), row
                assert first.conservative_due_at <= later.conservative_due_at, row


def _instant(at: datetime | None) -> datetime:
    assert at is not None
    return at


def _refuse_steps_back(row: Row, dues: list[Due]) -> None:
    for due in dues:
        assert due.due_at is None or due.conservative_due_at <= due.due_at, row
    for before, after in pairwise(dues):
        assert before.conservative_due_at <= after.conservative_due_at, row
        assert (before.due_at is None) is (after.due_at is None), row
        assert before.due_at is None or before.due_at <= _instant(after.due_at), row


@pytest.mark.parametrize("law", packs())
def test_every_clock_of_a_law_is_what_a_second_reckoning_gives(law: str) -> None:
    """Arithmetic written anew, on the text of the pack, gives the same days for every row."""
    for row in _rows(law):
        for spot in _spots(law):
            for extended in (False, True) if row.rule.extension is not None else (False,):
                for at, due in _dues(row, spot, extended=extended)[::3]:
                    assert due.started_on == model.civil_day(at, spot.zone)
                    _compare(row, spot, at, due, extended=extended)


def _compare(row: Row, spot: Spot, at: datetime, due: Due, *, extended: bool) -> None:
    if not _civil(row.rule):
        numbered = row.plain["period"]["unit"] != "none"
        hours = row.plain["period" if numbered else "house"]["amount"]
        assert due.conservative_due_at == model.hours_after(at, hours), row
        assert due.due_at == (due.conservative_due_at if numbered else None), row
        return
    more = row.plain["extension"]["amount"] if extended else 0
    wanted = model.last_days(row.plain, due.started_on, spot.code, spot.closed, more)
    found = model.Last(due.due_on, due.unrolled_on, due.conservative_due_on)
    assert found == wanted, (row, due.started_on, spot)
    assert due.conservative_due_at == model.end_at(wanted.act_by_on, spot.zone), row
    if wanted.due_on is not None:
        assert due.due_at == model.end_at(wanted.due_on, spot.zone), row


# ---- through the questions that are asked: right, country, day of receipt


def _in_force(row: DatedRow, pack: LawPack, code: str) -> list[datetime]:
    """Instants on which a row is law in a place: its first day, its last one, ends of months."""
    zone = locality_under(pack, code).zone
    edges = [row.effective_from, row.effective_to and row.effective_to - timedelta(days=1)]
    days = sorted({*filter(None, edges), *_ENDS[::3]})
    instants = (datetime(on.year, on.month, on.day, 12, tzinfo=UTC) for on in days)
    return [at for at in instants if row.in_force(local_date(at, zone))]


def _asked(pack: LawPack, code: str, last: int = 0) -> Iterator[tuple[str, list[list[ClockSpec]]]]:
    """Each right, appeal and complaint with its clocks at instants in order, or the last ones."""
    for row in pack.rights:
        instants = _in_force(row, pack, code)[-last:]
        for right in row.provisions:
            clocks = [request_clocks(pack, right, code, at) for at in instants]
            yield f"{row.id} {right}", clocks
            appeals = [appeal_clock(pack, right, code, at, at) for at in instants]
            yield f"{row.id} {right} appeal", [[spec] for spec in appeals if spec is not None]
    for complaint in pack.complaints:
        instants = _in_force(complaint, pack, code)[-last:]
        yield complaint.id, [complaint_clocks(pack, code, at) for at in instants]


@pytest.mark.parametrize("law", packs())
def test_every_right_in_every_country_answers_in_order(law: str) -> None:
    """Requests, appeals and complaints: by the row of their day, never earlier for a later one."""
    pack = load_pack(law)
    for code in _codes(law):
        for name, clocks in _asked(pack, code):
            for specs in clocks:
                _refuse_crooked(name, specs)
            for before, after in pairwise(clocks):
                for first, second in zip(before, after, strict=True):
                    assert (first.kind, first.row_id) == (second.kind, second.row_id), name
                    _refuse_steps_back_of(name, first.due, second.due)


def _refuse_crooked(name: str, specs: list[ClockSpec]) -> None:
    assert specs, name
    for spec in specs:
        assert name.startswith(spec.row_id)
        assert spec.citation
        assert (spec.extended_due is None) is (spec.clock.rule.extension is None), name
        assert (spec.extended_due is None) is (spec.extension_notice_by is None), name
        if spec.extended_due is not None:
            assert spec.extension_notice_by == spec.due.unrolled_on, name


def _refuse_steps_back_of(name: str, first: Due, second: Due) -> None:
    assert first.conservative_due_at <= second.conservative_due_at, name
    assert first.due_at is None or first.due_at <= _instant(second.due_at), name


# ---- breaches


def _facts(where: Market, aware_at: datetime) -> BreachFacts:
    later_at = aware_at + timedelta(hours=26)
    told = {
        Notice(where.pack.name, where.jurisdiction, row.after): aware_at + timedelta(days=5)
        for row in where.pack.breach
        if row.after is not None
    }
    return BreachFacts(events=dict.fromkeys(StartKind, later_at), notices_sent=told)


@pytest.mark.parametrize("law", [law for law in packs() if load_pack(law).breach])
def test_every_duty_of_a_breach_is_monotone_in_awareness(law: str) -> None:
    """Who learns later, or hears of the start later, never owes earlier, in any jurisdiction."""
    pack = load_pack(law)
    since = max(row.effective_from or date.min for row in pack.breach)
    instants = [at for at in AT[::9] if at.date() > since + timedelta(days=1)]
    for code in (*_codes(law), None):
        where = Market(pack, code)
        seen: dict[str, Duty] = {}
        for at in instants:
            for duty in breach_duties([where], at, _facts(where, at)):
                assert duty.due_at is None or duty.house_due_at <= duty.due_at, duty
                before = seen.get(duty.rule_id, duty)
                assert before.house_due_at <= duty.house_due_at, duty
                assert before.due_at is None or before.due_at <= _instant(duty.due_at), duty
                seen[duty.rule_id] = duty
        assert seen or not instants or not _lives(pack, instants)


def _lives(pack: LawPack, instants: list[datetime]) -> bool:
    return any(row.in_force(at.date()) for row in pack.breach for at in instants)


def test_an_obligation_without_an_event_has_no_date_and_still_warns() -> None:
    """What starts with a determination or another notice is dated by that alone, in all laws."""
    for law in packs():
        pack = load_pack(law)
        starts = {row.id: row.clock.start for row in pack.breach}
        at = datetime(2028, 3, 1, 12, tzinfo=UTC)
        for duty in breach_duties([Market(pack, None)], at) if pack.breach else ():
            known = {StartKind.AWARENESS, StartKind.DISCOVERY, StartKind.YEAR_END}
            if duty.rule_id in starts and starts[duty.rule_id] not in known:
                assert duty.due_at is None, duty
            assert duty.house_due_at > at, duty


# ---- retention


@pytest.mark.parametrize("rule", retention_rules(), ids=lambda rule: rule.id)
def test_every_retention_rule_is_monotone_and_lets_go_what_is_over(rule: RetentionRow) -> None:
    """A younger record is never let go earlier; a sweep takes what has ended, and nothing else."""
    years = [YearEnd(), YearEnd(3, 31), YearEnd(4, 5), YearEnd(2, 29)]
    closes = years if rule.anchor is AnchorKind.FINANCIAL_YEAR_END else years[:1]
    for text in filter(None, (rule.minimum, rule.maximum)):
        period = CalendarPeriod.parse(text)
        for anchor in (Anchor(rule.anchor, end) for end in closes):
            ends = [ends_on(period, anchor, on, "UTC") for on in DAYS]
            assert all(end >= on for on, end in zip(DAYS, ends, strict=True))
            assert ends == sorted(ends)
            for on, end in list(zip(DAYS, ends, strict=True))[::6]:
                last_at = datetime(end.year, end.month, end.day, 12, tzinfo=UTC)
                assert on >= cutoff_on(period, anchor, last_at, "UTC")
                assert on < cutoff_on(period, anchor, last_at + timedelta(days=1), "UTC")


# ---- the machine


def _everything() -> list[object]:
    found: list[object] = []
    at = datetime.fromisoformat("2028-01-31T23:30:00-05:00")
    for law in packs():
        pack = load_pack(law)
        for code in _codes(law):
            found += list(_asked(pack, code, last=1))
            if pack.breach:
                found.append(breach_duties([Market(pack, code)], at))
    return found


@pytest.fixture
def _own_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_own_zone")
def test_no_law_anywhere_depends_on_the_zone_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All clocks and duties of all laws are the same on machines on both sides of the date line."""
    answers = []
    for machine in ("UTC", "Pacific/Kiritimati", "America/Los_Angeles"):
        monkeypatch.setenv("TZ", machine)
        time.tzset()
        answers.append(_everything())
    assert answers[0] == answers[1] == answers[2]
