"""Once an hour, by one process for all: what nothing needs any more, and no other duty knows of.

In: the store's names, the ledger's rows. Out: destroyed orphans (blobs of a worker that died or
came too late, before any row named them, or in the middle of writing) and forgotten nonces.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, takewhile

from dsr_worker.engine.tick import Duty
from dsr_worker.ledger import Ledger, orphans, people, scans
from dsr_worker.store import Store

_log = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
LEAST_AGE = timedelta(days=1)
"""Of an orphan, and of a nonce: signatures are taken for ten minutes (`dsr_worker.people`)."""
KINDS = ("keys", "records", "people", "drafts", "packages")
_NAME = re.compile(rf"(?:{'|'.join(KINDS)})/\d{{4}}/\d\d/\d\d/[0-9a-f]{{32}}")
_PART = 1_000


def upkeep(ledger: Ledger, store: Store) -> Duty:
    """The duty that does it."""

    def keep_up() -> None:
        with ledger.transaction() as cursor:
            if not orphans.take_chore(cursor, "upkeep", EVERY):
                return
            people.forget_nonces(cursor, LEAST_AGE)
            scans.forget(cursor)
            before = orphans.first_day_kept(cursor, LEAST_AGE)
        destroyed = sum(_destroy_orphans(ledger, store, kind, before) for kind in KINDS)
        destroyed += store.destroy_unfinished(datetime.combine(before, time(), UTC))
        if destroyed:
            _log.warning("orphans_destroyed", extra={"blobs": destroyed})

    return keep_up


def _destroy_orphans(ledger: Ledger, store: Store, kind: str, before: date) -> int:
    destroyed = 0
    names = _older(store, kind, before)
    while part := list(islice(names, _PART)):
        with ledger.transaction() as cursor:
            spent = orphans.unnamed(cursor, part)
        destroyed += sum(store.destroy(name) for name in spent)
    return destroyed


def _older(store: Store, kind: str, before: date) -> Iterator[str]:
    """Blobs of a kind from days before this one; names come in order, so the rest is not listed."""
    end = f"{kind}/{before:%Y/%m/%d}"
    names = takewhile(lambda name: name < end, store.names(f"{kind}/"))
    return (name for name in names if _NAME.fullmatch(name))
