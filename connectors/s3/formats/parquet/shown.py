"""Values of a Parquet column as people and JSON know them, exact.

In: Arrow arrays. Out: texts, numbers, booleans, lists and objects. Instants are ISO 8601 with all
their digits, decimals without fraction are whole numbers and others texts as written, bytes are
text where they are UTF-8 (old writers mark none) and `{"base64": …}` elsewhere.
"""

from __future__ import annotations

import base64
import math
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from pyarrow import types

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shown(array: Any) -> list[Any]:  # noqa: PLR0911 - one for each kind of nesting
    """The values of an array, null as None."""
    if isinstance(array, pa.ChunkedArray):
        return [value for chunk in array.chunks for value in shown(chunk)]
    kind = array.type
    if types.is_dictionary(kind):
        return shown(array.dictionary_decode())
    if isinstance(array, pa.ExtensionArray):
        return _extension(array)
    if types.is_struct(kind):
        return _structs(array)
    if types.is_map(kind):
        return _maps(array)
    if types.is_fixed_size_list(kind):
        return shown(array.cast(pa.list_(kind.value_field)))
    if types.is_list(kind) or types.is_large_list(kind):
        return _lists(array)
    return _scalars(array)


def _scalars(array: Any) -> list[Any]:  # noqa: PLR0911 - one for each kind of value
    kind = array.type
    if types.is_decimal(kind):
        return [_decimal(value, kind.scale) for value in array.to_pylist()]
    if types.is_floating(kind):
        return [value if value is None else _float(value) for value in array.to_pylist()]
    if types.is_timestamp(kind):
        zone = "Z" if kind.tz else ""
        return [_instant(value, kind.unit, zone) for value in _whole(array, pa.int64())]
    if types.is_date32(kind):
        return [_day(value) for value in _whole(array, pa.int32())]
    if types.is_date64(kind):
        return [_day(value and value // (_DAY_S * 1000)) for value in _whole(array, pa.int64())]
    if types.is_time32(kind) or types.is_time64(kind):
        wide = pa.int32() if types.is_time32(kind) else pa.int64()
        return [_time(value, kind.unit) for value in _whole(array, wide)]
    if types.is_duration(kind):
        return _whole(array, pa.int64())
    if _is_text(kind):
        return _texts(array)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return [value if value is None else _bytes(value) for value in array.to_pylist()]
    found: list[Any] = array.to_pylist()
    return found


def _is_text(kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _texts(array: Any) -> list[Any]:
    try:
        found: list[Any] = array.to_pylist()
    except UnicodeDecodeError:
        raw = array.cast(pa.large_binary()).to_pylist()
        return [None if v is None else v.decode("utf-8", "surrogateescape") for v in raw]
    return found


def _extension(array: Any) -> list[Any]:
    if array.type.extension_name == "arrow.uuid":
        raw = array.storage.to_pylist()
        return [None if value is None else str(uuid.UUID(bytes=value)) for value in raw]
    return shown(array.storage)


def _structs(array: Any) -> list[Any]:
    names = [array.type.field(number).name for number in range(array.type.num_fields)]
    columns = [shown(child) for child in array.flatten()]
    rows = zip(*columns, strict=True) if columns else ((),) * len(array)
    valid = array.is_valid().to_pylist()
    return [
        dict(zip(names, row, strict=True)) if there else None
        for row, there in zip(rows, valid, strict=True)
    ]


def _lists(array: Any) -> list[Any]:
    offsets = array.offsets.to_pylist()
    inner = shown(array.values.slice(offsets[0], offsets[-1] - offsets[0])) if offsets else []
    return _cut(inner, offsets, array.is_valid().to_pylist())


def _maps(array: Any) -> list[Any]:
    offsets = array.offsets.to_pylist()
    start, length = (offsets[0], offsets[-1] - offsets[0]) if offsets else (0, 0)
    keys = shown(array.keys.slice(start, length))
    pairs = list(zip(keys, shown(array.items.slice(start, length)), strict=True))
    return [
        None if row is None else _map(row)
        for row in _cut(pairs, offsets, array.is_valid().to_pylist())
    ]


def _map(pairs: list[tuple[Any, Any]]) -> Any:
    """An object, where the keys are texts and differ; pairs otherwise."""
    keys = {key for key, _ in pairs if isinstance(key, str)}
    return dict(pairs) if len(keys) == len(pairs) else [{"key": k, "value": v} for k, v in pairs]


def _cut(inner: list[Any], offsets: list[int], valid: list[bool]) -> list[Any]:
    first = offsets[0] if offsets else 0
    return [
        inner[offsets[row] - first : offsets[row + 1] - first] if there else None
        for row, there in enumerate(valid)
    ]


def _whole(array: Any, kind: Any) -> list[Any]:
    found: list[Any] = array.view(kind).to_pylist()
    return found


def _decimal(value: Any, scale: int) -> Any:
    if value is None:
        return None
    return int(value) if scale <= 0 else format(value, "f")


def _float(value: float) -> Any:
    return value if math.isfinite(value) else str(value)


def _bytes(value: bytes) -> Any:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
    return text


def _day(value: int | None) -> Any:
    return None if value is None else _date(value)


def _date(days: int) -> str:
    try:
        return (_EPOCH + timedelta(days=days)).date().isoformat()
    except OverflowError:
        return f"{days} days after 1970-01-01"  # outside the years that ISO 8601 writes


def _clock(value: int, unit: str) -> str:
    """A time of day, with as many digits as say something."""
    whole, part = divmod(value, _PER_SECOND[unit])
    text = f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{text}.{part:0{_DIGITS[unit]}}" if part else text


def _time(value: int | None, unit: str) -> Any:
    return None if value is None else _clock(value, unit)


def _instant(value: int | None, unit: str, zone: str) -> Any:
    if value is None:
        return None
    days, rest = divmod(value, _DAY_S * _PER_SECOND[unit])
    return f"{_date(days)}T{_clock(rest, unit)}{zone}"
