"""Avro objects say what an independent reader says they say, and lose exactly what is erased."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import fastavro
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.s3.formats.avro.blocks import Container
from connectors.s3.formats.avro.records import AVRO, AvroEntry
from connectors.s3.formats.entries import ERASE, KEEP, Change, Entry, UnreadableError
from connectors.s3.formats.wanted import Wanted
from tests.examples import examples

CODECS = ("null", "deflate", "snappy", "bzip2", "xz", "zstandard")
NAMES = ("anna", "bert", "cleo", "7", "70", "ärger", "a7", "")

texts = st.one_of(st.sampled_from(NAMES), st.text(max_size=5))
_counted = iter(range(10**9))


def _named(kind: str) -> str:
    return f"{kind}{next(_counted)}"


LEAVES: Mapping[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.one_of(st.sampled_from([7, 70]), st.integers(-(2**63), 2**63 - 1)),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "string": texts,
    "bytes": st.binary(max_size=5),
}


@dataclass
class Made:
    """A schema, and what its values may be."""

    schema: Any
    values: st.SearchStrategy[Any]


@st.composite
def types(draw: st.DrawFn, depth: int = 2) -> Made:  # noqa: PLR0911 - one for each kind
    """Any type, not too deep."""
    kinds = ["leaf", "leaf", "leaf", "enum", "fixed"]
    if depth:
        kinds += ["record", "array", "map", "union"]
    match draw(st.sampled_from(kinds)):
        case "enum":
            symbols = ["A", "a7", "bert"]
            return Made(
                {"type": "enum", "name": _named("E"), "symbols": symbols},
                st.sampled_from(symbols),
            )
        case "fixed":
            size = draw(st.integers(0, 3))
            return Made(
                {"type": "fixed", "name": _named("F"), "size": size},
                st.binary(min_size=size, max_size=size),
            )
        case "record":
            return draw(records(depth - 1))
        case "array":
            inner = draw(types(depth - 1))
            return Made(
                {"type": "array", "items": inner.schema}, st.lists(inner.values, max_size=3)
            )
        case "map":
            inner = draw(types(depth - 1))
            return Made(
                {"type": "map", "values": inner.schema},
                st.dictionaries(texts, inner.values, max_size=3),
            )
        case "union":
            branch = draw(types(0).filter(lambda made: made.schema != "null"))
            order = draw(st.permutations(["null", branch.schema]))
            return Made(order, st.one_of(st.none(), branch.values))
        case _:
            name = draw(st.sampled_from(sorted(LEAVES)))
            return Made(name, LEAVES[name])


@st.composite
def records(draw: st.DrawFn, depth: int = 2) -> Made:
    """A record of such fields."""
    fields = draw(st.dictionaries(st.sampled_from("abcd"), types(depth), min_size=1, max_size=4))
    return Made(
        {
            "type": "record",
            "name": _named("R"),
            "fields": [{"name": name, "type": made.schema} for name, made in fields.items()],
        },
        st.fixed_dictionaries({name: made.values for name, made in fields.items()}),
    )


@st.composite
def objects(draw: st.DrawFn) -> tuple[list[dict[str, Any]], bytes]:
    """Records with an id and an owner among random fields, and the object they make."""
    made = draw(records())
    owner = draw(
        st.sampled_from(["string", "long", "bytes", ["null", "string"], ["int", "string"]])
    )
    whose = {
        "string": texts,
        "long": LEAVES["long"],
        "bytes": texts.map(str.encode),
    }.get(str(owner))
    if whose is None:
        whose = st.one_of(st.none() if "null" in owner else st.just(7), texts)
    schema = {
        "type": "record",
        "name": _named("Top"),
        "fields": [
            {"name": "x", "type": made.schema},
            {
                "name": "user",
                "type": {
                    "type": "record",
                    "name": _named("U"),
                    "fields": [
                        {"name": "id", "type": owner},
                    ],
                },
            },
            {"name": "n", "type": "int"},
        ],
    }
    rows = draw(st.lists(st.tuples(made.values, whose), max_size=12))
    found = [{"x": x, "user": {"id": who}, "n": n} for n, (x, who) in enumerate(rows)]
    out = io.BytesIO()
    interval = draw(st.sampled_from([1, 40, 4000]))
    codec = draw(st.sampled_from(CODECS))
    fastavro.writer(out, fastavro.parse_schema(schema), found, codec=codec, sync_interval=interval)
    return found, out.getvalue()


def read(data: bytes) -> list[Any]:
    """What an independent reader finds."""
    return list(fastavro.reader(io.BytesIO(data)))


def chunks(data: bytes, size: int = 7) -> Iterator[bytes]:
    """Bytes as a network may hand them over."""
    return (data[at : at + size] for at in range(0, len(data), size))


@dataclass
class Out:
    """Takes the object as it is to be."""

    data: bytearray = field(default_factory=bytearray)
    kept: list[tuple[int, bytes]] = field(default_factory=list)

    def keep(self, start: int, data: bytes | memoryview) -> None:
        """Bytes that stay."""
        self.kept.append((start, bytes(data)))
        self.data += data

    def write(self, data: bytes) -> None:
        """Other bytes."""
        self.data += data


def same(ours: Any, theirs: Any) -> bool:
    """Whether two values are one: bytes that spell a text are that text."""
    if isinstance(theirs, bytes):
        return ours in (theirs, theirs.decode("utf-8", "replace"))
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, float):
        return bool(ours == theirs or (math.isnan(ours) and math.isnan(theirs)))
    return bool(ours == theirs)


def entries(data: bytes, wanted: Wanted | None = None) -> list[AvroEntry]:
    """The records we find."""
    found = []
    for entry in AVRO.entries(chunks(data), wanted):
        assert isinstance(entry, AvroEntry)
        found.append(entry)
    return found


@given(objects())
@settings(max_examples=examples(60))
def test_every_value_is_the_one_that_an_independent_reader_finds(
    made: tuple[list[dict[str, Any]], bytes],
) -> None:
    """Any schema, any codec: all values of all records, and none more."""
    _, data = made
    ours, theirs = entries(data), read(data)
    assert len(ours) == len(theirs)
    for entry, row in zip(ours, theirs, strict=True):
        assert same({name: entry.value(name) for name in ("x", "user", "n")}, row)
        assert same(entry.value("user.id"), row["user"]["id"])


@given(objects(), st.sets(st.integers(0, 11)))
@settings(max_examples=examples(60))
def test_what_is_erased_is_gone_and_every_other_record_keeps_its_bytes(
    made: tuple[list[dict[str, Any]], bytes],
    doomed: set[int],
) -> None:
    """An independent reader finds the other records alone; blocks without a change are kept."""
    _, data = made
    before = entries(data)
    out = Out()

    def decide(entry: Entry) -> Change:
        return ERASE if entry.value("n") in doomed else KEEP

    AVRO.rewrite(chunks(data), None, decide, out)
    changed = bytes(out.data)
    assert same(read(changed), [r for r in read(data) if r["n"] not in doomed])
    assert [e.raw for e in entries(changed)] == [
        e.raw for e in before if e.value("n") not in doomed
    ]
    assert all(data[start : start + len(kept)] == kept for start, kept in out.kept)
    container = Container(chunks(data))
    for block in container.blocks():
        plain = block.plain(container.header)
        rows = [e.value("n") for e in before if e.raw in plain]
        if doomed.isdisjoint(rows):
            assert (block.at_byte, block.raw) in out.kept
    if not doomed:
        assert changed == data


@given(objects(), st.sets(st.sampled_from(NAMES[:-1]), min_size=1), st.booleans())
@settings(max_examples=examples(80))
def test_whoever_is_wanted_is_among_the_records_handed_over(
    made: tuple[list[dict[str, Any]], bytes],
    names: set[str],
    owned: bool,  # noqa: FBT001 - drawn
) -> None:
    """What the bytes rule out is nobody's, in the owner field and in any other."""
    _, data = made
    fields = ("user.id",) if owned else ()
    wanted = Wanted(frozenset(names), fields, lambda _f, v: str(v) in names, True, True)
    found = {e.raw for e in entries(data, wanted)}
    for entry in entries(data):
        told = [entry.value("user.id")] if owned else [v for _, v in entry.scalars()]
        if any(str(v) in names for v in told if isinstance(v, str | int) and v is not True):
            assert entry.raw in found


@given(objects(), st.binary(max_size=3), st.integers(0, 10_000), st.integers(0, 2**32))
@settings(max_examples=examples(80))
def test_a_damaged_object_is_refused_or_read_and_nothing_else(
    made: tuple[list[dict[str, Any]], bytes], other: bytes, at: int, cut: int
) -> None:
    """Bytes put in the place of others, or missing at the end, raise nothing but a refusal."""
    _, data = made
    place = at % len(data)
    for wrong in (data[:place] + other + data[place + len(other) :], data[: cut % len(data)]):
        with suppress(UnreadableError):
            for entry in AVRO.entries(chunks(wrong), None):
                assert isinstance(entry, AvroEntry)
                entry.body(frozenset())
                list(entry.scalars())
                entry.value("user.id")
