"""Whatever people type in whatever order, a case keeps its promises and has a way out."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from tests.integration.cli_desk import Desk
from tests.integration.postmen import Postman, with_postman

_COMMANDS: Sequence[tuple[str, ...]] = (
    ("verify", "CASE", "--send-code"),
    ("verify", "CASE", "--asked"),
    ("verify", "CASE", "--attest", "passport"),
    ("verify", "CASE", "--code", "000000"),
    ("pause", "CASE", "--ground", "identity"),
    ("resume", "CASE", "--ground", "identity"),
    ("extend", "CASE", "--reason", "complex"),
    ("refuse", "CASE", "--ground", "GROUND"),
    ("refuse", "CASE", "--delivered"),
    ("appeal", "CASE", "--received", "NOW"),
    ("appeal", "CASE", "--received", "NOW", "--late-accepted"),
    ("appeal", "CASE", "--decide", "dismissed"),
    ("appeal", "CASE", "--decide", "granted"),
    ("appeal", "CASE", "--withdrawn"),
    ("appeal", "CASE", "--delivered"),
    ("retry", "CASE"),
)
_LENGTH = 60
_GROUNDS = {"DE": "ANY_NOT_IDENTIFIABLE", "US-VA": "US_SECURITY_FRAUD"}


@pytest.fixture
def desk(alone: Desk) -> Desk:
    """An installation of its own, whose mail is taken and whose clock is moved."""
    alone.person = 1
    with_postman(alone.room, Postman())
    return alone


def _typed(desk: Desk, case: str, country: str, command: Sequence[str], actor: str) -> None:
    (row,) = desk.room.rows("SELECT business_now() AS now")
    words = {"CASE": case, "NOW": row.now.isoformat(), "GROUND": _GROUNDS[country]}
    args = [words.get(word, word) for word in command]
    result = desk.run(*args, *desk.signing(actor), "--json")
    assert result.exit_code in {0, 1}, (args, result.output)
    if result.exit_code:
        error = json.loads(result.stderr)["error"]
        assert error["code"] != "unexpected", error


def _holds(desk: Desk, case: str) -> None:
    """What is true of every case at every time."""
    told = desk.ok("status", case)
    (row,) = desk.room.rows(
        "SELECT (SELECT count(*) FROM appeals WHERE job_id = j.id AND verdict IS NULL) AS appeals,"
        " j.closed_at FROM jobs j WHERE ref = %s",
        case,
    )
    assert row.appeals == (told["state"] == "appealed")
    assert (row.closed_at is None) == (told["state"] not in {"closed", "withdrawn"})
    clocks = {c["name"]: c for c in told["clocks"]}
    _one_pause_for_one_asking(desk, case)
    running = {name for name, c in clocks.items() if c["state"] in {"running", "paused", "missed"}}
    if told["state"] in {"appealed", "appeal_answered"}:
        assert any(name.startswith("appeal") for name in running)
    if told["state"] == "closed":
        assert not {name for name in running if clocks[name]["state"] != "missed"}
    if row.closed_at is None:  # somebody can do something, or the workers do
        assert told["next"] or told["waits_for"]


def _one_pause_for_one_asking(desk: Desk, case: str) -> None:
    open_pauses = [
        [p for p in row.facts["pauses"] if p["ground"] == "identity" and p["answered_at"] is None]
        for row in desk.room.rows(
            "SELECT c.facts FROM clocks c JOIN jobs j ON j.id = c.job_id"
            " WHERE j.ref = %s AND c.facts ? 'pauses'",
            case,
        )
    ]
    assert all(len(pauses) <= 1 for pauses in open_pauses)


@pytest.mark.parametrize("country", list(_GROUNDS))
@pytest.mark.parametrize("seed", range(2))
def test_no_order_of_commands_leaves_a_case_without_a_way_out(
    desk: Desk, country: str, seed: int
) -> None:
    """Refused or done, never a fault; one appeal and one pause at a time; the chain holds."""
    chance = random.Random(f"{country}-{seed}")
    args = ("submit", "--kind", "erasure", *desk.named, "--country", country)
    case = str(desk.ok(*args, actor="anna")["case"])
    for _ in range(_LENGTH):
        _typed(desk, case, country, chance.choice(_COMMANDS), chance.choice(("anna", "berta")))
        if chance.random() < 0.3:
            desk.room.settle()
        if chance.random() < 0.1:
            desk.room.move_clock(days=chance.choice((1, 15)))
        _holds(desk, case)
    explained: dict[str, Any] = desk.ok("explain", case)
    assert explained["verified"]
    kinds = {event["kind"] for event in explained["events"]}
    assert {"clock_paused", "appealed", "appeal_decided"} & kinds
