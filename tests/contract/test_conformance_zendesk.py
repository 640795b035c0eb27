"""The conformance suite against the helpdesk connector: the standard people as users with tickets.

In: the suite's facts, a fake per test. Out: the same people, each a user whose external number is
their customer number, with tickets instead of orders, comments and files. What a deletion leaves of
a user (a number and a fixed name) is nobody's row; a ticket in the bin is still one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import SecretStr

from connectors.helpdesk import Zendesk, ZendeskConfig
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Collection,
    Connector,
    DecisionTable,
    Field,
    Form,
    Identity,
    LeakScope,
    Mask,
    MaskKind,
    NeededByKept,
    Parent,
    Rule,
    Since,
    Subject,
    System,
    Taken,
)
from dsr_worker.testing.conformance import Adapter, Conformance, Where, World, standard_world
from dsr_worker.testing.zendesk import Fake, canonical
from tests.services import free_port

_NULL: Final = Mask(MaskKind.NULL)
_ERASED: Final = Mask(MaskKind.CONSTANT, "erased")
_TOMBSTONE: Final = Mask(MaskKind.TOMBSTONE)
_GONE_NAME: Final = "Permanently Deleted User"
_AGENT_ID: Final = 900
_GIL: Final = 8
_RECENT: Final = "2024-05-01T10:00:00Z"
_LATER: Final = "2025-07-02T09:30:00Z"
_OLD: Final = "2015-05-01T10:00:00Z"
_ERASE: Final = Rule("default", Always(), Action.ERASE)
_KEEP: Final = Rule("default", Always(), Action.KEEP)
_TICKETS: Final = {  # ticket -> whose it is, when it was written
    5001: ("ann", _RECENT),
    5002: ("ann", _OLD),
    5003: ("ben", _OLD),
    5004: ("dan", _RECENT),
    5005: ("cat", _RECENT),
    5006: ("eve", _OLD),
    5007: ("ann", _LATER),
}
_LARGE_TICKETS: Final = 200
_LARGE_COMMENTS: Final = 11


def _fields(*names: str, **masked: Mask) -> dict[str, Field]:
    plain = {name: Field(name, "user.content") for name in names}
    return plain | {name: Field(name, "user.content", mask) for name, mask in masked.items()}


_USERS: Final = Collection(
    "users",
    ("id",),
    _fields("id", name=_ERASED, email=_TOMBSTONE, phone=_NULL, external_id=_NULL, notes=_NULL),
    takes={
        "email": Taken("email", Form.ASCII_CASE),
        "customer_number": Taken("external_id"),
        "zendesk_user": Taken("id"),
    },
    yields={"zendesk_user": "id", "customer_number": "external_id", "phone": "phone"},
    person=True,
    contact={"email": "email"},
    source={"resource": "users"},
)
_TICKET: Final = Collection(
    "tickets",
    ("id",),
    _fields("id", "requester_id", "created_at", subject=_ERASED),
    takes={"zendesk_user": Taken("requester_id")},
    clocks={"record_date": "created_at"},
    source={"resource": "tickets"},
)
_COMMENT: Final = Collection(
    "comments",
    ("ticket_id", "id"),
    _fields("id", "ticket_id", "created_at")
    | {"body": Field("body", "user.content", _ERASED, free_text=True)},
    parent=Parent("tickets", {"ticket_id": "id"}),
    clocks={"record_date": "created_at"},
    source={"resource": "comments"},
)
_FILE: Final = Collection(
    "attachments",
    ("ticket_id", "comment_id", "id"),
    _fields("id", "ticket_id", "comment_id", "created_at", file_name=_ERASED),
    parent=Parent("comments", {"comment_id": "id"}),
    clocks={"record_date": "created_at"},
    source={"resource": "attachments"},
)
_SYSTEM: Final = System(
    "helpdesk", "zendesk", {c.name: c for c in (_USERS, _TICKET, _COMMENT, _FILE)}
)


def _name_of(row: Mapping[str, Any]) -> str:
    """Gil goes by fay's address; everybody else's begins with their name."""
    return "gil" if row["id"] == _GIL else str(row["email"]).split(".", 1)[0].lower()


def at_the_helpdesk(world: World, tickets: Mapping[int, tuple[str, str]] = _TICKETS) -> World:
    """The same people with tickets; gil has written fay's address in capitals."""
    ids = {_name_of(row): 1000 + int(row["id"]) for row in world.rows["people"]}
    rows: dict[str, list[dict[str, Any]]] = {
        "users": [_user(row) for row in world.rows["people"]],
        "tickets": [_ticket(world, ids, n, *about) for n, about in tickets.items()],
    }
    people = tuple(_known(s, ids[s.ref]) for s in world.people)
    owned = {s.ref: frozenset(_places(rows, ids[s.ref])) for s in people}
    recent = {n for n, (_, at) in tickets.items() if at != _OLD}
    staying = {p for places in owned.values() for p in places if _hangs_on(p, recent)}
    staying |= {("users", (str(ids[name]),)) for name in ("ann", "dan")}
    old = {n for n, (_, at) in tickets.items() if at == _OLD}
    counted: dict[str, int] = {}
    for name, _ in tickets.values():
        number = str(ids[name] - 1000)
        counted[number] = counted.get(number, 0) + 1
    fay = Identity("email", world.sharing[0].identities[0].value)
    numbers = (Identity("zendesk_user", str(ids["fay"])), Identity("customer_number", "7"))
    return World(
        system=_SYSTEM,
        rows={name: tuple(some) for name, some in rows.items()},
        people=people,
        claimed=world.claimed,
        markers=world.markers,
        owned=owned,
        withheld=world.withheld,
        keeping=_keeping(),
        staying=frozenset(staying),
        contacts=world.contacts,
        links=frozenset((ref, kind, value) for ref, kind, value in world.links if kind != "phone")
        | {(s.ref, "zendesk_user", str(ids[s.ref])) for s in people}
        | {("ann", "phone", "+493055510")},
        contested=world.contested,
        sharing=(Subject("fay", (fay,)), Subject("fay and number", (fay, *numbers))),
        shared=frozenset({("fay", "users"), ("fay and number", "users")}),
        mentions=frozenset({("ann", "comments", ("5005", "50052"), "body")}),
        sweeping=DecisionTable(
            "tickets",
            (
                Rule("limit", Before("created_at", _cutoff(world)), Action.ERASE, "trial-limit"),
                _KEEP,
            ),
        ),
        swept=frozenset(
            place for user in ids.values() for place in _places(rows, user) if _hangs_on(place, old)
        ),
        leak=LeakScope("tickets", ("subject",)),
        leaked=counted,
    )


