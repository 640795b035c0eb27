"""Deferred erasures: what a minimum kept goes when its day has come.

In: the tick. Out: a job per due promise, which resolves, locates, applies, rechecks and certifies
by the map of that day, on the approval that the erasure had. It carries system keys only; the
person's addresses were shredded long before.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from dsr_worker.contract import Identity
from dsr_worker.domain.request import State
from dsr_worker.engine.holds import IDENTITY
from dsr_worker.engine.materials import Materials
from dsr_worker.engine.tick import Duty
from dsr_worker.fulfil.certifying import PROMISE
from dsr_worker.ledger import Ledger, answers, intake, jobs
from dsr_worker.ledger.answers import DuePromise
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.intake import NewClock, NewJob
from dsr_worker.ledger.rows import Event, Job, Move, NewStep, SealedIdentity
from dsr_worker.vault import KeyRing

DEFERRED = "deferred"
_HOUSE_DAYS = 30  # our own clock for carrying a promise out; no statute names a number


class Promises:
    """Starts the jobs of promises that have come due."""

    def __init__(self, ledger: Ledger, keys: KeyRing, materials: Materials) -> None:
        self._ledger = ledger
        self._keys = keys
        self._materials = materials

    def duty(self) -> Duty:
        """The duty that starts what has come due."""

        def start_due_promises() -> None:
            with self._ledger.transaction() as cursor:
                for promise in answers.due_promises(cursor):
                    self._start(cursor, promise)

        return start_due_promises

    def _start(self, cursor: Cursor, promise: DuePromise) -> None:
        own_key = self._keys.unwrap(bytes(promise.data_key))
        names = [Identity(*pair) for pair in json.loads(own_key.open(promise.sealed, PROMISE))]
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
                facts={"promised_by": promise.ref, "channel": "promise"},
            ),
        )
        sealed = [
            SealedIdentity(
                i.kind,
                self._keys.index_digest(i.kind, i.value),
                key.seal(i.value.encode(), IDENTITY),
                "verified",
                "promise",
            )
            for i in names
        ]
        intake.add_identities(cursor, inserted.id, sealed)
        intake.start_clocks(cursor, inserted.id, [_house_clock(now)])
        answers.carried_out(cursor, promise.id, inserted.id)
        job = jobs.lock(cursor, [inserted.id])[inserted.id]
        jobs.change(cursor, [self._first_move(job, promise, frozen_id)])

    def _first_move(self, job: Job, promise: DuePromise, frozen_id: int) -> Move:
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
        event = Event("deferred_due", {"system": promise.system, "due_on": promise.due_on})
        return Move(
            job,
            phase="locate",
            round=1,
            plan=plan,
            steps=(NewStep("locate", promise.system, round=1),),
            events=(event,),
        )


def _house_clock(now: datetime) -> NewClock:
    due_at = now + timedelta(days=_HOUSE_DAYS)
    return NewClock(
        name="carry-out",
        recipient="subject",
        citation="house rule: 30 days",
        verified=False,
        zone="UTC",
        started_at=now,
        due_at=None,
        due_on=None,
        conservative_due_at=due_at,
        conservative_due_on=due_at.date(),
        calendar_version="",
    )
