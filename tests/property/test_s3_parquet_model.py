"""Parquet: whatever the schema, the codec and the writer's settings, only the asked-for changes."""

from __future__ import annotations

import decimal
import io
import random
import string
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.s3.formats.entries import Change
from connectors.s3.formats.parquet.footer import Footer, chunk_range, read_footer
from connectors.s3.formats.parquet.pages import DICTIONARY, pages_of
from connectors.s3.formats.parquet.statistics import order_of
from connectors.s3.formats.parquet.thrift import read_struct
from tests.contract.s3_parquet import Stored, file_of, rewritten, rows_of, table_of
from tests.examples import examples

_CODECS = ("none", "snappy", "gzip", "brotli", "lz4", "zstd")
_DELTAS = {
    "whole": "DELTA_BINARY_PACKED",
    "text": "DELTA_BYTE_ARRAY",
    "few": "DELTA_LENGTH_BYTE_ARRAY",
    "ratio": "BYTE_STREAM_SPLIT",
}

options = st.fixed_dictionaries(
    {
        "compression": st.sampled_from(_CODECS),
        "data_page_version": st.sampled_from(["1.0", "2.0"]),
        "row_group_size": st.sampled_from([7, 40, 1000]),
        "max_rows_per_page": st.sampled_from([3, 17, 1000]),
        "write_page_index": st.booleans(),
        "write_page_checksum": st.booleans(),
        "write_statistics": st.booleans(),
        "store_schema": st.booleans(),
    }
)
encodings = st.sampled_from(["dictionary", "plain", "deltas", "small dictionary"])


def drawn_table(seed: int, count: int) -> Any:
    """Rows of many types with nulls everywhere; `id` is each row's own, `text` mostly."""
    draw = random.Random(seed)

    def some(make: Any) -> list[Any]:
        return [None if draw.random() < 0.2 else make() for _ in range(count)]

    def word(most: int = 12) -> str:
        return "".join(draw.choices(string.ascii_letters + "äß€", k=draw.randrange(most)))

    def person() -> dict[str, Any]:
        tags = None if draw.random() < 0.2 else [word(3) for _ in range(draw.randrange(4))]
        return {"name": draw.choice([None, word()]), "tags": tags}

    kinds: dict[str, tuple[Any, Any]] = {
        "text": (pa.string(), word),
        "long": (pa.large_string(), word),
        "few": (pa.string(), lambda: draw.choice("abc") * 3),
        "coded": (pa.dictionary(pa.int32(), pa.string()), lambda: draw.choice(["x", "yy", "zzz"])),
        "raw": (pa.binary(), lambda: draw.randbytes(draw.randrange(6))),
        "fixed": (pa.binary(5), lambda: draw.randbytes(5)),
        "whole": (pa.int64(), lambda: draw.randrange(-(2**62), 2**62)),
        "short": (pa.int16(), lambda: draw.randrange(-9, 9)),
        "natural": (pa.uint32(), lambda: draw.choice([0, 7, 2**32 - 1, 2**31])),
        "flag": (pa.bool_(), lambda: draw.random() < 0.5),
        "ratio": (pa.float64(), lambda: draw.choice([0.0, -0.0, float("inf"), draw.random()])),
        "price": (pa.decimal128(9, 2), lambda: decimal.Decimal(draw.randrange(-999, 999)) / 100),
        "wide": (pa.decimal256(60, 0), lambda: decimal.Decimal(draw.randrange(10**30))),
        "at": (pa.timestamp("ns"), lambda: draw.randrange(2**60)),
        "zoned": (pa.timestamp("us", "UTC"), lambda: draw.randrange(2**50)),
        "day": (pa.date32(), lambda: draw.randrange(30_000)),
        "person": (
            pa.struct([("name", pa.string()), ("tags", pa.list_(pa.string()))]),
            person,
        ),
        "people": (
            pa.list_(pa.struct([("id", pa.int32()), ("mail", pa.string())])),
            lambda: [{"id": draw.randrange(9), "mail": word(4)} for _ in range(draw.randrange(3))],
        ),
        "facts": (
            pa.map_(pa.string(), pa.list_(pa.int32())),
            lambda: [(f"k{n}", some(lambda: 3)[:2]) for n in range(draw.randrange(3))],
        ),
    }
    chosen = draw.sample(sorted(kinds), draw.randrange(1, 7))
    columns = {name: pa.array(some(kinds[name][1]), kinds[name][0]) for name in chosen}
    fields = [pa.field("id", pa.int64(), nullable=False, metadata={"note": "own"})]
    fields += [pa.field(name, kinds[name][0], nullable=True) for name in chosen]
    schema = pa.schema(fields, metadata={"made by": "a test", "empty": ""})
    return pa.table({"id": pa.array(range(count)), **columns}, schema=schema)


