"""Where other people's tickets name a subject: listed for a human, never touched.

In: subjects. Out: comments and subjects of tickets that contain one of their addresses or phones,
comments they wrote in other people's tickets, and tickets they are copied in on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from connectors.helpdesk.api import Api
from connectors.helpdesk.bundle import read_comments
from connectors.helpdesk.layout import Layout, Row, key_of
from connectors.helpdesk.people import Found, People, requester_ids
from dsr_worker.contract import Collection, Context, Mention, Subject

_KINDS = ("email", "phone")
_SHORTEST = 6
_CC_FIELDS = ("collaborator_ids", "email_cc_ids", "follower_ids")


class Mentioning:
    """One call of `mentions`."""

    def __init__(self, api: Api, layout: Layout, ctx: Context) -> None:
        self._api = api
        self._layout = layout
        self._people = People(api, layout, ctx)

    def run(self, subjects: Sequence[Subject]) -> Iterator[Mention]:
        """Every place once."""
        if self._layout.tickets is None or not subjects:
            return
        found = self._people.find(subjects, deleted=True)
        for subject in subjects:
            own = requester_ids(self._layout, subject, found[subject.ref])
            yield from dict.fromkeys(self._of(subject, found[subject.ref], own))

    def _of(self, subject: Subject, found: Found, own: set[int]) -> Iterator[Mention]:
        texts = self._texts(subject, found)
        tickets: dict[int, Row] = {}
        for query in self._queries(texts, own):
            for ticket in self._api.pages("search/export", "results", **query):
                tickets[ticket["id"]] = ticket
        for number in own:
            rows = self._api.pages_or_none(f"users/{number}/tickets/ccd", "tickets", {})
            tickets.update((ticket["id"], ticket) for ticket in rows or ())
        for ticket in tickets.values():
            if ticket["requester_id"] not in own:
                yield from self._in_ticket(subject.ref, ticket, own, texts)

    def _texts(self, subject: Subject, found: Found) -> set[str]:
        texts = {text for kind in _KINDS for text in subject.values(kind)}
        for number, user in found.users.items():
            if number not in found.deleted:
                texts |= {str(i["value"]) for i in self._people.identities(user)}
        return {text for text in texts if len(text) >= _SHORTEST}

    def _queries(self, texts: set[str], own: set[int]) -> Iterator[dict[str, str]]:
        words = [text if '"' in text else f'"{text}"' for text in sorted(texts)]
        for query in [*words, *(f"commenter:{number}" for number in sorted(own))]:
            yield {"query": query, "filter[type]": "ticket"}

    def _in_ticket(
        self, ref: str, ticket: Row, own: set[int], texts: set[str]
    ) -> Iterator[Mention]:
        collection = self._layout.tickets
        if collection is None:
            return
        copied = _copied_in(collection, ticket, own)
        if copied is not None:
            yield Mention(ref, collection.name, key_of(collection, ticket), copied)
        yield from _in_texts(ref, collection, ticket, texts)
        if self._layout.comments is not None:
            for comment in read_comments(self._api, ticket["id"]):
                yield from self._in_comment(ref, self._layout.comments, comment, own, texts)

    def _in_comment(
        self, ref: str, collection: Collection, comment: Row, own: set[int], texts: set[str]
    ) -> Iterator[Mention]:
        if comment["author_id"] in own:
            yield Mention(ref, collection.name, key_of(collection, comment), "author_id")
        yield from _in_texts(ref, collection, comment, texts)


def _copied_in(collection: Collection, ticket: Row, own: set[int]) -> str | None:
    """The field by which one of these users is copied in; a mapped one where there is a choice."""
    names = [name for name in _CC_FIELDS if own & set(ticket.get(name) or ())]
    mapped = [name for name in names if name in collection.fields]
    return next(iter([*mapped, *names]), None)


def _in_texts(ref: str, collection: Collection, row: Row, texts: set[str]) -> Iterator[Mention]:
    """The mapped free-text fields that contain a value as a whole word."""
    for name, field in collection.fields.items():
        if field.free_text and any(names(str(row.get(name) or ""), text) for text in texts):
            yield Mention(ref, collection.name, key_of(collection, row), name)


def names(text: str, value: str) -> bool:
    """Whether `value` stands in `text` by itself: `anna@…` does not stand in `joanna@…`."""
    pattern = rf"(?<![\w.+-]){re.escape(value)}(?![\w-]|\.\w)"
    return re.search(pattern, text, re.IGNORECASE | re.ASCII) is not None
