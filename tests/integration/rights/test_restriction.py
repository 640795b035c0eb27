"""A restriction uses each means, holds against sweeps and erasures, and is told whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from dsr_worker.contract import Context, Key, Receipt, Subject, Transient
from dsr_worker.domain.hold import PeopleHeld
from dsr_worker.domain.identity import claimed
from dsr_worker.engine.batch import Batch
from dsr_worker.engine.holds import HoldReader
from dsr_worker.fulfil.decisions import DecisionRefused
from dsr_worker.fulfil.restricting import Protecting
from dsr_worker.ledger import holds
from dsr_worker.ledger.rows import StepResult
from dsr_worker.testing.memory import Memory
from tests.integration.engine_room import CRM, EngineRoom
from tests.integration.rights.restrictable import (
    MAIL,
    NEW_MAIL,
    NEW_NAME,
    carried_out,
    certificate,
    rectified,
    restrictable,
    restricted,
    results,
    right,
    rows_of,
    system_dump,
)
from tests.integration.sweep_room import SweepRoom

# ---- rectification


def test_a_restriction_of_somebody_unknown_is_answered_and_lifted(room: EngineRoom) -> None:
    """Where nothing is known of the person the answer says so, and nothing stands afterwards."""
    ref = restricted(room, "someone.else@mail.example")
    assert certificate(room, ref)["response"]["nature"] == "nothing_found"
    job = room.lift(ref)
    room.settle()
    assert room.job(job)["state"] == "closed", room.steps(job)
    with room.office.ledger.transaction() as cursor:
        assert not holds.listed(cursor)


def test_a_sweep_leaves_what_is_restricted(tmp_path: Path, ledger: Callable[[], str]) -> None:
    """Rows past their limit stay for as long as their person's restriction stands."""
    room = SweepRoom(tmp_path, ledger(), systems={"crm": CRM})
    room.load_people(6)
    room.carts(old=6, young=20, first=100)
    restricted(room)
    room.approve_sweep(room.start())
    assert {name for name in room.left() if name.startswith("old")} == {"old-103"}


# ---- restriction


def test_a_restriction_uses_each_means_and_tells_what_has_none(room: EngineRoom) -> None:
    """Flagged, moved and listed rows are restricted; rows without means are kept and said so."""
    customers, carts = rows_of(room, "crm", "customers"), rows_of(room, "crm", "carts")
    ref = restricted(room)
    assert rows_of(room, "crm", "customers") == {
        **customers,
        "3": {**customers["3"], "blocked": "yes"},
    }
    assert rows_of(room, "crm", "set_aside") == {"cart-3": carts.pop("cart-3")}
    assert rows_of(room, "crm", "carts") == carts
    assert rows_of(room, "files", "listed") == {"doc-3": {"document": "doc-3"}}
    stated = certificate(room, ref)
    found = results(stated)
    assert stated["kind"] == "restriction"
    assert stated["response"]["nature"] == "partly_granted"
    for place in ("crm.customers", "crm.carts", "files.documents"):
        assert found[place] == {"found": 1, "restricted": 1}
    assert [(k["rows"], k["ground"]) for k in found["crm.invoices"]["kept"]] == [(2, "no_means")]
    assert set(found) == {"crm.customers", "crm.carts", "crm.invoices", "files.documents"}


def test_a_restriction_protects_from_erasure_until_it_is_lifted(room: EngineRoom) -> None:
    """The case holds the person by itself, shown in the list and released by the lifting alone."""
    ref = restricted(room)
    with room.office.ledger.transaction() as cursor:
        (hold,) = holds.of_matter(cursor, ref, "RESTRICTION")
        assert [row[0] for row in holds.listed(cursor)] == [hold.ref]
    with pytest.raises(DecisionRefused, match=f"dsr lift {ref}"):
        room.office.holding.release(hold.ref, room.sign("anna", "release-hold", hold.ref))
    customers = rows_of(room, "crm", "customers")
    erasure = carried_out(room, room.submit("erasure", email=MAIL))
    assert rows_of(room, "crm", "customers") == customers
    assert set(room.outcomes(erasure)) == {
        (system, name, "retained")
        for system, name in (
            ("crm", "customers"), ("crm", "invoices"), ("crm", "set_aside"),
            ("files", "documents"), ("files", "listed"),
        )
    }  # fmt: skip
    room.lift(ref)
    room.settle()
    with room.office.ledger.transaction() as cursor:
        assert not holds.listed(cursor)
        assert [g.hold for g in holds.going_on(cursor)] == [hold.ref]


def test_a_legal_hold_hinders_no_restriction(room: EngineRoom) -> None:
    """Who disputes may ask that nothing be done with the data meanwhile (Art. 18(1)(c) GDPR)."""
    room.hold_person(claimed("customer_number", "3"))
    found = results(certificate(room, restricted(room)))
    assert found["crm.customers"]["restricted"] == found["crm.carts"]["restricted"] == 1
    assert rows_of(room, "crm", "customers")["3"]["blocked"] == "yes"


def test_restricted_data_may_still_be_put_right(room: EngineRoom) -> None:
    """Contested accuracy is a reason to restrict, so its hold hinders no correction."""
    restricted(room)
    ref = rectified(room, right("name", NEW_NAME), right("content", "lamps", at="carts"))
    found = results(certificate(room, ref))
    assert found["crm.customers"]["rectified"] == found["crm.set_aside"]["rectified"] == 1
    assert rows_of(room, "crm", "set_aside")["cart-3"]["content"] == "lamps"
    assert rows_of(room, "crm", "customers")["3"]["blocked"] == "yes"


