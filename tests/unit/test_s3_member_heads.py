"""How members of a compressed object begin: heads of gzip, and what stands before a member."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator

import pytest

from connectors.s3.formats import members
from connectors.s3.formats.codecs import codec_of
from connectors.s3.formats.entries import ERASE, KEEP, Change, Entry, UnreadableError
from connectors.s3.formats.json_document import json_of
from connectors.s3.formats.leftover import Bytes
from connectors.s3.formats.streamed import Streamed

PLAIN = b'{"id":1}\n'
EXTRA, NAME, COMMENT, HEAD_CRC = 4, 8, 16, 2  # RFC 1952, section 2.3.1


def _member(flags: int, plain: bytes = PLAIN) -> bytes:
    """A member with these optional fields in its head."""
    head = bytes([0x1F, 0x8B, 8, flags, 0, 0, 0, 0, 0, 255])
    head += b"\x06\x00ab\x02\x00cd" if flags & EXTRA else b""
    head += b"orders.json\0" if flags & NAME else b""
    head += b"of the night\0" if flags & COMMENT else b""
    if flags & HEAD_CRC:
        head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
    deflate = zlib.compressobj(wbits=-15)
    packed = deflate.compress(plain) + deflate.flush()
    ending = zlib.crc32(plain).to_bytes(4, "little") + len(plain).to_bytes(4, "little")
    return head + packed + ending


@pytest.mark.parametrize("flags", range(32))
def test_a_head_of_gzip_is_read_however_it_is_cut(flags: int) -> None:
    """Any optional fields of a member's head, cut at any byte, are passed, and nothing is lost."""
    stored = _member(flags) + _member(0) + _member(flags)
    assert gzip.decompress(stored) == PLAIN * 3
    codec = codec_of(stored)
    assert codec is not None
    cuts = [[stored[:at], stored[at:]] for at in range(len(stored) + 1)]
    for chunks in (*cuts, [bytes((sign,)) for sign in stored]):
        assert b"".join(codec.plain(iter(chunks))) == PLAIN * 3


def test_a_head_of_gzip_that_does_not_end_is_cut() -> None:
    """An object that ends within a member's head is told as cut, or as damaged; never as whole."""
    stored = _member(EXTRA | NAME | COMMENT | HEAD_CRC)
    codec = codec_of(stored)
    assert codec is not None
    for end in range(1, len(stored)):
        with pytest.raises(UnreadableError, match=r"cut-gzip|damaged-gzip"):
            list(codec.plain(iter((stored + stored[:end],))))
    endless = stored[:10] + b"x" * 400_000
    with pytest.raises(UnreadableError, match=r"cut-gzip|damaged-gzip"):
        list(codec.plain(endless[at : at + 1000] for at in range(0, len(endless), 1000)))


class _Out:
    def __init__(self, stored: bytes) -> None:
        self.stored, self.made = stored, b""

    def keep(self, start: int, data: bytes | memoryview) -> None:
        assert self.stored[start : start + len(data)] == data
        self.made += data

    def copy(self, start: int, length: int) -> None:
        self.made += self.stored[start : start + length]

    def write(self, data: bytes) -> None:
        self.made += data


class _Sliced(Bytes):
    def stream(self) -> Iterator[bytes]:
        data = self.first()
        return (data[at : at + 3] for at in range(0, len(data), 3))


def _decided(entry: Entry) -> Change:
    return ERASE if entry.value("id") == 1 else KEEP


@pytest.mark.parametrize("held", [4 * 1024 * 1024, 8], ids=["held", "copied"])
@pytest.mark.parametrize(
    ("pack", "unpack", "padding"),
    [(gzip.compress, gzip.decompress, 9), (lzma.compress, lzma.decompress, 8)],
    ids=["gzip", "xz"],
)
def test_an_object_never_begins_with_padding(
    pack: Callable[[bytes], bytes],
    unpack: Callable[[bytes], bytes],
    padding: int,
    held: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where all that stands before padded bytes goes, what is left is compressed as it was."""
    monkeypatch.setattr(members, "_HELD_BYTES", held)
    stored = pack(PLAIN) + bytes(padding) + pack(b'{"id":2}\n')
    out = _Out(stored)
    form = Streamed(json_of("", "utf-8"), codec_of(stored))
    form.rewrite(_Sliced(stored), None, _decided, out)
    assert out.made == pack(b'{"id":2}\n')
    assert unpack(out.made) == b'{"id":2}\n'
