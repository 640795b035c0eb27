"""Whether time may be extended, by every law: inside its window, once, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from dsr_worker.domain.calendar import end_of_day
from dsr_worker.domain.clock import (
    Clock,
    ClockRefusedError,
    extend,
    extension_notice_by,
    meet,
)
from dsr_worker.statutes import complaint_clocks, load_pack, packs
from dsr_worker.statutes.model import ClockRow
from dsr_worker.statutes.places import locality_under

_TICK = timedelta(microseconds=1)
_INSTANTS = (
    datetime(2026, 1, 31, 10, tzinfo=UTC),
    datetime(2026, 11, 26, 10, tzinfo=UTC),
    datetime(2028, 2, 29, 23, 30, tzinfo=UTC),
)


def _rows(law: str) -> Iterator[ClockRow]:
    pack = load_pack(law)
    for row in pack.rights:
        yield row.respond
        if row.acknowledge is not None:
            yield row.acknowledge
        if row.appeal is not None and row.appeal.answer is not None:
            yield row.appeal.answer
    for complaint in pack.complaints:
        yield from (complaint.acknowledge, complaint.respond)


def _clocks(law: str) -> Iterator[Clock]:
    pack = load_pack(law)
    where = locality_under(pack, pack.default_country or pack.countries[0])
    for row in _rows(law):
        for at in _INSTANTS:
            yield Clock(row.rule(), at, where.zone, where.calendar)


_ASKED = [law for law in packs() if load_pack(law).rights or load_pack(law).complaints]


@pytest.mark.parametrize("law", _ASKED)
def test_time_is_extended_inside_its_window_alone(law: str) -> None:
    """From the receipt to the end of the first day due before any roll; earlier and later not."""
    for clock in _clocks(law):
        notice_by = extension_notice_by(clock)
        if notice_by is None:
            with pytest.raises(ClockRefusedError, match="knows no extension"):
                extend(clock, clock.started_at)
            continue
        assert notice_by == clock.due.unrolled_on
        end_at = end_of_day(notice_by, clock.zone)
        for told_at in (clock.started_at, end_at - _TICK):
            extended = extend(clock, told_at)
            assert extended.due.conservative_due_at >= clock.due.conservative_due_at
            assert extension_notice_by(extended) == notice_by
            with pytest.raises(ClockRefusedError, match="extended already"):
                extend(extended, told_at)
        with pytest.raises(ClockRefusedError, match="before the clock began"):
            extend(clock, clock.started_at - _TICK)
        for late_at in (end_at, end_at + timedelta(days=400)):
            with pytest.raises(ClockRefusedError, match=f"due by {notice_by}"):
                extend(clock, late_at)
        with pytest.raises(ClockRefusedError, match="has ended"):
            extend(meet(clock, clock.started_at), clock.started_at)


def test_no_complaint_and_no_acknowledgement_is_extended_by_any_law() -> None:
    """DPA 2018 s.164A and the rules of India, California: the first date is the last one."""
    at = datetime(2027, 6, 1, 10, tzinfo=UTC)
    for law in packs():
        pack = load_pack(law)
        rows = [row.acknowledge for row in pack.rights if row.acknowledge is not None]
        assert all(row.extension is None for row in rows)
        country = pack.default_country or pack.countries[0]
        for spec in complaint_clocks(pack, country, at):
            assert (spec.extended_due, spec.clock.rule.pauses) == (None, ())
