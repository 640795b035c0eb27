"""What a promise carries, sealed under a key of its own: names, and the rows themselves.

Names are the person's in that system (a customer number). A row that was found by an e-mail address
which is masked by now is found by no name any more, so the key of every kept row goes along.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from dsr_worker.contract import Identity, Remainder, is_remainder
from dsr_worker.engine.batch import Member
from dsr_worker.ledger import promises
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.promises import Promise
from dsr_worker.vault import CaseKey, KeyRing, SealBroken

PROMISE = "promise"  # the purpose under which both are sealed
AWAITED_BY = "awaited_by"
"""The fact of a job that carries a promise out: the cases that are not closed before its end."""

_FACT = "promised_keys"

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

    def fact(self, key: CaseKey) -> dict[str, str]:
        """The rows for the facts of the job that carries the promise out, sealed by its key."""
        sealed = Promised((), self.rows).sealed(key)
        return {_FACT: base64.b64encode(sealed).decode()} if self.rows else {}


def rows_of(member: Member) -> frozenset[RowName]:
    """The rows that were promised, of a job that carries a promise out. Raises SealBroken."""
    facts: Mapping[str, Any] = member.job.facts
    if _FACT not in facts:
        return frozenset()
    return Promised.opened(member.key, base64.b64decode(facts[_FACT])).rows


def keep_promise(cursor: Cursor, keys: KeyRing, made: Promise) -> None:
    """Record a promise, or widen the one that stands for the same person, system and day.

    What a store refuses joins what it refuses sooner: that job looks at all of it, and promises
    anew what stays, so that there is one such promise at a time. Repeating it changes nothing. One
    that this key ring does not open stands beside it: it asks a human when it comes due.
    """
    mine = Promised.opened(keys.unwrap(made.data_key), made.sealed)
    names = [keys.index_digest(name.kind, name.value) for name in mine.names]
    sooner = list(Remainder) if all(map(is_remainder, made.grounds)) else []
    for stood in promises.standing(cursor, made, names, sooner):
        try:
            theirs = Promised.opened(keys.unwrap(bytes(stood.data_key)), bytes(stood.sealed))
        except SealBroken:
            continue
        both = theirs.joined(mine)
        more = min(len(both.rows) - len(theirs.rows), made.row_count)
        own_key, wrapped = keys.new_case_key()
        widened = made._replace(
            last_due_on=max(filter(None, (stood.last_due_on, made.last_due_on)), default=None),
            grounds=sorted({*stood.grounds, *made.grounds}),
            row_count=max(stood.row_count + more, made.row_count),
            data_key=wrapped,
            sealed=both.sealed(own_key),
        )
        promises.widen(cursor, stood.id, widened)
        return
    promises.make(cursor, made)
