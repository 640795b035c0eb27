"""What asking a person who they are does to the clocks of their case, and what their answer does.

In: cases whose person was asked, or has shown who they are. Out: their clocks as each law has it,
with the events that say so. Where a law stops no clock for it (in California the time runs on,
11 CCR 7021), nothing moves. One asking stops a clock once: what a person let go on by `dsr resume`
is not stopped again by a second code. Beside it runs a clock of our own: the time that the house
gives for the answer, after which a person decides how the case goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dsr_worker.domain import clock as rules
from dsr_worker.domain.clock import Clock, ClockRefusedError, PauseGround
from dsr_worker.domain.request import State
from dsr_worker.engine.tick import Duty
from dsr_worker.fulfil.clocks import clock_of, facts_of, law_text_of
from dsr_worker.ledger import Ledger, case_clocks, cases, jobs, notices, warnings
from dsr_worker.ledger.cases import ClockRow
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.intake import NewClock
from dsr_worker.ledger.rows import Event, Job, Move

IDENTITY_CLOCK = "identity"
IDENTITY_UNANSWERED = "identity_unanswered"  # the phase of a case that asks
_GROUND = PauseGround.IDENTITY


@dataclass(frozen=True, slots=True)
class Turned:
    """Events of one case's clocks, and the instant by which it is urgent from now on."""

    events: tuple[Event, ...]
    urgency_at: datetime


def asked(
    cursor: Cursor, asking: Sequence[Job], answer_within: timedelta, at: datetime | None = None
) -> dict[int, list[Event]]:
    """Stop the clocks of these cases, their persons having been asked at `at` (default: now).

    Runs in the transaction that says that the question left; safe to repeat. The statements do not
    grow with the number of cases.
    """
    rows = case_clocks.answers_of(cursor, [job.id for job in asking])
    texts: dict[object, str] = {}  # many cases were taken in under one
    events: dict[int, list[Event]] = {}
    turned = []
    for job in asking:
        for row in rows.get(job.id, ()):
            clock = _clock(cursor, job, row, texts)
            paused = _paused(clock, at or job.now)
            if paused is not None:
                turned.append((row.id, "paused", paused.due, facts_of(paused)))
                events.setdefault(job.id, []).append(_event("clock_paused", row, paused))
    case_clocks.set_clocks(cursor, turned)
    case_clocks.start(
        cursor, [(job.id, _own_clock(at or job.now, answer_within)) for job in asking]
    )
    return events


def answered(cursor: Cursor, job: Job) -> Turned:
    """Let the clocks of a case go on at this instant, the question being settled.

    Safe to repeat: what does not stand for this is left as it is.
    """
    texts: dict[object, str] = {}
    events, anew = [], []
    for row in cases.answer_clocks(cursor, job.id):
        clock = _clock(cursor, job, row, texts)
        try:
            resumed = rules.resume(clock, _GROUND, job.now)
        except ClockRefusedError:
            continue
        state = "paused" if resumed.open_pauses else "running"
        anew.append((row.id, state, resumed.due, facts_of(resumed)))
        events.append(_event("clock_resumed", row, resumed))
    case_clocks.set_clocks(cursor, anew)
    case_clocks.end_clock(cursor, job.id, IDENTITY_CLOCK)
    warnings.forget_unreached(cursor, job.id)
    return Turned(tuple(events), notices.soonest(cursor, job.id) or job.urgency_at)


def ask_unanswered(ledger: Ledger) -> Duty:
    """The duty that puts cases before a person whose own time for the answer has passed."""

    def ask_about_unanswered() -> None:
        with ledger.transaction() as cursor:
            locked = jobs.lock(cursor, case_clocks.unanswered(cursor, IDENTITY_CLOCK))
            event = Event("needs_human", {"code": "identity_unanswered"})
            moves = [
                Move(job, phase=IDENTITY_UNANSWERED, events=(event,))
                for job in locked.values()
                if (job.state, job.phase) == (State.VERIFYING, "await_code")
            ]
            jobs.change(cursor, moves)

    return ask_about_unanswered


def _clock(cursor: Cursor, job: Job, row: ClockRow, texts: dict[object, str]) -> Clock:
    place = row.facts.get("law_hash", job.frozen)
    if place not in texts:
        texts[place] = law_text_of(cursor, job, row)
    return clock_of(cursor, job, row, texts[place])


def _paused(clock: Clock, at: datetime) -> Clock | None:
    """The clock as it stands then; None where its law stops none, or this was asked before."""
    if any(pause.ground is _GROUND for pause in clock.pauses):
        return None
    try:
        return rules.pause(clock, _GROUND, at)
    except ClockRefusedError:
        return None


def _event(kind: str, row: ClockRow, clock: Clock) -> Event:
    (last,) = [p for p in clock.pauses if p.ground is _GROUND][-1:]
    dates = {"due_at": row.due_at, "new_due_at": clock.due.due_at}
    known = {key: value for key, value in dates.items() if value is not None}
    since_at = last.answered_at or last.asked_at
    return Event(kind, {"clock": row.name, "reason": _GROUND, "since_at": since_at, **known})


def _own_clock(now: datetime, answer_within: timedelta) -> NewClock:
    due_at = now + answer_within
    return NewClock.of_house(
        IDENTITY_CLOCK,
        due_at,
        due_at.date(),
        now,
        citation="house rule: verification.answer_within",
    )
