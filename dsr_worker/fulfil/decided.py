"""How a decision on a case begins and ends: the case, locked; what it brought about, or why not."""

from __future__ import annotations

from dataclasses import dataclass

from dsr_worker.fulfil.verbs import REQUESTED
from dsr_worker.ledger import jobs
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Job, Move, moved
from dsr_worker.people import SignedAction, accept

_PEOPLES = REQUESTED | {"access"}
"""Kinds of job that are a person's request; any job's stopped steps may be retried."""


class DecisionRefused(ValueError):  # noqa: N818 - reads as what happened
    """The decision cannot be taken now; the text says why and what is possible."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision brought about."""

    ref: str
    state: str
    ring: tuple[str, ...]
    details: tuple[str, ...] = ()


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


def changed(cursor: Cursor, move: Move) -> Decided:
    """Make the move of a case; what it brought about."""
    ring = jobs.change(cursor, [move])
    return Decided(move.job.ref, str(moved(move.state, move.job.state)), tuple(ring))
