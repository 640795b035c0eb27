"""An installation for drills of rectifications, restrictions and liftings, and what must come out.

In: databases of the test's cluster. Out: a `DrillRoom` whose rows can be put right, flagged, moved
aside and listed, in an SQLite file and in Postgres; and, apart from the worker, what every row of
every system has to be once people's cases are carried out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from dsr_worker.contract import Correction
from dsr_worker.fulfil.correcting import Stated
from tests.faults.room import CLUB, TEXTS, DrillRoom
from tests.integration.engine_room import CRM, FILES

World = dict[tuple[str, ...], bytes]
RIGHT = "Right Name"
CORRECTIONS = (
    Stated("crm", "customers", Correction("name", RIGHT)),
    Stated("files", "documents", Correction("text", RIGHT)),
    Stated("club", "members", Correction("name", RIGHT)),
)
_FLAG = "    restrict: {flag: blocked, value: 'yes', free: 'no'}\n"
_BLOCKED = "      blocked: system.operations\n"
_SET_ASIDE = f"""  set_aside:
    key: [id]
    parent: {{collection: customers, on: {{customer_id: id}}}}
    class: cart
    clocks: {{record_date: created_at}}
    source: {{}}
    fields:
      id: user.unique_id
      customer_id: user.unique_id
      content: {{category: user.content, free_text: true}}
      created_at: user.content
{TEXTS}"""
_LISTED = f"""
  listed:
    key: [document]
    parent: {{collection: documents, on: {{document: id}}}}
    source: {{}}
    fields:
      document: user.unique_id
{TEXTS}"""
_VISITS_ASIDE = f"""  visits_aside:
    source: {{table: visits_aside}}
    key: [id]
    parent: {{collection: members, on: {{member_id: id}}}}
    class: session
    fields:
      id: user.unique_id
      member_id: user.unique_id
      note: {{category: user.content, free_text: true}}
{TEXTS}"""
_CLUB_MEANS = """
ALTER TABLE members ADD blocked text NOT NULL DEFAULT 'no';
CREATE TABLE visits_aside (id int PRIMARY KEY, member_id int NOT NULL REFERENCES members,
                           note text);
CREATE INDEX ON visits_aside (member_id);
"""


class RightsRoom(DrillRoom):
    """A drill room with means of restriction."""

    def world(self) -> World:
        """Every row, those aside too."""
        found = super().world()
        for key, body in self.ask_target("SELECT id::text, t::text FROM visits_aside t"):
            found["club", "visits_aside", key] = body.encode()
        return found


def rights_room(
    folder: Path, database: Callable[[], str], people: int, *, redis_url: str | None = None
) -> RightsRoom:
    """People in an SQLite file and in a second Postgres."""
    room = RightsRoom(folder, database, _systems(), redis_url=redis_url)
    room.load_people(people)
    room.load_club(people)
    room.ask_target(_CLUB_MEANS)
    with room.system("crm").transaction() as (tables, changes):
        rows = tables.rows["customers"].items()
        changes.extend(("customers", key, {**row, "blocked": "no"}) for key, row in rows)
    return room


def _systems() -> dict[str, str]:
    crm = _with(
        CRM,
        ("    class: customer-account\n", _FLAG),
        ("      country: user.contact.address.country\n", _BLOCKED),
        ("    class: cart\n", "    restrict: {move: set_aside}\n"),
    )
    files = _with(FILES, ("    class: attachment\n", "    restrict: {list: listed}\n"))
    club = _with(
        CLUB,
        ("    class: customer-account\n", _FLAG),
        ("      joined_at: user.account\n", _BLOCKED),
        ("    class: session\n", "    restrict: {move: visits_aside}\n"),
    )
    return {"crm": crm + _SET_ASIDE, "files": files + _LISTED, "club": club + _VISITS_ASIDE}


def _with(text: str, *after: tuple[str, str]) -> str:
    for line, more in after:
        assert line in text
        text = text.replace(line, line + more, 1)
    return text


def expected(kind: str, whole: World, people: Collection[str]) -> World:
    """What all rows have to be where these people's cases of a kind are carried out."""
    found: World = {}
    for place, body in whole.items():
        if owner(place) in people:
            found.update(_PEOPLES[kind](place, body))
        else:
            found[place] = body
    return found


def owner(place: tuple[str, ...]) -> str:
    """Whose row it is: a number of person."""
    system, collection, key = place
    if system == "club":
        per = {"members": 1, "bills": 2}.get(collection, 3)
        return str(int(key) // per)
    return key.removeprefix("cart-").removeprefix("doc-").split("-")[0]


def _rectified(place: tuple[str, ...], body: bytes) -> Iterator[tuple[tuple[str, ...], bytes]]:
    match place[:2]:
        case ("crm", "customers"):
            yield place, _with_field(body, "name", RIGHT)
        case ("files", "documents"):
            yield place, _with_field(body, "text", RIGHT)
        case ("club", "members"):
            name = f'"Name zq{owner(place)}"'.encode()
            assert body.count(name) == 1
            yield place, body.replace(name, f'"{RIGHT}"'.encode())
        case _:
            yield place, body


def _restricted(place: tuple[str, ...], body: bytes) -> Iterator[tuple[tuple[str, ...], bytes]]:
    *_, key = place
    match place[:2]:
        case ("crm", "customers"):
            yield place, _with_field(body, "blocked", "yes")
        case ("crm", "carts"):
            yield ("crm", "set_aside", key), body
        case ("files", "documents"):
            yield place, body
            yield ("files", "listed", key), _body({"document": key})
        case ("club", "members"):
            assert body.endswith(b",no)")
            yield place, body.removesuffix(b",no)") + b",yes)"
        case ("club", "visits"):
            yield ("club", "visits_aside", key), body
        case _:
            yield place, body


_PEOPLES = {"rectification": _rectified, "restriction": _restricted}


def _with_field(body: bytes, name: str, value: str) -> bytes:
    row = json.loads(body)
    assert row[name] != value
    return _body({**row, name: value})


def _body(row: dict[str, str]) -> bytes:
    return json.dumps(row, sort_keys=True).encode()
