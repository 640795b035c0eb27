"""Who a subject is at the helpdesk: exactly matched users, soft-deleted ones included.

The API's search is partial (it answers `anna@…` with `joanna@…`), so that its answer is only a list
of candidates: an address, phone or number of theirs has to be equal in canonical form.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from connectors.helpdesk.api import Api
from connectors.helpdesk.layout import Layout, Row, as_id, value
from dsr_worker.contract import Context, Identity, NeedsHuman, Permanent, Subject

ID_FIELD = "id"
_MAX_VALUE_BYTES = 320  # no address is longer (RFC 5321, section 4.5.3.1: 64 + 1 + 255)
_MAX_CANDIDATES = 1_000
_REMEMBERED = 5_000
_GONE_NAME = "Permanently Deleted User"


@dataclass
class Found:
    """The users of one subject, by id, and by which identity kind each was found."""

    users: dict[int, Row] = field(default_factory=dict)
    via: dict[int, str] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)

    def add(self, user: Row, kind: str) -> None:
        """Note a user; the first kind that found them stays."""
        self.users.setdefault(user["id"], user)
        self.via.setdefault(user["id"], kind)


class People:
    """Finds users for one call of the connector; equal searches are made once."""

    def __init__(self, api: Api, layout: Layout, ctx: Context) -> None:
        self._api = api
        self._layout = layout
        self._ctx = ctx
        self._searched: dict[tuple[str, str], list[Row]] = {}

    def find(self, subjects: Sequence[Subject], *, deleted: bool) -> dict[str, Found]:
        """The users of each subject, by ref. Raises NeedsHuman when one of them is no end-user."""
        found: dict[str, Found] = {subject.ref: Found() for subject in subjects}
        for ref, user, kind in self._live(subjects):
            found[ref].add(user, kind)
        if deleted and self._api.config.scan_deleted:
            for ref, user, kind in self._deleted(subjects):
                found[ref].add(user, kind)
                found[ref].deleted.add(user["id"])
        for ref, one in found.items():
            refuse_agents(one.users.values(), ref)
        return found

    def _takes(self) -> Iterator[tuple[str, str]]:
        if self._layout.users is not None:
            for kind, taken in self._layout.users.takes.items():
                yield kind, taken.field

    def _wanted(
        self, subjects: Sequence[Subject], *, by_id: bool
    ) -> dict[tuple[str, str, str], list[str]]:
        """(kind, field, value) -> refs."""
        wanted: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for kind, name in self._takes():
            for subject in subjects:
                for text in subject.values(kind):
                    if (name == ID_FIELD) == by_id and not self._names_nobody(name, text):
                        wanted[kind, name, text].append(subject.ref)
        return wanted

    def _names_nobody(self, name: str, text: str) -> bool:
        return self._layout.users is not None and self._layout.users.names_nobody(name, text)

    def _live(self, subjects: Sequence[Subject]) -> Iterator[tuple[str, Row, str]]:
        by_id = {
            number: (kind, refs)
            for (kind, _, text), refs in self._wanted(subjects, by_id=True).items()
            if (number := as_id(text)) is not None
        }
        for user in self._by_ids(list(by_id)):
            kind, refs = by_id[user["id"]]
            yield from ((ref, user, kind) for ref in refs)
        for (kind, name, text), refs in self._wanted(subjects, by_id=False).items():
            for user in self.exactly(kind, name, text):
                yield from ((ref, user, kind) for ref in refs)

    def _by_ids(self, ids: list[int]) -> Iterable[Row]:
        if not self._ctx.second_path:
            return self._api.many("users", ids).values()
        answers = (self._api.probe(f"users/{number}") for number in ids)
        users = (answer["user"] for answer in answers if answer is not None)
        return [user for user in users if user.get("active", True)]

    def exactly(self, kind: str, name: str, text: str) -> list[Row]:
        """Live users whose `name` field, or one of whose addresses, is equal to `text`."""
        if len(self._searched) > _REMEMBERED:
            self._searched.clear()
        if (kind, text) not in self._searched:
            self._searched[kind, text] = [
                user for user in self._candidates(name, text) if self._equal(user, kind, name, text)
            ]
        return self._searched[kind, text]

    def _candidates(self, name: str, text: str) -> Iterator[Row]:
        if not text.strip() or len(text.encode()) > _MAX_VALUE_BYTES:
            return
        query = text if '"' in text else f'"{text}"'
        if name == "external_id":
            yield from self._search({"external_id": text})
        elif self._ctx.second_path:
            params = {"query": query, "filter[type]": "user"}
            yield from self._api.pages("search/export", "results", **params)
        else:
            yield from self._search({"query": query})

    def _search(self, asked: dict[str, str]) -> Iterator[Row]:
        seen = 0
        for page in range(1, 1 + _MAX_CANDIDATES // 100):
            answer = self._api.get("users/search", **asked, page=page, per_page=100)
            seen += len(answer["users"])
            yield from answer["users"]
            if not answer.get("next_page"):
                return
        raise NeedsHuman("helpdesk_too_many_matches", {"candidates": seen})

    def _equal(self, user: Row, kind: str, name: str, text: str) -> bool:
        if self._same(kind, value(user, name), text):
            return True
        if name not in ("email", "phone"):
            return False
        return any(
            self._same(kind, identity["value"], text)
            for identity in self.identities(user)
            if identity["type"] == {"email": "email", "phone": "phone_number"}[name]
            and identity.get("verified", False)
        )

    def is_anothers(self, user: Row, subject: Subject) -> bool:
        """Whether a located user goes by somebody else's names by now, and by none of theirs.

        One whose names were masked goes by none.
        """
        takes = list(self._takes())
        if any(
            self._equal(user, kind, name, text)
            for kind, name in takes
            for text in subject.values(kind)
        ):
            return False
        return any(self._names_somebody(user, kind, name) for kind, name in takes)

    def _names_somebody(self, user: Row, kind: str, name: str) -> bool:
        users, stored = self._layout.users, value(user, name)
        if users is None or name == ID_FIELD or stored is None:
            return False
        mask = users.fields[name].mask if name in users.fields else None
        if (mask is not None and mask.holds(stored)) or users.names_nobody(name, str(stored)):
            return False
        return self._ctx.canonical(kind, str(stored)) is not None

    def canonical(self, kind: str, text: str) -> str | None:
        """The canonical form of a value found in a text."""
        return self._ctx.canonical(kind, text)

    def _same(self, kind: str, stored: object, text: str) -> bool:
        return stored is not None and self._ctx.canonical(kind, str(stored)) == text

    def identities(self, user: Row) -> list[Row]:
        """A live user's addresses and phones; kept on the row so that they are read once."""
        if "identities" not in user:
            path = f"users/{user['id']}/identities"
            user["identities"] = list(self._api.pages(path, "identities"))
        identities: list[Row] = user["identities"]
        return identities

    def _deleted(self, subjects: Sequence[Subject]) -> Iterator[tuple[str, Row, str]]:
        wanted = self._wanted(subjects, by_id=True) | self._wanted(subjects, by_id=False)
        if not wanted:
            return
        index: dict[tuple[str, str], list[str]] = {}
        for (kind, _, text), refs in wanted.items():
            index[kind, text] = refs
        for user in self._api.pages("deleted_users", "deleted_users"):
            matches = list(self._matches(user, index))
            if matches and self._only_soft(user):
                user["identities"] = []
                for ref, kind in matches:
                    yield ref, user, kind

    def binned_bearers(self, identities: set[Identity]) -> dict[Identity, set[int]]:
        """Which users in the bin carry each of these identities; one listing for all of them."""
        bearers: dict[Identity, set[int]] = defaultdict(set)
        asked = {i for i in identities if ID_FIELD not in self._fields(i.kind)}
        if asked and self._api.config.scan_deleted:
            for user in self._api.pages("deleted_users", "deleted_users"):
                carried = {i for i in asked if self._carries(user, i)}
                if carried and self._only_soft(user):
                    for identity in carried:
                        bearers[identity].add(user["id"])
        return bearers

    def _fields(self, kind: str) -> set[str]:
        """The fields of a user that hold an identity of this kind."""
        users = self._layout.users
        if users is None:
            return set()
        taken = {users.takes[kind].field} if kind in users.takes else set()
        return taken | ({users.yields[kind]} if kind in users.yields else set())

    def _carries(self, user: Row, identity: Identity) -> bool:
        return any(
            self._same(identity.kind, value(user, name), identity.value)
            for name in self._fields(identity.kind)
        )

    def _matches(
        self, user: Row, index: dict[tuple[str, str], list[str]]
    ) -> Iterator[tuple[str, str]]:
        for kind, name in self._takes():
            stored = value(user, name)
            text = None if stored is None else self._ctx.canonical(kind, str(stored))
            for ref in index.get((kind, text), ()) if text is not None else ():
                yield ref, kind

    def _only_soft(self, user: Row) -> bool:
        return not _is_gone(user) and soft_deleted(self._api, user["id"]) is not None


