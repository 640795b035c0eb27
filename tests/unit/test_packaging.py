"""What is installed, built and shipped is what was reviewed: pins, scripts, image, compose file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

PROJECT = Path(__file__).resolve().parents[2]
PINS = sorted((PROJECT / "requirements").glob("*.txt"))
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


def _pins(name: str) -> dict[str, str]:
    text = (PROJECT / "requirements" / f"{name}.txt").read_text()
    return {_normal(package): version for package, version in PIN.findall(text)}


def _normal(name: str) -> str:
    """A project name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _wanted(lines: Iterable[str]) -> set[str]:
    return {_normal(re.split(r"[\[<>=~; ]", line)[0]) for line in lines}


@pytest.fixture(scope="module")
def declared() -> dict[str, Any]:
    """The project table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return table


@pytest.mark.parametrize("file", PINS, ids=lambda path: path.stem)
def test_every_pin_is_exact_and_hashed(file: Path) -> None:
    """A requirements file holds exact versions with hashes and no index's address."""
    text = file.read_text()
    entries = re.split(r"\n(?=[A-Za-z0-9])", text.split("\n", 2)[2].replace("\\\n", " "))
    assert len(entries) > 1
    for entry in entries:
        assert PIN.match(entry), entry.split()[0]
        assert "--hash=sha256:" in entry, entry.split()[0]
    assert not re.search(r"://|--index|--extra-index|--find-links|^-[a-z]", text, re.MULTILINE)


def test_pins_cover_what_is_declared_and_agree(declared: dict[str, Any]) -> None:
    """Each declared dependency is pinned, and no two files pin one package differently."""
    extras = declared["optional-dependencies"]
    runtime = _wanted(declared["dependencies"])
    assert runtime <= _pins("runtime").keys()
    assert runtime | _wanted(extras["embedded"]) <= _pins("embedded").keys()
    everything = runtime.union(*(_wanted(lines) for lines in extras.values()))
    dev = _pins("dev")
    assert everything <= dev.keys()
    for file in PINS:
        assert _pins(file.stem).items() <= dev.items(), file.name


def test_what_old_interpreters_need_is_pinned_too() -> None:
    """Python before 3.11.3 needs async-timeout for redis; pins made on a newer one forget it."""
    assert "async-timeout" in _pins("runtime")


def test_each_dependency_is_explained(declared: dict[str, Any]) -> None:
    """docs/dependencies.md has a line for every declared dependency."""
    told = _normal((PROJECT / "docs" / "dependencies.md").read_text())
    extras = declared["optional-dependencies"].values()
    lines = chain(declared["dependencies"], *extras)
    assert [name for name in sorted(_wanted(lines)) if f"`{name}`" not in told] == []


def test_the_wheel_lists_its_packages(declared: dict[str, Any]) -> None:
    """All three folders are shipped by name, and an index refuses the upload."""
    build = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["packages"] == [
        "dsr_worker",
        "connectors",
        "retention_policies",
    ]
    assert "Private :: Do Not Upload" in declared["classifiers"]


# ---- scripts


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's scripts and pins in a folder without an environment."""
    for name in ("scripts", "requirements"):
        shutil.copytree(PROJECT / name, tmp_path / "project" / name)
    for name in ("pyproject.toml", "hatch_build.py", "connectors/s3/formats/_scan.c"):
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / "project" / name)
    return tmp_path / "project"


