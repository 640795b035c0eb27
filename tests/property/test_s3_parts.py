"""What a draft and its parts say is the object as it is to be, in parts that S3 takes."""

from __future__ import annotations

import io
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.s3.server.draft import LARGE_BYTES, MIB, SHORTEST_PART_BYTES, Draft, Segment
from connectors.s3.server.parts import LONGEST_PART_BYTES, MOST_PARTS, copied, parts_of
from tests.examples import examples

TIB = 1024 * 1024 * MIB


class Stored:
    """An object of these bytes, or of so many that nobody reads."""

    def __init__(self, data: bytes, size_bytes: int | None = None) -> None:
        self.data = data
        self.size_bytes = len(data) if size_bytes is None else size_bytes

    def first(self) -> bytes:
        """Not asked for."""
        raise AssertionError

    def stream(self) -> io.BytesIO:
        """Not asked for."""
        raise AssertionError

    def read(self, start: int, length: int) -> bytes:
        """A range."""
        return self.data[start : start + length]


_ONCE = bytes(range(256)) * (21 * MIB // 256)


_KINDS = st.sampled_from(["keep", "copy", "skip", "write"])
_LENGTHS = st.sampled_from([1, 100, MIB, 4 * MIB, 6 * MIB])


@st.composite
def _edits(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """What a format could tell: stored ranges in order, kept or copied, and new bytes between."""
    at, edits = 0, []
    for kind, length in draw(st.lists(st.tuples(_KINDS, _LENGTHS), max_size=20)):
        edits.append((kind, at, min(length, len(_ONCE) - at)))
        at += edits[-1][2]
    return edits


@given(edits=_edits())
def test_segments_are_the_object_as_it_is_to_be(edits: list[tuple[str, int, int]]) -> None:
    """Whatever is kept, copied, written or left out: the segments say the same bytes in order."""
    stored, spool = Stored(_ONCE), io.BytesIO()
    draft = Draft(stored, spool)
    expected = b""
    for kind, start, length in edits:
        data = _ONCE[start : start + length]
        match kind:
            case "keep":
                for at in range(0, length, MIB):
                    draft.keep(start + at, data[at : at + MIB])
            case "copy":
                draft.copy(start, length)
            case "write":
                data = b"n" * min(length, 1000)
                draft.write(data)
            case _:
                data = b""
        expected += data
    segments = draft.segments()
    told = b""
    for segment in segments:
        source = _ONCE if segment.stays else spool.getvalue()
        told += source[segment.start : segment.start + segment.length]
        assert segment.length >= SHORTEST_PART_BYTES or not segment.stays
    assert told == expected
    assert spool.tell() == sum(segment.length for segment in segments if not segment.stays)
    assert all(a.stays or b.stays for a, b in pairwise(segments))


def test_a_run_that_grows_long_leaves_the_spool() -> None:
    """A kept run is spooled no further than to the length from which it is copied."""
    spool = io.BytesIO()
    draft = Draft(Stored(b"", 400 * MIB), spool)
    most = 0
    for at in range(0, 400 * MIB, MIB):
        draft.keep(at, bytes(MIB))
        most = max(most, len(spool.getvalue()))
    assert most < SHORTEST_PART_BYTES
    assert draft.segments() == [Segment(stays=True, start=0, length=400 * MIB)]


@st.composite
def _segments(draw: st.DrawFn) -> list[Segment]:
    """Segments of an object of up to 5 TiB, as a draft makes them."""
    size = draw(st.sampled_from([LARGE_BYTES, 300 * MIB, 5 * 1024 * MIB + 1, TIB, 5 * TIB]))
    shortest = max(SHORTEST_PART_BYTES, size // 1000)
    many = draw(st.integers(1, min(1000, size // shortest)))
    segments, at, spooled = [], 0, 0
    for n in range(many):
        fresh = draw(st.sampled_from([0, 1, MIB, SHORTEST_PART_BYTES, 70 * MIB]))
        if fresh:
            segments.append(Segment(stays=False, start=spooled, length=fresh))
            spooled += fresh
        longest = (size - at) - (many - n - 1) * shortest
        length = draw(st.sampled_from([shortest, min(longest, shortest + 1), longest]))
        segments.append(Segment(stays=True, start=at, length=length))
        at += length
        if at + shortest > size:
            break
    if draw(st.booleans()):
        segments.append(Segment(stays=False, start=spooled, length=1))
    return segments


@settings(max_examples=examples(30))
@given(segments=_segments())
def test_parts_fit_what_a_multipart_upload_takes(segments: list[Segment]) -> None:
    """Hard case 32: parts of 5 MiB to 5 GiB, at most 10,000, the same bytes in the same order."""
    parts = parts_of(segments)
    assert len(parts) <= MOST_PARTS
    lengths = [sum(piece.length for piece in part) for part in parts]
    assert all(length >= SHORTEST_PART_BYTES for length in lengths[:-1])
    assert all(0 < length <= LONGEST_PART_BYTES for length in lengths)
    told = [piece for part in parts for piece in part]
    merged: list[Segment] = []
    for piece in told:
        last = merged[-1] if merged else None
        if last and last.stays == piece.stays and last.start + last.length == piece.start:
            last.length += piece.length
        else:
            merged.append(Segment(piece.stays, piece.start, piece.length))
    whole: list[Segment] = []
    for piece in segments:
        last = whole[-1] if whole else None
        if last and last.stays == piece.stays and last.start + last.length == piece.start:
            last.length += piece.length
        else:
            whole.append(Segment(piece.stays, piece.start, piece.length))
    assert merged == whole
    borrowed = sum(p.length for part in parts if not copied(part) for p in part if p.stays)
    changes = 1 + sum(not segment.stays for segment in segments)
    assert borrowed <= changes * 2 * SHORTEST_PART_BYTES
