"""Everything the helpdesk holds of a subject, as records of an access package, and as keys.

In: subjects. Out: users with their addresses, tickets, comments and files, soft-deleted ones too.
A soft-deleted ticket's comments cannot be read by the API: its own record says `deleted`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.helpdesk.api import Api
from connectors.helpdesk.bundle import read_comments
from connectors.helpdesk.layout import Layout, Row, files_of, key_of
from connectors.helpdesk.people import Found, People, binned, requested, requester_ids
from connectors.helpdesk.withhold import (
    Others,
    Pen,
    own_values,
    taking_part,
    without_author,
    without_people,
)
from dsr_worker.contract import (
    Attachment,
    Collection,
    Context,
    Key,
    Record,
    Subject,
    Withheld,
    body_of,
)

TOO_LARGE = "attachment_too_large"
FOREIGN_HOST = "attachment_on_another_host"
DELETED = "deleted"
_URLS = ("content_url", "mapped_content_url", "url", "thumbnails")


class Reading:
    """One call of `find` or `locate`."""

    def __init__(self, api: Api, layout: Layout, subjects: Sequence[Subject], ctx: Context) -> None:
        self._api = api
        self._layout = layout
        self._subjects = subjects
        self._ctx = ctx
        self._people = People(api, layout, ctx)
        self._others = Others(api, self._people)

    # ---- keys

    def keys(self) -> Iterator[Key]:
        """The key of everything, parents first."""
        found = self._people.find(self._subjects, deleted=True)
        for subject in self._subjects:
            yield from self._keys_of(subject, found[subject.ref])
        if self._layout.tickets is not None:
            for ref, ticket in self._binned(found):
                yield Key(ref, self._layout.tickets.name, key_of(self._layout.tickets, ticket))

    def _keys_of(self, subject: Subject, found: Found) -> Iterator[Key]:
        layout = self._layout
        for user in found.users.values() if layout.users is not None else ():
            yield from _key(subject.ref, layout.users, user)
        for ticket in self._tickets(subject, found):
            yield from _key(subject.ref, layout.tickets, ticket)
            if layout.comments is None:
                continue
            for comment in read_comments(self._api, ticket["id"]):
                yield from _key(subject.ref, layout.comments, comment)
                for file in files_of(comment):
                    yield from _key(subject.ref, layout.attachments, file)

    def _tickets(self, subject: Subject, found: Found) -> Iterator[Row]:
        if self._layout.tickets is None:
            return
        for number in sorted(requester_ids(self._layout, subject, found)):
            yield from requested(self._api, number, second_path=self._ctx.second_path)

    def _binned(self, found: dict[str, Found]) -> Iterator[tuple[str, Row]]:
        """Soft-deleted tickets in one pass for the whole batch."""
        owners = {s.ref: requester_ids(self._layout, s, found[s.ref]) for s in self._subjects}
        for ticket in binned(self._api, set().union(*owners.values())):
            for ref, ids in owners.items():
                if ticket["requester_id"] in ids:
                    yield ref, ticket

    # ---- records

    def records(self) -> Iterator[Record]:
        """The records, with what is about other people withheld."""
        found = self._people.find(self._subjects, deleted=True)
        for subject in self._subjects:
            yield from self._records_of(subject, found[subject.ref])
        for ref, ticket in self._binned(found) if self._layout.tickets is not None else ():
            own = requester_ids(self._layout, _named(self._subjects, ref), found[ref])
            pen = Pen(self._others, self._own_values(ref, found[ref]), ())
            yield self._ticket(ref, ticket | {DELETED: True}, own, pen)

    def _own_values(self, ref: str, found: Found) -> set[str]:
        subject = _named(self._subjects, ref)
        values = {identity.value for identity in subject.identities}
        return values | {text for user in found.users.values() for text in own_values(user)}

    def _records_of(self, subject: Subject, found: Found) -> Iterator[Record]:
        for number, user in found.users.items():
            if number not in found.deleted:
                self._people.identities(user)
        own_values = self._own_values(subject.ref, found)
        if self._layout.users is not None:
            pen = Pen(self._others, own_values, ())
            for number, user in found.users.items():
                row = user | {DELETED: True} if number in found.deleted else user
                yield _record(
                    subject.ref, self._layout.users, row, *pen.clean(row, self._layout.users)
                )
        own_ids = requester_ids(self._layout, subject, found)
        for ticket in self._tickets(subject, found):
            yield from self._ticket_whole(subject.ref, ticket, own_ids, own_values)

    def _ticket_whole(
        self, ref: str, ticket: Row, own_ids: set[int], own_values: set[str]
    ) -> Iterator[Record]:
        mapped = self._layout.comments is not None
        comments = read_comments(self._api, ticket["id"]) if mapped else []
        strangers = self._others.users(taking_part(ticket, comments) - own_ids)
        pen = Pen(self._others, own_values, strangers.values())
        yield self._ticket(ref, ticket, own_ids, pen)
        for comment in comments:
            yield from self._comment(ref, comment, own_ids, strangers, pen)

    def _ticket(self, ref: str, ticket: Row, own_ids: set[int], pen: Pen) -> Record:
        collection = _mapped(self._layout.tickets)
        shown, withheld = without_people(ticket, own_ids)
        clean, texts = pen.clean(shown, collection)
        return _record(ref, collection, ticket, clean, (*withheld, *texts))

    def _comment(
        self, ref: str, comment: Row, own_ids: set[int], strangers: dict[int, Row], pen: Pen
    ) -> Iterator[Record]:
        collection = _mapped(self._layout.comments)
        shown, withheld = without_author(comment, own_ids, strangers)
        clean, texts = pen.clean(shown, collection)
        yield _record(ref, collection, comment, clean, (*withheld, *texts))
        for file in files_of(comment) if self._layout.attachments is not None else ():
            yield self._file(ref, file, comment["author_id"] in own_ids, pen)

    def _file(self, ref: str, file: Row, own: bool, pen: Pen) -> Record:  # noqa: FBT001 - a fact, not a switch
        collection = _mapped(self._layout.attachments)
        shown = {name: value for name, value in file.items() if name not in _URLS}
        withheld: list[Withheld] = []
        if not own:
            del shown["author_id"]
        clean, texts = pen.clean(shown, collection)
        url, attachment = str(file.get("content_url", "")), None
        if not self._api.may_fetch(url):
            withheld.append(Withheld("content", FOREIGN_HOST))
        elif file.get("size", 0) > self._api.config.max_attachment_bytes:
            withheld.append(Withheld("content", TOO_LARGE))
        else:
            api = self._api
            attachment = Attachment(
                str(clean.get("file_name", "file")),
                str(file.get("content_type", "application/octet-stream")),
                lambda: api.stream(url),
            )
        return _record(ref, collection, file, clean, (*withheld, *texts), attachment)


def _named(subjects: Sequence[Subject], ref: str) -> Subject:
    return next(subject for subject in subjects if subject.ref == ref)


def _mapped(collection: Collection | None) -> Collection:
    if collection is None:
        raise AssertionError("asked for rows of a resource that is not mapped")
    return collection


def _key(ref: str, collection: Collection | None, row: Row) -> Iterator[Key]:
    if collection is not None:
        yield Key(ref, collection.name, key_of(collection, row))


def _record(
    ref: str,
    collection: Collection,
    row: Row,
    shown: Row,
    withheld: tuple[Withheld, ...],
    attachment: Attachment | None = None,
) -> Record:
    body = body_of(shown, sort_keys=True)
    return Record(ref, collection.name, key_of(collection, row), body, attachment, withheld)
