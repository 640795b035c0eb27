r"""The literal pre-filter: which lines of a block could hold one of many values at all.

In: the values of all identities of a batch, blocks of whole lines. Out: the bounds of the lines
that have to be parsed; all others pass unread. One automaton looks for all values at once
(Aho-Corasick), so that ten thousand people cost about what one does.

A value that is compared exactly must stand alone, as a whole JSON string or number does: `7` within
`1970` finds nothing.

Sound: a line that names somebody in other bytes than the value's own is a candidate as well. In
JSON those are escapes (`\u`, and `\/` where a value holds a slash); where spelling is compared
by form, ASCII letters in any case, and the other signs that stand for a dot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ahocorasick_rs import BytesAhoCorasick

_ESCAPED = b"\\u"
_ESCAPED_SLASH = b"\\/"
_DOTS = tuple(dot.encode() for dot in ("\u3002", "\uff0e", "\uff61"))
"""What stands for the dot between the labels of a domain (RFC 3490, section 3.1)."""
_BEFORE = frozenset({b'"', b" ", b"\t", b":", b",", b"["})
_AFTER = frozenset({b'"', b" ", b"\t", b"\r", b"\n", b",", b"}", b"]"})
"""What stands around a whole value in JSON (RFC 8259, section 2)."""
_UNSOUND = frozenset('"\\\r\n')  # a value with one of these may be written in several ways


class Needles:
    """Finds lines by values.

    `folded`: in any ASCII case, and with other signs for its dots. `whole`: only where the value
    is all of a JSON string or number.
    """

    def __init__(self, values: Iterable[str], *, folded: bool, whole: bool = False) -> None:
        wanted = {_bytes(value, folded=folded) for value in values}
        wanted.add(_ESCAPED)
        if any(b"/" in value for value in wanted):
            wanted.add(_ESCAPED_SLASH)
        if folded:
            wanted.update(_DOTS)
        self._folded, self._whole = folded, whole
        ordered = sorted(wanted)
        self._escapes = {n for n, value in enumerate(ordered) if value.startswith(b"\\")}
        self._automaton = BytesAhoCorasick(ordered)

    @staticmethod
    def are_sound(values: Iterable[str]) -> bool:
        """Whether a search for these values' own bytes can be sound."""
        return not any(not value or _UNSOUND.intersection(value) for value in values)

    def lines(self, block: bytes) -> Iterator[tuple[int, int]]:
        """The bounds of the lines to look at, in order; each with its newline, if it has one."""
        end = 0
        haystack = block.lower() if self._folded else block
        for number, found, beyond in self._automaton.find_matches_as_indexes(
            haystack,
            overlapping=self._whole,  # a shorter value must not hide a longer one
        ):
            if found < end or not (number in self._escapes or self._stands(block, found, beyond)):
                continue
            start = block.rfind(b"\n", end, found) + 1 or end
            end = block.find(b"\n", beyond) + 1 or len(block)
            yield start, end

    def _stands(self, block: bytes, found: int, beyond: int) -> bool:
        """Whether a value found there could be a whole one."""
        if not self._whole:
            return True
        return block[found - 1 : found] in _BEFORE and block[beyond : beyond + 1] in _AFTER


def _bytes(value: str, *, folded: bool) -> bytes:
    spelled = value.encode("utf-8", "surrogateescape")
    return spelled.lower() if folded else spelled  # bytes: ASCII letters only
