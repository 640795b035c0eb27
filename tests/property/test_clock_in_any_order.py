"""Questions, answers and extensions in any order, recorded late or at once, against a plain walk.

The model walks day by day and knows no dates but today's: a day on which a question stands gives a
day (`suspend`), an answer begins the period anew (`restart`), a question put after the end is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta

from dateutil.relativedelta import relativedelta
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dsr_worker.domain import clock as rules
from dsr_worker.domain.calendar import Calendar
from dsr_worker.domain.clock import (
    Clock,
    ClockRefusedError,
    ClockRule,
    ClockState,
    PauseEffect,
    PauseGround,
    PauseRule,
    Period,
    Roll,
    Unit,
)

_CALENDAR = Calendar("DE")
_DAY = timedelta(days=1)
_GROUNDS = (PauseGround.IDENTITY, PauseGround.FEE, PauseGround.CLARIFICATION)
grounds = st.sampled_from(_GROUNDS)
days_ago = st.integers(0, 60)


@dataclass
class _Question:
    ground: PauseGround
    asked_on: date
    answered_on: date | None = None


@dataclass
class _Walked:
    """What the walk found: the end without and with the roll, and whether the clock stands."""

    end_on: date
    rolled_on: date
    stands: list[_Question]


@dataclass
class _Model:
    """What was asked, answered and told, and what follows by the text of the law."""

    received_on: date
    today: date
    questions: list[_Question] = field(default_factory=list)
    extended_on: date | None = None

    def walk(self, months: int, *, firm: frozenset[PauseGround] | None = None) -> _Walked:
        """From the receipt to where the period ends or stands, one day after the other."""
        start, credit, standing = self.received_on, 0, list[_Question]()
        on = self.received_on
        while True:
            end_on = start + relativedelta(months=months) + credit * _DAY
            if not standing and on > _CALENDAR.next_working_day(end_on):
                return _Walked(end_on, _CALENDAR.next_working_day(end_on), [])
            standing += [q for q in self._asked(on) if firm is None or q.ground in firm]
            if any(q.ground is PauseGround.CLARIFICATION for q in standing) and on > start:
                credit += 1
            answered = [q for q in standing if q.answered_on == on]
            if any(q.ground is not PauseGround.CLARIFICATION for q in answered):
                start, credit = on, 0
            standing = [q for q in standing if q not in answered]
            if on > self.today and any(q.answered_on is None for q in standing):
                return _Walked(end_on, end_on, standing)
            on += _DAY

    def _asked(self, on: date) -> list[_Question]:
        return [q for q in self.questions if q.asked_on == on]

    def may_tell(self, on: date) -> bool:
        """Whether an extension may be told that day."""
        told = self.walk(1)
        if not told.stands:
            return on <= told.end_on
        answered = replace(self, questions=[q for q in self.questions if q.answered_on])
        return any(q.asked_on <= answered.walk(1).end_on for q in told.stands) or (
            on <= answered.walk(1).end_on
        )

    @property
    def found(self) -> _Walked:
        """Where the clock stands, an extension counted that was told in time."""
        told = self.extended_on is not None and self.may_tell(self.extended_on)
        return self.walk(3 if told else 1)


class Orders(RuleBasedStateMachine):
    """One clock and the model beside it."""

    @initialize(on=st.dates(date(2026, 1, 1), date(2028, 12, 31)), firm=st.sets(grounds))
    def receive(self, on: date, firm: set[PauseGround]) -> None:
        """A request comes at noon."""
        self.model = _Model(on, on)
        pauses = tuple(
            PauseRule(
                ground,
                PauseEffect.SUSPEND if ground is PauseGround.CLARIFICATION else PauseEffect.RESTART,
                firm=ground in firm,
            )
            for ground in _GROUNDS
        )
        law = ClockRule(
            Period(1, Unit.MONTHS),
            extension=Period(2, Unit.MONTHS),
            roll=Roll.NEXT_WORKING_DAY,
            pauses=pauses,
        )
        self.clock = Clock(law, _noon(on), "UTC", _CALENDAR)

    @rule(days=st.integers(1, 25))
    def wait(self, days: int) -> None:
        """Time passes, with nobody ticking."""
        self.model.today += days * _DAY

    @rule(ground=grounds, ago=days_ago)
    def ask(self, ground: PauseGround, ago: int) -> None:
        """A question that was put then is recorded today."""
        on = max(self.model.today - ago * _DAY, self.model.received_on)
        try:
            self.clock = rules.pause(self.clock, ground, _noon(on))
        except ClockRefusedError:
            return
        self.model.questions.append(_Question(ground, on))

    @rule(ground=grounds, ago=days_ago)
    def answer(self, ground: PauseGround, ago: int) -> None:
        """An answer that came then is recorded today."""
        on = self.model.today - ago * _DAY
        waiting = [q for q in self.model.questions if q.ground is ground and q.answered_on is None]
        try:
            self.clock = rules.resume(self.clock, ground, _noon(on))
        except ClockRefusedError:
            assert not waiting
        except ValueError:
            assert waiting
            assert on < waiting[0].asked_on
        else:
            waiting[0].answered_on = on

    @rule()
    def tell(self) -> None:
        """The person is told today of an extension."""
        may = self.model.may_tell(self.model.today) and self.model.extended_on is None
        try:
            self.clock = rules.extend(self.clock, _noon(self.model.today))
        except ClockRefusedError:
            assert not may
        else:
            assert may
            self.model.extended_on = self.model.today

    @invariant()
    def ends_where_the_law_ends_it(self) -> None:
        """Never later than the walk, never earlier, and alerts never after it."""
        found, due = self.model.found, self.clock.due
        state = rules.state(self.clock, _noon(self.model.today))
        assert (state is ClockState.PAUSED) == bool(found.stands)
        assert due.due_at is not None
        assert due.conservative_due_at <= due.due_at
        if not found.stands:
            assert (due.unrolled_on, due.due_on) == (found.end_on, found.rolled_on)
            late = self.model.today > found.rolled_on
            assert state is (ClockState.MISSED if late else ClockState.RUNNING)


def _noon(on: date) -> datetime:
    return datetime.combine(on, time(12), UTC)


Orders.TestCase.settings = settings(deadline=None, max_examples=200, stateful_step_count=12)
"""More than elsewhere: orders that matter are rare."""
TestInAnyOrder = Orders.TestCase
