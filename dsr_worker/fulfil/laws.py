"""The laws of a case: those it came in with, those the data adds, those a person adds.

In: places (stated, found in rows, named by somebody). Out: clocks beside those that run, counted
from the receipt of the request, each with its law's text by hash and the reason it is there. What
stands is never moved or taken away: who says DE and has rows in US-CA stands under both, and which
of the laws holds is for lawyers. What was added once is not added again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dsr_worker.domain.request import ANSWERED, State
from dsr_worker.fulfil.clocks import facts_of
from dsr_worker.fulfil.decided import Decided, DecisionRefused, changed, opened
from dsr_worker.ledger import Ledger, frozen, laws, reports
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.intake import NewClock
from dsr_worker.ledger.laws import Known
from dsr_worker.ledger.rows import Event, Job, Move, moved
from dsr_worker.people import SignedAction, digest_of
from dsr_worker.statutes import (
    Choice,
    ClockSpec,
    LawPack,
    chosen,
    chosen_beside,
    locality,
    pack_text_and_hash,
    request_clocks,
    unsupported,
)

ALSO = "also"
"""The action by which a person adds a law to a case."""
RESIDENCE = "residence"
"""The fact of a case that says where rows place the person, and what follows; codes alone."""
SUGGESTED = "suggested"
"""The fact of a case that names countries which its phone numbers hint at; nothing follows."""
BECAUSE = "because"
"""The fact of a clock that says who or what added it; none: it was stated with the request."""
FOUND = "found"
"""The reason of a law that rows brought in, not a person."""
_BY_ESTABLISHMENT = ("eu-gdpr", "uk-gdpr")  # days are counted where the controller is established

_OVER = ANSWERED - {State.READY, State.REFUSED}
"""States in which the answer has left: until then the clocks run."""

Places = Mapping[str, Sequence[str]]
"""Country code -> where it was found, as `system.collection`."""
Clocks = Callable[[LawPack, str | None], list[ClockSpec]]


def clocks_by(kind: str, received_at: datetime, zone: str | None, establishment: str) -> Clocks:
    """What gives the clocks of one request under a law in a country.

    `zone` is what was stated; without it days are counted where the law says. It raises LookupError
    and ValueError as `request_clocks`.
    """

    def clocks(pack: LawPack, country: str | None) -> list[ClockSpec]:
        counted, subject_zone = zone, None
        if counted is None and pack.name in _BY_ESTABLISHMENT:
            counted = establishment
            subject_zone = None if country is None else locality(country).zone
        return request_clocks(pack, kind, country, received_at, counted, subject_zone=subject_zone)

    return clocks


def new_clock(spec: ClockSpec, received_at: datetime) -> NewClock:
    """A clock of a case's own law, to be started."""
    clock = NewClock.by_law(
        spec.kind.value,
        spec.due,
        received_at,
        citation=spec.citation,
        verified=spec.verified,
    )
    return clock._replace(facts=facts_of(spec.clock))


def beside(
    spec: ClockSpec, received_at: datetime, because: Mapping[str, Any] | None = None
) -> tuple[str, NewClock]:
    """A clock of a further law, which keeps that law's text for itself; the text, and the clock."""
    text, law_hash = pack_text_and_hash(spec.law)
    clock = new_clock(spec, received_at)
    facts = {**clock.facts, "law": spec.law, "law_hash": law_hash}
    facts |= {"country": spec.country, "zone": spec.due.zone}
    facts |= {BECAUSE: dict(because)} if because else {}
    return text, clock._replace(name=f"{clock.name}:{spec.law}", facts=facts)


def started(spec: ClockSpec, received_at: datetime) -> Event:
    """The event by which a clock starts."""
    body = {
        "clock": spec.kind.value,
        "regime": spec.law,
        "country": spec.country,
        "since_at": received_at,
        "due_at": spec.due.due_at,
        "due_on": spec.due.due_on,
    }
    return Event("clock_started", body)


@dataclass(frozen=True, slots=True)
class _Joined:
    """What joins a case: clocks with the texts of their laws, and what is to be told of it."""

    clocks: tuple[tuple[str, NewClock], ...] = ()
    events: tuple[Event, ...] = ()
    facts: Mapping[str, Any] | None = None

    @property
    def urgencies(self) -> list[datetime]:
        """By when each of the clocks asks to act."""
        return [c.conservative_due_at for _, c in self.clocks if c.conservative_due_at is not None]


