"""What enters and leaves the ledger, as values: jobs, claims, results of steps, moves of jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from dsr_worker.ledger.answers import Answer
from dsr_worker.ledger.connection import Cursor

DESK = "desk"  # the system of the engine's own steps


class Job(NamedTuple):
    """A job as locked for a change. `data_key` is wrapped; None once shredded."""

    id: int
    ref: str
    kind: str
    state: str
    phase: str
    round: int
    pending: int
    frozen: int
    urgency_at: datetime
    urgent: bool
    law: str | None
    country: str | None
    received_at: datetime | None
    zone: str | None
    plan: dict[str, Any] | None
    plan_hash: str | None
    facts: dict[str, Any]
    head_seq: int
    head_hash: bytes
    verified_at: datetime | None
    approved_by: str | None
    submitted_by: str | None
    data_key: bytes | None
    closed_at: datetime | None
    now: datetime
    versions: Mapping[str, str]  # the hashes of its map, policies and law


class Claim(NamedTuple):
    """A step under lease; `(id, attempt)` is its fencing token."""

    id: int
    job_id: int
    action: str
    system: str
    round: int
    frozen: int
    effect: str
    attempt: int
    charged: int
    batch_size: int
    intent: list[dict[str, Any]] | None
    result: dict[str, Any] | None
    error: str  # what the attempt before this one met


@dataclass(frozen=True, slots=True)
class SealedIdentity:
    """An identity as the ledger keeps it: kind, keyed digest, sealed value, how it came about."""

    kind: str
    digest: bytes
    sealed: bytes
    standing: str
    ground: str = ""
    round: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One link to add to a job's chain. The body holds codes and counts, never personal data."""

    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)
    actor: str = ""


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """One outcome of one collection for one step."""

    collection: str
    outcome: str
    rows: int
    fields: int = 0
    ground: str = ""
    until_on: date | None = None  # the last of the rows has to be kept until then
    first_until_on: date | None = None  # the first of them
    before_commit: bool = False


@dataclass(frozen=True, slots=True)
class Spool:
    """Where a finished step's sealed material lies."""

    name: str
    frame: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a step ended this time. `charge` is added to the attempts that count for quarantine."""

    claim: Claim
    state: str = "done"  # done | waiting | needs_human | failed
    code: str = ""
    error: str = ""  # what it met, in one line without personal data
    details: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    wait_s: float = 0.0  # from now, by the ledger's clock, when waiting
    charge: int = 0
    receipts: Sequence[ReceiptRow] = ()
    spools: Sequence[Spool] = ()
    identities: Sequence[SealedIdentity] = ()
    events: Sequence[Event] = ()
    answer: Answer | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)  # more of the event of its end
    also: Callable[[Cursor], None] | None = None  # further writes of the finishing transaction


@dataclass(frozen=True, slots=True)
class NewStep:
    """A step to insert, ready at once or at `run_at`."""

    action: str
    system: str
    effect: str = "read"
    round: int = 0
    run_at: datetime | None = None
    sweep: bool = False
    details: Mapping[str, Any] | None = None


UNCHANGED: Any = object()


def moved(value: Any, otherwise: Any) -> Any:
    """A move's value, or what stands where the move leaves it unchanged."""
    return otherwise if value is UNCHANGED else value


@dataclass(frozen=True, slots=True)
class Move:
    """A change of one job; what is `UNCHANGED` stays. New steps are what the job waits for."""

    job: Job
    state: str = UNCHANGED
    phase: str = UNCHANGED
    round: int = UNCHANGED
    steps: Sequence[NewStep] = ()
    events: Sequence[Event] = ()
    frozen: int = UNCHANGED
    plan: Mapping[str, Any] | None = UNCHANGED
    plan_hash: str | None = UNCHANGED
    facts: Mapping[str, Any] = field(default_factory=dict)  # merged into the job's
    urgency_at: datetime = UNCHANGED
    verified_at: datetime | None = UNCHANGED
    verified_how: str | None = UNCHANGED
    approved_by: str | None = UNCHANGED
    closed_at: datetime | None = UNCHANGED
