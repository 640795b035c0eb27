"""The pre-filter for JSON that skips: values as they are, where they hardly stand by chance.

In: values, and the search that goes by their fields' names. Out: places to look at. Where values
are as telling as addresses are, one automaton skips from one rare byte to the next and costs less
than the search for a field's name, which stands in every record. Short numbers stand everywhere:
at the first block that says so, the other search takes over.

Sound for what `json_literals` is sound for; escapes and other signs for dots are looked for apart,
because bytes that are not rare would keep the automaton from skipping.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ahocorasick_rs import BytesAhoCorasick

from connectors.s3.formats.needles import DOTS, Needles, in_bytes

_OTHERWISE = re.compile(r'["\\\x00-\x09\x0b-\x1f]|\A\n|\n\n|\n\Z')  # empty ones among them
_BYTES_A_MATCH = 1024
"""More matches than one in so many bytes, and looking at records costs more than it saves."""


def are_spelled(values: Iterable[str], encoding: str) -> bool:
    """Whether values stand in JSON in their own bytes alone, letter case and escapes aside."""
    text = "\n".join(values)
    try:
        text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        return False
    return bool(text) and _OTHERWISE.search(text) is None


class Skipping:
    """Finds values anywhere, as long as they are rare; `folded`: in any ASCII case."""

    def __init__(
        self,
        values: Iterable[str],
        by_field: Callable[[], Needles | None],
        *,
        folded: bool,
        encoding: str,
    ) -> None:
        text = "\n".join(values).encode(encoding, "surrogateescape")
        wanted = sorted(set((text.lower() if folded else text).split(b"\n")))
        dots = list(filter(None, (in_bytes(dot, encoding) for dot in DOTS)))
        self._by_field = by_field
        self._instead: Needles | None = None  # once values stand everywhere
        self._folded = folded
        self._values = BytesAhoCorasick(wanted)
        self._escapes = re.compile(rb"\\u|\\/" if b"/" in text else rb"\\u")
        self._dots = BytesAhoCorasick(dots) if folded and dots else None

    def places(self, block: bytes) -> list[int]:
        """Where a value may begin, in order."""
        if self._instead is not None:
            return self._instead.places(block)
        haystack = block.lower() if self._folded else block
        found = [at for _, at, _ in self._values.find_matches_as_indexes(haystack)]
        if len(found) * _BYTES_A_MATCH > len(block) + _BYTES_A_MATCH:
            self._instead = self._by_field() or self._instead
        if self._instead is not None:
            return self._instead.places(block)
        apart = [match.start() for match in self._escapes.finditer(block)] if b"\\" in block else []
        if self._dots is not None and not block.isascii():
            apart += [at for _, at, _ in self._dots.find_matches_as_indexes(block)]
        return sorted(found + apart) if apart else found