def soft_deleted(api: Api, number: int) -> Row | None:
    """A user who can still be restored; None for one who is alive, unknown or gone for good."""
    answer = api.probe(f"deleted_users/{number}")
    user: Row | None = None if answer is None else answer["deleted_user"]
    return None if user is None or _is_gone(user) else user


def _is_gone(user: Row) -> bool:
    """Whether this is what a permanent deletion leaves of a user."""
    return bool(user["name"] == _GONE_NAME and not user.get("email"))


def refuse_agents(users: Iterable[Row], ref: str) -> None:
    """An agent's name stands in other people's tickets: a person decides. Raises NeedsHuman."""
    for user in users:
        if user.get("role", "end-user") != "end-user":
            raise NeedsHuman("helpdesk_agent", {"subject_ref": ref, "look_at": "users.role"})


def requester_ids(layout: Layout, subject: Subject, found: Found) -> set[int]:
    """Under which user ids a subject has tickets: those they are known by and those found."""
    named = (as_id(text) for kind in layout.requester_kinds for text in subject.values(kind))
    return {number for number in named if number is not None} | set(found.users)


def requested(api: Api, user_id: int, *, second_path: bool) -> Iterator[Row]:
    """The live tickets a user has requested. A deleted user has no such list: then by search."""
    rows = None
    if not second_path:
        rows = api.pages_or_none(f"users/{user_id}/tickets/requested", "tickets", {})
    if rows is None:
        query = {"query": f"requester:{user_id}", "filter[type]": "ticket"}
        rows = api.pages("search/export", "results", **query)
    return (ticket for ticket in rows if ticket["requester_id"] == user_id)


def binned(api: Api, user_ids: set[int]) -> Iterator[Row]:
    """Soft-deleted tickets of these users: the bin is emptied after 30 days, so 31 are read."""
    if not user_ids or not api.config.scan_deleted:
        return
    if api.remote_at is None:
        api.get("users/me")
    if api.remote_at is None:
        raise Permanent("the helpdesk sends no Date header; cannot read its deleted tickets")
    for ticket in api.changed_tickets(api.remote_at.timestamp() - 31 * 86_400):
        if ticket["status"] == "deleted" and ticket["requester_id"] in user_ids:
            yield ticket
