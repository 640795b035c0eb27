"""Compressed objects in a bucket: told by their bytes, read whole or refused, written alike."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
from collections.abc import Callable, Iterator
from itertools import chain

import cramjam
import pytest

from connectors.s3.formats.codecs import Codec, codec_of
from connectors.s3.formats.entries import UnreadableError
from tests import zstd

TELLING_BYTES = 8
PLAIN = bytes(random.Random(7).choices(b"abcdef{}:,\n", k=300_000))
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "snappy": lambda plain: bytes(cramjam.snappy.compress(plain)),
}
each = pytest.mark.parametrize("name", COMPRESSORS)


def chunks(data: bytes, size: int = 70_001) -> Iterator[bytes]:
    """Bytes as a server sends them."""
    return (data[at : at + size] for at in range(0, len(data), size))


def opened(stored: Iterator[bytes]) -> tuple[Codec | None, Iterator[bytes]]:
    """How an object is compressed, by its first chunks, and its plain bytes."""
    first = b""
    for chunk in stored:
        first += chunk
        if len(first) >= TELLING_BYTES:
            break
    codec, rest = codec_of(first), chain((first,), stored)
    return codec, rest if codec is None else codec.plain(rest)


def read(data: bytes, size: int = 70_001) -> tuple[Codec | None, bytes]:
    """How an object is compressed, and its plain bytes."""
    codec, plain = opened(chunks(data, size))
    return codec, b"".join(plain)


@each
@pytest.mark.parametrize("size", [1, 70_001, 10**9])
def test_several_members_are_one_object(name: str, size: int) -> None:
    """However the bytes are cut, members written one after the other are read as one."""
    parts = PLAIN[:3000], b"", PLAIN[3000:4000]
    codec, plain = read(b"".join(map(COMPRESSORS[name], parts)), size)
    assert codec is not None
    assert (codec.name, plain) == (name, PLAIN[:4000])


@each
def test_what_is_written_is_read_again(name: str) -> None:
    """A compressor of the same codec gives an object that every other reader takes."""
    codec, _ = read(COMPRESSORS[name](PLAIN))
    assert codec is not None
    made = codec.compressor()
    stored = b"".join([*map(made.compress, chunks(PLAIN)), made.flush()])
    undone: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.decompress,
        "zstd": zstd.decompress,
        "bzip2": bz2.decompress,
        "xz": lzma.decompress,
        "snappy": lambda stored: bytes(cramjam.snappy.decompress(stored)),
    }
    assert undone[name](stored) == PLAIN


@each
@pytest.mark.parametrize("kept", [0.2, 0.999])
def test_a_cut_object_is_never_taken_for_a_whole_one(name: str, kept: float) -> None:
    """What ends within a member is refused by name: a rewrite would lose its rest."""
    whole = COMPRESSORS[name](PLAIN)
    with pytest.raises(UnreadableError, match=f"cut-{name}"):
        read(whole[: int(len(whole) * kept)])


@each
def test_other_bytes_behind_the_last_member_are_refused(name: str) -> None:
    """A rewrite would lose them: they are neither a member nor padding."""
    with pytest.raises(UnreadableError, match=name):
        read(COMPRESSORS[name](PLAIN) + b"and something else")


@pytest.mark.parametrize("name", ["gzip", "xz"])
def test_padding_is_none_of_the_content(name: str) -> None:
    """Zeros between members and behind them are legal."""
    part = COMPRESSORS[name](b"a line\n")
    assert read(part + bytes(8) + part + bytes(512))[1] == b"a line\n" * 2


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "snappy"])
def test_a_damaged_object_is_refused(name: str) -> None:
    """A checksum that does not hold is said, not read over."""
    whole = bytearray(COMPRESSORS[name](PLAIN))
    whole[len(whole) // 2] ^= 0xFF
    with pytest.raises(UnreadableError, match=name):
        read(bytes(whole))


def _chunk(kind: int, content: bytes) -> bytes:
    return bytes((kind,)) + len(content).to_bytes(3, "little") + content


@pytest.mark.parametrize("size", [1, 70_001])
def test_snappy_chunks_of_other_kinds_say_nothing(size: int) -> None:
    """Padding, chunks to be skipped and streams that begin again stand between any two."""
    part = COMPRESSORS["snappy"](PLAIN[:100_000])
    other = _chunk(0xFE, bytes(90_000)) + _chunk(0x80, b"anything")
    assert read(part + other + part + other, size)[1] == PLAIN[:100_000] * 2


@pytest.mark.parametrize("other", [_chunk(0x02, b"anything"), _chunk(0x00, bytes(80_000))])
def test_snappy_chunks_that_nobody_may_skip_are_refused(other: bytes) -> None:
    """What a reader does not know may be content, and none is longer than the format allows."""
    with pytest.raises(UnreadableError, match="damaged-snappy"):
        read(COMPRESSORS["snappy"](PLAIN) + other)


@pytest.mark.parametrize("size", [1, 70_001])
def test_a_zstd_object_may_begin_with_a_frame_to_be_skipped(size: int) -> None:
    """As parallel compressors write it: the first frame says how long the next one is."""
    skipped = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"size"
    frame = zstd.compress(PLAIN)
    codec, plain = read(skipped + frame + skipped + frame, size)
    assert codec is not None
    assert (codec.name, plain) == ("zstd", PLAIN * 2)


@each
def test_a_small_object_that_grows_is_read_in_pieces(name: str) -> None:
    """However much a few bytes stand for, no piece is larger than the reader asks for."""
    codec, plain = opened(chunks(COMPRESSORS[name](bytes(8_000_000))))
    sizes = [len(piece) for piece in plain]
    assert codec is not None
    assert sum(sizes) == 8_000_000
    assert max(sizes) <= 256 * 1024


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"\xff\xfe{", "utf-16"),
        (b"\xfe\xff{", "utf-16"),
    ],
)
def test_what_is_another_format_is_refused_by_name(start: bytes, reason: str) -> None:
    """Nothing is read as lines that are none."""
    with pytest.raises(UnreadableError, match=reason):
        read(start + bytes(100))


@pytest.mark.parametrize("plain", [b"", b"{", b"\x1f", b'{"a": 1}\n'])
def test_everything_else_is_read_as_it_is(plain: bytes) -> None:
    """Bytes without a known beginning are plain, however few."""
    assert read(plain, 1) == (None, plain)
