"""People are the same people after a rotation of the key ring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsr_worker.contract import Identity
from dsr_worker.fulfil.reindexing import reindex
from dsr_worker.notify.mail import Sent
from tests.integration.engine_room import EngineRoom
from tests.integration.person_three import MAIL, answered, bodies_of, erased, handed_over


class _Postman:
    """Takes every mail and remembers the codes."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def send_template(self, _name: str, *, values: dict[str, Any], **_rest: Any) -> Sent:
        """One mail."""
        self.codes.append(values["code"])
        return Sent.SENT


def _rotate(room: EngineRoom) -> int:
    """As `dsr keys rotate` does; every part of this process then holds the new ring."""
    ring = room.office.keys.rotate()
    vars(room.office.keys).update(vars(ring))
    return reindex(room.office.ledger, ring, at_once=2)


def test_cases_of_one_person_meet_over_a_rotation(room: EngineRoom, tmp_path: Path) -> None:
    """An erasure after a rotation waits for the access case before it, and takes its package."""
    access = answered(room)
    assert _rotate(room) > 0
    assert _rotate(room) > 0
    erasure = room.submit("erasure", email=MAIL)
    room.settle()
    room.approve(erasure)
    room.settle()
    assert room.job(erasure)["phase"] == "after_access"
    handed_over(room, access, tmp_path / "p.zip")
    room.settle()
    assert room.job(erasure)["state"] == "ready", room.steps(erasure)
    assert "package_destroyed" in room.events(access)


def test_a_rotation_between_approval_and_effect_changes_nobody(room: EngineRoom) -> None:
    """The same names, indexed anew, are no new names: the approval stands."""
    ref = room.submit("erasure", email=MAIL)
    room.settle()
    room.approve(ref)
    _rotate(room)
    room.settle()
    assert "approval_voided" not in room.events(ref)
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))


def test_rows_kept_before_a_rotation_are_kept_after_it(room: EngineRoom) -> None:
    """A second look under a new key knows the rows that were kept under the old one."""
    ref = room.submit("erasure", email=MAIL)
    room.settle()
    room.approve(ref)
    for _ in range(20):
        if room.job(ref)["phase"] == "recheck":
            break
        room.tick()
        for system in ("crm", "files"):
            if room.job(ref)["phase"] != "recheck":
                room.workshop.drainer(system)
    assert room.job(ref)["phase"] == "recheck", room.steps(ref)
    _rotate(room)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    assert {s[2] for s in room.steps(ref) if s[0] == "recheck"} == {4}


def test_a_code_sent_before_a_rotation_still_proves_its_names(room: EngineRoom) -> None:
    """Whoever got a code before a rotation is verified by it afterwards, by the same names."""
    postman = _Postman()
    verifying: Any = room.workshop.drainer._performers["send_code"]
    verifying.__self__._mailer = postman
    ref = room.submit("access", verification="code", email=MAIL)
    room.settle()
    _rotate(room)
    signed = room.sign("anna", "enter-code", ref)
    room.office.decisions.enter_code(ref, postman.codes[0], signed)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    (made,) = bodies_of(room, ref, "package_made")
    assert made["records"] > 0


def test_a_hold_released_after_a_rotation_lets_its_promises_come_due(room: EngineRoom) -> None:
    """A promise made under the old key is found by the release of the hold that it waits for."""
    hold = room.hold_person(Identity("email", MAIL))
    erased(room)
    _rotate(room)
    room.office.holding.release(hold, room.sign("anna", "release-hold", hold))
    assert not room.rows("SELECT 1 FROM promises WHERE due_on IS NULL")
    room.move_clock(days=20)
    room.settle()
    assert ("doc-3",) not in room.system("files").dump()["documents"]
