"""The library of the search in C: compiled where it can be, absent where not, never another one."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Any

import pytest

import hatch_build
from connectors.s3.formats import native
from tests.native_scan import PROJECT, SOURCE, library


def _hook(folder: Path) -> hatch_build.CustomBuildHook:
    metadata: Any = None  # what hatchling knows of the project, for which the hook does not ask
    return hatch_build.CustomBuildHook(str(PROJECT), {}, None, metadata, str(folder), "wheel")


def test_a_library_of_another_source_is_not_used(tmp_path: Path) -> None:
    """One that was compiled before the source changed could tell other places."""
    library()  # skips without a compiler
    other = tmp_path / "other.c"
    other.write_bytes(SOURCE.read_bytes() + b"\n")
    assert hatch_build.compiled(other, tmp_path / "_scan.so")
    assert native.library_at(tmp_path / "_scan.so") is None


@pytest.mark.parametrize("content", [None, b"", b"no library"])
def test_what_is_no_library_is_none(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing or damaged stops nobody: the search goes by automata."""
    place = tmp_path / "_scan.so"
    if content is not None:
        place.write_bytes(content)
    assert native.library_at(place) is None


@pytest.mark.parametrize("compiler", ["", "false", "/nonexistent/cc"])
def test_without_a_compiler_the_wheel_is_for_every_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str
) -> None:
    """No compiler, or one that fails: the package is whole, and nothing half made is left."""
    monkeypatch.setenv("CC", compiler)
    assert not hatch_build.compiled(SOURCE, tmp_path / "_scan.so")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    told: dict[str, Any] = {"force_include": {}}
    hook = _hook(tmp_path)
    hook.initialize("standard", told)
    hook.finalize("standard", told, "")
    assert told == {"force_include": {}}
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_with_a_library_is_for_its_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the library beside its source, for any Python and for this platform alone."""
    library()  # skips without a compiler
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    told: dict[str, Any] = {"force_include": {}}
    hook = _hook(tmp_path)
    hook.initialize("standard", told)
    ((made, place),) = told["force_include"].items()
    assert place == str(Path(hatch_build.SOURCE).with_suffix(".so"))
    assert native.library_at(Path(made)) is not None
    assert told["pure_python"] is False
    assert told["tag"].startswith("py3-none-")
    assert told["tag"].endswith(sysconfig.get_platform().rpartition("-")[2])
    hook.finalize("standard", told, "")
    assert list(tmp_path.iterdir()) == []
