"""`dsr retention rules`: the diff, two people who install it, what should have gone since."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from connectors.s3 import S3
from dsr_worker.cli import dsr
from dsr_worker.contract import NeedsHuman, StandingPlan
from dsr_worker.people import ActorRefused
from tests.integration.rules_bench import RULE, Bench


def test_the_diff_says_which_way_and_why(bench: Bench) -> None:
    """Each collection with a limit goes by a rule or by sweeps, with a code; nothing is written."""
    shown = bench.rules()
    assert {w["collection"]: (w["way"], w["reason"]) for w in shown["ways"]} == {
        "events": ("sweep", "s3-rows-in-shared-objects"),
        "letters": ("rule", ""),
    }
    (letters,) = [w for w in shown["ways"] if w["way"] == "rule"]
    assert letters["after_days"] == 92  # 90 days in Berlin
    assert [(d["change"], d["rule"]) for d in shown["diff"]] == [("add", RULE)]
    assert bench.stands() == []
    plain = CliRunner().invoke(dsr, ["retention", "rules", "archive"], obj=bench.opening)
    assert plain.exit_code == 0
    assert f"+ {RULE}" in plain.stdout
    assert "each record of a shared object has a clock of its own" in plain.stdout


def test_wrong_names_and_stores_without_rules(bench: Bench) -> None:
    """An unknown system is wrong input; a store that has no rules of its own is refused."""
    bench.call("retention", "rules", "nowhere", code=2)
    found = bench.call("retention", "rules", "files", code=1)
    assert found["error"]["code"] == "sweep_refused"
    bench.rules("--apply", "--verify", code=2)


def test_two_people_install_what_one_proposed(bench: Bench) -> None:
    """One proposes, which changes nothing, and another installs the very same plan."""
    proposed = bench.rules("--apply", "--yes", actor="anna")
    assert (proposed["state"], bench.stands()) == ("proposed", [])
    bench.rules("--apply", "--yes", actor="anna")  # the same person only proposes anew
    assert bench.stands() == []
    bench.rules("--apply", "--yes", "--hash", "0" * 64, actor="berta", code=1)
    installed = bench.rules("--apply", "--yes", "--hash", proposed["hash"], actor="berta")
    assert (installed["state"], bench.stands()) == ("standing", [RULE])
    ref = installed["record"]
    assert bench.events(ref) == ["rules_proposed", "rules_approved", "rules_installed"]
    assert bench.call("explain", ref)
    assert bench.call("evidence", "verify")
    assert [d["change"] for d in bench.rules("--apply", "--yes", actor="anna")["diff"]] == ["keep"]


def test_who_proposed_never_approves(bench: Bench) -> None:
    """A signature of the proposer over the approval is refused as well."""
    plan_hash = bench.rules("--apply", "--yes", actor="anna")["hash"]
    signed = bench.room.sign("anna", "approve-rules", "archive", plan_hash)
    with pytest.raises(ActorRefused, match="second person"):
        bench.room.office.standing_rules.approve("archive", plan_hash, signed)
    assert bench.stands() == []


def test_verifying_tells_what_should_have_gone(bench: Bench) -> None:
    """Exit code 1 where objects outlived their rule or the rule is gone, with counts and dates."""
    ref = bench.install()
    (fine,) = bench.rules("--verify")["rules"]
    assert (fine["rows"], fine["overdue"], fine["sound"]) == (2, 0, True)
    old = datetime.now(UTC) - timedelta(days=300)
    bench.aged.put("letters/1/old", old)
    (late,) = bench.rules("--verify", code=1)["rules"]
    assert (late["rows"], late["due"], late["overdue"]) == (3, 1, 1)
    assert late["oldest_at"].startswith(f"{old:%Y-%m-%d}")
    bench.aged.client.delete_bucket_lifecycle(Bucket=bench.aged.name)
    (away,) = bench.rules("--verify", code=1)["rules"]
    assert away["faults"] == ["s3-rule-not-there"]
    assert bench.events(ref)[3:] == ["rules_verified"] * 3


def test_a_refused_plan_is_told_with_its_remedy(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who writes the store's rules at the same time is told of, not overwritten."""
    bench.rules("--apply", "--yes", actor="anna")

    def overtaken(_self: S3, _plan: StandingPlan) -> None:
        raise NeedsHuman("rules_changed", {"system": "archive"})

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(S3, "install", overtaken)
        told = bench.rules("--apply", "--yes", actor="berta", code=1)["error"]
    assert told["code"] == "rules_changed"
    assert "nothing was written" in told["message"]
    bench.install()
    assert bench.stands() == [RULE]


def test_an_installation_is_no_open_work(bench: Bench) -> None:
    """Rules that stand wait for nobody: they are not among the open jobs, and can be looked at."""
    ref = bench.install()
    shown = bench.call("status")
    assert ref not in str(shown)
    assert "NO WORKER" not in str(shown)
    assert bench.call("status", ref)
