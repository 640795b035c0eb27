"""Who was in a leak at the helpdesk: users, and the requesters of leaked tickets.

In: scopes. Out: each person once per scope, with the identities their user row gives. A row was in
the window when it existed by its end; what was erased since cannot be known any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from connectors.helpdesk.api import PAGE, Api
from connectors.helpdesk.decide import instant
from connectors.helpdesk.layout import Layout, Row, text_at, value
from dsr_worker.contract import AffectedPerson, Configuration, Context, Identity, LeakScope


class Affected:
    """One call of `affected`."""

    def __init__(self, api: Api, layout: Layout, ctx: Context) -> None:
        self._api = api
        self._layout = layout
        self._ctx = ctx

    def run(self, scopes: Sequence[LeakScope]) -> Iterator[AffectedPerson]:
        """Everyone in every scope."""
        for scope in scopes:
            if scope.collection not in {c.name for c in self._layout.mapped}:
                raise Configuration(
                    "a leak scope names a collection that the helpdesk does not have"
                )
            users = self._layout.users
            if users is not None and scope.collection == users.name:
                yield from self._all_users(scope)
            else:
                yield from self._requesters(scope)

    def _all_users(self, scope: LeakScope) -> Iterator[AffectedPerson]:
        for user in self._api.pages("users", "users", role="end-user"):
            if _existed(user, scope.until_at):
                yield self._person(scope, user, 1)

    def _requesters(self, scope: LeakScope) -> Iterator[AffectedPerson]:
        tickets: Counter[int] = Counter()
        for ticket in self._api.changed_tickets(0):
            if _existed(ticket, scope.until_at):
                tickets[ticket["requester_id"]] += 1
        ids = sorted(tickets)
        for start in range(0, len(ids), PAGE):
            part = ids[start : start + PAGE]
            users = self._api.many("users", part)
            for number in part:
                user = users.get(number, {"id": number})
                yield self._person(scope, user, tickets[number])

    def _person(self, scope: LeakScope, user: Row, rows: int) -> AffectedPerson:
        residence = None
        if self._layout.users is not None and self._layout.users.residence is not None:
            residence = text_at(user, self._layout.users.residence)
        identities = tuple(dict.fromkeys(self._identities(user)))
        return AffectedPerson(scope.collection, identities, residence, rows)

    def _identities(self, user: Row) -> Iterator[Identity]:
        for kind in self._layout.requester_kinds:
            yield Identity(kind, str(user["id"]))
        if self._layout.users is None:
            return
        named = {kind: taken.field for kind, taken in self._layout.users.takes.items()}
        for kind, name in {**named, **self._layout.users.yields}.items():
            stored = value(user, name)
            text = None if stored is None else self._ctx.canonical(kind, str(stored))
            if text is not None:
                yield Identity(kind, text)


def _existed(row: Row, until_at: datetime | None) -> bool:
    created_at = instant(row.get("created_at"))
    return until_at is None or created_at is None or created_at <= until_at
