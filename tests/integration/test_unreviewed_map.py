"""A map that was proposed and not reviewed: it may be read by, and nothing is erased by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dsr_worker.bootstrap import Files
from dsr_worker.contract import NeedsHuman, System
from dsr_worker.datamap import read_system
from dsr_worker.engine.context import MAP_UNREVIEWED, refuse_unreviewed
from dsr_worker.fulfil.decisions import DecisionRefused
from tests.integration.engine_room import CRM, FILES, EngineRoom

_MAIL = "p.zq0003zq@mail.example"
_MARKED = CRM.replace("country: user.contact", "country: user.contact", 1).replace(
    '{category: user.contact.phone_number, mask: "null"}',
    '{category: user.contact.phone_number, mask: "null", review: true}',
)


@pytest.fixture
def room(tmp_path: Path, database: Callable[[], str]) -> EngineRoom:
    """An installation with ten people, whose map carries one mark."""
    assert _MARKED != CRM
    made = EngineRoom(tmp_path, database(), systems={"crm": _MARKED, "files": FILES})
    made.load_people(10)
    return made


def _review(room: EngineRoom) -> None:
    """Somebody takes the mark out, and everything is started anew."""
    file = room.settings.config_dir / "systems" / "crm.yaml"
    file.write_text(file.read_text("utf-8").replace(", review: true", ""), "utf-8")
    materials = room.office.materials
    materials.maps = Files.load(room.settings.config_dir).maps


def _retry(room: EngineRoom, ref: str) -> None:
    room.office.decisions.retry(ref, room.sign("anna", "retry", ref))


def test_an_erasure_waits_for_the_review_and_then_goes_its_way(room: EngineRoom) -> None:
    """Nobody is even resolved by an unreviewed map; after the review a retry does everything."""
    ref = room.submit("erasure", email=_MAIL)
    room.settle()
    job = room.job(ref)
    assert (job["state"], job["phase"]) == ("needs_human", MAP_UNREVIEWED)
    assert room.steps(ref) == []
    with pytest.raises(DecisionRefused, match=r"crm\.customers\.phone"):
        _retry(room, ref)
    _review(room)
    _retry(room, ref)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    assert room.outcomes(ref)["crm", "carts", "erased"] == 1


def test_an_access_runs_under_an_unreviewed_map(room: EngineRoom) -> None:
    """Reading harms nobody's data: an access case is answered."""
    ref = room.submit("access", email=_MAIL)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))


def test_no_effect_is_let_through_whatever_led_to_it(room: EngineRoom) -> None:
    """The guard itself refuses, for maps frozen before the rule and for connectors of others."""
    system = room.office.files.maps.by_name["crm"]
    with pytest.raises(NeedsHuman, match=MAP_UNREVIEWED) as stopped:
        refuse_unreviewed(system)
    assert stopped.value.fields == {"system": "crm", "marks": 1}
    refuse_unreviewed(System("crm", "memory", {}))


def test_a_mark_on_a_collection_counts(room: EngineRoom) -> None:
    """Whose rows these are is as much in doubt as what a field is."""
    marked = CRM.replace("  invoices:\n", "  invoices:\n    review: true\n")
    assert read_system(marked).system.unreviewed == ("invoices",)
    assert room.office.files.maps.by_name["crm"].unreviewed == ("customers.phone",)
