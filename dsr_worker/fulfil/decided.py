"""How a decision on a case begins and ends: the case, locked; what it brought about, or why not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dsr_worker.fulfil.verbs import REQUESTED
from dsr_worker.ledger import jobs, notices
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Event, Job, Move, moved
from dsr_worker.people import SignedAction, accept

_PEOPLES = REQUESTED | {"access"}
"""Kinds of job that are a person's request; any job's stopped steps may be retried."""


class DecisionRefused(ValueError):  # noqa: N818 - reads as what happened
    """The decision cannot be taken now; the text says why and what is possible."""


class NotHappenedYet(DecisionRefused):
    """What is said to have happened lies in the future: a slip of the keyboard."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision brought about."""

    ref: str
    state: str
    ring: tuple[str, ...]
    details: tuple[str, ...] = ()


def ended(clocks: Iterable[Any], actor: str = "") -> list[Event]:
    """The events of clocks that were met or, late, missed: each with name, state and due_at."""
    return [
        Event(f"clock_{clock.state}", {"clock": clock.name, "due_at": clock.due_at}, actor)
        for clock in clocks
    ]


def letter_left(cursor: Cursor, job: Job, name: str, at: datetime, actor: str) -> list[Event]:
    """Meet the open clocks of this name, the house's and each law's, by a letter that left at `at`.

    The events of those that ended; none where none was open.
    """
    names = [c.name for c in notices.open_clocks(cursor, job.id) if c.name.split(":")[0] == name]
    settled = [notices.settle(cursor, job.id, one, at) for one in names]
    return ended([row for row in settled if row is not None], actor)


def opened(cursor: Cursor, ref: str, signed: SignedAction, action: str, digest: str = "") -> Job:
    """The case of this name, locked, for somebody who signed this action over this digest.

    Raises DecisionRefused, ActorRefused.
    """
    job = jobs.lock_ref(cursor, ref)
    if job is None:
        message = f"there is no case {ref}; `dsr status` lists the open ones"
        raise DecisionRefused(message)
    if job.kind not in _PEOPLES and action != "retry":
        message = f"{ref} is a {job.kind}: see `dsr {job.kind} --help` for its decisions"
        raise DecisionRefused(message)
    accept(cursor, signed, action, ref, digest)
    return job


def happened_at(job: Job, at: datetime | None) -> datetime:
    """When something happened between the receipt of a case and now (the default).

    Raises NotHappenedYet, and DecisionRefused for what lies before the receipt.
    """
    if at is None:
        return job.now
    if at > job.now:
        message = "this lies in the future: say when it happened, and check date and offset"
        raise NotHappenedYet(message)
    if job.received_at is not None and at < job.received_at:
        message = f"this lies before the request was received ({job.received_at})"
        raise DecisionRefused(message)
    return at


def changed(cursor: Cursor, move: Move) -> Decided:
    """Make the move of a case; what it brought about."""
    ring = jobs.change(cursor, [move])
    return Decided(move.job.ref, str(moved(move.state, move.job.state)), tuple(ring))
