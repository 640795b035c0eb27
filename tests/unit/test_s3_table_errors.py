"""What a table library's error means: an object's key in its text says nothing."""

from __future__ import annotations

import pytest
from pyiceberg.exceptions import ForbiddenError

from connectors.s3.tables.opened import asked
from dsr_worker.contract import NeedsHuman, Transient


class ConflictError(Exception):
    """A library's own word for somebody else's commit."""


def raised(error: Exception) -> Exception:
    """What comes of an error."""
    with pytest.raises((NeedsHuman, Transient)) as stop, asked("library", ConflictError):
        raise error
    assert "lake/" not in str(stop.value)
    return stop.value


@pytest.mark.parametrize(
    "error",
    [
        OSError(
            "Kernel error -> Error performing GET http://127.0.0.1/lake/a: 403 Forbidden"
            " <Error><Code>AccessDenied</Code></Error>"
        ),
        OSError("When reading 'lake/a': AWS Error ACCESS_DENIED during HeadObject operation"),
        PermissionError("lake/a"),
        ForbiddenError("lake/a"),
    ],
)
def test_a_denial_is_told_as_one(error: Exception) -> None:
    """A grant that is missing is for a person, by the same code as everywhere."""
    stop = raised(error)
    assert isinstance(stop, NeedsHuman)
    assert stop.code == "s3-access-denied"


@pytest.mark.parametrize("key", ["lake/part-00403.parquet", "lake/AccessDenied/a", "lake/403/a"])
def test_what_a_key_spells_is_no_denial(key: str) -> None:
    """An endpoint that hangs is waited for, and another error is told as what it is."""
    assert isinstance(raised(OSError(f"timed out: {key}")), Transient)
    stop = raised(ValueError(f"no such column in {key}"))
    assert isinstance(stop, NeedsHuman)
    assert stop.code == "s3-table-refused"


def test_somebody_elses_commit_is_waited_for() -> None:
    """Whatever its text is."""
    assert isinstance(raised(ConflictError("403 Forbidden lake/a")), Transient)
