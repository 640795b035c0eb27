"""The ZIP itself: members streamed into a file that need not be seekable, and the manifest last.

In: paths of our own making and bytes. Out: a ZIP (Zip64 where needed) whose last member,
`manifest.json`, lists size and SHA-256 of every other. The same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any, BinaryIO, Self

import orjson

from dsr_worker.package.press import Press

MANIFEST = "manifest.json"
MANIFEST_FORMAT = "dsr-package/1"
_MODE = 0o100600 << 16  # a regular file, for its owner alone
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

    def __init__(self, file: IO[bytes], press: Press) -> None:
        self._file = file
        self._press = press
        self._digest = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes) -> None:
        """Append to the member."""
        self.bytes += len(data)
        self._press.do(partial(self._write, data))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)

    @property
    def sha256(self) -> str:
        """Of what was written, once the press has done it."""
        return self._digest.hexdigest()


class Archive:
    """A ZIP being written into `out`. Use in a `with` block.

    Only `finish` writes manifest and directory: what an error leaves behind does not open.
    """

    def __init__(self, out: BinaryIO, made_at: datetime) -> None:
        self._zip = zipfile.ZipFile(out, "w", allowZip64=True)
        self._date = made_at.astimezone(UTC).timetuple()[:6]
        self._entries: list[bytes] = []
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
        info = self._info(path, compress=compress)
        info.file_size = size_bytes or 0
        self._press.wait()
        with self._zip.open(info, "w", force_zip64=size_bytes is None) as file:
            member = Member(file, self._press)
            try:
                yield member
            finally:
                self._press.wait()
        self._note(path, media_type, member.bytes, member.sha256, about)

    def put(
        self, path: str, media_type: str, data: bytes, about: Mapping[str, Any] | None = None
    ) -> None:
        """A whole member at once."""
        self._press.do(partial(self._put_noted, path, media_type, data, about))

    def is_large(self) -> None:
        """Much is to come: from now on members are compressed while others are made."""
        self._press.start()

    def finish(self, head: Mapping[str, Any]) -> str:
        """Write the manifest and the directory. Returns the manifest's SHA-256."""
        self._press.wait()
        encoded = orjson.dumps({"format": MANIFEST_FORMAT, **head})
        members = b",\n".join(self._entries)
        manifest = encoded[:-1] + b',"members":[\n' + members + b"\n]}\n"
        self._put(MANIFEST, manifest)
        self._zip.close()
        return hashlib.sha256(manifest).hexdigest()

    @property
    def members(self) -> int:
        """Members written so far, `finish` done."""
        return len(self._entries)

    def _put_noted(
        self, path: str, media_type: str, data: bytes, about: Mapping[str, Any] | None
    ) -> None:
        self._put(path, data)
        self._note(path, media_type, len(data), hashlib.sha256(data).hexdigest(), about)

    def _put(self, path: str, data: bytes) -> None:
        """What `ZipFile.writestr` does, in one write: a package has many small members."""
        info = self._info(path, compress=len(data) > _STORED_UP_TO_BYTES)
        if info.compress_type != zipfile.ZIP_STORED or len(data) >= zipfile.ZIP64_LIMIT:
            self._zip.writestr(info, data)
            return
        out = self._zip.fp
        assert out is not None, "the archive is open"  # noqa: S101 - tells the type checker
        info.CRC = zlib.crc32(data)
        info.file_size = info.compress_size = len(data)
        info.header_offset = self._zip.start_dir
        out.write(info.FileHeader() + data)
        self._zip.filelist.append(info)
        self._zip.NameToInfo[info.filename] = info
        self._zip.start_dir = out.tell()

    def _info(self, path: str, *, compress: bool) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(path, self._date)
        info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
        info._compresslevel = 1  # type: ignore[attr-defined]  # noqa: SLF001 - no public name before 3.13
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
        self._entries.append(orjson.dumps({**entry, **(about or {})}))
