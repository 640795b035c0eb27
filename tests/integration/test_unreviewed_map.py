"""A map that was proposed and not reviewed: it may be read by, and nothing is erased by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.contract import Correction, NeedsHuman, Permanent, System
from dsr_worker.datamap import read_system
from dsr_worker.engine.batch import Batch
from dsr_worker.engine.context import MAP_UNREVIEWED, refuse_unreviewed
from dsr_worker.fulfil.correcting import Stated
from dsr_worker.fulfil.decisions import DecisionRefused
from dsr_worker.ledger.rows import StepResult
from tests.integration.engine_room import CRM, FILES
from tests.integration.sweep_room import SweepRoom

_MAIL = "p.zq0003zq@mail.example"
_MARKED = CRM.replace(
    '{category: user.contact.phone_number, mask: "null"}',
    '{category: user.contact.phone_number, mask: "null", review: true}',
)


@pytest.fixture
def room(tmp_path: Path, ledger: Callable[[], str]) -> SweepRoom:
    """An installation with ten people, whose map carries one mark."""
    assert _MARKED != CRM
    made = SweepRoom(tmp_path, ledger(), systems={"crm": _MARKED, "files": FILES})
    made.load_people(10)
    return made


def _map(room: SweepRoom, text: str) -> None:
    """Somebody puts another map in place, and everything is started anew."""
    file = room.settings.config_dir / "systems" / "crm.yaml"
    file.write_text(text.replace("NAME", room.name), "utf-8")
    room.reopen()


def _retry(room: SweepRoom, ref: str) -> None:
    room.office.decisions.retry(ref, room.sign("anna", "retry", ref))


def test_an_erasure_waits_for_the_review_and_then_goes_its_way(room: SweepRoom) -> None:
    """Nobody is even resolved by an unreviewed map; after the review a retry does everything."""
    ref = room.submit("erasure", email=_MAIL)
    room.settle()
    job = room.job(ref)
    assert (job["state"], job["phase"]) == ("needs_human", MAP_UNREVIEWED)
    assert room.steps(ref) == []
    with pytest.raises(DecisionRefused, match=r"crm\.customers\.phone"):
        _retry(room, ref)
    _map(room, CRM)
    _retry(room, ref)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    assert room.outcomes(ref)["crm", "carts", "erased"] == 1


def _refuses(_batch: Batch) -> Sequence[StepResult]:
    message = "a constraint refuses the mask"
    raise Permanent(message)


def test_what_a_system_refused_is_planned_anew_by_a_mended_map(room: SweepRoom) -> None:
    """A wrong map is no dead end: mended, it asks for approval again; unmended, it is tried again.

    What other systems have erased already stays in the account.
    """
    _map(room, CRM)
    ref = room.submit("erasure", email=_MAIL)
    room.settle()
    performers: Any = room.workshop.drainer._performers
    applies = performers["apply"]
    performers["apply"] = lambda b: _refuses(b) if b.ctx.system.name == "crm" else applies(b)
    room.approve(ref)
    for _ in range(2):
        room.settle()
        (stop,) = [s for s in room.steps(ref) if s[3] == "failed"]
        assert (stop[:2], stop[4]) == (("apply", "crm"), "permanent")
        _retry(room, ref)
    room.settle()
    _map(room, CRM.replace("{constant: erased}", "{constant: gone}"))
    _retry(room, ref)
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", (room.steps(ref), room.events(ref))
    assert "approval_voided" in room.events(ref)
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    assert json.loads(room.system("crm").dump()["customers"]["3",])["name"] == "gone"
    assert room.outcomes(ref)["crm", "carts", "erased"] == 1
    assert room.outcomes(ref)["files", "documents", "erased"] == 1


@pytest.mark.parametrize("kind", ["rectification", "restriction"])
def test_other_rights_wait_for_the_review_too(room: SweepRoom, kind: str) -> None:
    """Nothing is put right or restricted by a map that nobody has looked at."""
    name = Stated("crm", "customers", Correction("name", "Right"))
    ref = room.submit(kind, [name] if kind == "rectification" else (), email=_MAIL)
    room.settle()
    assert (room.job(ref)["state"], room.job(ref)["phase"]) == ("needs_human", MAP_UNREVIEWED)
    assert room.steps(ref) == []
    _map(room, CRM)
    _retry(room, ref)
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", (room.steps(ref), room.events(ref))


def test_an_access_runs_under_an_unreviewed_map(room: SweepRoom) -> None:
    """Reading harms nobody's data: an access case is answered."""
    ref = room.submit("access", email=_MAIL)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))


def test_a_sweep_stops_when_it_is_planned(room: SweepRoom) -> None:
    """A sweep erases without anybody asking: it is not even counted before the review."""
    ref = room.start()
    assert [s[3:] for s in room.steps(ref)] == [("needs_human", MAP_UNREVIEWED)]
    _map(room, CRM)
    room.office.sweeps.plan_again(ref, room.sign("anna", "plan-again", ref))
    room.settle()
    assert room.job(ref)["plan_hash"] is not None, room.steps(ref)


def test_a_promise_that_comes_due_waits_for_the_review(room: SweepRoom) -> None:
    """A deferred erasure goes by the map of its day: an unreviewed one holds it, a retry frees."""
    _map(room, CRM)
    erasure = room.submit("erasure", email=_MAIL)
    room.settle()
    room.approve(erasure)
    room.settle()
    _map(room, _MARKED)
    room.move_clock(days=366 * 10)
    room.settle()
    (job,) = room.rows("SELECT ref, state, phase FROM jobs WHERE kind = 'deferred'")
    assert (job.state, job.phase) == ("needs_human", MAP_UNREVIEWED)
    assert ("3-new",) in room.system("crm").dump()["invoices"]
    _map(room, CRM)
    _retry(room, job.ref)
    room.settle()
    assert ("3-new",) not in room.system("crm").dump()["invoices"]


def test_a_map_that_got_a_mark_meanwhile_stops_the_plan(room: SweepRoom) -> None:
    """Resolved by a reviewed map and planned by a marked one: the case waits for the review."""
    _map(room, CRM)
    ref = room.submit("erasure", email=_MAIL)
    assert room.job(ref)["state"] == "resolving"
    _map(room, _MARKED)
    room.settle()
    assert (room.job(ref)["state"], room.job(ref)["phase"]) == ("needs_human", MAP_UNREVIEWED)
    assert {step[0] for step in room.steps(ref)} == {"resolve"}
    _map(room, CRM)
    _retry(room, ref)
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", (room.steps(ref), room.events(ref))


def test_no_effect_is_let_through_whatever_led_to_it(room: SweepRoom) -> None:
    """The guard itself refuses, for maps frozen before the rule and for connectors of others."""
    system = room.office.files.maps.by_name["crm"]
    with pytest.raises(NeedsHuman, match=MAP_UNREVIEWED) as stopped:
        refuse_unreviewed(system)
    assert stopped.value.fields == {"system": "crm", "marks": 1}
    refuse_unreviewed(System("crm", "memory", {}))


def test_a_mark_on_a_collection_counts(room: SweepRoom) -> None:
    """Whose rows these are is as much in doubt as what a field is."""
    marked = CRM.replace("  invoices:\n", "  invoices:\n    review: true\n")
    assert read_system(marked).system.unreviewed == ("invoices",)
    assert room.office.files.maps.by_name["crm"].unreviewed == ("customers.phone",)
