"""What a promise carries, sealed under a key of its own: names, and the rows themselves.

Names are the person's in that system (a customer number). A row that was found by an e-mail address
which is masked by now is found by no name any more, so the key of every kept row goes along.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self

from dsr_worker.contract import Identity
from dsr_worker.vault import CaseKey

PROMISE = "promise"  # the purpose under which both are sealed

RowName = tuple[str, tuple[str, ...]]  # collection and key


@dataclass(frozen=True, slots=True)
class Promised:
    """Names of a person and keys of rows in one system."""

    names: tuple[Identity, ...]
    rows: frozenset[RowName] = frozenset()

    def __repr__(self) -> str:
        return f"Promised({len(self.names)} names, {len(self.rows)} rows)"

    def sealed(self, key: CaseKey) -> bytes:
        """Both, sealed."""
        plain = {
            "names": [[i.kind, i.value] for i in self.names],
            "rows": sorted([collection, list(row)] for collection, row in self.rows),
        }
        return key.seal(json.dumps(plain).encode(), PROMISE)

    @classmethod
    def opened(cls, key: CaseKey, sealed: bytes) -> Self:
        """What `sealed` sealed. Raises SealBroken."""
        plain = json.loads(key.open(sealed, PROMISE))
        return cls(
            tuple(Identity(*pair) for pair in plain["names"]),
            frozenset((collection, tuple(row)) for collection, row in plain["rows"]),
        )

    def joined(self, other: Promised) -> Promised:
        """The names and rows of both."""
        return Promised(tuple(dict.fromkeys((*self.names, *other.names))), self.rows | other.rows)
