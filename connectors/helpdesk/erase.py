"""Erasing at the helpdesk: tickets into the bin and out of it for good, then the users.

In: sealed keys, decision tables. Out: one receipt per subject and collection. Every effect is of
the class *probe*: what is alive, in the bin, under way or gone is looked at before anything is
done, so that a repeat after a crash, a timeout or a slow job goes on where the last call stopped.

A key counts as `already_gone` only because it was located before; a 404 alone proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from connectors.helpdesk.api import PAGE, Api, Refused
from connectors.helpdesk.bin import Bin, Doomed, Settled
from connectors.helpdesk.bundle import (
    Bundle,
    decidable_unread,
    read_comments,
    unread_bundle,
)
from connectors.helpdesk.decide import Case, Tables, Tally, decide, latest, needed
from connectors.helpdesk.layout import Layout, Row, as_id, files_of, id_of, part_of
from connectors.helpdesk.moment import moment
from connectors.helpdesk.people import People, refuse_agents
from connectors.helpdesk.stay import Stay, user_changes
from dsr_worker.contract import (
    OWNER_CHANGED,
    Action,
    Collection,
    Context,
    Key,
    NeedsHuman,
    Outcome,
    Receipt,
    Rule,
    Subject,
)

HELD_IN_BIN = "held_in_bin"

Located = dict[int, list[Key]]


class Erasure:
    """One call of `erase`."""

    def __init__(
        self,
        api: Api,
        layout: Layout,
        subjects: Sequence[Subject],
        keys: Iterable[Key],
        ctx: Context,
    ) -> None:
        self._api = api
        self._layout = layout
        self._subjects = {subject.ref: subject for subject in subjects}
        self._ctx = ctx
        self._bin = Bin(api, ctx)
        self._tally = Tally(ctx.digest)
        self._located: dict[str, Located] = {c.name: {} for c in layout.mapped}
        self._staying: set[int] = set()  # users whose tickets stay
        self._waiting: set[str] = set()  # subjects with tickets under way
        self._people = People(api, layout, ctx)
        collections = {c.name: c for c in layout.mapped}
        for key in keys:
            number = id_of(collections[key.collection], key.key)
            self._located[key.collection].setdefault(number, []).append(key)
        self._stay = Stay(api, layout, ctx, self._tally, self._keys)

    def run(self) -> Iterator[Receipt]:
        """Carry it out, children first, and hand back the receipts."""
        self._leave_anothers()
        if self._layout.tickets is not None:
            self._tickets(sorted(self._located[self._layout.tickets.name]))
        if self._layout.users is not None:
            self._users(sorted(self._located[self._layout.users.name]))
        for located in self._located.values():
            for keys in located.values():
                self._tally.add(keys, Outcome.ALREADY_GONE)
        places = [(ref, c.name) for ref in self._subjects for c in self._layout.mapped]
        yield from self._tally.receipts(places)

    def _keys(self, collection: Collection | None, number: int) -> list[Key]:
        return [] if collection is None else self._located[collection.name].get(number, [])

    def _refs(self, collection: Collection | None, number: int) -> frozenset[str]:
        return frozenset(key.subject_ref for key in self._keys(collection, number))

    # ---- tickets

    def _tickets(self, ids: list[int]) -> None:
        under_way = self._bin.resume(ids)
        self._count_settled(self._tally, under_way)
        handled = {d.ticket_id for d in (*under_way.gone, *under_way.pending)}
        ids = [i for i in ids if i not in handled]
        missing: set[int] = set()
        for start in range(0, len(ids), PAGE):
            asked = ids[start : start + PAGE]
            alive = self._api.many("tickets", asked)
            missing |= set(asked) - alive.keys()
            self._live(list(alive.values()))
        self._from_bin(missing)

    def _from_bin(self, missing: set[int]) -> None:
        """Tickets that an earlier attempt, or an agent, has put into the bin."""
        bundles = [
            unread_bundle(ticket, self._refs(self._layout.tickets, ticket["id"]))
            for ticket in self._bin.holds(missing).values()
        ]
        for start in range(0, len(bundles), PAGE):
            refused = self._empty(bundles[start : start + PAGE])
            if self._ctx.dry_run:
                for bundle in refused:
                    keys = self._keys(self._layout.tickets, bundle.ticket_id)
                    self._tally.add(keys, Outcome.RETAINED, ground=HELD_IN_BIN)
            else:
                restored = self._api.many("tickets", [b.ticket_id for b in refused])
                self._live(list(restored.values()))

    def _live(self, rows: Sequence[Row]) -> None:
        """At most 100 live tickets: into the bin, out of it for good; what may not go is kept."""
        doomed: list[Bundle] = []
        for row in rows:
            bundle = self._read(row)
            if not self._still_theirs(bundle):
                self._keep_whole(bundle)
            elif self._to_bin(bundle):
                doomed.append(bundle)
            else:
                self._keep(bundle)
        for bundle in self._empty(doomed):
            self._keep(bundle)

    def _read(self, row: Row) -> Bundle:
        refs = self._refs(self._layout.tickets, row["id"])
        return Bundle(row["id"], row, refs, read_comments(self._api, row["id"]))

    def _to_bin(self, bundle: Bundle) -> bool:
        """The soft deletion, when the whole ticket may go as of this moment."""
        with moment(self._ctx) as guard:
            if not bundle.decide(self._layout, guard.table).erases:
                return False
            if not self._ctx.dry_run:
                guard.intend(())
                self._api.delete(f"tickets/{bundle.ticket_id}")
            return True

    def _empty(self, bundles: Sequence[Bundle]) -> list[Bundle]:
        """The permanent deletion of tickets in the bin; those that may no longer go come back."""
        if not bundles:
            return []
        job: str | None = None
        with moment(self._ctx) as guard:
            may_go = [b for b in bundles if self._may_go(b, guard.table)]
            doomed = [self._doomed(b) for b in may_go]
            part = Tally(self._ctx.digest)
            self._count_settled(part, Settled(gone=doomed))
            if doomed and not self._ctx.dry_run:
                guard.intend(tuple(part.receipts()))
                job = self._bin.start([d.ticket_id for d in doomed])
        self._count_settled(self._tally, self._bin.finish(job, doomed))
        refused = [b for b in bundles if b not in may_go]
        for bundle in refused:
            self._restore(bundle)
        return refused

    def _doomed(self, bundle: Bundle) -> Doomed:
        """The ticket with its comments and files; in the bin they are known by their keys alone."""
        if _unread(bundle):
            comments = self._hanging(self._layout.comments, bundle.ticket_id)
            return Doomed(
                bundle.ticket_id,
                comments,
                self._hanging(self._layout.attachments, bundle.ticket_id),
            )
        files = tuple(file["id"] for comment in bundle.comments for file in files_of(comment))
        return Doomed(bundle.ticket_id, tuple(c["id"] for c in bundle.comments), files)

    def _hanging(self, collection: Collection | None, ticket_id: int) -> tuple[int, ...]:
        if collection is None or "ticket_id" not in collection.key:
            return ()
        located = self._located[collection.name]
        return tuple(
            number
            for number, keys in located.items()
            if part_of(collection, keys[0].key, "ticket_id") == ticket_id
        )

    def _may_go(self, bundle: Bundle, tables: Tables) -> bool:
        if _unread(bundle) and not decidable_unread(self._layout, tables):
            return False
        return bundle.decide(self._layout, tables).erases

    def _restore(self, bundle: Bundle) -> None:
        with moment(self._ctx) as guard:
            if not self._ctx.dry_run:
                guard.intend(())
                self._bin.restore(bundle.ticket_id)

    def _count_settled(self, tally: Tally, settled: Settled) -> None:
        for outcome, tickets in (
            (Outcome.ERASED, settled.gone),
            (Outcome.PENDING_REMOTE, settled.pending),
        ):
            for doomed in tickets:
                self._count_ticket(tally, doomed, outcome)
        for doomed in settled.pending:
            self._waiting |= self._refs(self._layout.tickets, doomed.ticket_id)

    def _count_ticket(self, tally: Tally, doomed: Doomed, outcome: Outcome) -> None:
        layout = self._layout
        tally.add(self._keys(layout.tickets, doomed.ticket_id), outcome)
        for comment_id in doomed.comments:
            tally.add(self._keys(layout.comments, comment_id), outcome)
        for file_id in doomed.files:
            tally.add(self._keys(layout.attachments, file_id), outcome)

    def _still_theirs(self, bundle: Bundle) -> bool:
        """Whether the requester is still the subject: tickets can be merged or handed on."""
        return all(bundle.row["requester_id"] in self._users_of(ref) for ref in bundle.refs)

    def _leave_anothers(self) -> None:
        """Take out the users who go by another's names by now: neither they nor theirs go."""
        if self._layout.users is None:
            return
        located = self._located[self._layout.users.name]
        for number, user in self._api.many("users", sorted(located)).items():
            anothers = [
                key
                for key in located[number]
                if self._people.is_anothers(user, self._subjects[key.subject_ref])
            ]
            self._tally.add(anothers, Outcome.RETAINED, ground=OWNER_CHANGED)
            located[number] = [key for key in located[number] if key not in anothers]
            if not located[number]:
                del located[number]

    def _users_of(self, ref: str) -> set[int]:
        subject = self._subjects[ref]
        named = (
            as_id(text) for kind in self._layout.requester_kinds for text in subject.values(kind)
        )
        users = self._located[self._layout.users.name] if self._layout.users is not None else {}
        found = {n for n, keys in users.items() if any(key.subject_ref == ref for key in keys)}
        return found | {number for number in named if number is not None}

    def _keep_whole(self, bundle: Bundle) -> None:
        for collection, number in _rows(self._layout, bundle):
            keys = self._keys(collection, number)
            self._tally.add(keys, Outcome.RETAINED, ground=OWNER_CHANGED)

    def _keep(self, bundle: Bundle) -> None:
        self._staying.add(bundle.row["requester_id"])
        self._stay.keep(bundle, lambda: moment(self._ctx))

    # ---- users

    def _users(self, ids: list[int]) -> None:
        alive = self._api.many("users", ids)
        for number in ids:
            keys = self._keys(self._layout.users, number)
            if self._refs(self._layout.users, number) & self._waiting:
                self._tally.add(keys, Outcome.PENDING_REMOTE)
            elif number in alive:
                refuse_agents([alive[number]], keys[0].subject_ref)
                self._user(alive[number], keys, live=True)
            elif (answer := self._api.probe(f"deleted_users/{number}")) is not None:
                self._user(answer["deleted_user"], keys, live=False)

    def _user(self, user: Row, keys: list[Key], *, live: bool) -> None:
        """One user: erased for good, or masked when a staying ticket needs them, or retained."""
        collection = self._layout.users
        if collection is None:
            return
        changes = user_changes(self._api, user) if live else None
        with moment(self._ctx) as guard:
            rule = self._user_rule(collection, user, keys, guard.table)
            part = Tally(self._ctx.digest)
            if rule.action is Action.ERASE:
                part.add(keys, Outcome.ERASED)
            else:
                fields = changes.fields(rule.masks) if changes and rule.action is Action.MASK else 0
                outcome = (
                    Outcome.MASKED if rule.action is Action.MASK and live else Outcome.RETAINED
                )
                at = latest(rule, user)
                part.add(keys, outcome, ground=rule.ground, fields=fields, clock=at)
            if not self._ctx.dry_run:
                if rule.action is Action.ERASE:
                    guard.intend(tuple(part.receipts()))
                    self._delete_user(user["id"], live=live)
                elif changes is not None and changes.fields(rule.masks):
                    guard.intend(tuple(part.receipts()))
                    ref = keys[0].subject_ref
                    changes.apply(rule.masks, lambda text: self._ctx.pseudonym(ref, text))
        self._tally.merge(part)

    def _user_rule(
        self, collection: Collection, user: Row, keys: list[Key], tables: Tables
    ) -> Rule:
        stays = user["id"] in self._staying and self._layout.tickets is not None
        staying = frozenset({self._layout.tickets.name} if stays and self._layout.tickets else ())
        case = Case(user, frozenset(key.subject_ref for key in keys), staying=staying)
        return needed(decide(tables(collection.name), case), collection, case)

    def _delete_user(self, number: int, *, live: bool) -> None:
        """Soft and permanent deletion in one moment: no hold can come between."""
        try:
            if live:
                self._api.delete(f"users/{number}")
            self._api.delete(f"deleted_users/{number}")
        except Refused:
            raise NeedsHuman(
                "helpdesk_user_in_use", {"look_at": "tickets that came after the plan"}
            ) from None


def _unread(bundle: Bundle) -> bool:
    return [comment["id"] for comment in bundle.comments] == [0]


def _rows(layout: Layout, bundle: Bundle) -> Iterator[tuple[Collection | None, int]]:
    yield layout.tickets, bundle.ticket_id
    for comment in bundle.comments:
        yield layout.comments, comment["id"]
        for file in files_of(comment):
            yield layout.attachments, file["id"]
