"""What a table's own library has to do for us.

Enters: nothing. Leaves: the words between the room that decides about rows and the libraries that
change them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Altered:
    """Rows that go (`masks` None), or get these values; told by the fields that decided on them."""

    match: Mapping[str, Any] = field(repr=False)
    masks: Mapping[str, str | None] | None = field(default=None, repr=False)


class Opened(Protocol):
    """One table at its newest state."""

    def current(self) -> frozenset[str]:
        """The object keys of the data files that hold the table as it is now."""
        ...

    def past(self) -> frozenset[str]:
        """The object keys of the data files that only its history needs."""
        ...

    def change(self, rows: Sequence[Altered]) -> None:
        """Change all rows that match, in one commit of the table. A repeat finds none.

        Raises Transient where somebody else committed first, and NeedsHuman where the table has no
        such change; either way nothing is changed.
        """
        ...

    def retire(self) -> Iterator[list[str]]:
        """End the table's history here: object keys that only its past needs, data files first.

        Whoever asks for the next ones has erased those before. What was left by a crash comes
        again.
        """
        ...
