"""Parquet: a bound that an erased value made is told, however a writer shortened it."""

from __future__ import annotations

import struct

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.s3.formats.parquet.footer import BYTE_ARRAY, DOUBLE, FIXED, FLOAT, Leaf, Node
from connectors.s3.formats.parquet.statistics import may_show
from connectors.s3.formats.parquet.thrift import Struct


def leaf(physical: int, width: int = 0) -> Leaf:
    """A flat column."""
    return Leaf(0, Node("v", True, False, 1, None), physical, width, Struct(), 1, 0)


def raised(data: bytes) -> bytes:
    """The next greater bytes of the same length: what overflows is 0 (as parquet-java does)."""
    number = int.from_bytes(data, "big") + 1
    return number.to_bytes(len(data), "big")


def raised_text(data: bytes) -> bytes:
    """The next greater text: one byte is raised, from the end on, until it is UTF-8 again."""
    for at in range(len(data) - 1, -1, -1):
        for byte in range(data[at] + 1, 256):
            tried = data[:at] + bytes([byte]) + data[at + 1 :]
            try:
                tried.decode()
            except UnicodeDecodeError:
                continue
            return tried
    raise AssertionError


letters = st.sampled_from(
    "aя€\N{GRINNING FACE}пÿ"
)  # the last two end in bytes that cannot be raised


@given(st.text(letters, min_size=70, max_size=90), st.integers(20, 64))
def test_shortened_bounds_of_texts(text: str, length: int) -> None:
    """Hard case 13: a text cut at a letter, and its last letter raised, whichever that is."""
    value = text.encode()
    cut = value[:length].decode(errors="ignore").encode()
    gone = [pa.array([b"other", value], pa.binary())]
    assert may_show([cut], gone, leaf(BYTE_ARRAY))
    assert may_show([raised_text(cut)], gone, leaf(BYTE_ARRAY))


@given(st.binary(min_size=70, max_size=90), st.integers(0, 8), st.integers(16, 64))
def test_shortened_bounds_of_bytes(value: bytes, full: int, length: int) -> None:
    """Hard case 13: bytes cut, the last raised, which may carry over."""
    cut = b"\1" + value[: length - full - 1] + b"\xff" * full
    gone = [pa.array([cut + value], pa.binary())]
    assert may_show([cut], gone, leaf(BYTE_ARRAY))
    assert may_show([raised(cut)], gone, leaf(BYTE_ARRAY))
    fixed = [pa.array([cut + value], pa.binary(len(cut + value)))]
    assert may_show([raised(cut)], fixed, leaf(FIXED, len(cut + value)))


@given(st.lists(st.text(max_size=20)), st.text(max_size=20))
def test_whole_bounds(values: list[str], bound: str) -> None:
    """A bound is told where one of the values is it; short ones are not told of all others."""
    gone = [pa.array([value.encode() for value in values], pa.binary())]
    told = may_show([bound.encode(), None], gone, leaf(BYTE_ARRAY))
    assert told or bound not in values
    if not any(value.encode()[:1] == bound.encode()[:1] for value in values) and len(bound) > 5:
        assert not told


@pytest.mark.parametrize(("physical", "form"), [(FLOAT, "<f"), (DOUBLE, "<d")])
def test_zero_has_two_signs(physical: int, form: str) -> None:
    """Hard case 13: the bounds of a zero are -0.0 and +0.0, whichever was stored."""
    width = struct.calcsize(form)
    for stored in (0.0, -0.0):
        gone = [pa.array([struct.pack(form, stored)], pa.binary(width))]
        for bound in (0.0, -0.0):
            assert may_show([struct.pack(form, bound)], gone, leaf(physical, width))
        assert not may_show([struct.pack(form, 1.0)], gone, leaf(physical, width))
