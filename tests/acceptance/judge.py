"""Judges what came out against what the shop's generator says about a person.

In: dumps of all systems, opened packages, truths. Out: assertions that name places and never
values.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyzipper

from dsr_worker.contract import Outcome
from dsr_worker.package import Method, verify_package
from dsr_worker.package.handover import new_passphrase
from dsr_worker.testing.shop import Expected, Truth
from tests.acceptance.world import Dump, Where, World, places_of
from tests.integration.engine_room import EngineRoom

Members = Mapping[str, bytes]
_KEYS = ("card_no", "event_id", "row_id", "id", "key")  # what names a row, in this order
_COLONS = 2  # in an instant
GROWING = frozenset({"permanently_deleted_tickets", "compliance_deletion_statuses"})
"""Lists of the helpdesk that grow with every deletion; they hold numbers alone."""


def truth_of(world: World, number: int, *, held: bool | None = None) -> Truth:
    """What is true of a person at this moment."""
    return world.shop.truth(number, now=datetime.now(UTC), held=held)


def hand_over(room: EngineRoom, ref: str, to: Path) -> Members:
    """Have a package handed over as an AES ZIP and open it the way its recipient would."""
    passphrase = new_passphrase()
    signed = room.sign("berta", "hand-over", ref)
    room.office.delivery.package(ref, to, Method.AES_ZIP, passphrase, signed)
    with pyzipper.AESZipFile(to) as sealed:
        assert all(info.flag_bits & 1 for info in sealed.infolist()), "a member is not encrypted"
        sealed.setpassword(passphrase.encode())
        members = {info.filename: sealed.read(info) for info in sealed.infolist()}
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as copy:
        for name, content in members.items():
            copy.writestr(name, content)
    assert verify_package(plain) == []
    return members


# ---- access


def assert_package_is_whole(members: Members, truth: Truth) -> None:
    """Every row, object and ticket of the person, with every value that is not about others."""
    rows, files = _rows_in(members), _files_in(members)
    assert sorted(rows) == sorted(map(_name, truth.rows)), "not the rows of the person"
    withheld = {
        (w["system"], w["collection"], w["field"])
        for w in json.loads(members["withheld.json"])["withheld"]
    }
    for row in truth.rows:
        shown, about = rows[_name(row)], (row.system, row.collection)
        for name, value in row.values.items():
            if (*about, name) not in withheld and (value != [] or name in shown):
                assert _plain(shown.get(name)) == _plain(value), (*about, name)
        if row.content is not None:
            assert files[_name(row)] == row.content, (*about, "content")
    assert len(files) == sum(row.content is not None for row in truth.rows)


def assert_package_names_nobody_else(members: Members, world: World, number: int) -> None:
    """Not one marker of another person, in any member."""
    named = [
        f"{name} names another customer"
        for other in world.shop.numbers
        if other != number
        for mark in truth_of(world, other).markers
        for name, content in members.items()
        if mark.encode().lower() in content.lower()
    ]
    assert named == []


def _name(row: Expected) -> Where:
    """A place without the object that a record lies in: a package shows the record alone."""
    return row.system, row.collection, row.key[-1:]


def _rows_in(members: Members) -> dict[Where, dict[str, Any]]:
    found: dict[Where, dict[str, Any]] = {}
    for name, content in members.items():
        if name.startswith("data/") and name.endswith(".json"):
            _, system, collection = name.removesuffix(".json").split("/")
            for row in json.loads(content, parse_float=Decimal):
                key = next(str(row[n]) for n in _KEYS if n in row)
                assert (system, collection, (key,)) not in found, "a row is there twice"
                found[system, collection, (key,)] = row
    return found


def _files_in(members: Members) -> dict[Where, bytes]:
    entries = json.loads(members["manifest.json"])["members"]
    found: dict[Where, bytes] = {}
    for entry in entries:
        if "record" in entry:
            key = entry["record"][
                0 if entry["system"] == "files" else -1
            ]  # there a version follows
            found[entry["system"], entry["collection"], (key,)] = members[entry["path"]]
    return found


def _plain(value: Any) -> Any:
    """Spell a value the same way whether it came as Python or as JSON."""
    if isinstance(value, str) and "T" in value and value.count(":") >= _COLONS:
        return datetime.fromisoformat(value).astimezone(UTC)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(Decimal(value).normalize())
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return value


# ---- erasure


def assert_erased(before: Dump, after: Dump, truths: Iterable[Truth]) -> None:
    """Exactly the truths' rows went or were masked; everything else is there, byte for byte."""
    truths = tuple(truths)
    expected = {row.place: row for truth in truths for row in truth.rows}
    for where, stored in before.items():
        row = expected.get(where)
        place = f"{where[0]}.{where[1]}"
        if row is None:
            assert where in after, f"{place}: a row of somebody else is gone"
            assert where[1] in GROWING or after[where].raw == stored.raw, f"{place}: changed"
        elif row.outcome is Outcome.ERASED:
            assert where not in after or _is_husk(row, after), f"{place}: still there"
        else:
            assert where in after, f"{place}: had to stay"
            _assert_masked(row, before, after)
    new = {where[:2] for where in after.keys() - before.keys()}
    assert new == set(), "something is there that was not"


def assert_only_mentions_are_left(after: Dump, truth: Truth) -> None:
    """No marker of an erased person anywhere but in other people's records, at known places."""
    mentioned = set(truth.mentions)
    for mark in truth.markers:
        assert places_of(after, mark) - mentioned == set()


def _assert_masked(row: Expected, before: Dump, after: Dump) -> None:
    was, now = before[row.place].fields, after[row.place].fields
    changed = {name for name in was if was[name] != now.get(name)}
    assert changed == row.masked, f"{row.collection}: {sorted(changed ^ row.masked)}"


def _is_husk(row: Expected, after: Dump) -> bool:
    """The helpdesk keeps the number of a user who is deleted for good, and nothing else."""
    if (row.system, row.collection) != ("helpdesk", "users"):
        return False
    left = after[row.place].fields
    return left["email"] == left["phone"] == left["external_id"] == "null" and not left["notes"]


def mentions_by_collection(truth: Truth) -> dict[tuple[str, str], int]:
    """How many places in other people's records name this person, as a certificate counts them."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for place in truth.mentions:
        found[place.system, place.collection] += 1
    return dict(found)


def rows_by_outcome(truth: Truth) -> dict[tuple[str, str, str], int]:
    """How many rows of each collection come to which end."""
    found: dict[tuple[str, str, str], int] = defaultdict(int)
    for row in truth.rows:
        found[row.system, row.collection, row.outcome.value] += 1
    return dict(found)
