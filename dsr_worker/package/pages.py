"""The pages of a package: what a browser shows, with nothing in it that could act.

In: values and records. Out: UTF-8 HTML without scripts, without remote parts, everything escaped.
The JSON beside a page is the original; a page is a view of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

# C0 and C1 controls, but for tab and line ends: not allowed in HTML, and able to upset a display.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

_DECODER = json.JSONDecoder(parse_float=str, parse_int=str)


def render(template: str, values: Mapping[str, Any]) -> bytes:
    """One of our templates, filled."""
    # A lone surrogate from JSON cannot be UTF-8: it shows as a question mark.
    return _environment().get_template(template).render(values).encode("utf-8", "replace")


def parse(body: bytes) -> dict[str, Any]:
    """A record's body for display: numbers stay as written. Raises ValueError without content."""
    try:
        content = _DECODER.decode(body.decode())
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ValueError("not a JSON object") from None  # noqa: TRY004 - one error for both
    return content


def columns(rows: Sequence[Mapping[str, Any]], known: Sequence[str]) -> list[str]:
    """The fields that occur: mapped ones in the map's order, then others as they come."""
    present = dict.fromkeys(name for row in rows for name in row)
    ordered = [name for name in known if name in present]
    return ordered + [name for name in present if name not in set(ordered)]


def table_rows(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Markup:
    """The rows as table rows. A value that is `Markup` is ours (a link) and goes in as it is."""
    lines = []
    for row in rows:
        cells = "".join(f"<td>{_cell(row.get(name))}</td>" for name in names)
        lines.append(f"<tr>{cells}</tr>\n")
    return Markup("".join(lines))  # noqa: S704 - every cell was escaped above


def link(path: str, text: str) -> Markup:
    """A link to a member; `path` is of our making."""
    return Markup('<a href="{}">{}</a>').format(path, _clean(text))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return str(value) if isinstance(value, Markup) else str(escape(_clean(value)))
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(escape(_clean(json.dumps(value, ensure_ascii=False))))


def _clean(text: str) -> str:
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("dsr_worker.package", "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