def _bare_path(folder: Path, python: str) -> str:
    """A PATH with a handful of commands and a `python3` that runs the given shell text."""
    folder.mkdir()
    for name in ("bash", "dirname", "cat", "grep", "sleep", "tail", "rm"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    (folder / "python3").write_text(f"#!/bin/sh\n{python}\n")
    (folder / "python3").chmod(0o755)
    return str(folder)


def _run(script: Path, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(script)],
        env={"PATH": path, "HOME": "/nonexistent", "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_an_old_python_is_named_with_the_remedy(copy: Path, tmp_path: Path) -> None:
    """A script that finds only an old Python says which, and what to install; it makes nothing."""
    old = 'case "$*" in *version_info*) exit 1;; *) echo 3.9.2;; esac'
    done = _run(copy / "scripts" / "test", _bare_path(tmp_path / "bin", old))
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "python3 (3.9.2)" in done.stderr
    assert not (copy / ".venv").exists()


def test_a_python_without_venv_is_named_with_the_remedy(copy: Path, tmp_path: Path) -> None:
    """Debian ships Python without its venv part; the script names the package to install."""
    real = sys._base_executable  # type: ignore[attr-defined]  # undocumented, and what venv itself uses
    bare = f'case "$*" in *ensurepip*) exit 1;; *) exec {real} "$@";; esac'
    done = _run(copy / "scripts" / "test", _bare_path(tmp_path / "bin", bare))
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr


_HOLLOW = """import pathlib, sys
python = pathlib.Path(sys.argv[1], "bin", "python")
python.parent.mkdir(parents=True)
python.write_text("#!/bin/sh\\nexit 1\\n")
python.chmod(0o755)"""
"""Makes an environment whose pip installs nothing; a real one takes longer than all tests here."""


@pytest.mark.parametrize("hollow", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_offline_without_packages_says_what_is_missing(
    copy: Path, tmp_path: Path, *, hollow: bool
) -> None:
    """The first run needs the pinned packages; without an index it says so and can be run again."""
    real = sys._base_executable  # type: ignore[attr-defined]  # undocumented, and what venv itself uses
    venv = f"""case "$1 $2" in "-m venv") exec {real} -c '{_HOLLOW}' "$3";; esac\n"""
    python = f'{venv if hollow else ""}exec {real} "$@"'
    done = _run(copy / "scripts" / "test", _bare_path(tmp_path / "bin", python))
    assert done.returncode == 1
    assert "the pinned packages could not be installed" in done.stderr
    assert "Is this machine offline" in done.stderr
    assert not (copy / ".venv" / "stamp").exists()


def test_a_python_script_without_environment_says_how_to_make_it(copy: Path) -> None:
    """`scripts/*.py` need no third-party package to tell a newcomer what to do first."""
    (copy / "scripts" / "x.py").write_text("import _project\n_project.enter()\n")
    bare = [
        getattr(sys, "_base_executable", sys.executable),
        "-S",
        "-E",
        str(copy / "scripts/x.py"),
    ]
    done = subprocess.run(bare, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 1
    assert "./scripts/demo" in done.stderr


def test_a_python_script_goes_on_in_the_projects_environment(copy: Path) -> None:
    """Started with any Python, a script runs under the project's own, with its arguments."""
    own = copy / ".venv" / "bin"
    own.mkdir(parents=True)
    (copy / ".venv" / "stamp").touch()
    (own / "python").write_text('#!/bin/sh\necho "own $2"\n')
    (own / "python").chmod(0o755)
    (copy / "scripts" / "x.py").write_text("import _project\n_project.enter()\nprint('other')\n")
    argv = [sys.executable, str(copy / "scripts/x.py"), "a b"]
    assert subprocess.check_output(argv, text=True) == "own a b\n"


# ---- image and compose file


def _dockerfile_stages() -> list[list[str]]:
    text = (PROJECT / "Dockerfile").read_text()
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    steps = [step for step in plain.replace("\\\n", " ").splitlines() if step.strip()]
    stages: list[list[str]] = [[]]
    for step in steps:
        if step.startswith("FROM "):
            stages.append([])
        stages[-1].append(step)
    return stages[1:]


def test_the_image_runs_as_nobody_special_and_is_asked_for_its_health() -> None:
    """The last stage drops root, has a health check and takes no build tools along."""
    *_, last = _dockerfile_stages()
    user = [step.split()[1] for step in last if step.startswith("USER ")][-1]
    assert int(user.split(":")[0]) >= 10000
    assert any(step.startswith("HEALTHCHECK") and '["dsr", "health"]' in step for step in last)
    assert "STOPSIGNAL SIGTERM" in last
    assert not any("pip" in step for step in last)


def test_the_image_installs_hashed_pins_only() -> None:
    """Every pip install in the image checks hashes, or takes our own wheel without dependencies."""
    stages = _dockerfile_stages()
    assert len(stages) >= 2
    installs = re.findall(r"pip install ([^&]*)", "\n".join(stages[0]))
    assert installs
    for arguments in installs:
        assert "--require-hashes" in arguments or "--no-deps" in arguments


def test_the_image_copies_what_its_context_holds() -> None:
    """What the Dockerfile copies exists, and .dockerignore lets it through."""
    allowed = (PROJECT / ".dockerignore").read_text().split()
    for step in _dockerfile_stages()[0]:
        for source in step.split()[1:-1] if step.startswith("COPY ") else ():
            assert (PROJECT / source).exists(), source
            assert f"!{source}" in allowed, source


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file, read by its rules."""
    loaded: dict[str, Any] = YAML(typ="safe").load((PROJECT / "compose.yaml").read_text())
    return loaded


def test_every_container_is_confined(compose: dict[str, Any]) -> None:
    """Read-only root, no capabilities, no new privileges, and no port open to the world."""
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "ports" not in service, name
        assert "privileged" not in service, name


def test_grown_up_mode_migrates_once_and_runs_two_workers(compose: dict[str, Any]) -> None:
    """Workers start when the one-shot migration has succeeded, as many as wanted, none as root."""
    worker, migrate = compose["services"]["worker"], compose["services"]["migrate"]
    assert worker["deploy"]["replicas"] == 2
    assert worker["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert (migrate["command"], migrate["restart"]) == (["migrate"], "no")
    assert worker["user"] == migrate["user"] == "10001:10001"


def test_secrets_come_as_files(compose: dict[str, Any]) -> None:
    """No password or DSN stands in the compose file: each is a file outside the repository."""
    for secret in compose["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    assert "/secrets/" in (PROJECT / ".gitignore").read_text().split()
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            secret = re.search(r"PASSWORD|DSN|URL|SECRET", variable)
            assert not secret or value.startswith("/run/secrets"), (name, variable)


def test_the_key_ring_is_made_once_and_only_read_by_workers(compose: dict[str, Any]) -> None:
    """`migrate` may write the folder of the key ring, workers may not; it lies outside the data."""
    services = compose["services"]
    ring = services["worker"]["environment"]["DSR_KEY_RING"]
    assert ring == services["migrate"]["environment"]["DSR_KEY_RING"]
    folder = ring.rpartition("/")[0]
    assert f"./secrets/keys:{folder}" in services["migrate"]["volumes"]
    assert f"./secrets/keys:{folder}:ro" in services["worker"]["volumes"]
    assert not folder.startswith("/var/lib/dsr")


def test_the_ledgers_server_logs_no_values(compose: dict[str, Any]) -> None:
    """Postgres in the compose file keeps statements and values out of its log, like our own."""
    told = compose["services"]["postgres"]["command"]
    for setting in ("log_statement=none", "log_error_verbosity=terse", "log_min_messages=log"):
        assert setting in told


def test_scripts_are_executable_and_whole() -> None:
    """Each command a newcomer types is executable and parses."""
    for name in ("scripts/demo", "scripts/test", "scripts/bench", "scripts/pin", ".ci/run"):
        assert os.access(PROJECT / name, os.X_OK), name
        subprocess.run(["bash", "-n", str(PROJECT / name)], check=True)  # noqa: S607 - from PATH
