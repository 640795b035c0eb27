"""A store in a folder of this machine."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from dsr_worker.store.blobs import BlobMissing, StoreError, checked, part_of

_TEMPORARY = ".incoming"
_WRITE_BUFFER_BYTES = 256 * 1024


class LocalStore:
    """Blobs as files (0600) in folders (0700) below `folder`."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).absolute()
        self._incoming = self.folder / _TEMPORARY
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._known = {self.folder}

    def __repr__(self) -> str:
        return f"LocalStore({self.folder})"

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """As `Store.write`."""
        final = self._path(name)
        temporary = self._incoming / uuid.uuid4().hex
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb", _WRITE_BUFFER_BYTES) as file:
                yield file
                file.flush()
                os.fdatasync(file.fileno())
            self._publish(temporary, final, name)
        finally:
            temporary.unlink(missing_ok=True)

    def open(self, name: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """As `Store.open`."""
        try:
            file = self._path(name).open("rb")
        except FileNotFoundError:
            raise BlobMissing(f"The store holds no {name}.") from None
        if length is None and offset == 0:
            return file
        size = os.fstat(file.fileno()).st_size
        within = min(size - offset, size if length is None else length)
        return part_of(file, offset, within)

    def exists(self, name: str) -> bool:
        """As `Store.exists`."""
        return self._path(name).is_file()

    def destroy(self, name: str) -> bool:
        """As `Store.destroy`."""
        path = self._path(name)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        _sync_folder(path.parent)
        return True

    def names(self, prefix: str = "") -> Iterator[str]:
        """As `Store.names`."""
        start = self.folder / prefix.rpartition("/")[0]
        for folder, folders, files in os.walk(start):
            folders[:] = sorted(f for f in folders if f != _TEMPORARY)
            for file in sorted(files):
                name = (Path(folder) / file).relative_to(self.folder).as_posix()
                if name.startswith(prefix):
                    yield name

    def destroy_unfinished(self, before: datetime) -> int:
        """As `Store.destroy_unfinished`, by when each was last written to."""
        left = [file for file in self._incoming.iterdir() if _is_older(file, before)]
        for file in left:
            file.unlink(missing_ok=True)
        return len(left)

    def _path(self, name: str) -> Path:
        return self.folder / checked(name)

    def _publish(self, temporary: Path, final: Path, name: str) -> None:
        """Give it its name, and make that durable."""
        self._make_folder(final.parent)
        if final.exists():
            raise StoreError(f"The store holds {name} already: blobs are never replaced.")
        temporary.rename(final)
        _sync_folder(final.parent)

    def _make_folder(self, folder: Path) -> None:
        if folder in self._known:
            return
        self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)
        self._known.add(folder)


def _is_older(file: Path, before: datetime) -> bool:
    """Whether a file was last written to before an instant; one that is gone is not."""
    try:
        return file.stat().st_mtime < before.timestamp()
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
