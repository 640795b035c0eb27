"""Sweeps, breaches, and an installation's health, keys and files, by the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from dsr_worker.cli import dsr
from dsr_worker.cli.desk import Opening
from dsr_worker.settings import Settings
from dsr_worker.statutes import load
from tests.integration.cli_desk import PEOPLE, Desk

# ---- sweeps and breaches


def test_a_sweep_is_counted_approved_and_certified(alone: Desk, tmp_path: Path) -> None:
    """A sweep changes nothing until a second person approves what was counted."""
    alone.room.move_clock(days=120)
    started = alone.ok("sweep", "plan", "trial", "--wait", "0", actor="anna")
    ref = started["sweep"]
    alone.room.settle()
    plan = alone.ok("sweep", "status", ref)
    assert plan["state"] == "awaiting_approval"
    assert plan["rows"] == PEOPLE
    assert len(alone.room.system("crm").dump()["carts"]) == PEOPLE
    mine = ("sweep", "approve", ref, "--yes")
    assert alone.refused(*mine, actor="anna", code=1)[0] == "actor_refused"
    alone.ok(*mine, "--hash", plan["hash"], actor="berta")
    alone.room.settle()
    done = alone.ok("sweep", "status", ref)
    assert done["state"] == "closed"
    assert [(o["collection"], o["outcome"], o["rows"]) for o in done["done"]] == [
        ("carts", "erased", PEOPLE)
    ]
    assert alone.room.system("crm").dump()["carts"] == {}
    file = tmp_path / "sweep.json"
    alone.ok("sweep", "certificate", ref, "--to", str(file))
    assert alone.ok("certificate", "verify", str(file))["valid"] is True
    assert "did you mean trial" in alone.refused("sweep", "plan", "tryal", actor="anna", code=2)[1]


def test_a_standing_approval_is_granted_and_revoked(desk: Desk) -> None:
    """A standing approval stays inside the policy's limits and ends when it is revoked."""
    over = ("standing", "approve", "trial", "--rows", "5000", "--share", "0.1")
    assert desk.refused(*over, actor="berta", code=1)[0] == "sweep_refused"
    desk.ok("standing", "approve", "trial", "--rows", "100", "--share", "0.1", actor="berta")
    (row,) = desk.ok("standing", "list")["standing"]["trial"]
    assert (row["max_rows"], row["revoked_at"]) == (100, None)
    desk.ok("standing", "revoke", "trial", actor="anna")
    (row,) = desk.ok("standing", "list")["standing"]["trial"]
    assert row["revoked_at"] is not None


def test_a_breach_has_its_duties_at_once(alone: Desk, tmp_path: Path) -> None:
    """Duties of every market stand with the declaration; a told authority's clock is met."""
    args = ("breach", "declare", "--leaked", "crm.customers:email,name")
    aware = (datetime.now(UTC) - timedelta(hours=5)).isoformat()
    done = alone.ok(*args, "--aware", aware, "--market", "DE", actor="anna")
    ref = done["case"]
    authority = next(d for d in done["duties"] if d["recipient"] == "authority")
    due = datetime.fromisoformat(authority["due_at"])
    assert due - datetime.fromisoformat(aware) == timedelta(hours=72)
    texts = tmp_path / "texts.yaml"
    parts = ("nature", "consequences", "measures", "advice")
    texts.write_text("en:\n" + "".join(f"  {p}: Words about it.\n" for p in parts))
    alone.ok("breach", "write", ref, str(texts), actor="anna")
    alone.room.settle()
    shown = alone.ok("breach", "show", ref, "--texts")
    assert shown["people"] == PEOPLE
    assert shown["missing"] == []
    assert "Words about it." in shown["texts"]["people"]["en"]["body"]
    other = ("breach", "approve-notices", ref, "--hash", "0" * 64)
    unseen = alone.run(*other, *alone.signing("berta"), stdin="y\n")
    assert (unseen.exit_code, unseen.stdout) == (1, "")
    assert "have changed since" in unseen.stderr
    mine = ("breach", "approve-notices", ref, "--yes")
    assert alone.refused(*mine, actor="anna", code=1)[0] == "breach_refused"
    told = ("breach", "told", ref, authority["clock"], "--at", datetime.now(UTC).isoformat())
    assert alone.ok(*told, actor="anna")["state"] == "met"
    assert alone.refused("breach", "close", ref, actor="anna", code=1)[0] == "breach_refused"
    nowhere = ("breach", "declare", "--leaked", "crn", "--aware", aware)
    assert alone.refused(*nowhere, actor="anna", code=2)[0] == "usage"


# ---- the installation


def test_health_tells_part_by_part(desk: Desk) -> None:
    """Health names each part; without a broker something is ill, and the exit code says so."""
    result = desk.run("health", "--json")
    parts = {p["name"]: p["ok"] for p in json.loads(result.stdout)["parts"]}
    assert parts == {
        "configuration": True,
        "ledger": True,
        "schema": True,
        "key_ring": True,
        "workers": True,
        "broker": False,
    }
    assert result.exit_code == 1


