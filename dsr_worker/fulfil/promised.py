"""What is promised: recorded once for a person, system and day; found again by who carries it out.

In: what an erasure kept and why. Out: a promise, or the one that stands, widened; of a job that
carries one out, the rows that were promised.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from dsr_worker.contract import Remainder, is_remainder
from dsr_worker.engine.batch import Member
from dsr_worker.engine.promised import Promised, RowName
from dsr_worker.ledger import holds, promises
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.promises import Promise
from dsr_worker.vault import CaseKey, KeyRing, SealBroken

AWAITED_BY = "awaited_by"
"""The fact of a job that carries a promise out: the cases that are not closed before its end."""

_FACT = "promised_keys"


def as_fact(promised: Promised, key: CaseKey) -> dict[str, str]:
    """The rows for the facts of the job that carries the promise out, sealed by its key."""
    sealed = Promised((), promised.rows).sealed(key)
    return {_FACT: base64.b64encode(sealed).decode()} if promised.rows else {}


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
    What waits for a hold that was released meanwhile waits for nothing: it has a day at once.
    """
    if made.due_on is None:
        holds.exclude_releases(cursor)
    stood = _kept(cursor, keys, _by_every_name(cursor, made))
    if made.due_on is None:
        holds.date_unheld(cursor, stood)


def _by_every_name(cursor: Cursor, made: Promise) -> Promise:
    """The promise, to be found by all names by which the one that its job carries out was."""
    digests = {*made.digests, *promises.digests_of(cursor, made.job_id)}
    return made._replace(digests=sorted(digests))


def _kept(cursor: Cursor, keys: KeyRing, made: Promise) -> int:
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
        return stood.id
    return promises.make(cursor, made)
