"""Keeps a store's own rules inside what holds and policies allow: what is not, is taken out.

In: the jobs of installed rules, holds and retention terms of the moment. Out: stores without the
rules that could break a hold or come too early; an event for each. A store knows no hold, so that
placing one calls this before it is acknowledged, and every tick calls it again: for a store that
did not answer then, and for policies that keep longer than those the rules were made from.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from dsr_worker.contract import ConnectorError, StandingOrder, StandingRules, StandingWay
from dsr_worker.domain.decision import DecisionError
from dsr_worker.domain.standing import HELD, standing_orders
from dsr_worker.engine.holds import HoldReader
from dsr_worker.engine.materials import Frozen, Materials
from dsr_worker.ledger import Ledger, jobs, standing_rules
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Event, Job, Move
from dsr_worker.vault import KeyRing

_log = logging.getLogger(__name__)
CHANGED_TERMS = "terms_changed"
_TRIES = 3
_EVERY_S = 60.0


class TakenOut(NamedTuple):
    """Systems whose store lost rules of ours, and those that could not be reached: what they said.

    The rules of the latter may still stand.
    """

    out: tuple[str, ...]
    failed: Mapping[str, str]


class StandingGuard:
    """Knows what may stand in a store now, and takes out what may not."""

    def __init__(self, ledger: Ledger, keys: KeyRing, materials: Materials) -> None:
        self._ledger = ledger
        self._materials = materials
        self._holds = HoldReader(keys)
        self._next_s = 0.0

    def orders(self, cursor: Cursor, frozen: Frozen, system: str) -> tuple[StandingOrder, ...]:
        """The standing orders of a system under the holds that this transaction sees."""
        return standing_orders(frozen.decisions[system], self._holds.read(cursor, system))

    def store(self, frozen: Frozen, system: str) -> StandingRules | None:
        """The connector of a system; None where it has no rules of its own."""
        if not self._materials.can(frozen, system, StandingRules):
            return None
        found = self._materials.connector(frozen, system)
        return found if isinstance(found, StandingRules) else None

    def take_out(self, cursor: Cursor, systems: Sequence[str]) -> TakenOut:
        """Take out of these systems what may not stand any more. Idempotent.

        Whoever installs locks the same jobs, so that the two never write one store at once.
        """
        out: list[str] = []
        failed: dict[str, str] = {}
        standing_rules.wait_for_stores(cursor)
        for job in standing_rules.may_stand(cursor, systems):
            system = str(job.facts["system"])
            try:
                if self._settle(cursor, job):
                    out.append(system)
            except ConnectorError as error:
                failed[system] = str(error)
        return TakenOut(tuple(out), failed)

    def duty(self) -> None:
        """Once a minute: take out what may not stand; who is out of reach is tried again then."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _EVERY_S
        with self._ledger.transaction() as cursor:
            found = standing_rules.may_stand(cursor)
        for system in sorted({str(job.facts["system"]) for job in found}):
            with self._ledger.transaction() as cursor:
                for left in self.take_out(cursor, [system]).failed:
                    _log.warning("rules_not_taken_out", extra={"system": left})

    def _right(self, cursor: Cursor, job: Job) -> dict[str, StandingWay]:
        """The ways of a job that may stand, by collection."""
        system = str(job.facts["system"])
        made, today = self._materials.frozen(job.frozen), self._today(job)
        if system not in today.mapped:
            return {}
        try:
            orders = {order.collection: order for order in self.orders(cursor, today, system)}
        except DecisionError:
            return {}
        was, now = made.systems[system].collections, today.systems[system].collections
        return {
            way.collection: way
            for way in ways_of(job.facts)
            if way.collection in now
            and now[way.collection].source == was[way.collection].source
            and _covers(way, orders.get(way.collection))
        }

    def _today(self, job: Job) -> Frozen:
        return self._materials.frozen(self._materials.freeze(None, job.now))

    def _settle(self, cursor: Cursor, job: Job) -> bool:
        system = str(job.facts["system"])
        right = self._right(cursor, job)
        gone = [way.collection for way in ways_of(job.facts) if way.collection not in right]
        if not gone:
            return False
        store = self.store(self._materials.frozen(job.frozen), system)
        if store is not None:
            _left_with(store, tuple(right.values()), job)
        reason = HELD if self._holds.read(cursor, system) else CHANGED_TERMS
        withdrawn(cursor, job, tuple(right.values()), gone, reason)
        return True


def ways_of(facts: Mapping[str, Any]) -> tuple[StandingWay, ...]:
    """The rules that a job says are in its store."""
    return tuple(StandingWay(**way) for way in facts["ways"])


def as_facts(ways: Sequence[StandingWay]) -> list[dict[str, Any]]:
    """The same as a job keeps it."""
    return [asdict(way) for way in ways if way.rule]


def withdrawn(
    cursor: Cursor,
    job: Job,
    left: Sequence[StandingWay],
    gone: Sequence[str],
    reason: str,
    actor: str = "",
) -> None:
    """Record that rules are out of a store; without any left the job is closed."""
    body = {"system": job.facts["system"], "collections": gone, "reason": reason}
    events = (Event("rules_withdrawn", body, actor),)
    facts = {"ways": as_facts(left)}
    if left:
        jobs.change(cursor, [Move(job, facts=facts, events=events)])
        return
    state = standing_rules.WITHDRAWN
    ended = Move(job, state=state, phase=state, closed_at=job.now, facts=facts, events=events)
    jobs.change(cursor, [ended])


def _covers(way: StandingWay, order: StandingOrder | None) -> bool:
    """Whether a rule lets nothing go that the terms of the moment still keep."""
    if order is None or order.after_days is None or way.after_days is None:
        return False
    return order.after_days <= way.after_days


def _left_with(store: StandingRules, ways: tuple[StandingWay, ...], job: Job) -> None:
    """Leave these rules of ours alone in a store. Somebody else may write it at the same time."""
    for attempt in range(1, _TRIES + 1):
        try:
            store.install(replace(store.standing((), job.now), ways=ways))
        except ConnectorError:
            if attempt == _TRIES:
                raise
        else:
            return
