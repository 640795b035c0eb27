"""Which records are worth a look: those in which one of many values could stand.

In: values, and the fields in which they count. Out: an answer that may be yes too often and never
no too often, for bytes (`json_needles`) and for values that are parsed already
(`may_be`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from connectors.s3.formats.field_needles import Asked, Numbers, field_needles
from connectors.s3.formats.needles import Needles, json_literals

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Records that hold one of `values` in one of `fields`, or anywhere where there are none.

    `may_be(field, value)` says of a parsed value whether it could be one of them. `exact`: they are
    compared as they are; else in any ASCII case, and with other signs that mean theirs. `sound`: no
    further bytes than these (and escapes) can mean them. `asked` says the same field by field.
    With `parts`, a record is wanted where it is by one of these.
    """

    values: frozenset[str]
    fields: tuple[str, ...]
    may_be: Callable[[str, object], bool]
    exact: bool
    sound: bool
    asked: tuple[Asked, ...] = ()
    parts: tuple[Wanted, ...] = ()
    _memory: dict[object, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def as_written(self) -> bool:
        """Whether a value is one of them by its own text alone, a number by its digits."""
        numbers = {one.numbers for one in self.asked}
        return self.exact and numbers <= {Numbers.NONE, Numbers.WHOLE}

    def made(self, place: object, make: Callable[[], T]) -> T:
        """What `make` gives, made once for each `place`: many objects are searched alike."""
        if place not in self._memory:
            self._memory[place] = make()
        found: T = self._memory[place]
        return found

    def json_needles(self, encoding: str = "utf-8") -> Needles | None:
        """What finds them among the bytes of JSON; None where only parsing can tell."""
        return self.made(encoding, partial(self._json_needles, encoding))

    def _json_needles(self, encoding: str) -> Needles | None:
        if self.parts:
            return _AnyOf.of([part.json_needles(encoding) for part in self.parts])
        by_field = field_needles(self.asked, encoding)
        if by_field is not None or not self.sound:
            return by_field
        return json_literals(self.values, folded=not self.exact, encoding=encoding)


def either(one: Wanted, other: Wanted) -> Wanted:
    """The records that are wanted by one or by the other, wherever a value of theirs stands."""

    def may_be(field: str, value: object) -> bool:
        fields = ((wanted, name) for wanted in (one, other) for name in wanted.fields or (field,))
        return any(wanted.may_be(name, value) for wanted, name in fields)

    return Wanted(
        values=one.values | other.values,
        fields=(),
        may_be=may_be,
        exact=one.exact and other.exact,
        sound=one.sound and other.sound,
        parts=(one, other),
    )


class _AnyOf:
    """Needles of several kinds."""

    def __init__(self, needles: Sequence[Needles]) -> None:
        self._needles = needles

    @classmethod
    def of(cls, found: Sequence[Needles | None]) -> _AnyOf | None:
        """All of these; None where one of them cannot tell by bytes."""
        needles = [one for one in found if one is not None]
        return cls(needles) if len(needles) == len(found) else None

    def places(self, block: bytes) -> list[int]:
        """Where one of them could stand."""
        return sorted(place for one in self._needles for place in one.places(block))