def test_a_ledger_that_does_not_answer_is_exit_code_three(alone: Desk) -> None:
    """What cannot be reached is told apart from what is refused, in one sentence."""
    nowhere = SecretStr("postgresql://127.0.0.1:1/none")
    alone.opening.settings = alone.room.settings.model_copy(update={"ledger_dsn": nowhere})
    assert alone.refused("status", code=3)[0] in {"ledger_unreachable", "ledger"}
    assert alone.run("health").exit_code == 3


def test_keys_are_backed_up_and_rotated_only_without_workers(alone: Desk, tmp_path: Path) -> None:
    """A ring is copied, never over a file, and gets a new version when no worker holds the old."""
    first = alone.ok("keys", "fingerprint")["fingerprint"]
    copy = tmp_path / "ring.json"
    assert alone.ok("keys", "backup", str(copy))["fingerprint"] == first
    assert alone.refused("keys", "backup", str(copy), code=1)[0] == "key_ring"
    assert alone.refused("keys", "rotate", code=1)[0] == "workers_running"
    with alone.room.office.ledger.transaction() as cursor:
        cursor.execute("UPDATE workers SET seen_at = now() - interval '2 minutes'")
    assert alone.ok("keys", "rotate")["version"] == 2
    assert alone.ok("keys", "fingerprint")["fingerprint"] != first
    alone.ok("status")


def test_check_finds_what_is_missing_before_a_deadline(alone: Desk) -> None:
    """A text that Art. 15 asks for and nobody wrote is an error of check, long before a package."""
    clean = alone.run("check", "--json")
    assert clean.exit_code == 0, clean.output
    file = alone.room.settings.config_dir / "organisation.yaml"
    file.write_text(file.read_text().replace('rights: "yours"', 'rights: ""'))
    result = alone.run("check", "--json")
    assert result.exit_code == 1
    found = [f for f in json.loads(result.stdout)["findings"] if f["severity"] == "error"]
    assert [f["where"] for f in found] == ["texts"]
    assert "Art. 15(1)(e)" in found[0]["message"]
    file.write_text("controller: [")
    result = alone.run("check", "--json")
    assert result.exit_code == 1
    assert "organisation.yaml:" in json.loads(result.stdout)["findings"][0]["message"]
    assert alone.refused("status", code=3)[0] == "files"


def test_check_tells_of_a_market_whose_law_is_still_to_come(
    alone: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A market whose law is not in force yet is told with the law's first day, and is no error."""
    source, text = load._texts()["in-dpdp"]
    later = {**load._texts(), "in-dpdp": (source, text.replace(": 2027-05-13", ": 2999-05-13"))}
    monkeypatch.setattr(load, "_texts", lambda: later)
    monkeypatch.setattr(load, "_loaded", load._loaded.__wrapped__)  # reads anew
    file = alone.room.settings.config_dir / "organisation.yaml"
    before = file.read_text()
    assert [f for f in _findings(alone) if f["subject"] == "IN"] == []
    file.write_text(before.replace("markets: [", "markets: [IN, "))
    (found,) = [f for f in _findings(alone) if f["subject"] == "IN"]
    assert found["severity"] == "warning"
    assert "in-dpdp is in force from 2999-05-13 on" in found["message"]


def _findings(desk: Desk) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(desk.run("check", "--json").stdout)["findings"]
    return found


def test_a_new_configuration_loads_and_is_never_overwritten(tmp_path: Path) -> None:
    """What `init` writes is valid as it is; a second run changes nothing; check tells the rest."""
    opening = Opening(Settings(config_dir=tmp_path / "c", data_dir=tmp_path / "d"))
    runner = CliRunner()
    first = json.loads(runner.invoke(dsr, ["init", "--json"], obj=opening).stdout)
    assert sorted(first["written"]) == [
        "organisation.yaml",
        "policies/de-shop.yaml",
        "systems/example.yaml",
    ]
    file = tmp_path / "c" / "organisation.yaml"
    file.write_text(file.read_text() + "# mine\n")
    second = json.loads(runner.invoke(dsr, ["init", "--json"], obj=opening).stdout)
    assert second["written"] == []
    assert file.read_text().endswith("# mine\n")
    checked = runner.invoke(dsr, ["check", "--json"], obj=opening)
    assert checked.exit_code == 1
    findings = json.loads(checked.stdout)["findings"]
    errors = [f for f in findings if f["severity"] == "error"]
    assert {f["where"] for f in errors} == {"files", "texts", "shop"}
    assert any("SHOP_DSN" in f["message"] for f in findings)
    told = {f["subject"]: f for f in errors if f["where"] == "texts"}
    assert sorted(told) == ["organisation (en)", "shop.customers", "shop.invoices"]
    assert len(told) == sum(f["where"] == "texts" for f in errors)
    remedy = told["shop.invoices"]["remedy"]
    assert remedy.startswith("write `purpose:`, `legal_basis:`, `recipients:`, `origin:`")
    unfilled = [f["message"] for f in errors if f["where"] == "files"]
    lines = file.read_text().splitlines()
    live = ((n, line) for n, line in enumerate(lines, 1) if line.lstrip()[:1] != "#")
    marked = {n for n, line in live if "eplace" in line}
    assert {int(message.split(":")[1]) for message in unfilled} == marked
    assert all("write your own" in message for message in unfilled)
