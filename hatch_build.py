"""Compiles the one source in C when the package is built or installed.

In: a C compiler (`$CC`, else cc, gcc or clang), if there is one. Out: the library beside its
source, in the wheel or, installed editable, in the folder; then the wheel is one for this platform.
Without a compiler, or where it fails, the package is whole too: the search has a road in Python.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "connectors/s3/formats/_scan.c"
LIBRARY = "connectors/s3/formats/_scan.so"
_FLAGS = ("-std=c11", "-O3", "-shared", "-fPIC")
_MOST_S = 120


class CustomBuildHook(BuildHookInterface[Any]):
    """What hatchling calls around the making of a wheel."""

    _folder = ""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and put the library where it is looked for."""
        in_place = version == "editable"
        self._folder = "" if in_place else tempfile.mkdtemp(prefix="dsr-build-")
        library = Path(self._folder or self.root) / LIBRARY
        if not compiled(Path(self.root) / SOURCE, library):
            self.app.display_warning(f"{SOURCE} was not compiled: JSON is searched more slowly")
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        if not in_place:
            build_data["force_include"][str(library)] = LIBRARY

    def finalize(self, _version: str, _build_data: dict[str, Any], _artifact: str) -> None:
        """Leave nothing behind."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def compiled(source: Path, library: Path) -> bool:
    """Make the library, which says of which source; whether it is there now."""
    command = _compiler()
    if not command or sys.byteorder != "little":
        return False
    library.parent.mkdir(parents=True, exist_ok=True)
    made_of = sha256(source.read_bytes()).hexdigest()
    fresh = library.with_suffix(f".{os.getpid()}")
    told = (f'-DSOURCE="{made_of}"', "-o", str(fresh), str(source))
    try:
        subprocess.run(  # noqa: S603 - the compiler that is installed here, or that $CC names
            [*command, *_FLAGS, *told], check=True, capture_output=True, timeout=_MOST_S
        )
        fresh.replace(library)
    except (OSError, subprocess.SubprocessError):
        fresh.unlink(missing_ok=True)
        return False
    return True


def _compiler() -> list[str]:
    """The command that compiles C; empty where there is none. `CC=` says that none is wanted."""
    if "CC" in os.environ:
        return shlex.split(os.environ["CC"])
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    return [] if found is None else [found]
