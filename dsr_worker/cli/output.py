"""Printing: JSON for machines, text and tables for people. Results to stdout, notes to stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click

_Function = TypeVar("_Function", bound=Callable[..., Any])


def json_option(function: _Function) -> _Function:
    """Let a command take --json, as `as_json`."""
    option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
    return option(function)


def show(data: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print a result, one way or the other."""
    if as_json:
        click.echo(json.dumps(data, default=_plain, ensure_ascii=False, indent=2))
        return
    for line in lines:
        click.echo(line)


def note(text: str) -> None:
    """Say something beside the result."""
    click.echo(f"dsr: {text}", err=True)


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
    civil = at.astimezone(ZoneInfo(zone))
    if (civil.hour, civil.minute, civil.second) == (0, 0, 0):
        return f"end of {civil.date() - timedelta(days=1)} ({zone})"
    return f"{civil:%Y-%m-%d %H:%M} ({zone})"


def remaining(left: timedelta | None) -> str:
    """How long is left, in the two largest units."""
    if left is None:
        return ""
    seconds = int(abs(left).total_seconds())
    days, hours, minutes = seconds // 86_400, seconds % 86_400 // 3600, seconds % 3600 // 60
    text = f"{days} d {hours} h" if days else f"{hours} h {minutes} min"
    return f"{text} over" if left < timedelta(0) else text


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
