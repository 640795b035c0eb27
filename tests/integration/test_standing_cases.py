"""A case never stands still in silence, whatever could not be sent, answered or waited for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dsr_worker.engine.batch import Batch, Performer
from dsr_worker.fulfil.intake import RequestRefused
from dsr_worker.ledger.rows import StepResult
from dsr_worker.notify.mail import Sent
from dsr_worker.people import digest_of
from tests.integration.engine_room import EngineRoom
from tests.integration.person_three import MAIL
from tests.integration.postmen import Postman, perform, with_postman


def test_a_case_goes_on_when_the_code_could_not_be_sent(room: EngineRoom) -> None:
    """After a mail that failed, a new code or an attestation carries the case on."""
    postman = with_postman(room, Postman(Sent.REFUSED))
    ref = room.submit("access", verification="code", email=MAIL)
    room.settle()
    assert ("send_code", "desk", 1, "needs_human", "mail_refused") in room.steps(ref)
    postman.says = Sent.SENT
    room.office.decisions.send_code(ref, room.sign("anna", "send-code", ref))
    room.settle()
    assert len(postman.sent) == 2
    assert room.job(ref)["phase"] == "await_code"


def test_an_attestation_replaces_a_code_that_could_not_be_sent(room: EngineRoom) -> None:
    """An operator's word carries a case on though the mail with its code failed."""
    with_postman(room, Postman(Sent.REFUSED))
    ref = room.submit("access", verification="code", email=MAIL)
    room.settle()
    signed = room.sign("anna", "attest", ref, digest_of("attest", ref, method="passport"))
    room.office.decisions.attest(ref, "passport", signed)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))


@pytest.mark.parametrize("kind", ["access", "erasure"])
def test_a_request_that_no_system_can_answer_is_answered(room: EngineRoom, kind: str) -> None:
    """A name that no collection takes ends in an answer that nothing is held (Art. 12 GDPR)."""
    ref = room.submit(kind, phone="+49 30 1000003")
    room.settle()
    if kind == "erasure":
        assert room.job(ref)["state"] == "awaiting_approval", room.steps(ref)
        room.approve(ref)
        room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))


def test_a_kind_that_is_not_carried_out_is_refused(room: EngineRoom) -> None:
    """A request that nothing would ever carry out is refused where it is taken in."""
    with pytest.raises(RequestRefused, match="access, erasure"):
        room.submit("objection", email=MAIL)
    assert room.rows("SELECT 1 FROM jobs") == []


def test_an_erasure_that_waited_in_vain_goes_on_by_a_persons_word(room: EngineRoom) -> None:
    """An erasure that stopped because an access case is unfinished can be carried on by retry."""
    access = room.submit("access", email=MAIL)
    erasure = room.submit("erasure", email=MAIL)
    room.settle()
    room.approve(erasure)
    room.settle()
    assert room.job(erasure)["phase"] == "after_access", room.job(access)["state"]
    room.move_clock(days=29)
    room.settle()
    assert room.job(erasure)["phase"] == "access_unfinished"
    room.office.decisions.retry(erasure, room.sign("anna", "retry", erasure))
    room.settle()
    assert room.job(erasure)["state"] == "ready", (room.steps(erasure), room.events(erasure))


def test_withdrawing_one_case_does_not_hold_up_its_batch(room: EngineRoom) -> None:
    """When one case of a batch is withdrawn, the others are worked on at once."""
    refs = [room.submit("erasure", email=f"p.zq000{n}zq@mail.example") for n in (1, 2, 3)]
    withdrawn = refs[0]

    def interrupted(perform: Performer) -> Performer:
        def performed(batch: Batch) -> Sequence[StepResult]:
            if withdrawn in {m.job.ref for m in batch.members}:
                signed = room.sign("anna", "withdraw", withdrawn)
                room.office.decisions.withdraw(withdrawn, signed)
                room.workshop.worker._renewed -= 60
                room.workshop.worker.renew()
                batch.ctx.check()
            return perform(batch)

        return performed

    perform(room, "plan", interrupted)
    for _ in range(8):
        room.tick()
        for system in room.office.systems:
            room.workshop.drainer(system)
    assert room.job(withdrawn)["state"] == "withdrawn"
    assert {room.job(r)["state"] for r in refs[1:]} == {"awaiting_approval"}, room.steps()
