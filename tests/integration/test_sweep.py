"""A sweep takes what is due by its policy, once approved, within limits, and certifies it."""

from __future__ import annotations

import pytest

from dsr_worker.contract import Identity
from dsr_worker.people import ActorRefused
from dsr_worker.sweep.decisions import SweepRefused
from tests.integration.sweep_room import BOTH, OTHER, SHARED, Make


def test_a_sweep_is_counted_approved_carried_out_and_certified(make: Make) -> None:
    """What is past its limit goes after a second person approved the counts; the rest stays."""
    room = make()
    room.carts(4, 2)
    ref = room.start()
    job = room.job(ref)
    assert (job["state"], job["plan"]["rows"]) == ("awaiting_approval", 4)
    (outcome,) = job["plan"]["outcomes"]
    assert (outcome["outcome"], outcome["ground"], outcome["rows"]) == ("erased", "trial/carts", 4)
    assert outcome["latest_at"].startswith("2020-01-01")
    assert len(room.left()) == 6
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed", (room.steps(ref), room.events(ref))
    assert room.left() == {"young-4", "young-5"}
    assert room.outcomes(ref) == {("crm", "carts", "erased"): 4}
    certificate = room.certificate(ref)
    assert certificate["kind"] == "sweep"
    (system,) = certificate["systems"]
    assert system["policy_hash"] == room.office.sweeps.policy("trial").hash
    assert system["requery"]["returned"] == 0
    assert [(c["found"], c["erased"]) for c in system["collections"]] == [(4, 4)]
    assert room.events(ref)[0] == "submitted"
    assert room.events(ref)[-3:] == ["sweep_done", "closed", "package_handed_over"]


def test_whoever_started_a_sweep_cannot_approve_it(make: Make) -> None:
    """A second person approves, and only what stands there now."""
    room = make()
    room.carts(1)
    ref = room.start()
    with pytest.raises(ActorRefused, match="second person"):
        room.approve_sweep(ref, "anna")
    signed = room.sign("berta", "approve", ref, "0" * 64)
    with pytest.raises(SweepRefused, match="changed"):
        room.office.sweeps.approve(ref, "0" * 64, signed)
    assert room.left() == {"old-0"}


def test_a_set_that_grew_stops_before_the_first_change(make: Make) -> None:
    """More rows than the approval covers: nothing goes, a person is asked and may plan anew."""
    room = make()
    room.carts(2)
    ref = room.start()
    room.carts(11, first=100)
    room.approve_sweep(ref)
    assert len(room.left()) == 13
    assert ("sweep_apply", "crm", 1, "needs_human", "sweep_brake") in room.steps(ref)
    (details,) = room.rows("SELECT details FROM steps WHERE code = 'sweep_brake'")
    assert details.details == {
        "collection": "crm.carts",
        "why": "over_bound",
        "approved": 2,
        "rows": 13,
    }
    again = room.office.sweeps.plan_again(ref, room.sign("anna", "plan-again", ref))
    assert again.state == "planning"
    room.settle()
    assert room.job(ref)["plan"]["rows"] == 13
    assert room.job(ref)["approved_by"] is None
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed"
    assert room.left() == set()


def test_the_slack_of_an_approval_is_ten_rows(make: Make) -> None:
    """Up to ten rows more than planned go with the approval that was given."""
    room = make()
    room.carts(2)
    ref = room.start()
    room.carts(10, first=100)
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed"
    assert room.left() == set()
    assert room.outcomes(ref) == {("crm", "carts", "erased"): 12}


def test_a_hold_placed_after_approval_keeps_its_rows(make: Make) -> None:
    """A hold wins over a sweep that is approved already; the certificate names its ground."""
    room = make()
    room.load_people(3)
    room.carts(3)
    ref = room.start()
    room.hold_person(Identity("customer_number", "1"))
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed", room.steps(ref)
    assert "old-1" in room.left()
    assert not {"old-0", "old-2"} & room.left()
    certificate = room.certificate(ref)
    (ground,) = certificate["grounds"]
    assert ground["code"] == "ER_LEGAL_CLAIMS"
    assert "_" not in ground["words"]
    (system,) = certificate["systems"]
    (carts,) = system["collections"]
    assert (carts["erased"], [(k["rows"], k["ground"]) for k in carts["kept"]]) == (
        2,
        [(1, "ER_LEGAL_CLAIMS")],
    )


def test_a_sweep_goes_by_its_own_policys_limits_alone(make: Make) -> None:
    """Another policy's shorter limit on the same class is left to that policy's own sweep."""
    room = make(policies={"trial": SHARED, "other": OTHER}, organisation=BOTH)
    room.load_people(1)
    before = room.system("crm").dump()["customers"]
    room.carts(2)
    assert room.left() == {"cart-0", "old-0", "old-1"}  # cart-0: past one day, not past 90
    room.approve_sweep(room.start())
    assert room.left() == {"cart-0"}
    assert room.system("crm").dump()["customers"] == before
    room.approve_sweep(room.start("other"))
    assert room.left() == set()


def test_a_sweep_that_masks_uses_a_key_of_its_own(make: Make) -> None:
    """Masks are keyed by the sweep; minimums below keep their own rows and nothing else."""
    room = make(policies={"trial": SHARED, "other": OTHER}, organisation=BOTH)
    room.load_people(2)
    ref = room.start("other")
    room.approve_sweep(ref)
    assert room.job(ref)["state"] == "closed", (room.steps(ref), room.events(ref))
    assert room.outcomes(ref)["crm", "customers", "masked"] == 2
    customers = room.system("crm").dump()["customers"]
    assert all(b"@erased.invalid" in body and b"zq000" not in body for body in customers.values())
    assert room.left("invoices") == {"0-new", "0-old", "1-new", "1-old"}


def test_nothing_due_closes_by_itself(make: Make) -> None:
    """A sweep that finds nothing needs nobody, changes nothing and says so."""
    room = make()
    room.carts(0, 3)
    ref = room.start()
    assert room.job(ref)["state"] == "closed"
    assert room.events(ref)[-3:] == ["sweep_planned", "sweep_done", "closed"]
    assert len(room.left()) == 3


def test_one_policy_has_one_open_sweep(make: Make) -> None:
    """A second sweep of a policy is refused while the first waits."""
    room = make()
    room.carts(1)
    ref = room.start()
    with pytest.raises(SweepRefused, match=ref):
        room.start()


def test_a_policy_without_limits_cannot_be_swept(make: Make) -> None:
    """A policy that only asks for keeping has nothing to sweep, and the refusal says so."""
    only_keeps = SHARED.partition("  - id: carts")[0]
    room = make(policies={"trial": only_keeps})
    with pytest.raises(SweepRefused, match="lets nothing go"):
        room.start()


# ---- on schedule


def test_no_value_of_a_row_reaches_plan_events_or_receipts(make: Make) -> None:
    """A sweep's plan, events, steps and receipts hold counts, codes and digests only."""
    room = make()
    room.load_people(2)
    room.carts(3)
    room.hold_person(Identity("customer_number", "1"))
    ref = room.start()
    room.approve_sweep(ref)
    kept = room.job(ref)["plan"]["samples"]
    assert [len(digests) for digests in kept["crm"].values()] == [1]
    told = room.rows(
        "SELECT (SELECT json_agg(e.body) FROM events e)::text"
        " || (SELECT json_agg(j) FROM jobs j)::text"
        " || (SELECT json_agg(s) FROM steps s)::text || (SELECT json_agg(r) FROM receipts r)::text"
        " AS everything"
    )[0].everything
    assert ref in told
    assert "zq000" not in told
    assert "old-1" not in told
