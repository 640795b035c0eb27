"""Until when rows stay that a store refuses for now: told alike, whoever asked for them to go."""

from __future__ import annotations

from datetime import UTC, date, datetime

from dsr_worker.contract import Collection, Outcome, OutcomeCount, Receipt, Remainder, System
from dsr_worker.domain.decision import Decisions
from dsr_worker.engine.receipts import ledger_row
from dsr_worker.sweep.counts import Counts

FIRST = datetime(2027, 1, 31, 23, 30, tzinfo=UTC)
LAST = datetime(2027, 3, 31, 12, tzinfo=UTC)
LOCKED = OutcomeCount(
    Outcome.RETAINED, 3, ground=Remainder.LOCKED, until_at=LAST, first_until_at=FIRST
)
FILES = Collection("files", ("key",), {}, clocks={"record_date": "last_modified"})
DECISIONS = Decisions(System("bucket", "s3", {"files": FILES}), at=datetime(2027, 1, 1, tzinfo=UTC))


def test_what_a_store_locks_has_the_stores_own_days() -> None:
    """A remainder's row in the ledger says when its store lets go of the first and the last."""
    row = ledger_row("files", LOCKED, DECISIONS, unseen=False)
    assert (row.first_until_on, row.until_on) == (date(2027, 1, 31), date(2027, 3, 31))


def test_a_sweeps_plan_says_until_when_a_store_keeps() -> None:
    """A sweep tells of locked rows what an erasure tells: the day on which the last can go."""
    counts = Counts.of([Receipt(None, "files", (LOCKED,))])
    (told,) = counts.to_json("bucket", DECISIONS)
    assert told["until"] == "2027-03-31"
