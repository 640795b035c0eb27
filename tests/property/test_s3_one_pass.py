"""Calls that share a pass over shared objects find what each finds by itself, in every format."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.s3.config import SharedLayout
from connectors.s3.formats.entries import Broken, Entry
from connectors.s3.formats.leftover import Bytes
from connectors.s3.formats.wanted import Wanted
from connectors.s3.reading.shared import Shared
from connectors.s3.server.bucket import Bucket, Version
from dsr_worker.contract import (
    Ask,
    Call,
    Collection,
    Context,
    Field,
    Form,
    Identity,
    Subject,
    Taken,
)
from dsr_worker.testing.context import TrialContext

NAMES = ("id", "customer", "email", "phone", "note")
ROWS = Collection(
    name="rows",
    key=("id",),
    fields={
        **{name: Field(name, "user.content") for name in NAMES},
        "customer": Field("customer", "user.unique_id.owner"),
    },
    takes={
        "customer_number": Taken("customer"),
        "email": Taken("email", Form.ASCII_CASE),
        "phone": Taken("phone", Form.DIGITS),
    },
    source={"layout": "shared", "prefix": "rows/", "format": "ndjson"},
)
NUMBERS = ("1", "7", "12345", "98765", "c-1001")
EMAILS = ("anna@mail.example", "bert@mail.example", "b\u00fc@mail.example")
PHONES = ("493012345678", "4930999")
VALUE = st.sampled_from([*NUMBERS, *EMAILS, *PHONES, "+49 30 12345678", "Anna@Mail.example", "x"])
TEXT = st.lists(VALUE, max_size=3).map(lambda said: " wrote ".join(["hello", *said]))
RECORD = st.fixed_dictionaries(
    {"customer": VALUE, "email": VALUE, "phone": VALUE, "note": TEXT},
)
OBJECTS = st.lists(st.lists(RECORD, min_size=1, max_size=6), min_size=1, max_size=3)
IDENTITY = st.one_of(
    st.sampled_from(NUMBERS).map(lambda v: Identity("customer_number", v)),
    st.sampled_from(EMAILS).map(lambda v: Identity("email", v)),
    st.sampled_from(PHONES).map(lambda v: Identity("phone", v)),
)
PEOPLE = st.lists(st.lists(IDENTITY, min_size=1, max_size=3, unique=True), min_size=1, max_size=2)
CALLS = st.sampled_from([Call.FIND, Call.LOCATE, Call.MENTIONS])
ASKS = st.lists(st.tuples(CALLS, PEOPLE), min_size=2, max_size=4)


class InMemory(Shared):
    """A room whose objects are at hand, and which counts how often one is read."""

    def __init__(self, form: str, bodies: Sequence[bytes]) -> None:
        layout = SharedLayout.model_validate({**ROWS.source, "format": form})
        super().__init__(replace(ROWS, source={**ROWS.source, "format": form}), layout)
        self._bodies = {f"rows/{n}": body for n, body in enumerate(bodies)}
        self.read = Counter[str]()

    def objects(self, bucket: Bucket, ctx: Context) -> Iterator[list[Version]]:
        """One version each."""
        del bucket, ctx
        at = datetime(2026, 11, 22, tzinfo=UTC)
        for key, body in self._bodies.items():
            yield [
                Version(
                    key,
                    "null",
                    latest=True,
                    marker=False,
                    last_modified=at,
                    size_bytes=len(body),
                    etag=key,
                )
            ]

    def records(
        self, bucket: Bucket, version: Version, wanted: Wanted | None, ctx: Context
    ) -> Iterator[Entry | Broken]:
        """Those of its format."""
        del bucket, ctx
        self.read[version.key] += 1
        source = Bytes(self._bodies[version.key])
        yield from self.format_of(source).entries(source, wanted)


def written(form: str, rows: Sequence[dict[str, Any]], first: int) -> bytes:
    """The rows in a format, each with a number of its own."""
    numbered = [{"id": str(first + n), **row} for n, row in enumerate(rows)]
    if form == "parquet":
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(numbered), out)
        return out.getvalue()
    if form == "avro":
        out = io.BytesIO()
        fields = [{"name": name, "type": "string"} for name in NAMES]
        fastavro.writer(out, {"type": "record", "name": "row", "fields": fields}, numbered)
        return out.getvalue()
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, NAMES)
        writer.writeheader()
        writer.writerows(numbered)
        return text.getvalue().encode()
    if form == "json":
        return json.dumps(numbered).encode()
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in numbered)


def shown(item: Any) -> tuple[Any, ...]:
    """An item as comparable values."""
    told = getattr(item, "body", b"") or getattr(item, "field", "")
    return (type(item).__name__, item.subject_ref, item.key, told)


@settings(max_examples=60, deadline=None)
@given(
    form=st.sampled_from(["ndjson", "csv", "json", "parquet", "avro"]), objects=OBJECTS, asks=ASKS
)
def test_a_shared_pass_finds_what_each_call_finds(
    form: str, objects: list[list[dict[str, Any]]], asks: list[tuple[Call, list[list[Identity]]]]
) -> None:
    """Whoever asks beside it, a call finds the same, of its own subjects alone, in one reading."""
    bodies = [written(form, rows, 100 * n) for n, rows in enumerate(objects)]
    nowhere: Any = None
    made = [
        Ask(call, [Subject(f"{a}-{n}", tuple(who)) for n, who in enumerate(people)], TrialContext())
        for a, (call, people) in enumerate(asks)
    ]
    room = InMemory(form, bodies)
    found: dict[int, list[tuple[Any, ...]]] = {n: [] for n in range(len(made))}
    for number, item in room.together(nowhere, made):
        found[number].append(shown(item))
    assert set(room.read.values()) == {1}
    for number, ask in enumerate(made):
        for ctx in (TrialContext(), TrialContext(second_path=True)):
            alone = getattr(InMemory(form, bodies), ask.call)(nowhere, ask.subjects, ctx)
            assert Counter(found[number]) == Counter(map(shown, alone))
        assert {ref for _, ref, _, _ in found[number]} <= {s.ref for s in ask.subjects}
