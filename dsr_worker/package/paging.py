"""Where a page ends: 500 records, or the first with which they come to 1 MiB.

In: bodies, one or many at a time. Out: pages that are the same however the bodies came.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from markupsafe import Markup

_PAGE_ROWS = 500
_PAGE_BYTES = 1024 * 1024


@dataclass(slots=True)
class Page:
    """A page being filled: bodies, and by their numbers the links to attachments."""

    number: int
    bodies: list[bytes] = field(default_factory=list)
    links: dict[int, Markup] = field(default_factory=dict)
    size_bytes: int = 0

    @property
    def is_full(self) -> bool:
        """Whether the next body belongs to another page."""
        return len(self.bodies) >= _PAGE_ROWS or self.size_bytes >= _PAGE_BYTES

    def take(self, bodies: Sequence[bytes], start: int, link: Markup | None) -> int:
        """Take bodies from `start` on until the page is full; how many it took."""
        if link is not None:
            self.links[len(self.bodies)] = link
        taken = bodies[start : start + _PAGE_ROWS - len(self.bodies)]
        room, sizes = _PAGE_BYTES - self.size_bytes, list(map(len, taken))
        if sum(sizes) > room:
            taken = taken[: 1 + bisect_left(list(accumulate(sizes)), room)]
        self.bodies += taken
        self.size_bytes += sum(map(len, taken))
        return len(taken)
