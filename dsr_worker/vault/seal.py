"""Sealing under a case's data key: small values, and streams of any length.

Each case has one data key, stored only wrapped by the key ring; who destroys the wrapped key has
shredded the case. In: plain bytes. Out: sealed bytes (AES-256-GCM).

A sealed stream is `DSR1`, a salt of 16 and a prefix of 7 random bytes, then chunks of 64 KiB (the
last may be shorter), each with a tag of 16. Its key is HMAC-SHA256(case key, salt, purpose); a
chunk's nonce is prefix, 4-byte counter, last flag; header and purpose are authenticated with each
chunk (the STREAM construction, Hoang, Reyhanitabar, Rogaway and Vizár, CRYPTO 2015). So truncation,
reordering, another key and another purpose all show.
"""

from __future__ import annotations

import hmac
import io
import os
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

CHUNK_BYTES = 64 * 1024
TAG_BYTES = 16
MAGIC = b"DSR1"
HEADER_BYTES = len(MAGIC) + 16 + 7
_SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
_NONCE_BYTES = 12
_MAX_CHUNKS = 2**32


class SealBroken(Exception):  # noqa: N818 - a state of the data, like `LeaseLost` in the contract
    """Sealed data is cut short, altered, reordered, or was sealed for another key or purpose."""


class CaseKey:
    """The data key of one case. Made by `KeyRing.new_case_key`, found again by `unwrap`."""

    __slots__ = ("_key", "_values")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._values: AESGCM | None = None

    def __repr__(self) -> str:
        return "CaseKey(hidden)"

    def __reduce__(self) -> str:
        raise TypeError("A case key is never serialised: store the wrapped bytes.")

    def seal(self, value: bytes, purpose: str) -> bytes:
        """Seal a small value (up to some MiB) for one purpose; each call gives other bytes."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher().encrypt(nonce, value, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """The value sealed for `purpose`. Raises SealBroken."""
        try:
            return self._cipher().decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode()
            )
        except (InvalidTag, ValueError):
            raise SealBroken(f"A sealed value ({purpose}) does not open with this key.") from None

    def pseudonym(self, value: str) -> str:
        """What a mask leaves: `erased-` and 16 hex digits, stable per case and value.

        Shredding the case's key cuts the last link between pseudonym and value.
        """
        digest = hmac.digest(
            self._key, b"pseudonym\0" + value.encode("utf-8", "surrogatepass"), "sha256"
        )
        return f"erased-{digest.hex()[:16]}"

    def stream_cipher(self, header: bytes, purpose: str) -> AESGCM:
        """The cipher of one sealed stream."""
        label = b"stream\0" + header + purpose.encode()
        return AESGCM(hmac.digest(self._key, label, "sha256"))

    def _cipher(self) -> AESGCM:
        if self._values is None:
            self._values = AESGCM(hmac.digest(self._key, b"values", "sha256"))
        return self._values


class StreamSealer:
    """Seals a stream chunk by chunk for a caller that places the chunks itself.

    Every chunk but the last must hold exactly `CHUNK_BYTES`; `header` goes before the first.
    """

    __slots__ = ("_aad", "_cipher", "_count", "_prefix", "header")

    def __init__(self, key: CaseKey, purpose: str) -> None:
        self.header = MAGIC + os.urandom(16 + 7)
        self._prefix = self.header[-7:]
        self._aad = self.header + purpose.encode()
        self._cipher = key.stream_cipher(self.header, purpose)
        self._count = 0

    def chunk(self, plain: bytes | bytearray | memoryview, *, last: bool = False) -> bytes:
        """The next sealed chunk."""
        if self._count >= _MAX_CHUNKS:
            raise OverflowError("A sealed stream holds at most 256 TiB: start another one.")
        nonce = _nonce(self._prefix, self._count, last=last)
        self._count += 1
        return self._cipher.encrypt(nonce, plain, self._aad)


class SealingWriter(io.RawIOBase):
    """A write-only, non-seekable file that seals what is written into `raw`.

    `finish` writes the last chunk; leaving a `with` block without an error calls it. `close` alone
    does not: what an error or the garbage collector leaves behind can never be opened.
    Not thread-safe. `raw` stays open and must write whole buffers (any buffered file does).
    """

    def __init__(self, raw: BinaryIO, key: CaseKey, purpose: str) -> None:
        super().__init__()
        self._raw = raw
        self._sealer = StreamSealer(key, purpose)
        self._buffer = bytearray()
        self._finished = False
        self._taken = 0
        raw.write(self._sealer.header)
        self.sealed_bytes = HEADER_BYTES

    def __repr__(self) -> str:
        return f"SealingWriter({self.sealed_bytes} bytes)"

    def writable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The plain bytes taken so far."""
        return self._taken

    def write(self, data: ReadableBuffer) -> int:
        """Take `data` whole."""
        if self._finished:
            raise ValueError("This sealed stream is finished.")
        view = memoryview(data).cast("B")
        self._taken += len(view)
        buffer = self._buffer
        if len(buffer) + len(view) <= CHUNK_BYTES:
            buffer += view
            return len(view)
        start = CHUNK_BYTES - len(buffer)
        buffer += view[:start]
        self._put(self._sealer.chunk(buffer))
        while len(view) - start > CHUNK_BYTES:
            self._put(self._sealer.chunk(view[start : start + CHUNK_BYTES]))
            start += CHUNK_BYTES
        self._buffer = bytearray(view[start:])
        return len(view)

    def finish(self) -> None:
        """Write the last chunk. Safe to repeat."""
        if not self._finished:
            self._finished = True
            self._put(self._sealer.chunk(self._buffer, last=True))
            self._buffer = bytearray()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish()
        self.close()

    def _put(self, sealed: bytes) -> None:
        self._raw.write(sealed)
        self.sealed_bytes += len(sealed)