def test_a_restricted_row_is_not_renamed(room: EngineRoom) -> None:
    """The name by which the hold finds a row stays until the lifting, and the answer says why."""
    ref = restricted(room)
    before = rows_of(room, "crm", "customers")
    stated = certificate(room, rectified(room, right("email", NEW_MAIL)))
    assert rows_of(room, "crm", "customers") == before
    assert results(stated)["crm.customers"]["kept"][0]["ground"] == "RESTRICTION"
    room.lift(ref)
    room.settle()
    rectified(room, right("email", NEW_MAIL))
    assert rows_of(room, "crm", "customers")["3"]["email"] == NEW_MAIL


def test_a_second_restriction_finds_everything_restricted(room: EngineRoom) -> None:
    """Moved rows are named by where they were, and lists are no data of the person's own."""
    restricted(room)
    before = system_dump(room)
    found = results(certificate(room, restricted(room)))
    assert system_dump(room) == before
    assert found["crm.carts"] == {"found": 1, "restricted": 1}
    assert set(found) == {"crm.customers", "crm.carts", "crm.invoices", "files.documents"}


class Doubtful(Memory):
    """Says once of a second look that every row is still to be changed."""

    doubts: ClassVar[list[str]] = []

    def restrict(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """As asked, but for the doubt."""
        doubting = ctx.second_path and self._system.name not in self.doubts
        if doubting:
            self.doubts.append(self._system.name)
        for receipt in super().restrict(subjects, keys, ctx):
            left = tuple(replace(o, fields=o.rows) for o in receipt.outcomes)
            yield replace(receipt, outcomes=left) if doubting else receipt


def test_a_second_round_places_no_second_hold(tmp_path: Path, ledger: Callable[[], str]) -> None:
    """What is not as it should be is restricted again, under the hold that stands already."""
    Doubtful.doubts.clear()
    room = EngineRoom(tmp_path, ledger(), systems=restrictable(), connectors={"memory": Doubtful})
    room.load_people(6)
    ref = restricted(room)
    done = [step[0] for step in room.steps(ref) if step[1] == "desk"]
    assert done == ["protect", "protect", "certify"]
    assert sorted(Doubtful.doubts) == ["crm", "files"]
    with room.office.ledger.transaction() as cursor:
        assert len(holds.listed(cursor)) == 1
    assert results(certificate(room, ref))["crm.carts"] == {"found": 1, "restricted": 1}
    before = system_dump(room)
    room.lift(ref)
    room.settle()
    assert rows_of(room, "crm", "carts")["cart-3"]
    assert system_dump(room) != before


def test_a_name_found_later_is_held_as_well(room: EngineRoom) -> None:
    """Where a further round finds a new identity, a hold of the same matter covers it too."""
    ref = restricted(room)
    with room.system("crm").transaction() as (tables, changes):
        row = tables.rows["customers"]["3",]
        changes.append(("customers", ("3",), {**row, "phone": "+49 30 77777"}))
    room.rows(
        "UPDATE jobs SET state = 'needs_human', phase = 'found_again' WHERE ref = %s RETURNING id",
        ref,
    )
    room.office.decisions.retry(ref, room.sign("anna", "retry", ref))
    carried_out(room, ref)
    with room.office.ledger.transaction() as cursor:
        standing = holds.of_matter(cursor, ref, "RESTRICTION")
        read = HoldReader(room.office.keys).read(cursor, "crm")
    assert len(standing) == room.events(ref).count("hold_placed") == 2
    held = [i for hold in read if isinstance(hold.scope, PeopleHeld) for i in hold.scope.identities]
    assert claimed("phone", "+49 30 77777") in held
    assert len(held) == len(set(held))
    room.lift(ref)
    room.settle()
    with room.office.ledger.transaction() as cursor:
        assert not holds.listed(cursor)


def test_the_case_tells_of_its_hold_though_its_step_is_lost(
    room: EngineRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies between the hold and the end of its step leaves no hold untold."""
    protect = Protecting.__call__
    lost: list[Batch] = []

    def dying(self: Protecting, batch: Batch) -> Sequence[StepResult]:
        results = protect(self, batch)
        if not lost:
            lost.append(batch)
            raise Transient("gone")
        return results

    monkeypatch.setattr(Protecting, "__call__", dying)
    ref = room.submit("restriction", email=MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    assert lost
    room.rows("UPDATE steps SET run_at = now() WHERE state = 'waiting' RETURNING id")
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    with room.office.ledger.transaction() as cursor:
        assert len(holds.of_matter(cursor, ref, "RESTRICTION")) == 1
    assert room.events(ref).count("hold_placed") == 1


def test_a_withdrawn_restriction_leaves_no_hold(room: EngineRoom) -> None:
    """Where the approval was voided after the hold was placed, withdrawing releases it."""
    ref = room.submit("restriction", email=MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    job = room.job(ref)
    room.rows(
        "UPDATE jobs SET state = 'needs_human', phase = 'found_again' WHERE id = %s RETURNING id",
        job["id"],
    )
    room.rows(
        "UPDATE steps SET intent = NULL, result = '{\"voided\": []}' WHERE job_id = %s"
        " AND action = 'apply' RETURNING id",
        job["id"],
    )
    room.rows("DELETE FROM receipts WHERE job_id = %s RETURNING step_id", job["id"])
    room.office.decisions.withdraw(ref, room.sign("anna", "withdraw", ref))
    with room.office.ledger.transaction() as cursor:
        assert not holds.listed(cursor)
