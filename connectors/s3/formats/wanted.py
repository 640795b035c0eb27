"""Which records are worth a look: those in which one of many values could stand.

In: values, and the fields in which they count. Out: an answer that may be yes too often and never
no too often, for bytes (`json_needles`) and for values that are parsed already
(`may_be`).
"""

from __future__ import annotations

from collections.abc import Callable
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
    compared as they are. `sound`: no other bytes than their own (and escapes) can mean them; else
    in any ASCII case, and with other signs for their dots. `asked` says the same field by field.
    """

    values: frozenset[str]
    fields: tuple[str, ...]
    may_be: Callable[[str, object], bool]
    exact: bool
    sound: bool
    asked: tuple[Asked, ...] = ()
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
        by_field = field_needles(self.asked, encoding)
        if by_field is not None or not self.sound:
            return by_field
        return json_literals(self.values, folded=not self.exact, encoding=encoding)
