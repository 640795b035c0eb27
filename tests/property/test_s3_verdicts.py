"""What is known of an object that was read in full is never a wrong no."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.s3.formats.entries import Entry
from connectors.s3.formats.ndjson import JsonEntry
from connectors.s3.reading.owners import Owners, identity_in
from connectors.s3.scanning import verdicts
from connectors.s3.scanning.verdicts import Verdicts
from connectors.s3.server.bucket import Version
from dsr_worker.contract import Field, Form, Identity, Subject, Taken
from dsr_worker.testing.context import DictState, TrialContext
from tests.contract.s3_support import EVENTS
from tests.examples import examples

COLLECTION = replace(
    EVENTS,
    fields={**EVENTS.fields, "session": Field("session", "user", null_values=frozenset({"none"}))},
    takes={
        "customer_number": Taken("customer"),
        "email": Taken("user.email", Form.ASCII_CASE),
        "phone": Taken("phone", Form.DIGITS),
    },
)
EMAILS = st.sampled_from(["Anna@Mail.example", "anna@mail.example", "bert@mail.example", "x"])
VALUES = st.one_of(
    EMAILS,
    st.integers(-5, 10**20),
    st.none(),
    st.booleans(),
    st.text(max_size=6),
    st.sampled_from(["+49 30 123456", "+4930123456", "none", "1.0", ["1"]]),
)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "customer": VALUES,
            "user": st.one_of(VALUES, st.fixed_dictionaries({"email": VALUES})),
            "phone": VALUES,
            "session": VALUES,
        },
    ),
    max_size=6,
)


class Parsed:
    """A record as a format gives it."""

    def __init__(self, record: Any) -> None:
        self._record = record

    def value(self, name: str) -> Any:
        """A field by its path."""
        found = self._record
        for part in name.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found

    def scalars(self) -> Any:
        """Not asked for here."""
        raise NotImplementedError

    def body(self, leave_out: frozenset[str]) -> bytes:
        """The record."""
        return json.dumps({k: v for k, v in self._record.items() if k not in leave_out}).encode()

    def mark(self) -> bytes:
        """The record."""
        return self.body(frozenset())


def version(etag: str = '"one"', version_id: str = "null", key: str = "events/a") -> Version:
    """A version with bytes."""
    at = datetime(2026, 11, 22, tzinfo=UTC)
    return Version(
        key, version_id, latest=True, marker=False, last_modified=at, size_bytes=9, etag=etag
    )


def read(records: list[Any], ctx: TrialContext, *versions: Version) -> list[Entry]:
    """Note the records of an object, as a full reading does."""
    reading = Verdicts(COLLECTION, ctx).reading(versions or [version()])
    entries: list[Entry] = [Parsed(record) for record in records]
    for entry in entries:
        reading.note(entry)
    reading.keep()
    return entries


def everybody(entries: list[Entry], ctx: TrialContext) -> list[Subject]:
    """A subject for each canonical value that stands anywhere, by every kind."""
    texts = {
        text
        for entry in entries
        for name in ("customer", "user", "user.email", "phone", "session")
        for raw in [entry.value(name)]
        if isinstance(raw, str | int)
        for text in [str(raw), str(raw).lower()]
    }
    found = []
    for kind in COLLECTION.takes:
        values = {text for text in texts if text} | {
            canonical for text in texts if (canonical := ctx.canonical(kind, text))
        }
        found += [Subject(f"{kind}-{v}", (Identity(kind, v),)) for v in sorted(values)]
    return found


@settings(max_examples=examples(60))
@given(RECORDS)
def test_who_owns_a_record_is_never_ruled_out(records: list[Any]) -> None:
    """For any records and anybody, an owner as a full reading tells him is let through."""
    ctx = TrialContext()
    entries = read(records, ctx)
    known = Verdicts(COLLECTION, ctx)
    for subject in everybody(entries, ctx):
        owners = Owners(COLLECTION, [subject], ctx)
        if any(owners.of(entry) for entry in entries):
            assert not known.rule_out([version()], known.owners([subject]))


LEAVES = st.sampled_from(
    [1, "1", 1.0, "1.0", 2, "2", 2.5, "2.5", True, None, "none", "Anna@Mail.example", 10**20]
)
PEOPLE = st.lists(st.fixed_dictionaries({}, optional={"id": LEAVES, "mail": LEAVES}), max_size=3)
NAMES = ("1", "1.0", "2", "2.5", "none", "anna@mail.example", "Anna@Mail.example", "1" + "0" * 20)


@settings(max_examples=examples(150))
@given(
    st.lists(st.fixed_dictionaries({"customer": LEAVES, "people": PEOPLE}), max_size=3),
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("customer", "people[].id"), st.sampled_from(["both", "text", "number", "decimal"])
        ),
    ),
    st.sampled_from(["ndjson", "csv"]),
)
def test_an_owner_is_never_ruled_out_however_the_map_has_fields_read(
    records: list[Any], equals: dict[str, str], kind: str
) -> None:
    """Lists with several owners, and what `equals` says of a field, are known as they are read."""
    collection = replace(
        COLLECTION,
        takes={
            "customer_number": Taken("customer"),
            "account": Taken("people[].id"),
            "email": Taken("people[].mail", Form.ASCII_CASE),
        },
        source={**COLLECTION.source, "format": kind, "equals": equals},
    )
    ctx = TrialContext()
    entries = [JsonEntry(json.dumps(r).encode(), r) for r in records]
    reading = Verdicts(collection, ctx).reading([version()])
    for entry in entries:
        reading.note(entry)
    reading.keep()
    known = Verdicts(collection, ctx)
    for identity in (Identity(kind, name) for kind in collection.takes for name in NAMES):
        subject = Subject("s", (identity,))
        owners = Owners(collection, [subject], ctx)
        if any(owners.of(entry) for entry in entries):
            assert not known.rule_out([version()], known.owners([subject]))


def test_another_way_to_compare_a_field_makes_it_void() -> None:
    """What `equals` says is part of what a filter was made with."""
    ctx = TrialContext()
    read([{"customer": 7.0}], ctx)
    asked = Subject("s", (Identity("customer_number", "7"),))
    known = Verdicts(COLLECTION, ctx)
    assert known.rule_out([version()], known.owners([asked]))
    source = {**COLLECTION.source, "equals": {"customer": "decimal"}}
    other = Verdicts(replace(COLLECTION, source=source), ctx)
    assert not other.rule_out([version()], other.owners([asked]))


@given(RECORDS)
def test_who_is_carried_is_never_ruled_out(records: list[Any]) -> None:
    """An identity that a record yields is let through by the question for carriers."""
    ctx = TrialContext()
    entries = read(records, ctx)
    known = Verdicts(COLLECTION, ctx)
    for entry in entries:
        carried = identity_in(entry, COLLECTION, "session_id", "session", ctx)
        if carried is not None:
            assert not known.rule_out([version()], known.carriers([carried]))


def test_strangers_are_ruled_out() -> None:
    """Ten thousand people who are not there, asked for together, seldom let an object through."""
    told = []
    for size in (1, 50, 20_000):
        ctx = TrialContext()
        read([{"customer": n} for n in range(size)], ctx)
        known = Verdicts(COLLECTION, ctx)
        for start in range(10**6, 10**6 + 30_000, 10_000):
            people = [
                Subject(str(n), (Identity("customer_number", str(n)),))
                for n in range(start, start + 10_000)
            ]
            told.append(known.rule_out([version()], known.owners(people)))
    assert sum(told) >= len(told) - 1


def test_all_who_ask_together_are_ruled_out_together() -> None:
    """One of many who stands in the object lets all through; none rules it out."""
    ctx = TrialContext()
    read([{"customer": 7}], ctx)
    known = Verdicts(COLLECTION, ctx)
    absent = [Subject(str(n), (Identity("customer_number", str(n)),)) for n in range(100, 103)]
    there = Subject("seven", (Identity("customer_number", "7"),))
    assert known.rule_out([version()], known.owners(absent))
    assert not known.rule_out([version()], known.owners([*absent, there]))


def test_a_large_object_has_several_pieces_and_a_huge_one_none(monkeypatch: Any) -> None:
    """Each value stays under 64 KiB; beyond 24 pieces nothing is known, and old pieces go."""
    monkeypatch.setattr(verdicts, "_IN_PIECE", 100)
    ctx = TrialContext()
    read([{"customer": n} for n in range(450)], ctx)
    assert len(ctx.state.values) == 1 + 5
    known = Verdicts(COLLECTION, ctx)
    people = [Subject(str(n), (Identity("customer_number", str(n)),)) for n in range(900)]
    told = [known.rule_out([version()], known.owners([person])) for person in people]
    assert not any(told[:450])
    assert all(told[450:])
    read([{"customer": n} for n in range(150)], ctx)
    assert len(ctx.state.values) == 1 + 2
    read([{"customer": n} for n in range(2500)], ctx)
    assert len(ctx.state.values) == 1
    assert not known.rule_out([version()], known.owners([people[0]]))


def test_pieces_fit_the_state() -> None:
    """A full piece is smaller than the 64 KiB a value may have."""
    one = random.Random(1)
    of = verdicts._MOST_PIECES
    digests = [one.getrandbits(64) for _ in range(verdicts._IN_PIECE * of)]
    fullest = max(
        len(verdicts._Piece.of_digests(part, of).to_bytes())
        for number in range(of)
        for part in [[d for d in digests if verdicts._number(d, of) == number]]
    )
    assert verdicts._CHECK_BYTES + fullest <= 65_536


def test_any_change_makes_it_void() -> None:
    """Other bytes, another version beside it, another map or key: nothing is known any more."""
    ctx = TrialContext()
    read([{"customer": 7}], ctx)
    stranger = Subject("s", (Identity("customer_number", "100"),))

    def ruled_out(collection: Any, versions: list[Version], state: DictState) -> bool:
        known = Verdicts(collection, TrialContext(state=state))
        return known.rule_out(versions, known.owners([stranger]))

    assert ruled_out(COLLECTION, [version()], ctx.state)
    assert not ruled_out(COLLECTION, [version('"two"')], ctx.state)
    assert not ruled_out(COLLECTION, [version(version_id="v1")], ctx.state)
    assert not ruled_out(COLLECTION, [version(), version(version_id="v0")], ctx.state)
    other = replace(COLLECTION, takes={"customer_number": Taken("referrer")})
    assert not ruled_out(other, [version()], ctx.state)
    nobody = {
        **COLLECTION.fields,
        "customer": Field("customer", "user", null_values=frozenset({"7"})),
    }
    assert not ruled_out(replace(COLLECTION, fields=nobody), [version()], ctx.state)
    newer = DictState({**ctx.state.values, "verdict-key": b"k" * 32})
    assert not ruled_out(COLLECTION, [version()], newer)
    Verdicts(COLLECTION, ctx).forget("events/a")
    assert not ruled_out(COLLECTION, [version()], ctx.state)
    assert len(ctx.state.values) == 1
