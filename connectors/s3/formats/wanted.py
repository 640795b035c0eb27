"""Which records are worth a look: those in which one of many values could stand.

In: values, and the fields in which they count. Out: an answer that may be yes too often and never
no too often, for bytes (`needles`) and for values that are parsed already (`may_be`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from connectors.s3.formats.needles import Needles


@dataclass(frozen=True, slots=True)
class Wanted:
    """Records that hold one of `values` in one of `fields`, or anywhere where there are none.

    `may_be(field, value)` says of a parsed value whether it could be one of them. `exact`: they are
    compared as they are. `sound`: no other bytes than their own (and escapes) can mean them;
    `folded`: in any ASCII case, and with other signs for their dots.
    """

    values: frozenset[str]
    fields: tuple[str, ...]
    may_be: Callable[[str, object], bool]
    exact: bool
    sound: bool

    def needles(self, *, whole: bool) -> Needles | None:
        """What finds them among bytes; None where only parsing can tell.

        `whole`: in this format a value stands between quotes or signs, as it does in JSON.
        """
        if not self.sound or not Needles.are_sound(self.values):
            return None
        return Needles(self.values, folded=not self.exact, whole=whole and self.exact)
