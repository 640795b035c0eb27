"""No answer that says "restricted" leaves the house after the restriction has ended."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dsr_worker.domain.rights import LIFTING_FACT
from dsr_worker.fulfil.decisions import DecisionRefused
from dsr_worker.fulfil.lifting import LIFT, lift_digest
from tests.integration.engine_room import EngineRoom
from tests.integration.rights.restrictable import restricted, results, system_dump


def _lift(room: EngineRoom, ref: str) -> str:
    told_on = datetime.now(UTC).date()
    signed = room.sign("berta", LIFT, ref, lift_digest(ref, told_on))
    return room.office.liftings.lift(ref, told_on, signed).ref


def test_a_restriction_is_not_lifted_before_its_answer_was_handed_over(room: EngineRoom) -> None:
    """The refusal names the command that hands it over, begins nothing, and ends with that."""
    ref = restricted(room)
    before = system_dump(room)
    with pytest.raises(DecisionRefused, match=f"`dsr certificate {ref} --to FILE`"):
        _lift(room, ref)
    assert LIFTING_FACT not in room.job(ref)["facts"]
    assert not room.rows("SELECT 1 FROM jobs WHERE kind = 'lifting'")
    assert results(room.hand_over(ref))["crm.customers"] == {"found": 1, "restricted": 1}
    job = _lift(room, ref)
    room.settle()
    assert room.job(job)["state"] == "closed", room.steps(job)
    assert system_dump(room) != before
