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
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, cast

import jinja2
from markupsafe import Markup, escape

from dsr_worker.package.contents import OrganisationTexts
from dsr_worker.package.texts import texts

# C0 and C1 controls, but for tab and line ends: not allowed in HTML, and able to upset a display.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

_C0 = bytes([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F])
_CELL, _ROW = "\x1f", "\x1e"  # borders of cells and rows while a page is escaped

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


def parse(bodies: Sequence[bytes]) -> list[dict[str, Any]]:
    """Records for display, all at once: numbers stay as written. Raises ValueError without content.

    Decoding many together costs half of decoding each by itself.
    """
    try:
        content = _DECODER.decode((b"[" + b",\n".join(bodies) + b"]").decode())
    except ValueError:
        content = []
    if len(content) != len(bodies) or set(map(type, content)) != {dict}:
        raise ValueError("not a JSON object") from None
    return cast("list[dict[str, Any]]", content)


def columns(rows: Sequence[Mapping[str, Any]], known: Sequence[str]) -> list[str]:
    """The fields that occur: mapped ones in the map's order, then others as they come."""
    present = dict.fromkeys(chain.from_iterable(rows))
    ordered = [name for name in known if name in present]
    return ordered + [name for name in present if name not in set(ordered)]


def table_rows(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Markup:
    """The rows as table rows. A value that is `Markup` is ours (a link) and goes in as it is.

    A page is escaped once as a whole: the borders of its cells are controls then, which no cell
    shows, and become elements afterwards.
    """
    cells = [_column(rows, name) for name in names]
    kinds = [set(map(type, column)) for column in cells]
    if not rows or not names or any(Markup in found for found in kinds):
        return _each_escaped(rows, names)
    texts = [
        column if found == {str} else [_text(cell) for cell in column]
        for column, found in zip(cells, kinds, strict=True)
    ]
    shown, borders = _bordered(texts), len(rows) * len(names) - 1
    if _controls(shown) != borders:
        shown = _bordered([list(map(_clean, column)) for column in texts])
    body = str(escape(shown)).replace(_CELL, "</td><td>").replace(_ROW, "</td></tr>\n<tr><td>")
    return Markup(f"<tr><td>{body}</td></tr>\n")  # noqa: S704 - the whole was escaped above


def _each_escaped(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Markup:
    lines = []
    for row in rows:
        cells = "".join(f"<td>{_cell(row.get(name))}</td>" for name in names)
        lines.append(f"<tr>{cells}</tr>\n")
    return Markup("".join(lines))  # noqa: S704 - every cell was escaped above


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    try:
        return list(map(itemgetter(name), rows))
    except KeyError:
        return [row.get(name) for row in rows]


def _bordered(columns: Sequence[Sequence[str]]) -> str:
    return _ROW.join(map(_CELL.join, zip(*columns, strict=True)))


def _controls(text: str) -> int:
    """How many controls there are, or a few more: C1 ones begin with the byte C2, as others do."""
    encoded = text.encode("utf-8", "surrogatepass")
    plain = encoded.translate(None, _C0)
    return len(encoded) - len(plain) + plain.count(b"\xc2")


def link(path: str, text: str) -> Markup:
    """A link to a member; `path` is of our making."""
    return Markup('<a href="{}">{}</a>').format(path, _clean(text))


def _cell(value: Any) -> str:
    if isinstance(value, Markup):
        return str(value)
    return str(escape(_clean(_text(value))))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)


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
