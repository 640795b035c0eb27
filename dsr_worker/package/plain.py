"""Records as table rows without making objects of them: the way most pages go.

In: bodies and the names of their fields. Out: the rows that `tables` would make of them, byte for
byte, or nothing where it has to look at the records itself. Most bodies hold the mapped fields in
the map's order, each a text, a number, a truth value or null: then what JSON writes is what the
page shows, but for names, quotes and what HTML wants escaped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from dsr_worker.package import tables

_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
# A value, captured but for null. Within texts no quote, escape or control is left (`_is_odd`).
_VALUE = rb'(?:null|("[^"]*+"|true|false|' + _NUMBER + rb"))"
_ESCAPES = ((b"&", b"&amp;"), (b"<", b"&lt;"), (b">", b"&gt;"), (b"'", b"&#39;"))
# What JSON escapes or forbids and what a page does not show, the line break aside.
_ODD_BYTES = bytes([*range(0x0A), *range(0x0B, 0x20), 0x5C, 0x7F])
_C1 = re.compile(rb"\xc2[\x80-\x9f]")
_FIRST, _CELL, _ROW, _LAST = b"<tr><td>", b"</td><td>", b"</td></tr>\n<tr><td>", b"</td></tr>\n"
_KEPT_LAYOUTS = 512


def table_rows(bodies: Sequence[bytes], names: tuple[str, ...]) -> bytes | None:
    """A row for each body, with cells for `names`; None unless just these are every body's fields.

    A body with escapes is read by itself, and its row put among the others. `names` are the map's:
    their layout is kept.
    """
    layout = _layout(names)
    if layout is None:
        return None
    odd: dict[int, bytes] = {}
    if _is_odd(b"\n".join(bodies)):
        for number in (n for n, body in enumerate(bodies) if _is_odd(body)):
            cells = _read(bodies[number], names)
            if cells is None:
                return None
            odd[number] = cells
        bodies = [body for number, body in enumerate(bodies) if number not in odd]
    rows = _matched(layout, bodies)
    if rows is None:
        return None
    for number, cells in odd.items():
        rows.insert(number, cells)
    return _FIRST + _ROW.join(rows).translate(None, b'"') + _LAST


def _matched(layout: re.Pattern[bytes], bodies: Sequence[bytes]) -> list[bytes] | None:
    """The cells of each body; None unless every body is one line and is laid out so."""
    page = b"\n".join(bodies)
    try:
        page.decode()
    except UnicodeDecodeError:
        return None
    for character, escape in _ESCAPES:
        page = page.replace(character, escape)
    found = layout.findall(page)
    # As many lines as bodies, and as many matches, each of which is a line or more: all are one.
    if not page.count(b"\n") + bool(bodies) == len(bodies) == len(found):
        return None
    return list(map(_CELL.join, found))


def _read(body: bytes, names: tuple[str, ...]) -> bytes | None:
    """The cells of a body, read as any record is."""
    try:
        rows = tables.parse([body])
    except ValueError:
        return None
    if rows[0].keys() != set(names):
        return None
    row = tables.table_rows(rows, names).encode("utf-8", "replace")
    return row.removeprefix(_FIRST).removesuffix(_LAST)


def _is_odd(text: bytes) -> bool:
    """Whether it holds escapes or controls."""
    if len(text.translate(None, _ODD_BYTES)) != len(text):
        return True
    return b"\xc2" in text and _C1.search(text) is not None


@lru_cache(_KEPT_LAYOUTS)
def _layout(names: tuple[str, ...]) -> re.Pattern[bytes] | None:
    """A line with these fields in this order; None where JSON would write a name in another way."""
    written = [name.encode("utf-8", "replace") for name in names]
    if len(names) < 2 or any(b'"' in name or _is_odd(name) for name in written):  # noqa: PLR2004 - one group alone is found without its tuple
        return None
    for character, escape in _ESCAPES:
        written = [name.replace(character, escape) for name in written]
    fields = b",".join(b'"%b":%b' % (re.escape(name), _VALUE) for name in written)
    return re.compile(rb"^\{" + fields + rb"\}$", re.MULTILINE)
