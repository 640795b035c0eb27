"""Printing: JSON for machines, text and tables for people. Results to stdout, notes to stderr.

With --json everything that is said is one object: notes are its field `notes`, in a result on
stdout as in an error on stderr, and progress is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click

_Function = TypeVar("_Function", bound=Callable[..., Any])
_GATHERED: ContextVar[list[str] | None] = ContextVar("notes of a command with --json", default=None)


def json_option(function: _Function) -> _Function:
    """Let a command take --json, as `as_json`."""
    option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
    return option(function)


def show(data: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print a result, one way or the other."""
    if as_json:
        told = {**data, **noted()}
        click.echo(json.dumps(told, default=_plain, ensure_ascii=False, indent=2))
        return
    for line in lines:
        click.echo(line)


def note(text: str) -> None:
    """Say something beside the result."""
    gathered = _GATHERED.get()
    if gathered is None:
        click.echo(f"dsr: {text}", err=True)
    else:
        gathered.append(text)


def progress(text: str) -> None:
    """Say how far a long command is; machines wait for the result."""
    if _GATHERED.get() is None:
        note(text)


@contextmanager
def gathering(*, as_json: bool) -> Iterator[None]:
    """Within this, notes of a command with --json wait for its one object."""
    before = _GATHERED.set([] if as_json else None)
    try:
        yield
    finally:
        _GATHERED.reset(before)


def noted() -> dict[str, list[str]]:
    """The notes that wait, as the field `notes`, each told once; nothing where there are none."""
    gathered = _GATHERED.get()
    if not gathered:
        return {}
    told = list(gathered)
    gathered.clear()
    return {"notes": told}


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a table, columns as wide as their widest cell."""
    cells = [[str(cell) if cell is not None else "" for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in [list(heads), *cells]) for at in range(len(heads))]
    lines = [list(heads), ["-" * width for width in widths], *cells]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def local(at: datetime | None, zone: str) -> str:
    """An instant as civil time with its zone. A day's end is shown as the day."""
    if at is None:
        return "no number in the law"
    from dsr_worker.domain.calendar import day_ended  # noqa: PLC0415 - it reads the holidays

    last_on = day_ended(at, zone)
    if last_on is not None:
        return f"end of {last_on} ({zone})"
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} ({zone})"


def remaining(left: timedelta | None) -> str:
    """How long is left, in the two largest units."""
    if left is None:
        return ""
    seconds = int(abs(left).total_seconds())
    days, hours, minutes = seconds // 86_400, seconds % 86_400 // 3600, seconds % 3600 // 60
    text = f"{days} d {hours} h" if days else f"{hours} h {minutes} min"
    return f"{text} over" if left < timedelta(0) else text


def going(due_on: date | None, last_due_on: date | None) -> str:
    """When promised rows go: on a day, from one to another, or after a hold."""
    if due_on is None:
        return "once the hold on them is released"
    if last_due_on is None or last_due_on == due_on:
        return f"on {due_on}"
    return f"from {due_on} to {last_due_on}, each when its own time is over"


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return round(value.total_seconds())
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(type(value).__name__)
