"""Columns of values behind a path, and which of their values somebody may be looking for.

In: Arrow arrays of one row group, whom to look for. Out: arrays of plain values with the row of
each, and which of them may be wanted. Each differing value is asked about once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from connectors.s3.formats.content import EACH
from connectors.s3.formats.parquet.hybrid import Numbers
from connectors.s3.formats.parquet.shown import shown
from connectors.s3.formats.wanted import Wanted

Found = Iterator[tuple[str, Any, Numbers | None]]
"""Place, array, and the row of each of its values (None: they are the rows)."""

_BLANKS = " \t\r\n"


def leaves(array: Any, place: str, steps: Sequence[str], *, everything: bool) -> Found:
    """The columns of values behind a path, through lists and maps; or all there are."""
    array = _plain(array)
    kind = array.type
    if types.is_struct(kind):
        yield from _of_struct(array, place, steps, everything=everything)
    elif types.is_map(kind):
        yield from _of_map(array, place, steps, everything=everything)
    elif types.is_list(kind) or types.is_large_list(kind):
        if steps or everything:  # a list by itself names nobody
            rows = pc.list_parent_indices(array).to_numpy().astype(np.int64)
            below = steps[1:] if steps and steps[0] == EACH else steps
            inner = leaves(pc.list_flatten(array), place, below, everything=everything)
            yield from _within(inner, rows)
    elif not steps or everything:
        yield place, array, None


def _plain(array: Any) -> Any:
    """The array without what is only a way to store it."""
    if isinstance(array, pa.ExtensionArray) and array.type.extension_name != "arrow.uuid":
        array = array.storage
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_field))
    return array


def _of_struct(array: Any, place: str, steps: Sequence[str], *, everything: bool) -> Found:
    for number, child in enumerate(array.flatten()):
        name = array.type.field(number).name
        if everything or (steps and name == steps[0]):
            yield from leaves(child, f"{place}.{name}", steps[1:], everything=everything)


def _of_map(array: Any, place: str, steps: Sequence[str], *, everything: bool) -> Found:
    """A key is a step of a path; its values are what lies there."""
    rows = np.repeat(np.arange(len(array)), np.diff(array.offsets.to_numpy()))
    start = array.offsets[0].as_py()
    keys = array.keys.slice(start, len(rows))
    values = array.items.slice(start, len(rows))
    if everything:
        yield from _within(leaves(keys, place, (), everything=True), rows)
    named = np.array(shown(keys), dtype=object)
    for key in dict.fromkeys(named.tolist()):
        if everything or (steps and key == steps[0]):
            here = np.flatnonzero(named == key)
            of_key = values.take(pa.array(here))
            found = leaves(of_key, f"{place}.{key}", steps[1:], everything=everything)
            yield from _within(found, rows[here])


def _within(found: Found, rows: Numbers) -> Found:
    for place, leaf, parents in found:
        yield place, leaf, rows if parents is None else rows[parents]


def may_be(leaf: Any, place: str, wanted: Wanted) -> Any:
    """Which values of an array could be wanted; never too few."""
    if wanted.fields and wanted.as_written and (quick := _equal(leaf, wanted)) is not None:
        return quick
    open_ = np.ones(len(leaf), bool)
    if wanted.fields and wanted.sound and (near := _near(leaf, wanted)) is not None:
        open_ = near
    if not open_.any():
        return open_
    rows = np.flatnonzero(open_)
    asked = leaf.take(pa.array(rows))
    told = _coded(asked)
    if told is None:
        open_[rows] = [wanted.may_be(place, value) for value in shown(asked)]
        return open_
    verdicts = [wanted.may_be(place, value) for value in shown(told.dictionary)]
    places = told.indices.fill_null(-1).to_numpy()
    open_[rows] = np.array([*verdicts, False])[places]  # the last for null
    return open_


def _coded(array: Any) -> Any:
    """Each differing value once, and where it stands; None where Arrow cannot tell them apart."""
    if isinstance(array, pa.ExtensionArray):
        return None
    try:
        return array.dictionary_encode()
    except pa.ArrowNotImplementedError:
        return None


def _equal(leaf: Any, wanted: Wanted) -> Any:
    """Values that are one of the wanted ones as they are written; None where that takes more."""
    kind = leaf.type
    if types.is_integer(kind) and not types.is_uint64(kind):
        numbers = wanted.made(("parquet", "numbers"), lambda: _numbers(wanted))
        return _told(pc.is_in(leaf.cast(pa.int64()), value_set=numbers))
    if types.is_string(kind) or types.is_large_string(kind):
        return _told(pc.is_in(leaf, value_set=_texts(wanted, kind, folded=False)))
    return None


def _near(leaf: Any, wanted: Wanted) -> Any:
    """Texts that are one of the wanted ones in other letters, or have letters outside ASCII."""
    kind = leaf.type
    if not (types.is_string(kind) or types.is_large_string(kind)):
        return None
    trimmed = pc.ascii_lower(pc.ascii_trim(leaf, _BLANKS))
    alike = pc.is_in(trimmed, value_set=_texts(wanted, kind, folded=True))
    return _told(pc.or_(alike, pc.invert(pc.string_is_ascii(leaf))))


def _numbers(wanted: Wanted) -> Any:
    return pa.array([n for n in whole(wanted) if -(1 << 63) <= n < 1 << 63], pa.int64())


def _texts(wanted: Wanted, kind: Any, *, folded: bool) -> Any:
    def made() -> Any:
        found = encodable(wanted)
        return pa.array([text.lower() for text in found] if folded else found, kind)

    return wanted.made(("parquet", str(kind), folded), made)


def _told(mask: Any) -> Any:
    return mask.fill_null(False).to_numpy(zero_copy_only=False).copy()


def encodable(wanted: Wanted) -> list[str]:
    """The wanted values that a text of UTF-8 can be."""
    return [value for value in wanted.values if value.isascii() or _is_utf8(value)]


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole(wanted: Wanted) -> list[int]:
    """The wanted values that a whole number is written as."""
    found = []
    for value in wanted.values:
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdigit() and str(int(value)) == value:
            found.append(int(value))
    return found
