"""Records as the rows of a page's table, whatever they hold.

In: bodies. Out: the fields that occur, and a row for each record with every cell escaped, controls
replaced. `plain` does the same for most pages without making objects of their records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, cast

from markupsafe import Markup, escape

# C0 and C1 controls, but for tab and line ends: not allowed in HTML, and able to upset a display.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

_C0 = bytes([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F])
_CELL, _ROW = "\x1f", "\x1e"  # borders of cells and rows while a page is escaped
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str)


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
        shown = _bordered([list(map(clean, column)) for column in texts])
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


def _cell(value: Any) -> str:
    if isinstance(value, Markup):
        return str(value)
    return str(escape(clean(_text(value))))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)


def clean(text: str) -> str:
    """`text` with every control replaced that a page may not hold."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)
