r"""The literal pre-filter: where in a block one of many values could stand at all.

In: the values of all identities of a batch, blocks of bytes. Out: the places that have to be looked
at; everything else passes unread. One automaton looks for all values at once (Aho-Corasick), so
that ten thousand people cost about what one does.

Sound: a place that could hold a value in other bytes than its own is told as well. In JSON those
are escapes (`\u`, and `\/` where a value holds a slash); where spelling is compared by form, ASCII
letters in any case, and the other signs that mean one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ahocorasick_rs import BytesAhoCorasick

_ESCAPED = b"\\u"
_ESCAPED_SLASH = b"\\/"
BECOME_ASCII = ("\u3002", "\uff0e", "\uff61", "\u212a", "\u037e", "\u1fef")
"""What stands for the dot between the labels of a domain (RFC 3490, section 3.1), and the letters
that Unicode's composed form (NFC) writes in ASCII: KELVIN SIGN, GREEK QUESTION MARK, GREEK VARIA.
"""
_CONTROLS = "".join(map(chr, range(0x20)))


class Needles(Protocol):
    """Tells where in a block something wanted could stand."""

    def places(self, block: bytes) -> list[int]:
        """Offsets within `block`, in order; each lies within a record to look at."""
        ...


class Literals:
    """Finds values anywhere; `folded`: in any ASCII case, and with other signs that mean theirs."""

    def __init__(
        self,
        values: Iterable[bytes],
        *,
        folded: bool,
        escapes: Iterable[bytes] = (),
        overlapping: bool = False,
        encoding: str = "utf-8",
    ) -> None:
        wanted = {value.lower() if folded else value for value in values}
        wanted.update(escapes)
        if folded:
            wanted.update(filter(None, (in_bytes(sign, encoding) for sign in BECOME_ASCII)))
        self._folded, self._overlapping = folded, overlapping
        self._automaton = BytesAhoCorasick(sorted(wanted)) if wanted else None

    def places(self, block: bytes) -> list[int]:
        """Where each match begins; unless `overlapping`, one that is clear of the one before."""
        if self._automaton is None:
            return []
        haystack = block.lower() if self._folded else block
        found = self._automaton.find_matches_as_indexes(haystack, overlapping=self._overlapping)
        return sorted([at for _, at, _ in found]) if self._overlapping else [m[1] for m in found]


def json_literals(values: Iterable[str], *, folded: bool, encoding: str) -> Literals | None:
    """Values anywhere in JSON text; None where their own bytes cannot tell.

    A value with a quote, a backslash or a control character is always written in other bytes.
    """
    wanted = frozenset(values)
    if not are_literal(wanted, '"\\' + _CONTROLS):
        return None
    escapes = [_ESCAPED, *([_ESCAPED_SLASH] if any("/" in value for value in wanted) else [])]
    spelled = filter(None, (in_bytes(value, encoding) for value in wanted))
    return Literals(spelled, folded=folded, escapes=escapes, encoding=encoding)


def are_literal(values: Iterable[str], other: str) -> bool:
    """Whether each value is there and free of the characters that are written otherwise."""
    return not any(not value or not set(other).isdisjoint(value) for value in values)


def in_bytes(text: str, encoding: str) -> bytes | None:
    """A text in an encoding; None where the encoding has no such letters."""
    try:
        return text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        return None
