"""The pages of a package: what a browser shows, with nothing in it that could act.

In: values and records. Out: UTF-8 HTML without scripts, without remote parts, everything escaped.
The JSON beside a page is the original; a page is a view of it. What stands around the records is
the same in most packages and is kept once made; nothing from a record is ever kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup, escape

from dsr_worker.package.contents import OrganisationTexts
from dsr_worker.package.texts import texts

# C0 and C1 controls, but for tab and line ends: not allowed in HTML, and able to upset a display.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

_KEPT_PAGES = 512
_ROWS = Markup("\0rows\0")  # where the rows go; nothing of the map or the texts follows it
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str)


class RecordsFrame(NamedTuple):
    """What a page of records shows beside its rows. `columns` are names with their categories."""

    language: str
    system: str
    collection: str
    purpose: str
    page: int
    previous: str | None
    next: str | None
    columns: tuple[tuple[str, str], ...]


class PartTexts(NamedTuple):
    """What the law wants told about a collection."""

    system: str
    collection: str
    purpose: str
    legal_basis: str
    categories: tuple[str, ...]
    recipients: tuple[str, ...]
    storage: str
    origin: str


def records(frame: RecordsFrame, rows: str, *, keep: bool) -> bytes:
    """A page of records; `keep` its frame for others, which holds nothing of the records then."""
    before, after = _kept_frame(frame) if keep else _framed(frame)
    return before + rows.encode("utf-8", "replace") + after


@lru_cache(_KEPT_PAGES)
def information(
    language: str, organisation: OrganisationTexts, parts: tuple[PartTexts, ...]
) -> bytes:
    """What Art. 15(1) GDPR wants told about these collections; the same for everybody in them."""
    lang, used = texts(language)
    values = {"lang": lang, "t": used, "organisation": organisation, "parts": parts}
    return render("information.html", values)


def _framed(frame: RecordsFrame) -> tuple[bytes, bytes]:
    lang, used = texts(frame.language)
    page = render("records.html", {**frame._asdict(), "lang": lang, "t": used, "rows": _ROWS})
    before, _, after = page.rpartition(_ROWS.encode())
    return before, after


_kept_frame = lru_cache(_KEPT_PAGES)(_framed)


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
