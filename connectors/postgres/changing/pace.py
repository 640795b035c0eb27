"""How much one transaction takes: so much that it lasts about half a second.

Half a second is short for whoever waits for a row, and long beside what a transaction costs itself.
In: how long the last one took. Out: how many rows the next one may have.
"""

from __future__ import annotations

TARGET_S = 0.5
_FIRST_ROWS = 2000
_FEWEST_ROWS = 100
_MOST_ROWS = 20_000


class Pace:
    """How many rows a part takes, so that its transaction lasts about `TARGET_S`."""

    def __init__(self) -> None:
        self.rows = _FIRST_ROWS

    def took(self, seconds: float) -> None:
        """Adapt to what a full part took, at most by a factor of two."""
        fitting = int(self.rows * min(2.0, max(0.5, TARGET_S / max(seconds, 0.001))))
        self.rows = min(_MOST_ROWS, max(_FEWEST_ROWS, fitting))
