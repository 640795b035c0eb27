"""What of a stored value counts as the text of an identity, as the map says field by field.

In: a collection's `equals`, a value as a format reads it. Out: its text, or None where it names
nobody. A truth value never does.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from connectors.s3.formats.entries import text_of
from connectors.s3.formats.field_needles import Numbers
from dsr_worker.contract import Collection

_DIGITS = 400  # more is no identity: 1e999999999 is a short text and a very long number
_WHOLE_DECIMAL = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")
_NUMERAL = re.compile(r"-?(?:0|[1-9][0-9]*)")


class Equality(StrEnum):
    """Which values of a field are compared at all."""

    BOTH = "both"  # texts and whole numbers: 1 and "1" are the same, 1.0 is not
    TEXT = "text"
    NUMBER = "number"  # whole numbers
    DECIMAL = "decimal"  # texts and numbers: 1.0 is 1 as well

    @property
    def numbers(self) -> Numbers:
        """Which numbers a search of bytes has to find."""
        match self:
            case Equality.TEXT:
                return Numbers.NONE
            case Equality.DECIMAL:
                return Numbers.DECIMAL
            case Equality.BOTH | Equality.NUMBER:
                return Numbers.WHOLE

    def text_of(self, value: object, *, typed: bool = True) -> str | None:
        """The text that is compared. Where nothing is `typed`, a text in digits is a number."""
        if isinstance(value, str):
            return self._of_text(value, typed=typed)
        if self is Equality.TEXT:
            return None
        if self is Equality.DECIMAL and isinstance(value, float | Decimal):
            return _whole(value)
        return text_of(value)

    def _of_text(self, value: str, *, typed: bool) -> str | None:
        if self is Equality.NUMBER:
            return value if not typed and _NUMERAL.fullmatch(value) else None
        if self is Equality.DECIMAL and not typed and (whole := _WHOLE_DECIMAL.fullmatch(value)):
            return whole[1]
        return value


def equality_of(collection: Collection, field: str) -> Equality:
    """What the map says of a field."""
    return Equality(collection.source.get("equals", {}).get(field, Equality.BOTH))


def is_typed(collection: Collection) -> bool:
    """Whether its records tell numbers from texts: in CSV everything is a text."""
    return collection.source.get("format") != "csv"


def _whole(value: float | Decimal) -> str | None:
    """A number without a fraction as the text of a whole one, exactly as it was written."""
    try:
        exact = Decimal(getattr(value, "spelled", value))
    except InvalidOperation:
        return None
    if not exact.is_finite() or exact.adjusted() > _DIGITS or exact != exact.to_integral_value():
        return None
    return str(int(exact))
