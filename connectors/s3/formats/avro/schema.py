"""Types from the schema in an object's header.

In: the schema as JSON. Out: the type of its records. Values are read as their logical types say: a
decimal without a scale is a whole number, moments and dates are ISO 8601 texts, bytes are the text
that they spell where they are UTF-8 (Avro specification 1.12, "Logical Types"; an unknown logical
type is the type below it).
"""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from functools import partial
from typing import Any

from connectors.s3.formats.avro.leaves import Enum, Fixed, Long, Null, Sized, Type, text_in
from connectors.s3.formats.avro.types import Items, Record, Union
from connectors.s3.formats.entries import UnreadableError

_EPOCH_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the zone is added where the type has one
_PER_SECOND = {"millis": 1_000, "micros": 1_000_000, "nanos": 1_000_000_000}
_MICROS = 1_000_000
_UUID_BYTES = 16
_MOST_DECIMAL_BYTES = 256  # a longer one is nobody's number
_EXACT = Context(prec=1_000)


def type_of(schema: bytes) -> Type:
    """The type of an object's records. Raises UnreadableError where the schema is none."""
    try:
        return _Names().made(json.loads(schema), "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnreadableError("avro-schema") from None


class _Names:
    """The named types of one schema."""

    def __init__(self) -> None:
        self._known: dict[str, Type] = {}

    def made(self, schema: Any, space: str) -> Type:
        """A type; `space` is the namespace around it."""
        if isinstance(schema, list):
            return Union(tuple(self.made(branch, space) for branch in schema))
        if isinstance(schema, str):
            return self._simple(schema, {}, space)
        if not isinstance(schema["type"], str):
            return self.made(schema["type"], space)
        return self._described(schema, space)

    def _described(self, schema: Mapping[str, Any], space: str) -> Type:
        made: Type
        match schema["type"]:
            case "record" | "error":
                made = self._record(schema, space)
            case "array":
                made = Items(self.made(schema["items"], space), named=False)
            case "map":
                made = Items(self.made(schema["values"], space), named=True)
            case "enum":
                made = self._named(schema, space, Enum(tuple(schema["symbols"])))
            case "fixed":
                made = self._named(schema, space, _fixed(schema))
            case other:
                made = self._simple(other, schema, space)
        return made

    def _record(self, schema: Mapping[str, Any], space: str) -> Record:
        record = Record()
        self._named(schema, space, record)
        inside, _, _ = _full_name(schema, space).rpartition(".")
        fields = {f["name"]: self.made(f["type"], inside) for f in schema["fields"]}
        if len(fields) < len(schema["fields"]):
            raise ValueError
        record.fill(fields)
        return record

    def _named(self, schema: Mapping[str, Any], space: str, made: Type) -> Type:
        self._known[_full_name(schema, space)] = made
        return made

    def _simple(self, name: str, schema: Mapping[str, Any], space: str) -> Type:
        if name in _LEAVES:
            return _LEAVES[name](schema)
        return self._known.get(f"{space}.{name}" if space else name) or self._known[name]


def _full_name(schema: Mapping[str, Any], space: str) -> str:
    name: str = schema["name"]
    if "." in name:
        return name
    space = schema.get("namespace", space)
    return f"{space}.{name}" if space else name


# ---- leaves by their logical types


def _string(_schema: Mapping[str, Any]) -> Type:
    return Sized(text_in)


def _bytes(schema: Mapping[str, Any]) -> Type:
    if schema.get("logicalType") == "decimal":
        return Sized(partial(_decimal, int(schema.get("scale", 0))), spelled=False)
    return Sized(_spelled)


def _fixed(schema: Mapping[str, Any]) -> Type:
    size = int(schema["size"])
    if size < 0:
        raise ValueError
    match schema.get("logicalType"):
        case "decimal":
            return Fixed(size, partial(_decimal, int(schema.get("scale", 0))), spelled=False)
        case "uuid" if size == _UUID_BYTES:
            return Fixed(size, lambda raw: str(uuid.UUID(bytes=raw)), spelled=False)
        case _:
            return Fixed(size, _spelled)


def _int(schema: Mapping[str, Any]) -> Type:
    match schema.get("logicalType"):
        case "date":
            return Long(_date, _days, 32)
        case _:
            return Long(int, _whole, 32)


def _long(schema: Mapping[str, Any]) -> Type:
    moment, _, unit = str(schema.get("logicalType", "")).rpartition("-")
    if moment in ("timestamp", "local-timestamp") and unit in _PER_SECOND:
        zone = UTC if moment == "timestamp" else None
        each = _PER_SECOND[unit]
        return Long(partial(_moment, each, zone), partial(_ticks, each), 64)
    return Long(int, _whole, 64)


def _number(form: str) -> Callable[[bytes], Any]:
    reader = struct.Struct(form)
    return lambda raw: reader.unpack(raw)[0]


_LEAVES: Mapping[str, Callable[[Mapping[str, Any]], Type]] = {
    "null": lambda _: Null(),
    "boolean": lambda _: Fixed(1, lambda raw: raw != b"\0"),
    "int": _int,
    "long": _long,
    "float": lambda _: Fixed(4, _number("<f")),
    "double": lambda _: Fixed(8, _number("<d")),
    "string": _string,
    "bytes": _bytes,
}


def _spelled(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _decimal(scale: int, raw: bytes) -> int | Decimal | bytes:
    if len(raw) > _MOST_DECIMAL_BYTES:
        return raw
    whole = int.from_bytes(raw, "big", signed=True)
    return Decimal(whole).scaleb(-scale, _EXACT) if scale else whole


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _date(days: int) -> str | int:
    try:
        return (_EPOCH_DAY + timedelta(days)).isoformat()
    except OverflowError:
        return days


def _days(text: str) -> int | None:
    try:
        return (date.fromisoformat(text) - _EPOCH_DAY).days
    except ValueError:
        return None


def _moment(per_second: int, zone: Any, ticks: int) -> str | int:
    """A moment as ISO 8601; what is finer than a microsecond is left out."""
    try:
        at = _EPOCH + timedelta(microseconds=ticks * _MICROS // per_second)
    except OverflowError:
        return ticks
    return at.replace(tzinfo=zone).isoformat()


def _ticks(per_second: int, text: str) -> int | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    at = at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    return (at - _EPOCH) // timedelta(microseconds=1) * per_second // _MICROS
