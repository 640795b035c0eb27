"""The sealer: signs what was added to the event chains, for a place the owner cannot write.

In: events without a checkpoint. Out: an Ed25519-signed Merkle checkpoint in the ledger and in the
checkpoint store (`DSR_CHECKPOINTS`, best a bucket in another account under Object Lock).
"""

from __future__ import annotations

import json

from dsr_worker.engine.tick import Duty
from dsr_worker.evidence import Checkpoint, sign_checkpoint
from dsr_worker.evidence.checkpoints import copy_name
from dsr_worker.ledger import Ledger, checkpoints
from dsr_worker.store import Store, StoreError
from dsr_worker.vault import KeyRing

EVERY_S = 600.0
_ENOUGH_EVENTS = 10_000
_MOST_JOBS = 5_000


def seal_events(ledger: Ledger, keys: KeyRing, store: Store, every_s: float = EVERY_S) -> Duty:
    """The duty that seals every ten minutes, or once ten thousand events wait."""

    def seal_new_events() -> None:
        with ledger.transaction() as cursor:
            if not checkpoints.try_lock(cursor):
                return
            before = checkpoints.last(cursor)
            is_young = before is not None and before.age_s < every_s
            if is_young and checkpoints.waiting(cursor) < _ENOUGH_EVENTS:
                return
            if before is not None:  # whoever made it may have died before publishing it
                _publish(store, before.number, before.body)
            new = checkpoints.unsealed(cursor, _MOST_JOBS)
            if not new:
                return
            cursor.execute("SELECT now() AS now")
            made = sign_checkpoint(
                keys,
                [leaf for stretch in new for leaf in stretch.leaves],
                at=cursor.fetchone().now,
                after=Checkpoint.from_json(json.loads(before.body)) if before else None,
            )
            body = json.dumps(made.to_json(), sort_keys=True)
            checkpoints.keep(cursor, made.number, body, new)
        _publish(store, made.number, body)
        with ledger.transaction() as cursor:
            checkpoints.unmark(cursor)

    return seal_new_events


def _publish(store: Store, number: int, body: str) -> None:
    """Put a committed checkpoint into the store, where another has not done it by now."""
    name = copy_name(number)
    if store.exists(name):
        return
    try:
        with store.write(name) as blob:
            blob.write(body.encode())
    except StoreError:
        if not store.exists(name):
            raise
