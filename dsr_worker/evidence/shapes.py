"""What a value in an event may look like, so that prose and personal data do not fit.

In: a value. Out: the same as JSON has it. Each check raises ValueError where a value is not of its
shape: a code has no spaces, no `@`, no upper-case letters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

_MAX_ITEMS = 10_000
_CODE = re.compile(r"[a-z][a-z0-9_.:/-]{0,99}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.>-]{0,99}")  # of the data map; `a->>b` is a JSON path
_VERSION = re.compile(r"[0-9a-z][0-9a-z._+-]{0,63}")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9]{1,18}")
_DIGEST = re.compile(r"([0-9]{1,5}\.)?[0-9a-f]{32,128}")
_COUNTRY = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")

Check = Callable[[Any], Any]


def _matching(pattern: re.Pattern[str]) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError
        return str(value)

    return check


code = _matching(_CODE)
name = _matching(_NAME)
version = _matching(_VERSION)
digest = _matching(_DIGEST)
country = _matching(_COUNTRY)


def identifier(value: Any) -> str:
    """A UUID or a row number of the ledger."""
    text = str(value)
    if isinstance(value, bool) or not _ID.fullmatch(text):
        raise ValueError
    return text


def count(value: Any) -> int:
    """A whole number from 0."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError
    return value


def flag(value: Any) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - every check refuses alike
    return value


def instant(value: Any) -> str:
    """An aware datetime, as UTC."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def day(value: Any) -> str:
    """A civil date."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError  # noqa: TRY004 - every check refuses alike
    return value.isoformat()


def many(check: Check) -> Check:
    """A list of values of one kind."""

    def checked(value: Any) -> list[Any]:
        if isinstance(value, str | bytes | Mapping) or len(value) > _MAX_ITEMS:
            raise ValueError
        return [check(item) for item in value]

    return checked


def each(check: Check) -> Check:
    """A mapping from codes to values of one kind."""

    def checked(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or len(value) > _MAX_ITEMS:
            raise ValueError
        return {code(key): check(item) for key, item in value.items()}

    return checked


def shaped(**checks: Check) -> Check:
    """A mapping with these names, any of which may be missing."""

    def checked(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError  # noqa: TRY004 - every check refuses alike
        return {key: checks[key](item) for key, item in value.items() if item is not None}

    return checked
