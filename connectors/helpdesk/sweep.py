"""Retention at the helpdesk: tickets whose time is over go, in parts of at most 100.

In: orders for the tickets collection. Out: a receipt per part that is gone for good. The part under
way stands in `ctx.state` before its first effect, so that a repeat finishes it and then goes on.

Tickets are read from the incremental export: the plain list leaves archived tickets out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.helpdesk.api import PAGE, Api
from connectors.helpdesk.bin import Bin, Doomed
from connectors.helpdesk.decide import Case, Counts, Tables, count, decide, latest, matches
from connectors.helpdesk.layout import Layout, Row, value
from connectors.helpdesk.moment import moment
from dsr_worker.contract import (
    Action,
    Collection,
    Configuration,
    Context,
    DecisionTable,
    HeldPeople,
    Identity,
    NeedsHuman,
    Outcome,
    OutcomeCount,
    Receipt,
    Rule,
    SweepOrder,
    Transient,
)


@dataclass(frozen=True, slots=True)
class _Old:
    """A live ticket that an order reaches."""

    case: Case
    rule: Rule

    @property
    def ticket_id(self) -> int:
        """The ticket's number."""
        return int(self.case.row["id"])


class Sweep:
    """One call of `sweep`."""

    def __init__(self, api: Api, layout: Layout, ctx: Context) -> None:
        self._api = api
        self._layout = layout
        self._ctx = ctx
        self._bin = Bin(api, ctx)

    def run(self, orders: Sequence[SweepOrder]) -> Iterator[Receipt]:
        """Carry out every order. Raises NeedsHuman before the first change when a brake holds."""
        for order in orders:
            collection = self._tickets(order)
            if not self._ctx.dry_run:
                yield from self._unfinished(collection)
            yield from self._order(order, collection)

    def _tickets(self, order: SweepOrder) -> Collection:
        tickets = self._layout.tickets
        if tickets is None or order.collection != tickets.name:
            raise Configuration("the helpdesk sweeps tickets alone; bind the policy to their class")
        if any(rule.action is Action.MASK for rule in order.table.rules):
            raise Configuration("the helpdesk sweeps tickets by erasing them; use action: erase")
        return tickets

    def _order(self, order: SweepOrder, collection: Collection) -> Iterator[Receipt]:
        due = 0
        kept: Counts = {}
        for old in self._reached(order.table):
            if old.rule.action is Action.ERASE:
                due += 1
            else:
                count(kept, _one(Outcome.RETAINED, old))
        if due > order.max_rows:
            raise NeedsHuman("sweep_brake", {"rows": due, "limit": order.max_rows})
        if kept:
            yield Receipt(None, collection.name, tuple(c for _, c in sorted(kept.items())))
        part: list[_Old] = []
        for old in self._reached(order.table):
            if old.rule.action is Action.ERASE:
                part.append(old)
            if len(part) == PAGE:
                yield from self._part(collection, part)
                part = []
        yield from self._part(collection, part)

    # ---- selecting

    def _reached(self, table: DecisionTable) -> Iterator[_Old]:
        """Live tickets that a limit reaches: those it erases and those that something keeps."""
        batch: list[Row] = []
        for ticket in self._api.changed_tickets(0):
            if ticket["status"] != "deleted" and _over_limit(table, ticket):
                batch.append(ticket)
            if len(batch) == PAGE:
                yield from self._decided(table, batch)
                batch = []
        yield from self._decided(table, batch)

    def _decided(self, table: DecisionTable, tickets: list[Row]) -> Iterator[_Old]:
        for case in self._cases(table, tickets):
            yield _Old(case, decide(table, case))

    def _cases(self, table: DecisionTable, tickets: list[Row]) -> Iterator[Case]:
        asks_owners = any(isinstance(rule.when, HeldPeople) for rule in table.rules)
        ids = sorted({ticket["requester_id"] for ticket in tickets}) if asks_owners else []
        users = self._api.many("users", ids)
        for ticket in tickets:
            yield Case(ticket, owners=frozenset(self._owners(ticket, users)))

    def _owners(self, ticket: Row, users: dict[int, Row]) -> Iterator[Identity]:
        for kind in self._layout.requester_kinds:
            yield Identity(kind, str(ticket["requester_id"]))
        user = users.get(ticket["requester_id"])
        if user is not None and self._layout.users is not None:
            for kind, taken in self._layout.users.takes.items():
                stored = value(user, taken.field)
                text = None if stored is None else self._ctx.canonical(kind, str(stored))
                if text is not None:
                    yield Identity(kind, text)

    # ---- erasing

    def _part(self, collection: Collection, part: list[_Old]) -> Iterator[Receipt]:
        if not part:
            return
        if self._ctx.dry_run:
            yield Receipt(None, collection.name, (_erased(part),))
            return
        self._ctx.state.put(_place(self._ctx), json.dumps([o.ticket_id for o in part]).encode())
        doomed = [old for old in part if self._to_bin(collection, old)]
        yield from self._empty(collection, doomed)
        self._ctx.state.forget(_place(self._ctx))

    def _to_bin(self, collection: Collection, old: _Old) -> bool:
        with moment(self._ctx) as guard:
            if not self._may_go(collection, old, guard.table):
                return False
            guard.intend(())
            self._api.delete(f"tickets/{old.ticket_id}")
            return True

    def _may_go(self, collection: Collection, old: _Old, tables: Tables) -> bool:
        """By the table of this moment too; holds that ask for owners need them read."""
        table = tables(collection.name)
        case = old.case
        if not case.owners and any(isinstance(rule.when, HeldPeople) for rule in table.rules):
            case = next(self._cases(table, [case.row]))
        return decide(table, case).action is Action.ERASE

    def _empty(self, collection: Collection, doomed: list[_Old]) -> Iterator[Receipt]:
        if not doomed:
            return
        with moment(self._ctx) as guard:
            may_go = [old for old in doomed if self._may_go(collection, old, guard.table)]
            receipt = Receipt(None, collection.name, (_erased(may_go),))
            guard.intend((receipt,))
            job = self._bin.start([old.ticket_id for old in may_go]) if may_go else None
        for old in doomed:
            if old not in may_go:
                self._restore(old.ticket_id)
        self._finish(job, [Doomed(old.ticket_id) for old in may_go])
        yield receipt

    def _restore(self, ticket_id: int) -> None:
        with moment(self._ctx) as guard:
            guard.intend(())
            self._bin.restore(ticket_id)

    def _finish(self, job: str | None, tickets: list[Doomed]) -> None:
        if self._bin.finish(job, tickets).pending:
            raise Transient("the helpdesk is still deleting tickets", retry_after_s=30)

    def _unfinished(self, collection: Collection) -> Iterator[Receipt]:
        """The part that an earlier call began: its jobs, then what it left in the bin.

        What lies in the bin comes back first and is decided anew: its clocks cannot be read there.
        """
        noted = self._ctx.state.get(_place(self._ctx))
        if noted is None:
            return
        ids = [int(i) for i in json.loads(noted)]
        settled = self._bin.resume(ids)
        if settled.pending:
            raise Transient("the helpdesk is still deleting tickets", retry_after_s=30)
        if settled.gone:
            gone = OutcomeCount(Outcome.ERASED, len(settled.gone))
            yield Receipt(None, collection.name, (gone,))
        for ticket_id in self._bin.holds(set(ids) - {d.ticket_id for d in settled.gone}):
            self._restore(ticket_id)
        self._ctx.state.forget(_place(self._ctx))


def _place(ctx: Context) -> str:
    return f"sweep:{ctx.operation_id}"


def _over_limit(table: DecisionTable, ticket: Row) -> bool:
    """Whether a rule that erases would match, were there no other."""
    case = Case(ticket)
    return any(r.action is Action.ERASE and matches(r.when, case) for r in table.rules)


def _erased(part: Sequence[_Old]) -> OutcomeCount:
    """These tickets as erased, whatever rule erases each."""
    counted = OutcomeCount(Outcome.ERASED, 0)
    for old in part:
        counted = counted.plus(_one(Outcome.ERASED, old))
    return counted


def _one(outcome: Outcome, old: _Old) -> OutcomeCount:
    clock = latest(old.rule, old.case.row)
    return OutcomeCount.one(outcome, ground=old.rule.ground, clock=clock)
