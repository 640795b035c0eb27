"""`dsr decisions`: what was decided without a person is told, and so is the way to one."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.cli_desk import Desk


def _decided(desk: Desk, *args: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = desk.ok("decisions", *args)["decisions"]
    return found


def test_an_access_by_standing_rule_is_in_the_register(desk: Desk) -> None:
    """A match and an approval that nobody signed are told with versions and inputs by reference."""
    ref = desk.submit("access")
    desk.room.settle()
    found = {entry["rule"]: entry for entry in _decided(desk, ref)}
    assert set(found) >= {"resolved", "approved_by_rule"}
    for entry in found.values():
        assert set(entry["versions"]) == {"map", "policy", "law", "software"}
        assert all(entry["versions"].values())
    assert all(len(digest) >= 64 for digest in found["resolved"]["inputs"]["identities"])
    assert found["approved_by_rule"]["inputs"]["plan_hash"] == desk.room.job(ref)["plan_hash"]
    assert found["approved_by_rule"]["to_a_human"] is None
    assert desk.mark not in json.dumps(list(found.values()))
    assert desk.ok("decisions", ref)["verified"] is True


def test_a_refused_code_leads_to_a_human(desk: Desk) -> None:
    """A code that is not accepted is an adverse decision with the team's and the person's way."""
    args = ("submit", "--kind", "access", *desk.named, "--country", "DE")
    ref = desk.ok(*args, actor="anna")["case"]
    desk.refused("verify", ref, "--code", "000000", actor="anna", code=1)
    (refused,) = [e for e in _decided(desk, ref, "--adverse") if e["rule"].startswith("code_")]
    assert refused["rule"] == "code_none"
    assert f"dsr verify {ref} --attest METHOD" in refused["to_a_human"]["team"]
    assert refused["to_a_human"]["person"]["contact"] == "privacy@shop.example"
    assert "000000" not in json.dumps(refused)
    told = desk.run("decisions", ref).stdout
    assert "against the person" in told
    assert "writes to privacy@shop.example" in told
    assert desk.ok("evidence", "verify", ref)["valid"] is True


def test_rows_that_stay_are_told_once_for_each_ground(desk: Desk) -> None:
    """What a law keeps from an erasure is a decision of its own, with ground, places and rows."""
    ref = desk.submit("erasure")
    desk.room.settle()
    desk.room.approve(ref)
    desk.room.settle()
    grounds = desk.room.rows(
        "SELECT DISTINCT system, ground FROM receipts r JOIN jobs j ON j.id = r.job_id"
        " WHERE j.ref = %s AND ground <> '' AND row_count > 0",
        ref,
    )
    kept = [e for e in _decided(desk, ref) if e["rule"] == "kept"]
    assert {(e["inputs"]["system"], e["inputs"]["ground"]) for e in kept} == set(
        map(tuple, grounds)
    )
    assert kept
    assert len(kept) == len(grounds)
    assert all(e["adverse"] and e["to_a_human"]["team"] for e in kept)
    assert "approved_by_rule" not in {e["rule"] for e in _decided(desk, ref)}


def test_all_cases_are_listed_and_a_day_cuts_them(desk: Desk) -> None:
    """Without a case every one is told, oldest first; `--since` leaves out what was before."""
    refs = [desk.submit("access") for _ in range(2)]
    desk.room.settle()
    found = _decided(desk)
    assert {*refs} <= {entry["case"] for entry in found}
    assert [e["at"] for e in found] == sorted(e["at"] for e in found)
    assert _decided(desk, "--since", "2999-01-01") == []


def test_the_register_of_all_is_read_from_its_end(desk: Desk) -> None:
    """Without CASE the newest are told, oldest of them first, and that there are earlier ones."""
    for _ in range(2):
        desk.submit("access")
        desk.room.settle()
    whole = desk.ok("decisions")
    assert whole["more"] is False
    newest = desk.ok("decisions", "--limit", "3")
    assert newest["decisions"] == whole["decisions"][-3:]
    assert newest["more"] is True
    assert "There are earlier ones" in desk.run("decisions", "--limit", "3").stdout
