"""Where the servers' files may lie.

Two things can make the data folder itself unfit. Postgres refuses to run as root, so as root the
servers run as uid 65534 ("nobody"), which cannot pass a closed folder such as /root; we never open
a folder that is not ours. And a unix socket's path has room for some hundred bytes only. In both
cases the files lie elsewhere and the data folder says where.

Enters: the data folder. Leaves: a `Place`, with its folders made.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dsr_worker.embedded.binaries import EmbeddedError

NOBODY = 65534
SYSTEM_HOME = Path("/var/lib/dsr-worker")  # as the Filesystem Hierarchy Standard 3.0, section 5.8
# sun_path holds 108 bytes on Linux and 104 on macOS, with the closing zero (unix(7), unix(4)).
LONGEST_SOCKET_BYTES = 103
_LONGEST_NAME = ".s.PGSQL.5432.lock"


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one data folder's services, and the user who runs them (None: ourselves)."""

    data_dir: Path
    home: Path
    sockets: Path
    uid: int | None


def prepare(data_dir: Path) -> Place:
    """Make the folders, ours alone; run again it finds the same ones.

    Raises:
        EmbeddedError: a folder cannot be made, or belongs to someone else.
    """
    uid = NOBODY if os.geteuid() == 0 else None
    try:
        _make(data_dir, uid, shared=True)
        home = _home(data_dir, uid)
        return Place(data_dir, home, _sockets(data_dir, home, uid), uid)
    except PermissionError as error:
        raise EmbeddedError(
            f"{error.filename} cannot be used for the embedded services. Choose a folder you own "
            "(DSR_DATA_DIR), or set DSR_LEDGER_DSN and DSR_REDIS_URL to servers that run elsewhere."
        ) from None


def known(data_dir: Path) -> Place | None:
    """The place made earlier, without touching anything; None if there is none."""
    home = _recorded(data_dir / "home") or data_dir
    sockets = _recorded(data_dir / "sockets.path") or home / "sockets"
    if not sockets.is_dir():
        return None
    return Place(data_dir, home, sockets, NOBODY if os.geteuid() == 0 else None)


def forget_sockets(place: Place) -> None:
    """Take away the sockets folder if it lies outside the home."""
    record = place.data_dir / "sockets.path"
    if record.exists():
        shutil.rmtree(place.sockets, ignore_errors=True)
        record.unlink()


def remove(data_dir: Path) -> None:
    """Take away the data folder and what it keeps elsewhere. The servers must have ended."""
    for elsewhere in (_recorded(data_dir / "sockets.path"), _recorded(data_dir / "home")):
        if elsewhere is not None:
            shutil.rmtree(elsewhere, ignore_errors=True)
    if data_dir.exists():
        shutil.rmtree(data_dir)


def can_pass(folder: Path, uid: int | None) -> bool:
    """Whether the user who runs the servers can reach into `folder` (None: we can ourselves)."""
    if uid is None:
        return True
    real = folder.resolve()
    return all(_may_enter(step.stat(), uid) for step in (real, *real.parents))


def _may_enter(status: os.stat_result, uid: int) -> bool:
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == uid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _home(data_dir: Path, uid: int | None) -> Path:
    recorded = _recorded(data_dir / "home")
    if recorded is None and can_pass(data_dir, uid):
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    home = recorded or SYSTEM_HOME / digest
    SYSTEM_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
    _make(home, uid, shared=True)
    if not can_pass(home, uid):
        raise EmbeddedError(
            f"As root the servers run as uid {NOBODY}, which can reach neither {data_dir} "
            f"nor {home}. Choose a data folder that others may pass through (DSR_DATA_DIR)."
        )
    _record(data_dir / "home", home)
    return home


def _sockets(data_dir: Path, home: Path, uid: int | None) -> Path:
    record = data_dir / "sockets.path"
    near = home / "sockets"
    if len(os.fsencode(near / _LONGEST_NAME)) <= LONGEST_SOCKET_BYTES:
        _make(near, uid)
        return near
    recorded = _recorded(record)
    if recorded is not None and recorded.is_dir():
        return recorded
    far = _short_folder(uid)
    if uid is not None:
        os.chown(far, uid, uid)
    _record(record, far)
    return far


def _short_folder(uid: int | None) -> Path:
    """A new 0700 folder below the system's place for temporary files, on a path that is short."""
    for base in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - mkdtemp makes it safe
        length = len(os.fsencode(base / "dsr-12345678" / _LONGEST_NAME))
        if length <= LONGEST_SOCKET_BYTES and can_pass(base, uid):
            return Path(tempfile.mkdtemp(prefix="dsr-", dir=base))
    raise EmbeddedError("No folder for temporary files has a short enough path: set TMPDIR=/tmp.")


def _make(folder: Path, uid: int | None, *, shared: bool = False) -> None:
    """Make a folder of ours: 0700, or, as root and `shared`, one that uid 65534 may pass."""
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True)
    if uid is not None and shared:
        os.chown(folder, 0, uid)
        folder.chmod(0o710)
    elif uid is not None:
        os.chown(folder, uid, uid)


def _record(file: Path, folder: Path) -> None:
    fresh = file.with_name(file.name + ".new")
    fresh.write_text(str(folder))
    fresh.replace(file)


def _recorded(file: Path) -> Path | None:
    try:
        return Path(file.read_text())
    except OSError:
        return None
