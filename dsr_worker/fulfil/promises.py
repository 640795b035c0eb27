"""Deferred erasures: what a minimum kept goes when its day has come.

In: the tick. Out: a job per due promise, which locates, applies, rechecks and certifies by the map
of that day, on the approval that the erasure had and for no more rows than were promised. It
carries system keys and the keys of the rows; the person's addresses were shredded long before. One
that cannot be opened, or whose system is gone from the map, becomes a job that asks a human.
Rows that stay for want of a date to count from are promised for the next day: their job asks too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from dsr_worker.domain.request import State
from dsr_worker.engine.context import MAP_UNREVIEWED
from dsr_worker.engine.identities import seal_identity
from dsr_worker.engine.materials import Materials
from dsr_worker.engine.promised import Promised
from dsr_worker.engine.tick import Duty
from dsr_worker.fulfil.planning import SYSTEM_UNMAPPED
from dsr_worker.fulfil.promised import AWAITED_BY, as_fact
from dsr_worker.fulfil.verbs import DEFERRED
from dsr_worker.ledger import Ledger, intake, jobs, promises
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.intake import NewClock, NewJob
from dsr_worker.ledger.promises import DuePromise
from dsr_worker.ledger.rows import Event, Job, Move, NewStep
from dsr_worker.vault import KeyRing, SealBroken

_log = logging.getLogger(__name__)

UNOPENABLE = "promise_unopenable"  # the names in a promise do not open with this key ring
_HOUSE_DAYS = 30  # our own clock for carrying a promise out; no statute names a number


class Promises:
    """Starts the jobs of promises that have come due."""

    def __init__(self, ledger: Ledger, keys: KeyRing, materials: Materials) -> None:
        self._ledger = ledger
        self._keys = keys
        self._materials = materials

    def duty(self) -> Duty:
        """The duty that starts what has come due. One that cannot be started holds up no other."""

        def start_due_promises() -> None:
            with self._ledger.transaction() as cursor:
                for promise in promises.come_due(cursor):
                    cursor.execute("SAVEPOINT promise")
                    try:
                        self._start(cursor, promise)
                    except Exception as error:  # noqa: BLE001 - the other promises are due as well
                        cursor.execute("ROLLBACK TO SAVEPOINT promise")
                        told = {"job": promise.job_id, "error": type(error).__name__}
                        _log.error("promise_not_started", extra=told)
                    cursor.execute("RELEASE SAVEPOINT promise")

        return start_due_promises

    def _start(self, cursor: Cursor, promise: DuePromise) -> None:
        key, wrapped = self._keys.new_case_key()
        cursor.execute("SELECT business_now() AS now")
        now = cursor.fetchone().now
        frozen_id = self._materials.freeze(promise.law, now)
        inserted = intake.insert(
            cursor,
            NewJob(
                prefix="D",
                kind=DEFERRED,
                state=State.WORKING.value,
                phase="due",
                frozen=frozen_id,
                urgency_at=now + timedelta(days=_HOUSE_DAYS),
                data_key=wrapped,
                law=promise.law,
                country=promise.country,
                received_at=now,
                facts={
                    AWAITED_BY: promise.awaited_by,
                    "promised_by": promise.ref,
                    "promised_rows": promise.row_count,
                    "channel": "promise",
                },
            ),
        )
        intake.start_clocks(cursor, inserted.id, [house_clock(now)])
        job = jobs.lock(cursor, [inserted.id])[inserted.id]
        if promise.system not in self._materials.frozen(frozen_id).systems:
            self._ask(cursor, job, promise, SYSTEM_UNMAPPED)
            return
        if self._materials.frozen(frozen_id).systems[promise.system].unreviewed:
            self._ask(cursor, job, promise, MAP_UNREVIEWED)
            return
        try:
            promised = self._opened(promise)
        except SealBroken:
            self._ask(cursor, job, promise, UNOPENABLE)
            return
        sealed = [
            seal_identity(self._keys, key, i, "verified", ground="promise") for i in promised.names
        ]
        intake.add_identities(cursor, inserted.id, sealed)
        promises.carried_out(cursor, promise.id, inserted.id)
        facts = as_fact(promised, key)
        jobs.change(cursor, [self._first_move(job, promise, frozen_id, facts)])

    def _opened(self, promise: DuePromise) -> Promised:
        own_key = self._keys.unwrap(bytes(promise.data_key))
        return Promised.opened(own_key, bytes(promise.sealed))

    def _ask(self, cursor: Cursor, job: Job, promise: DuePromise, code: str) -> None:
        """Stop for a human at once; `dsr retry` lets the promise come due again."""
        promises.take_up(cursor, promise.id, job.id)
        due = _due(promise)
        stop = Event("needs_human", {"system": promise.system, "code": code})
        jobs.change(cursor, [Move(job, state=State.NEEDS_HUMAN, phase=code, events=(due, stop))])

    def _first_move(
        self, job: Job, promise: DuePromise, frozen_id: int, facts: Mapping[str, Any]
    ) -> Move:
        frozen = self._materials.frozen(frozen_id)
        plan = {
            "identities": [],
            "systems": [promise.system],
            "not_applicable": sorted(set(frozen.systems) - {promise.system}),
            "contested": [],
            "versions": dict(frozen.versions),
            "decided_at": frozen.decided_at.isoformat(),
            "outcomes": [],
            "cutoffs": {},
        }
        return Move(
            job,
            phase="locate",
            round=1,
            plan=plan,
            facts=facts,
            steps=(NewStep("locate", promise.system, round=1),),
            events=(_due(promise),),
        )


def _due(promise: DuePromise) -> Event:
    body = {"deferred": promise.id, "case": promise.job_id, "system": promise.system}
    return Event("deferred_due", {**body, "due_on": promise.due_on})


def house_clock(now: datetime) -> NewClock:
    """Our own clock for work that nobody has asked for at a time."""
    due_at = now + timedelta(days=_HOUSE_DAYS)
    clock = NewClock.of_house(
        "carry-out", due_at, due_at.date(), now, citation="house rule: 30 days"
    )
    return clock._replace(recipient="subject", verified=False)
