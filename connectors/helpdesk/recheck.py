"""What is still at the helpdesk: by every identity and number, then every located key by itself.

In: the sealed keys, a connection of its own. Out: keys, each once. No step follows what the erasure
cut: tickets are asked for under the located users' numbers, whether or not those users still exist,
and what no identity leads to any more is asked for by its own number, the bins included.

A comment cannot be asked for alone: it is there when its ticket shows it, or when its ticket lies
in the bin, where comments cannot be read. A file that no ticket shows is asked for by its number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from connectors.helpdesk.api import Api
from connectors.helpdesk.bin import Bin
from connectors.helpdesk.bundle import read_comments
from connectors.helpdesk.layout import NO_ID, Layout, files_of, id_of, part_of
from connectors.helpdesk.people import soft_deleted
from connectors.helpdesk.records import Reading
from dsr_worker.contract import Collection, Context, Identity, Key, Subject


class Recheck:
    """One call of `recheck`."""

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
        self._subjects = subjects
        self._ctx = ctx
        self._located: dict[str, list[Key]] = {c.name: [] for c in layout.mapped}
        for key in dict.fromkeys(keys):
            self._located[key.collection].append(key)
        self._users = self._numbers_of(layout.users)
        self._tickets = self._numbers_of(layout.tickets)

    def _numbers_of(self, collection: Collection | None) -> dict[str, set[int]]:
        """The located numbers by subject."""
        found: dict[str, set[int]] = defaultdict(set)
        if collection is not None:
            for key in self._located[collection.name]:
                found[key.subject_ref].add(id_of(collection, key.key))
        return found

    def run(self) -> Iterator[Key]:
        """Every key that is still there."""
        told: set[Key] = set()
        people = [self._with_numbers(subject) for subject in self._subjects]
        found = Reading(self._api, self._layout, people, self._ctx).keys()
        for key in found:
            if key not in told:
                told.add(key)
                yield key
        missing = {
            name: [key for key in keys if key not in told] for name, keys in self._located.items()
        }
        yield from self._users_left(missing)
        yield from self._tickets_left(missing)

    def _with_numbers(self, subject: Subject) -> Subject:
        """A subject who goes by the numbers of their located users as well."""
        numbers = [
            Identity(kind, str(number))
            for kind in self._layout.requester_kinds
            for number in sorted(self._users[subject.ref] - {NO_ID})
        ]
        return Subject(subject.ref, tuple(dict.fromkeys((*subject.identities, *numbers))))

    def _users_left(self, missing: Mapping[str, list[Key]]) -> Iterator[Key]:
        users = self._layout.users
        if users is None:
            return
        keys = [(id_of(users, key.key), key) for key in missing[users.name]]
        numbers = sorted({number for number, _ in keys})
        answers = self._api.many("users", numbers)
        there = {number for number, user in answers.items() if user.get("active", True)}
        there |= {n for n in numbers if n not in there and soft_deleted(self._api, n) is not None}
        yield from (key for number, key in keys if number in there)

    def _tickets_left(self, missing: Mapping[str, list[Key]]) -> Iterator[Key]:
        layout = self._layout
        if layout.tickets is None:
            return
        tickets = [(id_of(layout.tickets, key.key), key) for key in missing[layout.tickets.name]]
        hanging = [
            (collection, key)
            for collection in (layout.comments, layout.attachments)
            if collection is not None
            for key in missing[collection.name]
        ]
        asked = {t for collection, key in hanging for t in self._tickets_of(collection, key)}
        numbers = asked | {number for number, _ in tickets}
        alive = self._api.many("tickets", sorted(numbers)).keys()
        binned = Bin(self._api, self._ctx).holds(numbers - alive).keys()
        yield from (key for number, key in tickets if number in alive or number in binned)
        shown = set(self._shown(sorted(asked & alive)))
        for collection, key in hanging:
            in_bin = part_of(collection, key.key, "ticket_id") in binned
            number = id_of(collection, key.key)
            if in_bin or (collection.name, number) in shown or self._file_left(collection, number):
                yield key

    def _file_left(self, collection: Collection, number: int) -> bool:
        """Whether a file can still be had by its number, though its ticket is gone."""
        if collection is not self._layout.attachments or number == NO_ID:
            return False
        answer = self._api.probe(f"attachments/{number}")
        return answer is not None and not answer["attachment"].get("deleted", False)

    def _tickets_of(self, collection: Collection, key: Key) -> set[int]:
        """The ticket that a key names; all of the subject's where the map leaves it out."""
        named = part_of(collection, key.key, "ticket_id")
        return self._tickets[key.subject_ref] if named is None else {named}

    def _shown(self, ticket_ids: Iterable[int]) -> Iterator[tuple[str, int]]:
        """Collection and number of every comment and file that these tickets show."""
        comments, files = self._layout.comments, self._layout.attachments
        for ticket_id in ticket_ids:
            for comment in read_comments(self._api, ticket_id):
                if comments is not None:
                    yield comments.name, comment["id"]
                if files is not None:
                    yield from ((files.name, file["id"]) for file in files_of(comment))
