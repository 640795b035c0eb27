"""Parquet's own bytes: the compact protocol, packed numbers, and files that are not sound."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.s3.formats.entries import UnreadableError
from connectors.s3.formats.parquet import hybrid
from connectors.s3.formats.parquet.footer import MAGIC, read_footer
from connectors.s3.formats.parquet.thrift import (
    BINARY,
    BOOL,
    I32,
    I64,
    LIST,
    STRUCT,
    Items,
    Struct,
    read_struct,
    write_struct,
)
from tests.contract.s3_parquet import Stored, file_of, rows_of, without
from tests.examples import examples

_WHOLE = st.integers(-(2**63), 2**63 - 1)
_scalars = (
    st.tuples(st.just(I32), st.integers(-(2**31), 2**31 - 1))
    | st.tuples(st.just(I64), _WHOLE)
    | st.tuples(st.just(BINARY), st.binary(max_size=20))
    | st.tuples(st.just(BOOL), st.booleans())
)


def structs_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Structures of these fields, and lists of them."""
    made = st.dictionaries(st.integers(1, 40), values, max_size=5).map(Struct)
    return st.tuples(st.just(STRUCT), made) | st.tuples(
        st.just(LIST), st.lists(made, max_size=20).map(lambda found: Items(STRUCT, found))
    )


documents = st.dictionaries(
    st.integers(1, 300), st.recursive(_scalars, structs_of, max_leaves=12), max_size=6
).map(Struct)


@given(documents, st.binary(max_size=5))
def test_structures_are_read_as_they_were_written(document: Struct, after: bytes) -> None:
    """Whatever its fields, known here or not, a structure comes back, and ends where it ended."""
    written = write_struct(document)
    assert read_struct(written + after) == (document, len(written))
    assert write_struct(read_struct(written)[0]) == written


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Random bytes are a structure or refused by name; nothing is reserved by what they claim."""
    try:
        found, end = read_struct(data)
    except UnreadableError:
        return
    assert 0 < end <= len(data)
    assert isinstance(found, Struct)


numbers = st.lists(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 70)), min_size=1, max_size=12
)


@given(numbers, st.integers(1, 32))
def test_packed_numbers_come_back(runs: list[tuple[int, int]], width: int) -> None:
    """Runs and packed groups of any width are read as they were written."""
    made = np.concatenate([np.full(count, value & (1 << width) - 1) for value, count in runs])
    encoded = hybrid.encode(made.astype(np.int64), width)
    assert hybrid.decode(encoded, width, len(made)).tolist() == made.tolist()
    assert len(encoded) <= (len(made) * width) // 8 + width + 12 * len(runs) + 4


@given(numbers, st.integers(0, 2**16))
def test_another_reader_agrees_on_packed_numbers(runs: list[tuple[int, int]], seed: int) -> None:
    """Arrow reads the places we pack as the dictionary's values they stand for."""
    draw = random.Random(seed)
    words = [f"w{n}" for n in range(draw.randrange(1, 200))]
    rows = [words[value % len(words)] for value, count in runs for _ in range(count)]
    table = pa.table({"id": range(len(rows)), "word": pa.array(rows)})
    gone = [row for row in range(len(rows)) if draw.random() < 0.3]
    after = without(file_of(table), "id", gone)
    expected = [word for row, word in enumerate(rows) if row not in set(gone)]
    assert [row["word"] for row in rows_of(after)] == expected


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_levels_of_old_files(width: int) -> None:
    """Levels packed from the highest bit on (the deprecated way) are read in order."""
    made = [n % (1 << width) for n in range(21)]
    bits = "".join(f"{number:0{width}b}" for number in made)
    data = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    assert hybrid.decode_packed(data, width, 21).tolist() == made


@settings(max_examples=examples(80))
@given(st.data())
def test_a_damaged_file_is_refused_or_read(data: st.DataObject) -> None:
    """Changed or missing bytes end in a reason or in an answer, never in another error."""
    table = pa.table(
        {
            "id": range(40),
            "text": [f"t{n % 7}" for n in range(40)],
            "deep": [[n] for n in range(40)],
        }
    )
    whole = bytearray(
        file_of(table, compression=data.draw(st.sampled_from(["none", "snappy", "zstd"])))
    )
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 1)) * data.draw(st.integers(0, len(whole)))
    damaged = bytes(whole[cut:])
    with suppress(UnreadableError):
        without(damaged, "id", [3, 30])


def test_a_footer_is_bounded() -> None:
    """A footer that claims more than the object has, or more than any has, is not asked for."""
    for claimed in (2**31, 100):
        data = MAGIC + bytes(50) + claimed.to_bytes(4, "little") + MAGIC
        source = Stored(data)
        with pytest.raises(UnreadableError, match="cut-parquet"):
            read_footer(source)
        assert sum(length for _, length in source.reads) <= len(data)
