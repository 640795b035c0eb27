"""The helpdesk's bin of tickets: emptied for good by jobs that take a while.

In: ids of soft-deleted tickets. Out: which are gone for good, and which job has the others. A job
that is not done when our patience ends is written to `ctx.state` per ticket, with the comments and
files that go with it, so that the next call asks for the job first and counts the same rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from connectors.helpdesk.api import Api
from connectors.helpdesk.layout import Row
from dsr_worker.contract import Context, Transient

_MISSING = "RecordNotFound"


@dataclass(frozen=True, slots=True)
class Doomed:
    """A ticket on its way out and what hangs on it."""

    ticket_id: int
    comments: tuple[int, ...] = ()
    files: tuple[int, ...] = ()


@dataclass
class Settled:
    """What became of tickets given to the bin."""

    gone: list[Doomed] = field(default_factory=list)
    pending: list[Doomed] = field(default_factory=list)


class Bin:
    """The bin as one call of the connector uses it."""

    def __init__(self, api: Api, ctx: Context) -> None:
        self._api = api
        self._ctx = ctx

    def resume(self, ticket_ids: Iterable[int]) -> Settled:
        """Ask for the jobs that an earlier call left under way. An unknown job is forgotten."""
        jobs: dict[str, list[Doomed]] = {}
        for ticket_id in ticket_ids:
            noted = self._ctx.state.get(_place(ticket_id))
            if noted is not None:
                told = json.loads(noted)
                doomed = Doomed(ticket_id, tuple(told["comments"]), tuple(told["files"]))
                jobs.setdefault(told["job"], []).append(doomed)
        settled = Settled()
        for job_id, tickets in jobs.items():
            if not self._settle(job_id, tickets, settled):
                self._forget(tickets)
        return settled

    def holds(self, ticket_ids: set[int]) -> dict[int, Row]:
        """Which of these lie in the bin; stops reading when all were seen."""
        found: dict[int, Row] = {}
        if not ticket_ids:
            return found
        for ticket in self._api.pages("deleted_tickets", "deleted_tickets"):
            if ticket["id"] in ticket_ids:
                found[ticket["id"]] = ticket
            if len(found) == len(ticket_ids):
                break
        return found

    def start(self, ticket_ids: Sequence[int]) -> str | None:
        """Order the permanent deletion of at most 100 tickets; the job's id. The effect itself."""
        ids = ",".join(str(i) for i in ticket_ids)
        answer = self._api.delete("deleted_tickets/destroy_many", {"ids": ids})
        return None if answer is None else str(answer["job_status"]["id"])

    def finish(self, job_id: str | None, tickets: Sequence[Doomed]) -> Settled:
        """Wait for a job just ordered; what is not done in time is noted for the next call."""
        settled = Settled()
        if job_id is None:
            settled.gone.extend(tickets)
        elif not self._settle(job_id, tickets, settled):
            self._wait(job_id, tickets, settled)
        return settled

    def restore(self, ticket_id: int) -> None:
        """Take a ticket out of the bin again: a hold came between."""
        self._api.put(f"deleted_tickets/{ticket_id}/restore", {})

    def _settle(self, job_id: str, tickets: Sequence[Doomed], settled: Settled) -> bool:
        """Whether the helpdesk knows the job; if so, its tickets are gone or waited for."""
        job = self._api.settle(job_id)
        if job is None:
            return False
        if job["status"] == "completed":
            self._forget(tickets)
            _refuse_failures(job)
            settled.gone.extend(tickets)
        else:
            self._wait(job_id, tickets, settled)
        return True

    def _wait(self, job_id: str, tickets: Sequence[Doomed], settled: Settled) -> None:
        for doomed in tickets:
            told = {"job": job_id, "comments": doomed.comments, "files": doomed.files}
            self._ctx.state.put(_place(doomed.ticket_id), json.dumps(told).encode())
        settled.pending.extend(tickets)

    def _forget(self, tickets: Iterable[Doomed]) -> None:
        for doomed in tickets:
            self._ctx.state.forget(_place(doomed.ticket_id))


def _place(ticket_id: int) -> str:
    return f"permanent-deletion:{ticket_id}"


def _refuse_failures(job: Row) -> None:
    """A completed job may have failed for some: those are tried again. Raises Transient."""
    failed = sum(1 for result in _results(job) if not _succeeded(result))
    if failed:
        raise Transient(f"a deletion job failed for {failed} tickets", retry_after_s=30)


def _results(job: Row) -> Iterator[Row]:
    """Per-row results; the API also gives one object for a job of one row, or nothing."""
    results = job.get("results") or []
    yield from results if isinstance(results, list) else [results]


def _succeeded(result: Row) -> bool:
    return bool(result.get("success", True)) or result.get("error") == _MISSING