def _cutoff(world: World) -> Any:
    (minimum, *_) = world.keeping["invoices"].rules
    assert isinstance(minimum.when, Since)
    return minimum.when.cutoff


def _known(subject: Subject, user_id: int) -> Subject:
    return Subject(subject.ref, (*subject.identities, Identity("zendesk_user", str(user_id))))


def _user(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": 1000 + int(row["id"]),
        "name": row["name"] or "",
        "email": row["email"],
        "phone": str(row["phone"]).replace(" ", "") if row["phone"] else None,
        "external_id": str(row["id"]),
        "created_at": _OLD,
    }


def _ticket(
    world: World, ids: Mapping[str, int], number: int, name: str, at: str
) -> dict[str, Any]:
    mark = world.markers[name]
    ann = world.claimed[0].identities[0].value
    answer = f"ask {ann}, says {mark}" if name == "cat" else f"hello {mark}"
    file = {"id": number * 100, "file_name": f"{mark}.txt", "content_b64": _encoded(mark)}
    return {
        "id": number,
        "requester_id": ids[name],
        "submitter_id": ids[name],
        "assignee_id": _AGENT_ID,
        "subject": f"about {mark}",
        "status": "solved",
        "created_at": at,
        "comments": [
            {"id": number * 10 + 1, "body": f"I am {mark}", "attachments": [file]},
            {"id": number * 10 + 2, "body": answer},
            {"id": number * 10 + 3, "author_id": _AGENT_ID, "body": f"yours, {world.withheld}"},
        ],
    }


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _places(rows: Mapping[str, list[dict[str, Any]]], user_id: int) -> Iterator[Where]:
    yield "users", (str(user_id),)
    for ticket in rows["tickets"]:
        if ticket["requester_id"] == user_id:
            yield "tickets", (str(ticket["id"]),)
            for comment in ticket["comments"]:
                yield "comments", (str(ticket["id"]), str(comment["id"]))
                for file in comment.get("attachments", ()):
                    key = (str(ticket["id"]), str(comment["id"]), str(file["id"]))
                    yield "attachments", key


