"""A store's own rules know no hold: none stands where one could break it, whoever comes first."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from connectors.s3 import S3
from dsr_worker.contract import Identity, StandingPlan, Transient
from dsr_worker.domain.hold import DatasetHeld, PeopleHeld, RowsHeld, Scope
from dsr_worker.engine.standing import StandingGuard
from dsr_worker.sweep.decisions import SweepRefused
from dsr_worker.sweep.rules import StandingDecisions
from tests.integration.rules_bench import RULE, Bench, review_on

LONGER = ("P90D", "P200D")
HELD, SHARED = "held", "s3-rows-in-shared-objects"


@pytest.mark.parametrize(
    ("scope", "events"),
    [
        (DatasetHeld("archive"), HELD),
        (DatasetHeld("archive", "letters"), SHARED),
        (RowsHeld("archive", "letters", "key", ("letters/1/a",)), SHARED),
        (PeopleHeld((Identity("email", "somebody@mail.example"),)), HELD),
    ],
)
def test_a_hold_takes_the_rule_out_before_it_is_acknowledged(
    bench: Bench, scope: Scope, events: str
) -> None:
    """Once a hold is told to stand, the bucket has no rule of ours that could break it."""
    ref = bench.install()
    assert bench.stands() == [RULE]
    bench.hold(scope)
    assert bench.stands() == []
    assert bench.events(ref)[-1] == "rules_withdrawn"
    shown = bench.rules()
    assert {w["collection"]: w["reason"] for w in shown["ways"]} == {
        "letters": HELD,
        "events": events,
    }
    assert shown["diff"] == []


def test_after_a_release_two_people_install_again(bench: Bench) -> None:
    """A released hold brings no rule back by itself; the diff shows it, and people decide."""
    first = bench.install()
    hold = bench.hold(DatasetHeld("archive"))
    bench.room.office.holding.release(hold, bench.room.sign("anna", "release-hold", hold))
    assert bench.stands() == []
    second = bench.install()
    assert second != first
    assert bench.stands() == [RULE]


def test_a_hold_elsewhere_leaves_the_rule(bench: Bench) -> None:
    """A hold on another system, or on another collection of this one, takes nothing out."""
    bench.install()
    bench.hold(DatasetHeld("files"))
    bench.hold(DatasetHeld("archive", "events"))
    assert bench.stands() == [RULE]


def test_nothing_is_installed_under_a_hold_placed_after_the_plan(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold that comes between the approval and the writing stops the writing."""
    plan_hash = bench.rules("--apply", "--yes", actor="anna")["hash"]
    install = StandingDecisions._install

    def overtaken(self: StandingDecisions, *args: Any) -> Any:
        bench.hold(DatasetHeld("archive"))
        return install(self, *args)

    monkeypatch.setattr(StandingDecisions, "_install", overtaken)
    signed = bench.room.sign("berta", "approve-rules", "archive", plan_hash)
    with pytest.raises(SweepRefused, match="nothing was installed"):
        bench.room.office.standing_rules.approve("archive", plan_hash, signed)
    assert bench.stands() == []


def test_a_hold_waits_for_the_writing_and_takes_it_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold placed while the rules are written is acknowledged only when they are out again."""
    plan_hash = bench.rules("--apply", "--yes", actor="anna")["hash"]
    write, placed = S3.install, threading.Event()
    waiting: list[bool] = []

    def place() -> None:
        bench.hold(DatasetHeld("archive"))
        placed.set()

    holding = threading.Thread(target=place)

    def slow(self: S3, plan: StandingPlan) -> None:
        write(self, plan)
        if any(way.rule for way in plan.ways):
            holding.start()
            waiting.append(not placed.wait(1.5))

    monkeypatch.setattr(S3, "install", slow)
    signed = bench.room.sign("berta", "approve-rules", "archive", plan_hash)
    decided = bench.room.office.standing_rules.approve("archive", plan_hash, signed)
    holding.join(100)
    assert waiting == [True]
    assert placed.is_set()
    assert bench.stands() == []
    assert bench.events(decided.ref)[-2:] == ["rules_installed", "rules_withdrawn"]


def test_a_store_out_of_reach_turns_no_hold_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hold stands, the command says where it is not in force yet, and the tick goes on."""
    bench.install()

    def away(_self: S3, _plan: StandingPlan) -> None:
        raise Transient("S3 PutBucketLifecycleConfiguration: 503")

    with monkeypatch.context() as broken:
        broken.setattr(S3, "install", away)
        told = bench.call(
            *("hold", "place", "--dataset", "archive", "--reason", "ER_LEGAL_CLAIMS"),
            *("--matter", "m-2", "--review", review_on().isoformat()),
            actor="anna",
            code=1,
        )
    assert told["rules_left"] == ["archive"]
    assert [h["hold"] for h in bench.call("hold", "list")["holds"]] == [told["hold"]]
    _minute_later(bench).duty()
    assert bench.stands() == []


@pytest.mark.parametrize("hold", [True, False])
def test_an_installation_whose_end_nobody_saw_may_stand(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, hold: bool
) -> None:
    """Rules written by a process that died before it could say so are taken out, or looked at."""
    write = S3.install

    def dies(self: S3, plan: StandingPlan) -> None:
        write(self, plan)
        raise Transient("the process is gone")

    bench.rules("--apply", "--yes", actor="anna")
    with monkeypatch.context() as dying:
        dying.setattr(S3, "install", dies)
        bench.rules("--apply", "--yes", actor="berta", code=3)
    assert bench.stands() == [RULE]
    if hold:
        bench.hold(DatasetHeld("archive"))
        assert bench.stands() == []
        return
    assert bench.rules("--verify")["sound"]
    (row,) = bench.room.rows("SELECT state FROM jobs WHERE kind = 'standing_rules'")
    assert row.state == "standing"


def test_policies_that_keep_longer_take_the_rule_out(bench: Bench) -> None:
    """A rule made from a shorter period than today's does not stand until somebody looks."""
    bench.install()
    _minute_later(bench).duty()
    assert bench.stands() == [RULE]
    policy = bench.room.settings.config_dir / "policies" / "trial.yaml"
    policy.write_text(policy.read_text().replace(*LONGER))
    with bench.opening.office():  # every command ticks once
        assert bench.stands() == []


def _minute_later(bench: Bench) -> StandingGuard:
    """The duty of a worker that has not looked for a minute."""
    office = bench.room.office
    return StandingGuard(office.ledger, office.keys, office.materials)


def test_a_restriction_takes_the_rule_out(bench: Bench) -> None:
    """The hold that a restriction places is no different: its letters may only be stored."""
    ref = bench.install()
    case = bench.room.submit("restriction", customer_number="1")
    bench.room.settle()
    assert bench.stands() == [RULE]
    bench.room.approve(case)
    bench.room.settle()
    assert bench.stands() == []
    assert bench.events(ref)[-1] == "rules_withdrawn"
    assert bench.room.rows("SELECT ref FROM holds WHERE matter = %s", case)
