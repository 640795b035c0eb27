"""The clock of a case, by the law that was frozen with it: stop it, let it go on, extend it.

In: a case and what the person was asked, has answered or was told. Out: the clock as it stands
then, computed anew from its beginning, or a refusal by the law. Nothing is added to a date that was
computed before: pauses and extensions count from the original start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dsr_worker.domain import clock as rules
from dsr_worker.domain.clock import Clock, ClockRefusedError, Pause, PauseGround
from dsr_worker.fulfil.decided import Decided, DecisionRefused, changed, letter_left, opened
from dsr_worker.ledger import Ledger, case_clocks, cases, frozen, notices, warnings
from dsr_worker.ledger.cases import ClockRow
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Event, Job, Move
from dsr_worker.people import SignedAction, digest_of
from dsr_worker.statutes import (
    LawPack,
    UnknownNameError,
    appeal_clock,
    read_pack,
    request_clocks,
)

EXTENSION_REASONS = ("complex", "many_requests")
"""Why the time to answer may be extended: the complexity and number of the requests (Art. 12(3)
GDPR and UK GDPR; Cal. Civ. Code 1798.145(h)(1))."""

_APPEALED_AT = "appealed_at"
ACKNOWLEDGE = "acknowledge"

_Turn = Callable[[Clock], Clock]


class Clocks:
    """People's decisions on the time to answer."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def pause(self, ref: str, ground: str, at: datetime | None, signed: SignedAction) -> Decided:
        """The person was asked for something at `at` (default: now) that stops the clock.

        Raises DecisionRefused where the law stops no clock for it, UnknownNameError for the ground.
        """
        return self._turn(ref, "pause", ground, at, signed)

    def resume(self, ref: str, ground: str, at: datetime | None, signed: SignedAction) -> Decided:
        """The person answered at `at` (default: now).

        Raises DecisionRefused where nothing of the kind is open, UnknownNameError for the ground.
        """
        return self._turn(ref, "resume", ground, at, signed)

    def acknowledge(self, ref: str, at: datetime | None, signed: SignedAction) -> Decided:
        """The acknowledgement of the request left at `at` (default: now): its clocks are met.

        Raises DecisionRefused where no law of the case asks for one, or its clock has ended.
        """
        with self._ledger.transaction() as cursor:
            digest = digest_of(ACKNOWLEDGE, ref, at="" if at is None else at.isoformat())
            job = opened(cursor, ref, signed, ACKNOWLEDGE, digest)
            left_at = _happened_at(job, at)
            events = letter_left(cursor, job, ACKNOWLEDGE, left_at, signed.actor)
            if not events:
                message = f"no clock of {ref} waits for an acknowledgement"
                raise DecisionRefused(message)
            urgency_at = notices.soonest(cursor, job.id) or job.urgency_at
            decided = changed(cursor, Move(job, events=tuple(events), urgency_at=urgency_at))
            told = tuple(f"{e.body['clock']} {e.kind.removeprefix('clock_')}" for e in events)
            return replace(decided, details=told)

    def extend(self, ref: str, reason: str, signed: SignedAction) -> Decided:
        """Extend the time to answer, the person having been told, inside the legal window.

        Raises DecisionRefused, and UnknownNameError for a reason that is none.
        """
        with self._ledger.transaction() as cursor:
            job = opened(cursor, ref, signed, "extend", digest_of("extend", ref, reason=reason))
            if reason not in EXTENSION_REASONS:
                raise UnknownNameError("reason for an extension", reason, EXTENSION_REASONS)
            turned = _turned(cursor, job, lambda clock: rules.extend(clock, job.now))
            return _set(cursor, job, turned, "clock_extended", {"reason": reason}, signed.actor)

    def _turn(
        self, ref: str, action: str, ground: str, at: datetime | None, signed: SignedAction
    ) -> Decided:
        grounds = [known.value for known in PauseGround]
        with self._ledger.transaction() as cursor:
            digest = digest_of(action, ref, ground=ground, at="" if at is None else at.isoformat())
            job = opened(cursor, ref, signed, action, digest)
            if ground not in grounds:
                raise UnknownNameError("ground for a pause", ground, grounds)
            require_past(job, at)
            happened_at = job.now if at is None else at
            turn, kind = _TURNS[action]
            turned = _turned(cursor, job, lambda c: turn(c, PauseGround(ground), happened_at))
            body = {"reason": ground, "since_at": happened_at}
            return _set(cursor, job, turned, kind, body, signed.actor)


def require_past(job: Job, at: datetime | None) -> None:
    """Raise DecisionRefused where `at` is no instant between the receipt of a case and now."""
    if at is not None and at > job.now:
        message = "this lies in the future: say when the person was asked, or answered"
        raise DecisionRefused(message)
    if at is not None and job.received_at is not None and at < job.received_at:
        message = f"this lies before the request was received ({job.received_at})"
        raise DecisionRefused(message)


def _happened_at(job: Job, at: datetime | None) -> datetime:
    """When something between the receipt and now happened. Raises DecisionRefused for others."""
    happened_at = job.now if at is None else at
    if happened_at > job.now:
        message = "this lies in the future: say when it happened"
        raise DecisionRefused(message)
    if job.received_at is not None and happened_at < job.received_at:
        message = f"this lies before the request was received ({job.received_at})"
        raise DecisionRefused(message)
    return happened_at