class OpeningReader(io.RawIOBase):
    """A read-only, seekable file over a sealed one. Raises SealBroken; hands out only proved bytes.

    `raw` must be seekable and hold the sealed stream and nothing else (a store's slice does).
    Reading it to the end proves that it is whole. Wrap it in `io.BufferedReader` for small reads.
    """

    def __init__(self, raw: BinaryIO, key: CaseKey, purpose: str) -> None:
        super().__init__()
        sealed_bytes = raw.seek(0, os.SEEK_END)
        raw.seek(0)
        header = _read_exactly(raw, HEADER_BYTES)
        if not header.startswith(MAGIC):
            raise SealBroken("This is not a sealed stream.")
        payload = sealed_bytes - HEADER_BYTES
        chunks = max(1, -(-payload // _SEALED_CHUNK_BYTES))
        if payload < TAG_BYTES or payload - (chunks - 1) * _SEALED_CHUNK_BYTES < TAG_BYTES:
            raise SealBroken("The sealed stream is cut short.")
        self._raw = raw
        self._prefix = header[-7:]
        self._aad = header + purpose.encode()
        self._cipher = key.stream_cipher(header, purpose)
        self._last = chunks - 1
        self._size = payload - chunks * TAG_BYTES
        self._position = 0
        self._held = -1  # index of the chunk in `_plain`
        self._plain = b""
        self._next = 0  # index of the chunk at which `raw` stands

    def __repr__(self) -> str:
        return f"OpeningReader({self._size} bytes)"

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position in the plain bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position in the plain bytes; nothing is read yet."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("A position before the start.")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Up to one chunk. An empty stream is proved empty as well."""
        target = memoryview(buffer).cast("B")
        index = min(self._position // CHUNK_BYTES, self._last)
        if index != self._held:
            self._hold(index)
        start = self._position - index * CHUNK_BYTES
        count = max(0, min(len(target), len(self._plain) - start))
        target[:count] = self._plain[start : start + count]
        self._position += count
        return count

    def _hold(self, index: int) -> None:
        if index != self._next:
            self._raw.seek(HEADER_BYTES + index * _SEALED_CHUNK_BYTES)
        last = index == self._last
        expected = self._size - index * CHUNK_BYTES if last else CHUNK_BYTES
        sealed = _read_exactly(self._raw, expected + TAG_BYTES)
        self._next = index + 1
        try:
            nonce = _nonce(self._prefix, index, last=last)
            self._plain = self._cipher.decrypt(nonce, sealed, self._aad)
        except InvalidTag:
            raise SealBroken(
                "The sealed stream was cut short or altered, or the key or purpose is another one."
            ) from None
        self._held = index


def opening(raw: BinaryIO, key: CaseKey, purpose: str) -> BinaryIO:
    """An `OpeningReader` with a buffer of one chunk."""
    return cast("BinaryIO", io.BufferedReader(OpeningReader(raw, key, purpose), CHUNK_BYTES))


def _nonce(prefix: bytes, count: int, *, last: bool) -> bytes:
    return prefix + count.to_bytes(4, "big") + (b"\x01" if last else b"\x00")


def _read_exactly(raw: BinaryIO, count: int) -> bytes:
    data = raw.read(count)
    while len(data) < count:
        more = raw.read(count - len(data))
        if not more:
            raise SealBroken("The sealed stream is cut short.")
        data += more
    return data