def _hangs_on(place: Where, tickets: set[int]) -> bool:
    return place[0] != "users" and int(place[1][0]) in tickets


def _keeping() -> dict[str, DecisionTable]:
    cutoff = _cutoff(standard_world())

    def table(name: str, **masks: Mask) -> DecisionTable:
        minimum = Rule(
            "minimum",
            Since("created_at", cutoff),
            Action.MASK,
            "trial-minimum",
            masks,
            "created_at",
        )
        return DecisionTable(name, (minimum, _ERASE))

    masks = {name: f.mask for name, f in _USERS.fields.items() if f.mask is not None}
    needed = Rule("needed", NeededByKept(("tickets",)), Action.MASK, "needed", masks)
    return {
        "users": DecisionTable("users", (needed, _ERASE)),
        "tickets": table("tickets", subject=_ERASED),
        "comments": table("comments", body=_ERASED),
        "attachments": table("attachments", file_name=_ERASED),
    }


@dataclass
class HelpdeskAdapter:
    """A world in a fake of its own."""

    world: World
    fake: Fake = field(default_factory=Fake)
    made: list[Zendesk] = field(default_factory=list)

    def __post_init__(self) -> None:
        agent = {"id": _AGENT_ID, "name": self.world.withheld, "role": "agent", "created_at": _OLD}
        self.fake.load([*self.world.rows["users"], agent], self.world.rows["tickets"])
        self.fake.__enter__()

    def connector(self) -> Connector:
        """A new connector on the fake."""
        return self._connector(self.fake.base_url)

    def unreachable(self) -> Connector:
        """A connector to a port at which nobody listens."""
        return self._connector(f"http://127.0.0.1:{free_port()}")

    def _connector(self, base_url: str) -> Zendesk:
        token = SecretStr(self.fake.token)
        config = ZendeskConfig(
            base_url=base_url, email=self.fake.email, token=token, job_poll_s=0.001
        )
        made = Zendesk(self.world.system, config)
        self.made.append(made)
        return made

    def dump(self) -> Mapping[Where, bytes]:
        """Everybody's rows; those in a bin as well, and marked so by the helpdesk itself."""
        state = self.fake.dump()
        found: dict[Where, bytes] = {}
        for user in state["users"]:
            if user["name"] != _GONE_NAME:
                found["users", (str(user["id"]),)] = _lasting(user)
        for ticket in (*state["tickets"], *state["deleted_tickets"]):
            comments = ticket.pop("comments")
            number = str(ticket["id"])
            found["tickets", (number,)] = _lasting(ticket)
            for comment in comments:
                files = comment.pop("attachments")
                place = (number, str(comment["id"]))
                found["comments", place] = _lasting(comment)
                for file in files:
                    found["attachments", (*place, str(file["id"]))] = _lasting(file)
        return found

    def close(self) -> None:
        """Close the connectors' connections and the fake."""
        for connector in self.made:
            connector.close()
        self.fake.__exit__(None, None, None)


def _lasting(row: dict[str, Any]) -> bytes:
    """A row without the instants and numbers that every change makes anew."""
    changed = row.pop("updated_at", None) != row.get("created_at")
    identities = [
        {name: value for name, value in identity.items() if name != "id"}
        for identity in row.pop("identities", ())
    ]
    told = {"identities": identities, "changed": changed, "binned": "deleted_at" in row}
    row.pop("deleted_at", None)
    return canonical({**row, **told})


class TestZendesk(Conformance):
    """The helpdesk connector on the stateful fake."""

    most_moments = 20

    def world(self) -> World:
        """The standard people at the helpdesk."""
        return at_the_helpdesk(standard_world())

    def large(self) -> World:
        """Ann with many tickets of long comments."""
        world = at_the_helpdesk(standard_world())
        long = f"{'x' * 4000} {world.markers['ann']}"
        ann = next(int(s.values("zendesk_user")[0]) for s in world.people if s.ref == "ann")
        tickets = tuple(
            {
                "id": 10_000 + n,
                "requester_id": ann,
                "subject": "s",
                "created_at": _RECENT,
                "comments": [
                    {"id": 100_000 + n * 100 + c, "body": long if c else "short"}
                    for c in range(_LARGE_COMMENTS)
                ],
            }
            for n in range(_LARGE_TICKETS)
        )
        return replace(world, rows={**world.rows, "tickets": tickets})

    def make(self, world: World) -> Adapter:
        """A fake of its own."""
        return HelpdeskAdapter(world)