_TURNS = {
    "pause": (rules.pause, "clock_paused"),
    "resume": (rules.resume, "clock_resumed"),
}


@dataclass(frozen=True, slots=True)
class _Turned:
    """One of a case's clocks, and why it stays as it is where its law says so."""

    row: ClockRow
    clock: Clock
    refused: str = ""


def _turned(cursor: Cursor, job: Job, turn: _Turn) -> list[_Turned]:
    """Every clock of a case, turned where its law lets it. Raises DecisionRefused where none does.

    A person who may live in several places stands under several laws, each with a clock.
    """
    found = []
    for row in cases.unanswered_clocks(cursor, job.id):
        clock = clock_of(cursor, job, row)
        try:
            found.append(_Turned(row, turn(clock)))
        except (ClockRefusedError, ValueError) as error:
            found.append(_Turned(row, clock, str(error)))
    if all(one.refused for one in found):
        none = f"no clock of {job.ref} runs: it is answered, or its time has passed"
        raise DecisionRefused(found[0].refused if found else none)
    return found


def _set(
    cursor: Cursor,
    job: Job,
    turned: Sequence[_Turned],
    kind: str,
    body: Mapping[str, Any],
    actor: str,
) -> Decided:
    events, anew = [], []
    for one in (one for one in turned if not one.refused):
        due, name = one.clock.due, one.row.name
        state = "paused" if one.clock.open_pauses else "running"
        anew.append((one.row.id, state, due, facts_of(one.clock)))
        dates = {"due_at": one.row.due_at, "new_due_at": due.due_at}
        known = {key: at for key, at in dates.items() if at is not None}
        events.append(Event(kind, {"clock": name, **body, **known}, actor))
    case_clocks.set_clocks(cursor, anew)
    warnings.forget_unreached(cursor, job.id)
    # Also what one of its laws has missed.
    urgency_at = notices.soonest(cursor, job.id) or job.urgency_at
    move = Move(job, events=tuple(events), urgency_at=urgency_at)
    return replace(changed(cursor, move), details=tuple(map(_told, turned)))


def _told(one: _Turned) -> str:
    if one.refused:
        return f"{one.row.name} stays as it is: {one.refused}"
    due = one.clock.due
    statute = due.due_on or "no number"
    return f"{one.row.name}: act by {due.conservative_due_on}; the statute says {statute}"


def law_text_of(cursor: Cursor, job: Job, row: ClockRow) -> str:
    """The law pack by which a clock runs, as it stood on the first day of the case."""
    if "law_hash" in row.facts:
        return frozen.text(cursor, row.facts["law_hash"])
    _, text = frozen.law(cursor, job.frozen)
    return text


def clock_of(cursor: Cursor, job: Job, row: ClockRow, text: str | None = None) -> Clock:
    """The clock of a case as it stands: by its frozen law, or by the pack in `text`.

    Raises ValueError, UnknownNameError where that law says nothing of such a request.
    """
    assert job.received_at is not None  # noqa: S101 - whoever asks has asked at some time
    pack = read_pack(law_text_of(cursor, job, row) if text is None else text)
    if _APPEALED_AT in row.facts:
        return _extended(_appeal(pack, job, row), row)
    answer, *_ = request_clocks(
        pack,
        job.kind,
        row.facts.get("country", job.country),
        job.received_at,
        row.facts.get("zone", job.zone),
        pauses=[_pause(stored) for stored in row.facts.get("pauses", ())],
        subject_zone=row.facts.get("subject_zone"),
    )
    return _extended(answer.clock, row)


def _appeal(pack: LawPack, job: Job, row: ClockRow) -> Clock:
    assert job.received_at is not None  # noqa: S101 - whoever appeals has asked at some time
    country, zone = row.facts.get("country", job.country), row.facts.get("zone", job.zone)
    at = datetime.fromisoformat(row.facts[_APPEALED_AT])
    spec = appeal_clock(pack, job.kind, country, job.received_at, at, zone)
    if spec is None:
        message = f"{pack.name} gives no appeal any more"
        raise ValueError(message)
    return spec.clock


def _extended(clock: Clock, row: ClockRow) -> Clock:
    extended_at = row.facts.get("extended_at")
    if extended_at is None:
        return clock
    return replace(clock, extended_at=datetime.fromisoformat(extended_at))


def facts_of(clock: Clock) -> dict[str, Any]:
    """What has to be kept of a clock to compute it anew; `firm`: the alerts stand still as well."""
    stopping = [clock.rule.pause_for(pause.ground) for pause in clock.open_pauses]
    return {
        "subject_zone": clock.subject_zone,
        "pauses": [
            {
                "ground": pause.ground,
                "asked_at": pause.asked_at.isoformat(),
                "answered_at": pause.answered_at and pause.answered_at.isoformat(),
            }
            for pause in clock.pauses
        ],
        "extended_at": clock.extended_at and clock.extended_at.isoformat(),
        "firm": bool(stopping) and all(rule is not None and rule.firm for rule in stopping),
    }


def _pause(stored: dict[str, str | None]) -> Pause:
    answered_at = stored["answered_at"]
    return Pause(
        PauseGround(str(stored["ground"])),
        datetime.fromisoformat(str(stored["asked_at"])),
        None if answered_at is None else datetime.fromisoformat(answered_at),
    )
