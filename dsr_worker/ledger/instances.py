"""Which key ring this ledger belongs to, and the business clock of trials."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from dsr_worker.ledger.connection import Ledger


class WrongKeyRing(Exception):  # noqa: N818 - reads as what it says
    """The key ring at hand is not this ledger's."""


class NoTrial(Exception):  # noqa: N818 - reads as what it says
    """This ledger is no trial: its clock is the world's."""


def fingerprint(ledger: Ledger) -> str | None:
    """The fingerprint of the key ring this ledger belongs to; None for a new ledger."""
    with ledger.transaction() as cursor:
        cursor.execute("SELECT key_fingerprint FROM instance")
        row = cursor.fetchone()
    return None if row is None else str(row.key_fingerprint)


def bind(ledger: Ledger, key_fingerprint: str, *, trial: bool) -> None:
    """Tie a new ledger to its key ring. Nothing happens to one that is tied."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "INSERT INTO instance (key_fingerprint, trial) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (key_fingerprint, trial),
        )


def require(ledger: Ledger, knows: Callable[[str], bool], newest: str) -> None:
    """Raise WrongKeyRing unless the ring is this ledger's; note a ring that was rotated since."""
    bound = fingerprint(ledger)
    if bound is None:
        message = "this ledger is not set up: run `dsr up` (embedded) or `dsr migrate`"
        raise WrongKeyRing(message)
    if not knows(bound):
        message = (
            f"the key ring does not belong to this ledger (it wants {bound[:8]}…): "
            "point DSR_KEY_RING at the right one"
        )
        raise WrongKeyRing(message)
    if bound != newest:
        with ledger.transaction() as cursor:
            cursor.execute("UPDATE instance SET key_fingerprint = %s", (newest,))


def move_clock(ledger: Ledger, by: timedelta) -> datetime:
    """Move the business clock of a trial on; the new business instant. Raises NoTrial."""
    with ledger.transaction() as cursor:
        cursor.execute(
            "UPDATE instance SET clock_offset = clock_offset + %s WHERE trial"
            " RETURNING now() + clock_offset AS now",
            (by,),
        )
        row = cursor.fetchone()
        if row is None:
            message = "only the clock of a trial can be moved (`dsr up --trial`)"
            raise NoTrial(message)
        now: datetime = row.now
        return now


def now(ledger: Ledger) -> datetime:
    """The business instant."""
    with ledger.transaction() as cursor:
        cursor.execute("SELECT business_now() AS now")
        at: datetime = cursor.fetchone().now
        return at
