"""After a rotation: everybody who can still be opened is indexed under the newest key.

In: the ledger, the new key ring. Out: identities and open promises by their new digests, so that
cases of one person are still seen as theirs whenever they came in. Who was shredded keeps the old
digest: nothing can open them, and no case of theirs is open. Stopping in between loses nothing, and
a repeat changes nothing that was done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dsr_worker.engine.identities import IDENTITY
from dsr_worker.engine.promised import Promised
from dsr_worker.ledger import Ledger, cases, promises
from dsr_worker.vault import KeyRing, SealBroken

_AT_ONCE = 500


def reindex(ledger: Ledger, keys: KeyRing, at_once: int = _AT_ONCE) -> int:
    """Index everybody anew, `at_once` in a transaction; how many digests have changed."""
    return _identities(ledger, keys, at_once) + _promises(ledger, keys, at_once)


def _identities(ledger: Ledger, keys: KeyRing, at_once: int) -> int:
    changed, after = 0, None
    while True:
        with ledger.transaction() as cursor:
            page = cases.sealed_identities(cursor, after, at_once)
            changed += cases.index_anew(cursor, list(_renamed(keys, page)))
        if len(page) < at_once:
            return changed
        after = (page[-1].job_id, page[-1].kind, bytes(page[-1].digest))


def _renamed(keys: KeyRing, page: Sequence[Any]) -> Iterator[tuple[int, str, bytes, bytes]]:
    for row in page:
        try:
            value = keys.unwrap(bytes(row.data_key)).open(bytes(row.sealed), IDENTITY).decode()
        except SealBroken:
            continue  # its case stops by itself where it is worked on
        old, new = bytes(row.digest), keys.index_digest(row.kind, value)
        if old != new:
            yield row.job_id, row.kind, old, new


def _promises(ledger: Ledger, keys: KeyRing, at_once: int) -> int:
    changed, after = 0, 0
    while True:
        with ledger.transaction() as cursor:
            page = promises.not_carried_out(cursor, after, at_once)
            for promise in page:
                known = {bytes(digest) for digest in (*promise.digests, *promise.of_case)}
                known |= set(_promised(keys, promise))
                if len(known) > len(promise.digests):
                    promises.index(cursor, promise.id, sorted(known))
                    changed += 1
        if len(page) < at_once:
            return changed
        after = page[-1].id


def _promised(keys: KeyRing, promise: Any) -> Iterator[bytes]:
    try:
        promised = Promised.opened(keys.unwrap(bytes(promise.data_key)), bytes(promise.sealed))
    except SealBroken:
        return  # it asks a human when it comes due
    for name in promised.names:
        yield keys.index_digest(name.kind, name.value)
