"""The two roads of the search behind a field's name, for tests that hold both to the same answers.

In: the name of a road. Out: a block in which every new search takes it. The library is compiled
anew from the source, so that a stale one proves nothing.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

import hatch_build
from connectors.s3.formats import native

PROJECT = Path(__file__).resolve().parents[1]
SOURCE = PROJECT / hatch_build.SOURCE
ROADS = ("library", "automata")


@cache
def library() -> ctypes.CDLL:
    """The library; skips the test where there is no C compiler."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "_scan.so"
        if not hatch_build.compiled(SOURCE, place):
            pytest.skip("no C compiler here: the search goes by automata alone")
        found = native.library_at(place)
    assert found is not None
    return found


@contextmanager
def searched_by(road: str) -> Iterator[None]:
    """Search by the library, or by automata."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(native, "LIBRARY", library() if road == "library" else None)
        yield
