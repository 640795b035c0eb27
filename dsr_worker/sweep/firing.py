"""The tick's duty for sweeps: schedules follow the policies in force and fire once, everywhere.

In: policies with `schedule`, the business clock. Out: sweeps started. After an outage the last
missed fire alone is caught up with. While a policy's sweep is open, a fire is tied to that one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from dsr_worker.ledger import Ledger, schedules, sweeps
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.schedules import Schedule
from dsr_worker.policies import Policy
from dsr_worker.sweep.course import SCHEDULE
from dsr_worker.sweep.decisions import SweepDecisions, SweepRefused
from dsr_worker.sweep.times import last_fire, next_fire

_log = logging.getLogger(__name__)


def sync_schedules(cursor: Cursor, policies: Iterable[Policy], now: datetime) -> None:
    """Let the schedules be those of these policies; one that is unchanged keeps its next fire."""
    wanted = [
        Schedule(
            name=_name(policy),
            kind=sweeps.SWEEP,
            cron=policy.file.schedule,
            zone=policy.file.zone,
            next_fire_at=next_fire(policy.file.schedule, policy.file.zone, now),
            facts={"policy": policy.name},
        )
        for policy in policies
        if policy.file.schedule is not None
    ]
    schedules.sync(cursor, sweeps.SWEEP, wanted)


class Firing:
    """Fires the schedules of the policies in force."""

    def __init__(
        self, ledger: Ledger, decisions: SweepDecisions, policies: Iterable[Policy]
    ) -> None:
        self._ledger = ledger
        self._decisions = decisions
        self._policies = tuple(policies)
        self._synced = False

    def fire_schedules(self) -> None:
        """Start what is due, each schedule in a transaction of its own.

        The first call of a process lets the schedules follow its policies; one of a policy that
        this process does not have is left to another. A schedule that cannot be fired stops no
        other; the first such fault is raised at the end.
        """
        with self._ledger.transaction() as cursor:
            if not self._synced:
                sync_schedules(cursor, self._policies, sweeps.business_now(cursor))
            due = schedules.due(cursor, sweeps.SWEEP)
        self._synced = True
        mine = {_name(policy) for policy in self._policies}
        faults: list[Exception] = []
        for name in [n for n in due if n in mine]:
            try:
                with self._ledger.transaction() as cursor:
                    self._fire(cursor, name)
            except Exception as error:  # noqa: BLE001 - one schedule must not silence the others
                faults.append(error)
        if faults:
            raise faults[0]

    def _fire(self, cursor: Cursor, name: str) -> None:
        schedule = schedules.take(cursor, name)
        if schedule is None:
            return
        now = sweeps.business_now(cursor)
        fire_at = last_fire(schedule.cron, schedule.zone, schedule.next_fire_at, now)
        following = next_fire(schedule.cron, schedule.zone, now)
        if not schedules.fire(cursor, name, fire_at, following):
            return
        job_id = self._begin(cursor, str(schedule.facts["policy"]))
        schedules.tie(cursor, name, fire_at, job_id)

    def _begin(self, cursor: Cursor, name: str) -> int | None:
        already = sweeps.open_sweep(cursor, name)
        if already is not None:
            return already[0]
        try:
            job, _ = self._decisions.begin(cursor, self._decisions.policy(name), SCHEDULE)
        except SweepRefused:
            _log.warning("sweep_not_started", extra={"policy": name})
            return None
        return job.id


def _name(policy: Policy) -> str:
    return f"{sweeps.SWEEP}:{policy.name}"
