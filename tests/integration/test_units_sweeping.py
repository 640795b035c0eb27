"""A sweep in units is the sweep: one plan, one brake over all of them, one certificate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dsr_worker.engine import context
from dsr_worker.engine import units as work
from dsr_worker.sweep.decisions import SweepRefused
from tests.examples import examples
from tests.integration.sweep_room import SHARED, SweepRoom
from tests.integration.test_units_killed import Crew, Deaths, Mortal
from tests.integration.test_units_together import Gate
from tests.integration.unit_systems import ChangingInParts, Journal, changing

Ledgers = Callable[[], str]
PARTS = 24
CARTS = """
system: crm
connector: parted
config: {name: NAME-crm}
collections:
  carts:
    key: [id]
    takes: {customer_number: customer_id}
    class: cart
    clocks: {record_date: created_at}
    fields:
      id: user.unique_id
      customer_id: user.unique_id
      content: user.content
      created_at: user.content
    source: {}
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""


def room_of(folder: Path, dsn: str, parts: int) -> tuple[SweepRoom, type[ChangingInParts]]:
    """An installation with carts in so many units."""
    folder.mkdir()
    connector = changing(parts)
    made: dict[str, Any] = {"systems": {"crm": CARTS}, "connectors": {"parted": connector}}
    return SweepRoom(folder, dsn, policies={"trial": SHARED}, **made), connector


def test_a_sweep_in_units_is_the_whole_sweep(tmp_path: Path, ledger: Ledgers) -> None:
    """Plan, receipts, what is left and the certificate's counts are those of one call."""
    told = []
    connector = changing(1)
    for parts in (1, PARTS):
        room, connector = room_of(tmp_path / str(parts), ledger(), parts)
        room.carts(40, young=20)
        ref = room.start()
        planned = room.job(ref)["plan"]["rows"]
        room.approve_sweep(ref)
        assert room.job(ref)["state"] == "closed", room.steps(ref)
        (system,) = room.certificate(ref)["systems"]
        counts = [(c["collection"], c["found"], c["erased"]) for c in system["collections"]]
        told.append((planned, room.outcomes(ref), room.left(), counts, system["requery"]["path"]))
    assert told[0] == told[1]
    assert sorted(connector.journal.made("sweep")) == sorted(map(str, range(PARTS)))
    assert set(connector.journal.made("count")) == {str(n) for n in range(PARTS)}


def test_the_brake_is_held_against_all_units(
    tmp_path: Path, ledger: Ledgers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that come due between the count and the units stop those that would go too far.

    What had gone by then stays on record when the sweep is counted anew, and is certified.
    """
    gate = Gate(monkeypatch)
    room, _ = room_of(tmp_path / "room", ledger(), PARTS)
    room.carts(40)
    ref = room.start()
    gate.shuts = lambda: bool(room.rows("SELECT FROM scans WHERE changes LIMIT 1"))
    room.approve_sweep(ref)
    assert gate.shut
    room.carts(40, first=1000)
    gate.shuts = lambda: False
    gate.shut = False
    room.settle()
    (details,) = room.rows("SELECT details FROM steps WHERE code = 'sweep_brake'")
    assert details.details["why"] == "over_bound"
    assert details.details["rows"] > 50
    left = len(room.left())
    assert 80 - 50 <= left < 80
    room.office.sweeps.plan_again(ref, room.sign("anna", "plan-again", ref))
    assert room.outcomes(ref) == {("crm", "carts", "erased"): 80 - left}
    room.settle()
    assert room.job(ref)["plan"]["rows"] == left
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed"
    assert room.left() == set()
    assert not room.rows("SELECT FROM receipts WHERE before_commit")
    (system,) = room.certificate(ref)["systems"]
    assert [(c["collection"], c["erased"]) for c in system["collections"]] == [("carts", 80)]


def test_what_a_unit_may_have_changed_unseen_is_not_counted_anew(
    tmp_path: Path, ledger: Ledgers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit that may have changed something unseen keeps its sweep from being planned again.

    It is abandoned, with what was stated on record as not seen.
    """
    room, _ = room_of(tmp_path / "room", ledger(), PARTS)
    room.carts(40)
    ref = room.start()

    def falls(point: str) -> None:
        if point == "after-effect":
            raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(context, "crash_point", falls)
        room.approve_sweep(ref)
        for _ in range(4):
            room.rows("UPDATE units SET run_at = now() WHERE state = 'ready' RETURNING number")
            room.settle()
    assert "needs_human" in {step[3] for step in room.steps(ref)}, room.steps(ref)
    with pytest.raises(SweepRefused, match="abandon"):
        room.office.sweeps.plan_again(ref, room.sign("anna", "plan-again", ref))
    room.office.sweeps.abandon(ref, "broken", room.sign("anna", "abandon", ref))
    room.settle()
    assert room.job(ref)["state"] == "closed"
    assert room.rows("SELECT FROM receipts WHERE before_commit")


def test_deaths_anywhere_in_a_sweep_change_nothing(
    tmp_path: Path, ledger: Ledgers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever two workers die, what was due has gone, once, and the certificate counts it."""
    room, connector = room_of(tmp_path / "room", ledger(), PARTS)
    deaths = Deaths()
    for place in (work, context):
        monkeypatch.setattr(place, "crash_point", lambda _point: deaths.passed())
    struck: list[int] = []

    @settings(
        max_examples=examples(4),
        phases=[Phase.generate],  # two workers race: no death is the same twice
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(apart=st.lists(st.integers(16, 50), min_size=3, max_size=8))
    def holds(apart: list[int]) -> None:
        deaths.order(set())
        connector.journal = Journal()
        room.carts(40, young=10)
        young = {name for name in room.left() if name.startswith("young")}
        ref = room.start()
        plan_hash = room.job(ref)["plan_hash"]
        signed = room.sign("berta", "approve", ref, plan_hash)
        room.office.sweeps.approve(ref, plan_hash, signed)
        connector.journal = Mortal(deaths)
        deaths.order({sum(apart[: n + 1]) for n in range(len(apart))})
        Crew(room, deaths).work_until(lambda: bool(room.job(ref)["state"] == "closed"))
        struck.append(deaths.died)
        assert room.job(ref)["state"] == "closed", room.steps(ref)
        assert room.outcomes(ref) == {("crm", "carts", "erased"): 40}
        assert room.left() == young

    holds()
    assert sum(struck) >= len(struck)


def test_where_nothing_is_due_no_unit_sweeps(tmp_path: Path, ledger: Ledgers) -> None:
    """Where a plan changes nothing, it was counted in units and that is all."""
    room, connector = room_of(tmp_path / "room", ledger(), PARTS)
    room.carts(0, young=5)
    ref = room.start()
    assert room.job(ref)["state"] == "closed"
    assert connector.journal.made("sweep") == []
