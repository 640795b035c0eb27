"""The ZIP itself: members streamed into a file that need not be seekable, and the manifest last.

In: paths of our own making and bytes. Out: a ZIP (Zip64 where needed) whose last member,
`manifest.json`, lists size and SHA-256 of every other. The same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any, BinaryIO, Protocol, Self

import orjson

from dsr_worker.package.press import Press, Work

MANIFEST = "manifest.json"
MANIFEST_FORMAT = "dsr-package/1"
_MODE = 0o100600 << 16  # a regular file, for its owner alone
_LEVEL = 1
_RAW = -zlib.MAX_WBITS  # deflated without zlib's own header
# A member of unknown size is followed by its sizes (APPNOTE.TXT 6.3.10, 4.3.9).
_SIZES_FOLLOW = 0x08
_SIZES_MARK = 0x08074B50
_SIZES, _SIZES_64 = struct.Struct("<LLLL"), struct.Struct("<LLQQ")
_ZIP64_FROM_BYTES = 2_000_000_000  # deflating what cannot be compressed adds to it
_STORED_UP_TO_BYTES = 4096  # setting up a compressor costs more than it saves here
_STEM = re.compile(r"[^a-z0-9_-]+")
# Names that Windows reserves (Microsoft Learn, "Naming Files, Paths, and Namespaces").
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul"] + [f"{d}{n}" for d in ("com", "lpt") for n in range(10)]
)
_MAX_STEM = 60


class Names:
    """Safe stems for members: lower-case ASCII, none reserved, none twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def stem(self, name: str) -> str:
        """A stem that resembles `name` and that nobody has; a new one at each call."""
        base = _STEM.sub("_", name.lower())[:_MAX_STEM].strip("_-") or "part"
        if base in _RESERVED:
            base = f"{base}_"
        stem, number = base, 1
        while stem in self._taken:
            number += 1
            stem = f"{base}_{number}"
        self._taken.add(stem)
        return stem


class Member:
    """A member being written."""

    def __init__(self, info: zipfile.ZipInfo, file: IO[bytes], press: Press) -> None:
        self._info = info
        self._file = file
        self._press = press
        self._compressor = _compressor(info)
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Append to the member."""
        self._digest.update(data)
        self._info.CRC = zlib.crc32(data, self._info.CRC)
        self._info.file_size += len(data)
        self._press.do(partial(self._compressor.compress, data), self._append)

    def end(self) -> None:
        """Write what the compressor still holds."""
        self._press.do(self._compressor.flush, self._append)

    def _append(self, compressed: bytes) -> None:
        self._file.write(compressed)
        self._info.compress_size += len(compressed)

    @property
    def bytes(self) -> int:
        """The bytes written so far."""
        return self._info.file_size

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._digest.hexdigest()


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Stored:
    """Stands in for a compressor where a member goes in as it is."""

    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


class Archive:
    """A ZIP being written into `out`. Use in a `with` block.

    Only `finish` writes manifest and directory: what an error leaves behind does not open.
    """

    def __init__(self, out: BinaryIO, made_at: datetime) -> None:
        self._zip = zipfile.ZipFile(out, "w", allowZip64=True)
        self._date = made_at.astimezone(UTC).timetuple()[:6]
        self._entries = bytearray()  # one after the other: what orjson returns may hold 4 KiB
        self.members = 0
        """Members written so far, but for the manifest."""
        self._press = Press()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._press.stop()
        self._zip.fp = None  # else the collector would close the ZIP as if it were whole

    @contextmanager
    def member(
        self,
        path: str,
        media_type: str,
        *,
        size_bytes: int | None = None,
        compress: bool = True,
        about: Mapping[str, Any] | None = None,
    ) -> Iterator[Member]:
        """A member written piece by piece, of any size unless `size_bytes` tells it."""
        self._press.wait()
        is_zip64 = size_bytes is None or size_bytes > _ZIP64_FROM_BYTES
        info, out = self._info(path, compress=compress), self._out
        info.flag_bits |= _SIZES_FOLLOW
        info.header_offset = out.tell()
        out.write(info.FileHeader(is_zip64))
        member = Member(info, out, self._press)
        yield member
        member.end()
        self._press.wait()
        sizes = info.CRC, info.compress_size, info.file_size
        out.write((_SIZES_64 if is_zip64 else _SIZES).pack(_SIZES_MARK, *sizes))
        self._entered(info)
        self._note(path, media_type, member.bytes, member.sha256, about)

    def put(
        self, path: str, media_type: str, data: bytes, about: Mapping[str, Any] | None = None
    ) -> None:
        """A whole member at once."""
        self._put(path, data)
        self._note(path, media_type, len(data), hashlib.sha256(data).hexdigest(), about)

    def is_large(self) -> None:
        """Much is to come: from now on members are compressed while others are made."""
        self._press.start()

    def finish(self, head: Mapping[str, Any]) -> str:
        """Write the manifest and the directory. Returns the manifest's SHA-256."""
        self._press.wait()
        encoded = orjson.dumps({"format": MANIFEST_FORMAT, **head})
        manifest = encoded[:-1] + b',"members":[\n' + self._entries + b"\n]}\n"
        self._put(MANIFEST, manifest)
        self._press.wait()
        self._zip.close()
        return hashlib.sha256(manifest).hexdigest()

    def _put(self, path: str, data: bytes) -> None:
        """What `ZipFile.writestr` does, in one write: a package has many small members."""
        info = self._info(path, compress=len(data) > _STORED_UP_TO_BYTES)
        info.CRC, info.file_size = zlib.crc32(data), len(data)
        if info.compress_type == zipfile.ZIP_STORED:
            work: Work = partial(bytes, data)
        else:
            work = partial(zlib.compress, data, _LEVEL, _RAW)
        self._press.do(work, partial(self._append, info))

    def _append(self, info: zipfile.ZipInfo, compressed: bytes) -> None:
        info.compress_size = len(compressed)
        info.header_offset = self._out.tell()
        self._out.write(info.FileHeader())
        self._out.write(compressed)
        self._entered(info)

    @property
    def _out(self) -> IO[bytes]:
        assert self._zip.fp is not None, "the archive is open"  # noqa: S101 - tells the type checker
        return self._zip.fp

    def _entered(self, info: zipfile.ZipInfo) -> None:
        """Let the directory have the member that was just written."""
        self._zip.filelist.append(info)
        self._zip.NameToInfo[info.filename] = info
        self._zip.start_dir = self._out.tell()

    def _info(self, path: str, *, compress: bool) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(path, self._date)
        info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
        info.CRC = 0
        info.external_attr = _MODE
        info.create_system = 3  # Unix, whatever this runs on
        return info

    def _note(
        self,
        path: str,
        media_type: str,
        size: int,
        sha256: str,
        about: Mapping[str, Any] | None,
    ) -> None:
        entry = {"path": path, "bytes": size, "sha256": sha256, "media_type": media_type}
        if self.members:
            self._entries += b",\n"
        self._entries += _encoded({**entry, **(about or {})})
        self.members += 1


def _encoded(entry: Mapping[str, Any]) -> bytes:
    """An entry as JSON; half of a surrogate pair in an original name becomes a question mark."""
    try:
        return orjson.dumps(entry)
    except TypeError:
        return json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace")


def _compressor(info: zipfile.ZipInfo) -> _Compressor:
    if info.compress_type == zipfile.ZIP_STORED:
        return _Stored()
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
