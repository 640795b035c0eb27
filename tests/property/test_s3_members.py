"""Members of a compressed object that nothing changes stay the very bytes that were stored."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.s3.formats import members
from connectors.s3.formats.codecs import codec_of
from connectors.s3.formats.entries import ERASE, KEEP, Change, Entry
from connectors.s3.formats.json_document import json_of
from connectors.s3.formats.leftover import Bytes
from connectors.s3.formats.streamed import Streamed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"


def _unsnapped(stored: bytes) -> bytes:
    return bytes(cramjam.snappy.decompress(stored))


def _gzipped(plain: bytes) -> bytes:
    return gzip.compress(plain, mtime=0)


PACKED: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gzip": (_gzipped, gzip.decompress),
    "zstd": (zstd.compress, zstd.decompress),
    "zstd, skipped": (lambda plain: SKIPPED + zstd.compress(plain), zstd.decompress),
    "gzip, padded": (lambda plain: _gzipped(plain) + bytes(9), gzip.decompress),
    "bzip2": (bz2.compress, bz2.decompress),
    "xz": (lzma.compress, lzma.decompress),
    "snappy": (lambda plain: bytes(cramjam.snappy.compress(plain)), _unsnapped),
}
each = pytest.mark.parametrize("name", PACKED)


class Rewritten:
    """What a rewrite tells, held against the stored bytes."""

    def __init__(self, stored: bytes) -> None:
        self.stored, self.made, self.new_bytes = stored, b"", 0

    def keep(self, start: int, data: bytes | memoryview) -> None:
        """Stored bytes that were read."""
        assert self.stored[start : start + len(data)] == data
        self.made += data

    def copy(self, start: int, length: int) -> None:
        """Stored bytes that were not held."""
        assert start + length <= len(self.stored)
        self.made += self.stored[start : start + length]

    def write(self, data: bytes) -> None:
        """New bytes."""
        self.new_bytes += len(data)
        self.made += data


class Sliced(Bytes):
    """Stored bytes as a server sends them."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._size = size

    def stream(self) -> Iterator[bytes]:
        """All of them, in pieces."""
        data = self.first()
        return (data[at : at + self._size] for at in range(0, len(data), self._size))


def _lines(wanted: str) -> bytes:
    """A record for each letter: x goes, m is masked, everything else stays."""
    return b"".join(b'{"id":"%c","n":%d}\n' % (ord(c), n) for n, c in enumerate(wanted))


def _decided(entry: Entry) -> Change:
    masks = Change(masks={"id": "-"})
    return {"x": ERASE, "m": masks}.get(entry.value("id"), KEEP)


def _model(plain: bytes) -> bytes:
    """The same, written independently."""
    kept = [line for line in plain.splitlines(keepends=True) if b'"x"' not in line]
    return b"".join(kept).replace(b'"m"', b'"-"')


def _rewritten(name: str, parts: list[bytes], size: int) -> Rewritten:
    """An object of these members, rewritten."""
    stored = b"".join(map(PACKED[name][0], parts))
    source, out = Sliced(stored, size), Rewritten(stored)
    Streamed(json_of("", "utf-8"), codec_of(stored)).rewrite(source, None, _decided, out)
    return out


def _cut(plain: bytes, cuts: list[int]) -> list[bytes]:
    """Members end anywhere, also inside of a record; some hold nothing."""
    places = [0, *sorted(cut % (len(plain) + 1) for cut in cuts), len(plain)]
    return [plain[a:b] for a, b in pairwise(places)]


def _untouched(parts: list[bytes], plain: bytes) -> list[bool]:
    """Which members hold only bytes that stay."""
    gone, at = bytearray(), 0
    for line in plain.splitlines(keepends=True):
        gone += bytes([b'"x"' in line or b'"m"' in line]) * len(line)
    told = []
    for part in parts:
        told.append(bool(part) and not any(gone[at : at + len(part)]))
        at += len(part)
    return told


