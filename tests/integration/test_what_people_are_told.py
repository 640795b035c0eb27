"""Refusals name what helps, and status names why something waits."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from dsr_worker.contract import Remainder
from tests.integration.access_packages import handed_over
from tests.integration.cli_desk import Desk
from tests.integration.engine_room import KEYS


@pytest.fixture
def desk(alone: Desk) -> Desk:
    """An installation of its own."""
    alone.person = 3
    return alone


def soon(desk: Desk, days: int) -> datetime:
    """Noon of a day to come, by the ledger's clock."""
    (row,) = desk.room.rows("SELECT business_now() AS now")
    now: datetime = row.now
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=days), time(12), UTC)


def test_an_erasure_says_which_access_it_waits_for_and_until_when(desk: Desk) -> None:
    """An access that still owes something comes first: status names what, and the last day."""
    number = int(desk.mark[2:6], 16)
    desk.room.system("files").refuse(
        "documents", (f"doc-{number}",), Remainder.ARCHIVED, soon(desk, 5)
    )
    access = desk.submit("access")
    desk.room.settle()
    handed_over(desk.room, access)
    assert desk.room.job(access)["state"] == "answered_with_remainders"
    erasure = desk.submit("erasure")
    desk.room.settle()
    desk.ok("approve", erasure, "--yes", actor="berta")
    told = desk.ok("status", erasure)
    (first,) = told["access_first"]["cases"]
    assert (first["case"], first["owes"][0]["ground"]) == (access, "store-archive")
    until = datetime.fromisoformat(told["access_first"]["until_at"])
    assert until == datetime.fromisoformat(told["due_at"]) - desk.room.office.lead_time
    text = desk.run("status", erasure).stdout
    assert f"first       {access}" in text
    assert f"{until:%Y-%m-%d} at most, then asks" in text


def test_where_others_name_the_person_is_told_before_the_certificate_leaves(desk: Desk) -> None:
    """The plan says that it will be counted, and status counts once the work is done."""
    letter = {"id": "doc-other", "owner": "7", "text": f"sent on to {desk.named[1]}"}
    desk.room.system("files").load({"documents": [letter]}, KEYS)
    erasure = desk.submit("erasure")
    desk.room.settle()
    assert "`dsr status` tells them before the certificate" in desk.run("plan", erasure).stdout
    assert desk.ok("status", erasure)["mentions"] == {}
    desk.ok("approve", erasure, "--yes", actor="berta")
    desk.room.settle()
    assert desk.ok("status", erasure)["mentions"] == {"files.documents": 1}
    assert "records of others: files.documents 1" in desk.run("status", erasure).stdout


def test_an_answer_asked_for_too_early_names_the_next_command(desk: Desk, tmp_path: Path) -> None:
    """A certificate of a case under way is refused with where to look."""
    erasure = desk.submit("erasure")
    to = str(tmp_path / "c.json")
    _, message = desk.refused("certificate", erasure, "--to", to, actor="anna", code=1)
    assert f"`dsr status {erasure}` says" in message


def test_a_breach_names_its_void_duties_and_what_closing_needs(desk: Desk) -> None:
    """Show tells why a duty does not apply; closing too early names the clocks and the commands."""
    aware = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    leaked = ("breach", "declare", "--leaked", "crm.customers:email", "--aware", aware)
    ref = str(desk.ok(*leaked, "--market", "DE", actor="anna")["case"])
    desk.ok("breach", "judge", ref, "--harm", "unlikely", actor="anna")
    void = [c for c in desk.ok("breach", "show", ref)["clocks"] if c["state"] == "void"]
    assert void
    assert all(clock["reason"] for clock in void)
    shown = desk.run("breach", "show", ref).stdout
    assert f"void: {void[0]['reason']}" in shown
    more = ("breach", "declare", "--leaked", "crm.customers:email", "--aware", aware)
    other = str(desk.ok(*more, "--market", "DE", "--idempotency-key", "k-2", actor="anna")["case"])
    _, message = desk.refused("breach", "close", other, actor="anna", code=1)
    assert f"`dsr breach told {other} CLOCK --at INSTANT`" in message


def test_ending_a_sweep_asks_for_a_reason_in_words(desk: Desk) -> None:
    """Without --reason it is said what one looks like."""
    _, message = desk.refused("sweep", "abandon", "S-1", actor="anna", code=2)
    assert "--reason wrong_policy" in message


@pytest.mark.parametrize(
    ("kind", "helps"),
    [("objection", "submit a restriction"), ("portability", "an access")],
)
def test_what_is_not_carried_out_names_what_is(desk: Desk, kind: str, helps: str) -> None:
    """A kind of request that nobody carries out yet is refused with what to do instead."""
    asked = ("submit", "--kind", kind, *desk.named, "--country", "DE")
    code, message = desk.refused(*asked, actor="anna", code=2)
    assert (code, helps in message) == ("kind_refused", True)
