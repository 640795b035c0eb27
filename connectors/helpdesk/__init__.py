"""The helpdesk connector, for Zendesk and what answers like it.

In: a system of the data map whose collections read `users`, `tickets`, `comments`, `attachments`.
Out: what the contract asks for. Docs: `docs/connectors/zendesk.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import ClassVar

from pydantic import BaseModel

from connectors.helpdesk.affected import Affected
from connectors.helpdesk.api import Api, Line, Unmetered, ZendeskConfig
from connectors.helpdesk.erase import Erasure
from connectors.helpdesk.layout import Layout, Row, key_of, layout, text_at, value
from connectors.helpdesk.mentions import Mentioning
from connectors.helpdesk.people import ID_FIELD, Found, People
from connectors.helpdesk.recheck import Recheck
from connectors.helpdesk.records import Reading
from connectors.helpdesk.sweep import Sweep
from dsr_worker.contract import (
    AffectedPerson,
    Collection,
    ConnectorError,
    ContactPoint,
    Context,
    Finding,
    Identity,
    Key,
    LeakScope,
    Link,
    Mention,
    Receipt,
    Record,
    Residence,
    Severity,
    Subject,
    SweepOrder,
    System,
)

__all__ = ["Zendesk", "ZendeskConfig"]

_MASKED_BY_API = {
    "tickets": {"subject", "tags", "custom_fields", "external_id", "description"},
    "comments": {"body", "plain_body", "html_body"},
    "attachments": {"file_name", "content"},
}


class Zendesk:
    """One helpdesk; every protocol of the contract.

    Raises Configuration when the map names resources that the helpdesk does not have.
    """

    Config: ClassVar[type[BaseModel]] = ZendeskConfig

    def __init__(self, system: System, config: ZendeskConfig) -> None:
        self.system = system
        self._config = config
        self._layout: Layout = layout(system)
        self._line = Line(config)

    def close(self) -> None:
        """Close the connections; the connector is not used afterwards."""
        self._line.close()

    @contextmanager
    def _api(self, ctx: Context) -> Iterator[Api]:
        """The API for one call; verification gets a connection of its own."""
        if not ctx.second_path:
            yield Api(self._line, ctx)
            return
        with closing(Line(self._config)) as line:
            yield Api(line, ctx)

    # ---- Connector

    def check(self) -> Iterable[Finding]:
        """Whether the helpdesk answers, the account may do what is needed, and masks can be put."""
        yield from self._check_account()
        for collection in self._layout.mapped:
            possible = _MASKED_BY_API.get(str(collection.source["resource"]))
            for name, field in collection.fields.items():
                if possible is not None and field.mask is not None and name not in possible:
                    yield Finding(
                        Severity.ERROR,
                        f"{self.system.name}.{collection.name}.{name}",
                        "the API cannot change this field, so its mask would never hold",
                        f"take the mask off; fields that can be masked: {sorted(possible)}",
                    )

    def _check_account(self) -> Iterator[Finding]:
        try:
            user = Api(self._line, Unmetered()).get("users/me")["user"]
        except ConnectorError as error:
            remedy = "check base_url, email and token of this system's configuration"
            yield Finding(Severity.ERROR, self.system.name, str(error), remedy)
            return
        if user.get("role") == "admin":
            yield Finding(Severity.OK, self.system.name, "reached, signed in as an administrator")
        else:
            yield Finding(
                Severity.ERROR,
                self.system.name,
                "the account is no administrator: permanent deletion will be refused",
                "use the token of an administrator, or grant deletion of users and tickets",
            )

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Users, tickets, comments and files of the subjects. Reads only."""
        if subjects:
            with self._api(ctx) as api:
                yield from Reading(api, self._layout, subjects, ctx).records()

    # ---- Contacts and Resolves

    def contacts(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[ContactPoint]:
        """Stored contact points of users whose claimed identity matches exactly. Reads only."""
        users = self._layout.users
        if users is None or not subjects or not users.contact:
            return
        with self._api(ctx) as api:
            found = People(api, self._layout, ctx).find(subjects, deleted=False)
        for ref, one in found.items():
            for user in one.users.values():
                for kind, name in users.contact.items():
                    if value(user, name):
                        yield ContactPoint(ref, kind, str(value(user, name)))

    def resolve(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Link]:
        """User ids and further verified addresses of the subjects' users. Reads only.

        An address that its owner never confirmed is no identity of theirs and is not handed on.
        Users in the bin are people like any other: they are found, and they count as owners.
        """
        users = self._layout.users
        if users is None or not subjects:
            return
        with self._api(ctx) as api:
            people = People(api, self._layout, ctx)
            found = people.find(subjects, deleted=True)
            links = [
                link
                for subject in subjects
                for user in found[subject.ref].users.values()
                for link in self._links(subject, user, found[subject.ref], people, users)
            ]
            known = {subject.ref: frozenset(subject.identities) for subject in subjects}
            fresh = {x.identity for x in links if x.identity not in known[x.subject_ref]}
            binned = people.binned_bearers(fresh)
            for link in links:
                others = binned.get(link.identity, set()) - found[link.subject_ref].users.keys()
                yield replace(link, owners=link.owners + len(others))

    def residences(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Residence]:
        """What the subjects' users say of where they live, those in the bin too. Reads only."""
        users = self._layout.users
        if users is None or users.residence is None or not subjects:
            return
        with self._api(ctx) as api:
            found = People(api, self._layout, ctx).find(subjects, deleted=True)
        for ref, one in found.items():
            stated = {text_at(user, users.residence) for user in one.users.values()}
            for text in sorted(filter(None, stated)):
                yield Residence(ref, users.name, text)

    def _links(
        self, subject: Subject, user: Row, found: Found, people: People, users: Collection
    ) -> Iterator[Link]:
        """The identity that found the user, and those that the user has; live owners counted."""
        key, via = key_of(users, user), found.via[user["id"]]
        found_by = Identity(via, subject.values(via)[0])
        for identity in dict.fromkeys((found_by, *self._yielded(user, people, users))):
            owners = self._owners(identity, found, people, users)
            yield Link(subject.ref, identity, users.name, key, via, owners)

    def _yielded(self, user: Row, people: People, users: Collection) -> Iterator[Identity]:
        for kind, name in users.yields.items():
            if not users.names_nobody(name, str(value(user, name))):
                yield from _identity(people, kind, value(user, name))
        for kind, taken in users.takes.items():
            if taken.field == "email":
                for identity in people.identities(user):
                    if identity["type"] == "email" and identity.get("verified", False):
                        yield from _identity(people, kind, identity["value"])

    def _owners(self, identity: Identity, found: Found, people: People, users: Collection) -> int:
        """Live users outside this subject's who carry the same value."""
        name = users.yields.get(identity.kind) or users.takes[identity.kind].field
        if name == ID_FIELD:
            return 0
        others = people.exactly(identity.kind, name, identity.value)
        return sum(1 for other in others if other["id"] not in found.users)

    # ---- Erases, Rechecks and Mentions

    def locate(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """The keys of everything of the subjects, soft-deleted rows too. Reads only."""
        if subjects:
            with self._api(ctx) as api:
                yield from Reading(api, self._layout, subjects, ctx).keys()

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Tickets for good, then users; what stays is redacted and masked.

        Rows whose deletion the helpdesk has accepted and not finished are `pending_remote`: the
        same call again asks for the job first.
        """
        if subjects:
            with self._api(ctx) as api:
                yield from Erasure(api, self._layout, subjects, keys, ctx).run()

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """Which of `keys` are still there, in the bins too, and what else the identities find."""
        if subjects:
            with closing(Line(self._config)) as line:
                yield from Recheck(Api(line, ctx), self._layout, subjects, keys, ctx).run()

    def mentions(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Mention]:
        """Where other people's tickets name the subjects. Reads only."""
        with self._api(ctx) as api:
            yield from Mentioning(api, self._layout, ctx).run(subjects)

    # ---- Sweeps and Affected

    def sweep(self, orders: Sequence[SweepOrder], ctx: Context) -> Iterator[Receipt]:
        """Erase tickets whose time is over, in parts. A repeat finishes the part it finds begun."""
        with self._api(ctx) as api:
            yield from Sweep(api, self._layout, ctx).run(orders)

    def affected(self, scopes: Sequence[LeakScope], ctx: Context) -> Iterator[AffectedPerson]:
        """Users and requesters whose rows existed in the leaked window. Reads only."""
        with self._api(ctx) as api:
            yield from Affected(api, self._layout, ctx).run(scopes)


def _identity(people: People, kind: str, stored: object) -> Iterator[Identity]:
    text = None if stored is None else people.canonical(kind, str(stored))
    if text is not None:
        yield Identity(kind, text)
