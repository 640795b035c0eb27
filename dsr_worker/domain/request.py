"""What may be asked, and through which states a case goes.

Why this room exists: whether an erasure can begin must follow from a table that anyone can read and
a test can walk, never from code spread over rooms. A case's progress and an event enter; the next
progress leaves, or a refusal.

A case that stopped for a human remembers where it stood, and resuming leads back there and nowhere
else: stopping is no way round verification or approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum

from dsr_worker.domain.diagram import drawn


class Kind(StrEnum):
    """What a person asks for."""

    ACCESS = "access"  # Art. 15 GDPR
    PORTABILITY = "portability"  # Art. 20
    ERASURE = "erasure"  # Art. 17
    RECTIFICATION = "rectification"  # Art. 16
    RESTRICTION = "restriction"  # Art. 18
    OBJECTION = "objection"  # Art. 21
    COMPLAINT = "complaint"  # s. 164A DPA 2018 (UK)


ALIASES: Mapping[str, Kind] = {"deletion": Kind.ERASURE}


class State(StrEnum):
    """Where a case stands."""

    RECEIVED = "received"
    VERIFYING = "verifying"
    RESOLVING = "resolving"
    PLANNING = "planning"
    AWAITING_APPROVAL = "awaiting_approval"
    WORKING = "working"
    PACKAGING = "packaging"
    CERTIFYING = "certifying"
    READY = "ready"
    """The answer is made and not yet delivered: the clock runs on."""
    DELIVERED = "delivered"
    ANSWERED_WITH_REMAINDERS = "answered_with_remainders"
    """The answer left in time and names what a store refuses for now; that is still to come."""
    CLOSED = "closed"
    NEEDS_HUMAN = "needs_human"
    REFUSED = "refused"
    """A refusal is an answer too: it has to be delivered."""
    WITHDRAWN = "withdrawn"
    APPEALED = "appealed"
    """The person appeals to us against the answer: somebody else decides, by a clock of its own."""
    APPEAL_ANSWERED = "appeal_answered"
    """The appeal is decided and its letter has not left: its clock runs on."""


class Event(StrEnum):
    """What moves a case."""

    VERIFICATION_STARTED = "verification_started"
    IDENTITY_VERIFIED = "identity_verified"
    RESOLVED = "resolved"
    PLANNED = "planned"
    APPROVED = "approved"
    APPROVAL_VOIDED = "approval_voided"
    RESOLVE_AGAIN = "resolve_again"
    WORK_DONE = "work_done"
    ANSWER_MADE = "answer_made"
    DELIVERED = "delivered"
    REMAINED = "remained"
    LOOK_AGAIN = "look_again"
    CLOSED = "closed"
    STOPPED = "stopped"
    RESUMED = "resumed"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    APPEALED = "appealed"
    APPEAL_DECIDED = "appeal_decided"
    APPEAL_WITHDRAWN = "appeal_withdrawn"


ANSWER_STATE: Mapping[Kind, State] = {
    Kind.ACCESS: State.PACKAGING,
    Kind.ERASURE: State.CERTIFYING,
    Kind.RECTIFICATION: State.CERTIFYING,
    Kind.RESTRICTION: State.CERTIFYING,
}
"""The state in which the answer of each kind that is carried out is made."""

CARRIED_OUT = frozenset(ANSWER_STATE)
TAKEN_IN = CARRIED_OUT | {Kind.COMPLAINT}
"""What may be submitted: a complaint goes its own way (`dsr_worker.domain.complaint`)."""

_INSTEAD: Mapping[Kind, str] = {
    Kind.PORTABILITY: "an access hands out the data as JSON too, which other services read",
    Kind.OBJECTION: (
        "submit a restriction while you weigh it (Art. 18(1)(d) GDPR), and an erasure where the"
        " person is right (Art. 17(1)(c)); what has no data to change, such as advertising, is"
        " stopped where it is sent; the month for the answer (Art. 12(3)) is yours to keep"
    ),
}
"""What helps a person who asks for what is not carried out yet."""

ANSWERED = {
    State.READY,
    State.REFUSED,
    State.DELIVERED,
    State.ANSWERED_WITH_REMAINDERS,
    State.CLOSED,
    State.WITHDRAWN,
    State.APPEALED,
    State.APPEAL_ANSWERED,
}
"""The states in which nothing of a plan is still to come, but its promises."""
_OPEN = tuple(state for state in State if state not in ANSWERED | {State.NEEDS_HUMAN})
_BEFORE_WORK = _OPEN[: _OPEN.index(State.WORKING)]
ENDED = frozenset({State.CLOSED, State.WITHDRAWN})
APPEALABLE = frozenset({State.CLOSED, State.ANSWERED_WITH_REMAINDERS})
"""Where an appeal comes, and where the case is again once its letter has left."""
_ON_APPEAL = {State.APPEALED, State.APPEAL_ANSWERED}


def _transitions() -> dict[tuple[State, Event], frozenset[State]]:
    fixed = {
        (State.RECEIVED, Event.VERIFICATION_STARTED): State.VERIFYING,
        (State.VERIFYING, Event.IDENTITY_VERIFIED): State.RESOLVING,
        (State.RESOLVING, Event.RESOLVED): State.PLANNING,
        (State.PLANNING, Event.PLANNED): State.AWAITING_APPROVAL,
        (State.PLANNING, Event.RESOLVE_AGAIN): State.RESOLVING,
        (State.AWAITING_APPROVAL, Event.APPROVED): State.WORKING,
        (State.AWAITING_APPROVAL, Event.APPROVAL_VOIDED): State.PLANNING,
        (State.AWAITING_APPROVAL, Event.RESOLVE_AGAIN): State.RESOLVING,
        (State.WORKING, Event.APPROVAL_VOIDED): State.PLANNING,
        (State.PACKAGING, Event.ANSWER_MADE): State.READY,
        (State.PACKAGING, Event.RESOLVE_AGAIN): State.RESOLVING,
        (State.READY, Event.RESOLVE_AGAIN): State.RESOLVING,
        (State.CERTIFYING, Event.ANSWER_MADE): State.READY,
        (State.READY, Event.DELIVERED): State.DELIVERED,
        (State.REFUSED, Event.DELIVERED): State.CLOSED,  # and nothing of it remains
        (State.DELIVERED, Event.CLOSED): State.CLOSED,
        (State.DELIVERED, Event.REMAINED): State.ANSWERED_WITH_REMAINDERS,
        (State.ANSWERED_WITH_REMAINDERS, Event.CLOSED): State.CLOSED,
        (State.ANSWERED_WITH_REMAINDERS, Event.LOOK_AGAIN): State.WORKING,  # an access: find anew
        (State.WORKING, Event.REMAINED): State.ANSWERED_WITH_REMAINDERS,  # and in vain
        (State.CLOSED, Event.APPEALED): State.APPEALED,
        (State.ANSWERED_WITH_REMAINDERS, Event.APPEALED): State.APPEALED,
        (State.APPEALED, Event.APPEAL_DECIDED): State.APPEAL_ANSWERED,
        (State.APPEALED, Event.VERIFICATION_STARTED): State.VERIFYING,  # granted: begun anew
        (State.APPEALED, Event.RESOLVE_AGAIN): State.RESOLVING,  # … of a person who is verified
        (State.NEEDS_HUMAN, Event.VERIFICATION_STARTED): State.VERIFYING,
        (State.NEEDS_HUMAN, Event.REFUSED): State.REFUSED,
        (State.NEEDS_HUMAN, Event.WITHDRAWN): State.WITHDRAWN,
    }
    table = {pair: frozenset({target}) for pair, target in fixed.items()}
    table[State.WORKING, Event.WORK_DONE] = frozenset(ANSWER_STATE.values())
    table[State.NEEDS_HUMAN, Event.RESUMED] = frozenset(_OPEN)
    table[State.APPEALED, Event.APPEAL_WITHDRAWN] = APPEALABLE
    table[State.APPEAL_ANSWERED, Event.DELIVERED] = APPEALABLE
    for state in _OPEN:
        table[state, Event.STOPPED] = frozenset({State.NEEDS_HUMAN})
    for state in (*_BEFORE_WORK, State.WORKING, State.PACKAGING):  # while nothing was changed
        table[state, Event.REFUSED] = frozenset({State.REFUSED})
        table[state, Event.WITHDRAWN] = frozenset({State.WITHDRAWN})
    return table


TRANSITIONS: Mapping[tuple[State, Event], frozenset[State]] = _transitions()
"""Every legal move. Where it has several targets, the kind or the place of the stop decides."""


class Verdict(StrEnum):
    """How an appeal against an answer was decided."""

    DISMISSED = "dismissed"
    GRANTED = "granted"
    PARTLY = "partly"


def after_appeal(verdict: Verdict, *, is_verified: bool, can_begin: bool) -> Event:
    """Return what a decision on an appeal does to the case.

    What was granted is begun anew, from the verification where the person never was verified;
    where it cannot be (`can_begin`), as where a verdict is against the person, a letter is owed.
    """
    if verdict is Verdict.DISMISSED or not can_begin:
        return Event.APPEAL_DECIDED
    return Event.RESOLVE_AGAIN if is_verified else Event.VERIFICATION_STARTED


class KindRefusedError(ValueError):
    """The kind is unknown or not carried out yet; the text lists those that are."""


class TransitionRefusedError(ValueError):
    """The event is not legal in this state; the text names those that are."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a case stands.

    `stopped_in` is set exactly while it needs a human, `appealed_in` while an appeal is open.
    """

    kind: Kind
    state: State = State.RECEIVED
    stopped_in: State | None = None
    appealed_in: State | None = None

    def __post_init__(self) -> None:
        """Refuse a memory without a stop, and a stop without a memory.

        Raises:
            ValueError: the two do not fit, or the case could not have stopped there.

        """
        stopped = self.state is State.NEEDS_HUMAN
        if stopped != (self.stopped_in is not None) or (stopped and self.stopped_in not in _OPEN):
            raise ValueError(f"{self.state} does not fit stopped_in {self.stopped_in}")
        if (self.state in _ON_APPEAL) != (self.appealed_in in APPEALABLE):
            raise ValueError(f"{self.state} does not fit appealed_in {self.appealed_in}")


def kind_of(text: str) -> Kind:
    """Return the kind that `text` names; `deletion` is an alias of erasure.

    Raises:
        KindRefusedError: unknown, or not carried out yet.

    """
    name = text.strip().lower()
    kind = ALIASES.get(name) or next((kind for kind in Kind if kind == name), None)
    if kind is None or kind not in TAKEN_IN:
        close = () if kind else get_close_matches(name, sorted({*TAKEN_IN, *ALIASES}), n=2)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        choose = f"choose one of: {', '.join(sorted(TAKEN_IN))}"
        if kind is None:
            raise KindRefusedError(f"not a kind of request; {hint}{choose}")
        raise KindRefusedError(f"a {kind} is not carried out yet: {_INSTEAD[kind]}. Else {choose}")
    return kind


def advance(progress: Progress, event: Event) -> Progress:
    """Return the progress after `event`.

    Raises:
        TransitionRefusedError: the event is not legal here.

    """
    targets = TRANSITIONS.get((progress.state, event))
    if targets is None:
        legal = ", ".join(sorted(legal_events(progress.state))) or "none"
        raise TransitionRefusedError(
            f"{event} is not possible while {progress.state}; possible: {legal}"
        )
    if event is Event.STOPPED:
        return replace(progress, state=State.NEEDS_HUMAN, stopped_in=progress.state)
    target = _target(progress, event, targets)
    appealed_in = progress.state if event is Event.APPEALED else progress.appealed_in
    return Progress(
        progress.kind, target, appealed_in=appealed_in if target in _ON_APPEAL else None
    )


def _target(progress: Progress, event: Event, targets: frozenset[State]) -> State:
    if event is Event.WORK_DONE:
        return ANSWER_STATE[progress.kind]
    if event is Event.RESUMED and progress.stopped_in is not None:
        return progress.stopped_in
    if progress.appealed_in in targets:
        return progress.appealed_in
    (target,) = targets
    return target


def legal_events(state: State) -> frozenset[Event]:
    """Return the events that are legal in `state`."""
    return frozenset(event for source, event in TRANSITIONS if source is state)


def diagram() -> str:
    """Return the states and moves as a Mermaid state diagram."""
    moves = ((state, event, to) for (state, event), tos in TRANSITIONS.items() for to in tos)
    return drawn(moves, State.RECEIVED, ENDED)
