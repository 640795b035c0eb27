"""What of a ticket is about other people and stays out of an access package (Art. 15(4) GDPR).

In: a row of the API and the people who take part in the ticket. Out: the row without their numbers,
and with their names, addresses and phones replaced in every text; how many values that were.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from connectors.helpdesk.api import Api
from connectors.helpdesk.layout import Row
from connectors.helpdesk.people import People
from dsr_worker.contract import Collection, Withheld

GROUND = "AC_RIGHTS_OF_OTHERS"
PLACE = "[withheld]"

_LOCAL_PART = re.compile(r"[^\s@<>()\[\]{}\",;:]+")
_DOMAIN = re.compile(r"[^\s@<>()\[\]{}\",;:]+\.[^\s@<>()\[\]{}\",;:.!?]+")
_SHORTEST_NAME = 3
_REMEMBERED = 5_000
_PEOPLE_FIELDS = ("collaborator_ids", "email_cc_ids", "follower_ids")
_PERSON_FIELDS = ("assignee_id", "submitter_id")
_TECHNICAL = frozenset({"created_at", "updated_at", "url", "status", "type", "content_type"})


class Others:
    """The people beside the subject, looked up by number or by an address in a text."""

    def __init__(self, api: Api, people: People) -> None:
        self._api = api
        self._people = people
        self._users: dict[int, Row] = {}
        self._by_address: dict[str, tuple[str, ...]] = {}

    def users(self, ids: Iterable[int]) -> dict[int, Row]:
        """The live users of these ids."""
        wanted = set(ids)
        if len(self._users) > _REMEMBERED:
            self._users.clear()
        missing = sorted(wanted - self._users.keys())
        self._users.update(self._api.many("users", missing))
        return {i: self._users[i] for i in wanted if i in self._users}

    def values_at(self, address: str) -> tuple[str, ...]:
        """An address found in a text and the names of whoever has it here."""
        if len(self._by_address) > _REMEMBERED:
            self._by_address.clear()
        if address not in self._by_address:
            text = self._people.canonical("email", address)
            users = self._people.exactly("email", "email", text) if text else []
            named = [value for user in users for value in own_values(user)]
            self._by_address[address] = (address, *named)
        return self._by_address[address]


def addresses(text: str) -> Iterator[str]:
    """What looks like an e-mail address, in time that grows with the text and no faster."""
    for before, after in pairwise(text.split("@")):
        local, domain = _LOCAL_PART.match(before[::-1]), _DOMAIN.match(after)
        if local and domain:
            yield f"{local[0][::-1]}@{domain[0]}"


def own_values(user: Row) -> Iterator[str]:
    """The name, addresses and phones by which a text may name a user."""
    for name in ("name", "email", "phone"):
        if user.get(name):
            yield str(user[name])
    for identity in user.get("identities") or ():
        yield str(identity["value"])


def taking_part(ticket: Row, comments: Iterable[Row]) -> set[int]:
    """The numbers of everyone who has to do with a ticket."""
    ids = {ticket.get("requester_id"), *(ticket.get(name) for name in _PERSON_FIELDS)}
    for name in _PEOPLE_FIELDS:
        ids |= set(ticket.get(name) or ())
    ids |= {comment.get("author_id") for comment in comments}
    return {number for number in ids if number is not None and number > 0}


class Pen:
    """Blacks out for one subject. `own` are the subject's own values, which are spared."""

    def __init__(self, others: Others, own: Iterable[str], strangers: Iterable[Row]) -> None:
        self._others = others
        self._own = {text.casefold() for text in own}
        names = {text for user in strangers for text in own_values(user)}
        self._known = self._pattern(names)

    def _pattern(self, texts: Iterable[str]) -> re.Pattern[str] | None:
        usable = sorted(
            {
                re.escape(text)
                for text in texts
                if len(text) >= _SHORTEST_NAME and text.casefold() not in self._own
            },
            key=len,
            reverse=True,
        )
        if not usable:
            return None
        return re.compile(rf"(?<!\w)(?:{'|'.join(usable)})(?!\w)", re.IGNORECASE)

    def scrub(self, value: Any, hits: Counter[str], field: str) -> Any:
        """A value with other people's names and addresses replaced, whatever its nesting."""
        if isinstance(value, str):
            return self._text(value, hits, field)
        if isinstance(value, list):
            return [self.scrub(item, hits, field) for item in value]
        if isinstance(value, Mapping):
            return {name: self.scrub(item, hits, field) for name, item in value.items()}
        return value

    def _text(self, text: str, hits: Counter[str], field: str) -> str:
        foreign = [a for a in addresses(text) if a.casefold() not in self._own]
        found = {value for address in foreign for value in self._others.values_at(address)}
        for pattern in (self._pattern(found), self._known):
            if pattern is not None:
                text, count = pattern.subn(PLACE, text)
                hits[field] += count
        return text

    def clean(self, row: Row, collection: Collection) -> tuple[Row, tuple[Withheld, ...]]:
        """A row for the package: no third-party field of the map, no stranger in any text."""
        hits: Counter[str] = Counter()
        shown: Row = {}
        for name, value in row.items():
            mapped = collection.fields.get(name)
            if mapped is not None and mapped.third_party:
                hits[name] += _values(value)
            elif name in _TECHNICAL:
                shown[name] = value
            else:
                shown[name] = self.scrub(value, hits, name)
        withheld = (Withheld(name, GROUND, count) for name, count in sorted(hits.items()) if count)
        return shown, tuple(withheld)


def _values(value: Any) -> int:
    if isinstance(value, list):
        return len(value)
    return int(value is not None)


def without_people(row: Row, own_ids: set[int]) -> tuple[Row, list[Withheld]]:
    """A ticket without the numbers of others who take part in it, and without mail headers."""
    shown, withheld = dict(row), []
    for name in (*_PEOPLE_FIELDS, *_PERSON_FIELDS):
        stored = shown.get(name)
        foreign = [i for i in (stored if isinstance(stored, list) else [stored]) if i]
        foreign = [i for i in foreign if i not in own_ids]
        if foreign:
            del shown[name]
            withheld.append(Withheld(name, GROUND, len(foreign)))
    return _without_headers(shown), withheld


def without_author(
    comment: Row, own_ids: set[int], authors: Mapping[int, Row]
) -> tuple[Row, list[Withheld]]:
    """A comment that says in which role somebody else wrote it, not who; notes are marked."""
    shown = {
        n: v for n, v in comment.items() if n not in ("html_body", "plain_body", "attachments")
    }
    shown["internal_note"] = not comment.get("public", True)
    if comment["author_id"] in own_ids:
        return _without_headers(shown) | {"author": "you"}, []
    role = authors.get(comment["author_id"], {}).get("role", "end-user")
    shown["author"] = "another person" if role == "end-user" else "our staff"
    for name in ("author_id", "metadata"):
        shown.pop(name, None)
    return _without_headers(shown), [Withheld("author_id", GROUND)]


def _without_headers(row: Row) -> Row:
    via = row.get("via")
    return row | {"via": {"channel": via.get("channel")}} if isinstance(via, Mapping) else row