@each
@settings(max_examples=60, deadline=None)
@given(
    wanted=st.text("xmab", min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 10_000), max_size=8),
    size=st.sampled_from([1, 7, 10**6]),
    held=st.sampled_from([0, 40, 10**6]),
)
def test_only_members_with_a_change_are_new(
    name: str, wanted: str, cuts: list[int], size: int, held: int
) -> None:
    """Hard case 1, 2: the object says what a rewrite of its text says, other members are kept.

    However it is divided, sent and held; and what was written is read again.
    """
    plain = _lines(wanted)
    parts = _cut(plain, cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "_HELD_BYTES", held)
        out = _rewritten(name, parts, size)
    compress, undo = PACKED[name]
    assert undo(out.made) == _model(plain)
    at = 0
    for part, stays in zip(parts, _untouched(parts, plain), strict=True):
        if stays:
            kept = compress(part).removeprefix(SKIPPED).rstrip(b"\0")
            at = out.made.index(kept.removeprefix(b"\xff\x06\x00\x00sNaPpY"), at)
    if not any(c in wanted for c in "xm"):
        assert (out.made, out.new_bytes) == (out.stored, 0)


@each
@settings(max_examples=20, deadline=None)
@given(
    wanted=st.text("xmab", min_size=1, max_size=20),
    cuts=st.lists(st.integers(0, 10_000), max_size=5),
    held=st.sampled_from([0, 40, 10**6]),
)
def test_a_document_in_members_is_rewritten_as_a_whole_one(
    name: str, wanted: str, cuts: list[int], held: int
) -> None:
    """Hard case 1, 2, 7: commas that go with elements go wherever members end."""
    document = b"[" + _lines(wanted).rstrip(b"\n").replace(b"\n", b",\n") + b"]"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "_HELD_BYTES", held)
        out = _rewritten(name, _cut(document, cuts), 7)
    whole = Rewritten(document)
    json_of("", "utf-8").rewrite(iter((document,)), None, _decided, whole)
    assert PACKED[name][1](out.made) == whole.made
    assert len(json.loads(whole.made)) == len(wanted) - wanted.count("x")


@each
def test_one_record_of_many_members_costs_one_member(name: str) -> None:
    """Hard case 1, 2: of two hundred members, one with a record that goes is written anew."""
    others = [_lines("ab" * 200) + b"%d\n" % number for number in range(200)]
    parts = [*others[:120], _lines("a" * 200 + "x" + "b" * 200), *others[120:]]
    out = _rewritten(name, parts, 256 * 1024)
    compress, undo = PACKED[name]
    assert undo(out.made) == _model(b"".join(parts))
    assert out.new_bytes < 5 * len(compress(parts[120]))
    assert len(out.made) > len(out.stored) - len(compress(parts[120]))


def test_an_index_of_frames_goes_with_what_it_tells() -> None:
    """A frame to be skipped stays before a frame that stays, and goes where it would be wrong."""
    parts = [_lines("aa"), _lines("xa"), _lines("ab")]
    plain = [zstd.compress(part) for part in parts]
    seek_table = b"\x5e\x2a\x4d\x18\x04\x00\x00\x00last"
    stored = b"".join(SKIPPED + frame for frame in plain) + seek_table
    out = Rewritten(stored)
    Streamed(json_of("", "utf-8"), codec_of(stored)).rewrite(Bytes(stored), None, _decided, out)
    assert out.made.startswith(SKIPPED + plain[0])
    assert out.made.endswith(SKIPPED + plain[2])
    assert out.made.count(SKIPPED) == 2
    assert seek_table not in out.made


def test_a_format_that_moves_bytes_has_them_in_its_own_order() -> None:
    """Bytes told of before they were passed, or twice, are new ones wherever they stand."""
    parts = [b"first\n", b"second\n", b"third\n"]
    stored = b"".join(map(_gzipped, parts))

    out, codec = Rewritten(stored), codec_of(stored)
    assert codec is not None
    both = members.Members(codec, out)
    whole = b"".join(both.plain(iter((stored,))))
    for start, end in ((6, 13), (0, 6), (13, 19)):
        both.keep(start, whole[start:end])
    both.close()
    assert gzip.decompress(out.made) == b"second\nfirst\nthird\n"
    assert _gzipped(parts[1]) in out.made
