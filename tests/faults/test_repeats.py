"""What a repeat makes of an effect whose end nobody saw, inside one attempt and over several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dsr_worker.contract import Outcome, OutcomeCount, Receipt
from dsr_worker.engine.receipts import to_json, with_intents
from tests.faults.room import DrillRoom, email
from tests.integration.engine_room import CRM

_CALLS_BEFORE = 5  # dry runs and effects of the undisturbed case, dry runs of the two after it


def test_an_error_after_the_commit_splits_the_batch_and_counts_once(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """Rows are gone when their call fails: each half reports what the whole batch intended."""
    fault = f"kind: permanent, when: after, method: erase, after_calls: {_CALLS_BEFORE}, times: 1"
    failing = CRM.replace("config: {", f"config: {{fault: {{{fault}}}, ")
    room = DrillRoom(tmp_path, database, {"crm": failing})
    room.load_people(4)
    first = room.submit("erasure", email=email(0))
    room.settle()
    room.approve(first)
    room.settle()
    assert room.job(first)["state"] == "ready", room.steps(first)
    both = [room.submit("erasure", email=email(n)) for n in (1, 2)]
    room.settle()
    for ref in both:
        room.approve(ref)
    room.settle()
    assert room.system("crm").counts()["fault"] == 1
    for ref in both:
        assert room.job(ref)["state"] == "ready", room.steps(ref)
        assert room.account(ref) == room.account(first)
    unseen = room.rows("SELECT DISTINCT job_id FROM receipts WHERE before_commit")
    assert len(unseen) == 2


def test_masked_rows_never_explain_rows_that_are_gone() -> None:
    """An earlier intent to mask one row and erase two: two gone rows are the two erased ones."""
    before = Receipt(
        "s", "c", (OutcomeCount(Outcome.MASKED, 1, 3, "g"), OutcomeCount(Outcome.ERASED, 2, 8))
    )
    now = Receipt(
        "s", "c", (OutcomeCount(Outcome.MASKED, 1, 0, "g"), OutcomeCount(Outcome.ALREADY_GONE, 2))
    )
    told = with_intents(now, 2, [{"attempt": 1, "receipts": [to_json(before)]}])
    assert told == tuple((part, True) for part in before.outcomes)


def test_what_was_never_intended_stays_already_gone() -> None:
    """Rows that somebody else took away are not claimed as ours."""
    now = Receipt("s", "c", (OutcomeCount(Outcome.ALREADY_GONE, 2),))
    assert with_intents(now, 2, None) == ((now.outcomes[0], False),)