class CaseLaws:
    """Adds laws to cases."""

    def __init__(self, ledger: Ledger, establishment_zone: str) -> None:
        self._ledger = ledger
        self._zone = establishment_zone

    # ---- by what was found

    def resolved(self, cursor: Cursor, jobs: Sequence[Job], moves: Sequence[Move]) -> list[Move]:
        """The moves of resolved cases, with the laws that residences in the data add.

        Safe to repeat: a law that a case has is left as it is.
        """
        since = {job.id: int(job.facts.get("resolve_from", 1)) for job in jobs}
        living: dict[int, list[Any]] = defaultdict(list)
        for row in laws.residences(cursor, since):
            living[row.job_id].append(row)
        known = laws.known(cursor, list(living)) if living else {}
        joined = {
            job.id: self._found(job, living[job.id], known.get(job.id, {}))
            for job in jobs
            if job.id in living
        }
        self._start(cursor, joined)
        return [_with(move, joined.get(move.job.id)) for move in moves]

    def _found(self, job: Job, rows: Sequence[Any], beside_it: Mapping[str, Known]) -> _Joined:
        places, unreadable = _places(rows)
        stated = {job.law: job.country or ""} if job.law else {}
        stated |= {law: one.country for law, one in beside_it.items() if one.reason != FOUND}
        found = chosen_beside({*stated, *beside_it}, places, self._clocks(job))
        told = {
            "found": {code: list(places[code]) for code in sorted(places)},
            "unreadable": unreadable,
            "unsupported": list(unsupported(stated, places)),
            "uncovered": list(found.uncovered),
            "silent": [{"law": law, "country": place} for law, place in found.silent],
        }
        mute = {(one["law"], one["country"]) for one in _silent_before(job)}
        silent = [pair for pair in found.silent if pair not in mute]
        part = self._joining(job, found.choices, places, FOUND)
        events = [*part.events, *(_unheard(law, place, places) for law, place in silent)]
        return replace(part, events=tuple(events), facts={RESIDENCE: told})

    def _joining(
        self,
        job: Job,
        choices: Sequence[Choice],
        places: Places,
        reason: str,
        signed: SignedAction | None = None,
    ) -> _Joined:
        received_at = _received(job)
        clocks: list[tuple[str, NewClock]] = []
        events: list[Event] = []
        for choice in choices:
            named = sorted({where for code in choice.because for where in places.get(code, ())})
            because = {"reason": reason, **({"places": named} if named else {})}
            if signed is not None:
                because["by"] = signed.actor
            own = [beside(spec, received_at, because) for spec in choice.clocks]
            events.append(_added(choice, named, reason, signed))
            events += [started(spec, received_at) for spec in choice.clocks]
            events += [_missed(clock) for _, clock in own if _is_late(clock, job.now)]
            clocks += own
        return _Joined(tuple(clocks), tuple(events))

    # ---- by a person

    def also(self, ref: str, country: str | None, law: str | None, signed: SignedAction) -> Decided:
        """Add the law of a place, or this law, to an open case: its clocks run from the receipt.

        Raises DecisionRefused where the case has the law, where it is answered, and where that law
        gives no such right; ActorRefused.
        """
        stated = digest_of(ALSO, ref, country=country or "", law=law or "")
        with self._ledger.transaction() as cursor:
            job = opened(cursor, ref, signed, ALSO, stated)
            choice = self._named(cursor, job, country, law)
            joined = self._joining(job, [choice], {}, "named", signed)
            self._start(cursor, {job.id: joined})
            done = changed(cursor, _with(Move(job), joined))
        return replace(done, details=tuple(_told(spec) for spec in choice.clocks))

    def _named(self, cursor: Cursor, job: Job, country: str | None, law: str | None) -> Choice:
        if job.closed_at is not None or job.state in _OVER:
            message = f"{job.ref} is {job.state}: a law joins a case while it is open"
            raise DecisionRefused(message)
        try:
            (choice,) = chosen([(country, law)], self._clocks(job))
        except (LookupError, ValueError) as error:
            raise DecisionRefused(str(error)) from None
        if choice.pack.name in {job.law, *laws.known(cursor, [job.id]).get(job.id, {})}:
            message = f"{job.ref} stands under {choice.pack.name} already: nothing to add"
            raise DecisionRefused(message)
        if job.state == State.REFUSED:
            _require_ground(cursor, job, choice.pack)
        return choice

    # ---- both

    def _clocks(self, job: Job) -> Clocks:
        return clocks_by(job.kind, _received(job), None, self._zone)

    def _start(self, cursor: Cursor, joined: Mapping[int, _Joined]) -> None:
        texts = {c.facts["law_hash"]: text for one in joined.values() for text, c in one.clocks}
        if texts:
            frozen.keep_texts(cursor, texts)
            laws.start(cursor, [(job, c) for job, one in joined.items() for _, c in one.clocks])


