"""What the core hands in beside the subjects."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, runtime_checkable

from dsr_worker.contract.decisions import DecisionTable
from dsr_worker.contract.people import Subject
from dsr_worker.contract.receipts import Receipt


@runtime_checkable
class State(Protocol):
    """A small sealed store per system for cursors and remote job ids; values up to 64 KiB.

    Writes are fenced: `LeaseLost` when the batch no longer holds its lease.
    """

    def get(self, key: str) -> bytes | None:
        """The value last put; None where there is none."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Keep a value."""
        ...

    def forget(self, key: str) -> None:
        """Keep it no longer."""
        ...


class Guard(Protocol):
    """The moment of an effect: legal holds cannot be placed in this system until it ends."""

    def table(self, collection: str) -> DecisionTable:
        """The decision table as of this moment, holds included."""
        ...

    def intend(self, receipts: Sequence[Receipt]) -> None:
        """Record durably what is about to be committed, with counts; the last call before it.

        Raises LeaseLost when the batch may not go on: roll back.
        """
        ...


class Context(Protocol):
    """What a call may know and use beside its subjects."""

    @property
    def operation_id(self) -> str:
        """Stable over repeats of the same work: use it as an idempotency key."""
        ...

    @property
    def now(self) -> datetime:
        """The instant this call is decided by (aware UTC)."""
        ...

    @property
    def dry_run(self) -> bool:
        """Say what would happen, with counts, and change nothing."""
        ...

    @property
    def second_path(self) -> bool:
        """Verification: read by another connection, in every collection, for every identity."""
        ...

    @property
    def state(self) -> State:
        """The small store of this system."""
        ...

    def table(self, collection: str) -> DecisionTable:
        """The decision table for planning; at the moment of effect use the guard's."""
        ...

    def guard(self) -> AbstractContextManager[Guard]:
        """Enter around the committing call only (in Postgres: around the transaction)."""
        ...

    def part(self, subjects: Sequence[Subject]) -> Context:
        """The same call about some of its subjects, as if the others came in another one."""
        ...

    def check(self) -> None:
        """Call at unit borders. Raises LeaseLost when the work was taken away or is to stop."""
        ...

    def spend(self, calls: int = 1) -> None:
        """Take `calls` from the system's shared rate budget; Transient when it is used up."""
        ...

    def digest(self, collection: str, key: Sequence[str]) -> str:
        """A keyed digest of a key: the only form in which a receipt may name a row."""
        ...

    def pseudonym(self, subject_ref: str, value: str) -> str:
        """The keyed pseudonym for masks: `erased-`, 16 hex digits, stable per subject and value."""
        ...

    def canonical(self, kind: str, value: str) -> str | None:
        """The canonical form of a stored identity; None where it names nobody."""
        ...