def how_written(table: Any, encoding: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """The writer's options for an encoding."""
    if encoding == "small dictionary":  # most pages after it are plain
        return {**chosen, "dictionary_pagesize_limit": 40, "write_batch_size": 4}
    if encoding == "dictionary":
        return chosen
    deltas = {name: _DELTAS[name] for name in table.column_names if name in _DELTAS}
    columns = {**deltas, "id": "DELTA_BINARY_PACKED"} if encoding == "deltas" else None
    return {**chosen, "use_dictionary": False, "column_encoding": columns}


@settings(max_examples=examples(50), suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(0, 120), options, encodings, st.data())
def test_the_rest_is_as_it_was(
    seed: int, count: int, chosen: dict[str, Any], encoding: str, data: st.DataObject
) -> None:
    """Rows, types, metadata and order are an independent filter's; all bounds hold; others stay."""
    table = drawn_table(seed, count)
    before = file_of(table, **how_written(table, encoding, chosen))
    gone = data.draw(st.sets(st.integers(0, max(0, count - 1))), label="gone")
    if data.draw(st.booleans(), label="in one place"):
        start = data.draw(st.integers(0, count), label="start")
        gone = {row for row in gone if start <= row < start + 10}
    after = rewritten(before, lambda entry: Change(erases=entry.value("id") in gone))

    assert rows_of(after) == [row for row in rows_of(before) if row["id"] not in gone]
    old, new = pq.read_metadata(io.BytesIO(before)), pq.read_metadata(io.BytesIO(after))
    assert table_of(after).schema.equals(table_of(before).schema, check_metadata=True)
    assert (new.metadata, new.created_by, new.schema) == (old.metadata, old.created_by, old.schema)
    assert new.num_rows == count - len(gone & set(range(count)))
    if not gone & set(range(count)):
        assert after == before
    kept = [b for b, rows in groups(before) if rows and not rows & gone]
    untouched = {min(rows) for b, rows in groups(before) if rows and not rows & gone}
    assert [b for b, rows in groups(after) if min(rows, default=-1) in untouched] == kept
    assert_sound(after)


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), options, encodings, st.sets(st.integers(0, 59)), st.data())
def test_masks_change_the_masked_values_only(
    seed: int, chosen: dict[str, Any], encoding: str, rows: set[int], data: st.DataObject
) -> None:
    """A masked field has its new value, other fields and rows have what they had; bounds hold."""
    table = drawn_table(seed, 60)
    before = file_of(table, **how_written(table, encoding, chosen))
    texts = {"text": "erased-1", "few": "abcabc", "long": "", "coded": "w", "whole": "-7"}
    texts |= {"price": "1.50", "day": "2020-02-29", "flag": "true", "fixed": "fixed"}
    masked = data.draw(st.sampled_from([*table.column_names[1:]]), label="masked")
    text = data.draw(st.sampled_from([None, texts.get(masked)]), label="text")
    expected = rows_of(before)
    values = {"whole": -7, "price": decimal.Decimal("1.50"), "flag": True, "fixed": b"fixed"}

    def decide(entry: Any) -> Change:
        row = entry.value("id")
        if row not in rows or entry.value(masked) is None:
            return Change()
        made = pa.array([text]).cast(pa.date32())[0].as_py() if masked == "day" and text else text
        expected[row][masked] = None if text is None else values.get(masked, made)
        return Change(masks={masked: text})

    after = rewritten(before, decide)
    assert rows_of(after) == expected
    assert_sound(after)


def groups(data: bytes) -> list[tuple[tuple[bytes, ...], set[int]]]:
    """Each row group's column chunks as bytes, and the ids in it."""
    footer = read_footer(Stored(data))
    file = pq.ParquetFile(io.BytesIO(data))
    found = []
    for number, group in enumerate(footer.groups):
        ranges = [chunk_range(chunk, footer.at) for chunk in group.items(1)]
        ids = set(file.read_row_group(number, columns=["id"]).column("id").to_pylist())
        found.append((tuple(data[start:end] for start, end in ranges), ids))
    return found


def assert_sound(data: bytes) -> None:
    """Sizes, counts, bounds and page index say of a file what is in it."""
    footer = read_footer(Stored(data))
    for group in footer.groups:
        for chunk, leaf in zip(group.items(1), footer.leaves, strict=True):
            start, end = chunk_range(chunk, footer.at)
            pages = list(pages_of(data[start:end]))
            slots = sum(page.slots for page in pages if page.kind != DICTIONARY)
            assert chunk.get(3).get(5) == slots
            headers = sum(p.end - p.start - len(p.body) for p in pages)
            assert chunk.get(3).get(6) == headers + sum(p.header.get(2) for p in pages)
            if chunk.get(4):
                places = read_struct(data, chunk.get(4))[0].items(1)
                stored = [(start + p.start, p.end - p.start) for p in pages if p.kind != DICTIONARY]
                assert [(place.get(1), place.get(2)) for place in places] == stored
                firsts = [place.get(3) for place in places]
                assert firsts == sorted(set(firsts))
                assert firsts[0] == 0
            if chunk.get(6):
                told = read_struct(data, chunk.get(6))[0]
                of_pages = [len(told.items(number)) for number in (1, 2, 3)]
                assert of_pages == [len([p for p in pages if p.kind != DICTIONARY])] * 3
                order = order_of(leaf)
                assert order is not None
                statistics = chunk.get(3).get(12)
                nonempty = [
                    pair
                    for empty, *pair in zip(*(told.items(n) for n in (1, 2, 3)), strict=True)
                    if empty != b"\x01"
                ]
                if statistics is not None and statistics.get(6) is not None and nonempty:
                    assert order.key(statistics.get(6)) <= min(order.key(p[0]) for p in nonempty)
                    assert order.key(statistics.get(5)) >= max(order.key(p[1]) for p in nonempty)
    assert_told(pq.ParquetFile(io.BytesIO(data)), footer)


def assert_told(file: pq.ParquetFile, footer: Footer) -> None:
    """Statistics of flat columns are exact."""
    for number in range(file.num_row_groups):
        for at, leaf in enumerate(footer.leaves):
            told = file.metadata.row_group(number).column(at).statistics
            if told is None or leaf.node.above is not None:
                continue
            column = file.read_row_group(number, columns=[leaf.node.name]).column(0)
            assert told.null_count in (None, column.null_count)
            if pa.types.is_temporal(column.type) or not told.has_min_max:
                continue  # Python has too few digits for instants
            values = [value for value in column.to_pylist() if value is not None]
            if values and isinstance(values[0], int | str | bytes | float):
                assert (told.min, told.max) == (min(values), max(values))