def _received(job: Job) -> datetime:
    assert job.received_at is not None  # noqa: S101 - whoever asks has asked at some time
    return job.received_at


def _require_ground(cursor: Cursor, job: Job, pack: LawPack) -> None:
    """A law joins a refused case only where it knows a ground of the refusal, which is its answer.

    Raises DecisionRefused.
    """
    bodies = (known.event["body"] for known in reports.events_of(cursor, ["closed"], job.ref))
    *_, told = (body for body in bodies if body.get("response") == "refuse")
    grounds = {ground.upper() for ground in told.get("grounds", [told["reason"]])}
    if not grounds & set(pack.refusing(job.kind)):
        message = (
            f"{job.ref} is refused on {', '.join(sorted(grounds))}, on which {pack.name} refuses no"
            f" {job.kind}: that refusal would be no answer under it. Submit a request under it too:"
            f" `dsr submit --law {pack.name} --received {_received(job).isoformat()} …`"
        )
        raise DecisionRefused(message)


def _with(move: Move, joined: _Joined | None) -> Move:
    if joined is None:
        return move
    sooner = min([moved(move.urgency_at, move.job.urgency_at), *joined.urgencies])
    return replace(
        move,
        events=(*joined.events, *move.events),
        facts={**move.facts, **(joined.facts or {})},
        urgency_at=sooner,
    )


def _places(rows: Sequence[Any]) -> tuple[dict[str, tuple[str, ...]], int]:
    """Where which country was found, in an order that does not depend on who answered first."""
    found: dict[str, set[str]] = defaultdict(set)
    unreadable: dict[str, int] = defaultdict(int)
    for row in rows:
        unreadable[row.system] = max(unreadable[row.system], row.unreadable)  # asked in each round
        for collection, codes in (row.residences or {}).items():
            for code in codes:
                found[code].add(f"{row.system}.{collection}")
    places = {code: tuple(sorted(found[code])) for code in sorted(found)}
    return places, sum(unreadable.values())


def _silent_before(job: Job) -> list[dict[str, str]]:
    return list(job.facts.get(RESIDENCE, {}).get("silent", ()))


def _added(
    choice: Choice, places: Sequence[str], reason: str, signed: SignedAction | None
) -> Event:
    body: dict[str, Any] = {
        "regime": choice.pack.name,
        "country": choice.clocks[0].country,
        "reason": reason,
        "counts": {"clocks": len(choice.clocks)},
        **({"collections": list(places)} if places else {}),
    }
    if signed is None:
        return Event("law_added", body)
    return Event("law_added", {**body, "signature": signed.signature_hex}, signed.actor)


def _unheard(law: str, place: str, places: Places) -> Event:
    """A law that the data points to and that knows no such right: it adds no clock, and is told."""
    body = {
        "regime": law,
        "country": place,
        "reason": "right_unknown",
        "counts": {"clocks": 0},
        "collections": list(places.get(place, ())),
    }
    return Event("law_added", body)


def _is_late(clock: NewClock, now: datetime) -> bool:
    return clock.due_at is not None and clock.due_at <= now


def _missed(clock: NewClock) -> Event:
    return Event("needs_human", {"code": "clock_missed", "reason": clock.name.lower()})


def _told(spec: ClockSpec) -> str:
    due = spec.due
    statute = due.due_on or "no number"
    name = f"{spec.kind.value}:{spec.law}"
    return f"{name}: act by {due.conservative_due_on}; the statute says {statute}"
