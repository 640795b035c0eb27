"""Errors that the command line promises to tell by their own text and exit code."""

from __future__ import annotations

from importlib import import_module

import pytest

from dsr_worker.cli import faults
from dsr_worker.contract import Configuration


@pytest.mark.parametrize("name", faults._KNOWN)
def test_each_known_error_is_a_class_of_exactly_this_name(name: str) -> None:
    """A class that moved would be told as unexpected, and its remedy lost."""
    module, _, qualified = name.rpartition(".")
    found = getattr(import_module(module), qualified)
    assert issubclass(found, Exception)
    assert f"{found.__module__}.{found.__qualname__}" == name


def test_a_wrong_configuration_is_told_by_its_own_text() -> None:
    """What a connector says of its own configuration reaches whoever can mend it."""
    told = faults.described(Configuration("crm: run the check"))
    assert told == ("configuration", "crm: run the check", faults.NOT_READY)
