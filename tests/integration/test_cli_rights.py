"""Rectification and restriction by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_desk import Desk

_WRONG, _RIGHT = "zqwrongzq", "zqrightzq"
_NAME = {"system": "crm", "collection": "customers", "field": "name"}


def correction(**more: Any) -> dict[str, Any]:
    """A correction of the customer's name."""
    return {**_NAME, "value": _RIGHT, **more}


def _customer(desk: Desk) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(desk.room.system("crm").dump()["customers"][str(desk.person),])
    return row


def _approved(desk: Desk, ref: str) -> None:
    desk.room.settle()
    desk.ok("approve", ref, "--yes", actor="berta")
    desk.room.settle()


@pytest.mark.parametrize("way", ["file", "stdin", "both", "csv"])
def test_corrections_come_from_a_file_or_stdin(desk: Desk, tmp_path: Path, way: str) -> None:
    """Each way leads to the same case, whose plan names the fields and none of the values."""
    listed = json.dumps([correction(was=f"Name {desk.mark}")])
    file = tmp_path / "given"
    file.write_text(listed, "utf-8")
    args = ["submit", "--kind", "rectification", "--country", "DE", "--attest", "trial"]
    match way:
        case "file":
            ref = desk.ok(*args, *desk.named, "--corrections", str(file), actor="anna")["case"]
        case "stdin":
            done = desk.ok(*args, *desk.named, "--corrections", "-", actor="anna", stdin=listed)
            ref = done["case"]
        case "both":
            both = {"identities": {"email": desk.named[1]}, "corrections": json.loads(listed)}
            more = ("--identities", "-", "--corrections", "-")
            ref = desk.ok(*args, *more, actor="anna", stdin=json.dumps(both))["case"]
        case _:
            quoted = listed.replace('"', '""')
            file.write_text(f'email,corrections\n{desk.named[1]},"{quoted}"\n', "utf-8")
            (row,) = desk.ok(*args, "--csv", str(file), actor="anna")["rows"]
            ref = row["case"]
    desk.room.settle()
    shown = desk.run("plan", ref)
    assert "to be put right: crm.customers.name" in shown.output
    assert _RIGHT not in shown.output
    assert desk.mark not in shown.output
    _approved(desk, ref)
    assert _customer(desk)["name"] == _RIGHT
    assert desk.ok("status", ref)["next"] == f"dsr certificate {ref} --to FILE"


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ([], "no list of corrections"),
        ({}, "no list of corrections"),
        ("{", "no corrections"),
        ([correction(why=_WRONG)], "correction 1 of stdin"),
        ([correction(), {"system": "crm"}], "correction 2 of stdin"),
        ([correction(value=7)], "in quotes"),
        ([correction(field=_WRONG)], "unknown field of crm.customers"),
        ([correction(field="nam")], "name"),
        ([correction(collection="customer")], "customers"),
        ([correction(system="krm")], "crm"),
        ([correction(field="id")], "key"),
        ([correction(), correction(value=_WRONG)], "twice"),
        ([correction(was=_RIGHT)], "the same"),
    ],
)
def test_wrong_corrections_are_refused_without_being_quoted(
    desk: Desk, given: object, hint: str
) -> None:
    """Exit code 2, what to do, none of the values, and no case."""
    before = desk.jobs()
    text = given if isinstance(given, str) else json.dumps(given)
    args = ("--kind", "rectification", *desk.named, "--country", "DE", "--corrections", "-")
    result = desk.run("submit", *args, *desk.signing("anna"), stdin=text)
    assert result.exit_code == 2, result.output
    assert hint in result.output
    assert _WRONG not in result.output
    assert _RIGHT not in result.output
    assert desk.jobs() == before


@pytest.mark.parametrize(("kind", "given"), [("rectification", False), ("erasure", True)])
def test_corrections_belong_to_a_rectification(desk: Desk, *, kind: str, given: bool) -> None:
    """Neither does one go without, nor does another kind take them."""
    args = ("--kind", kind, *desk.named, "--country", "DE")
    more = ("--corrections", "-") if given else ()
    listed = json.dumps([correction()])
    result = desk.run("submit", *args, *more, *desk.signing("anna"), stdin=listed)
    assert (result.exit_code, "corrections" in result.output) == (1, True)


def test_a_reused_key_stands_for_the_same_corrections(desk: Desk) -> None:
    """The same request again is the same case; with another value it is refused."""
    request = ("--kind", "rectification", *desk.named, "--country", "DE", "--corrections", "-")
    args = ("submit", *request, "--idempotency-key", f"k-{desk.person}")
    first = desk.ok(*args, actor="anna", stdin=json.dumps([correction()]))
    again = desk.ok(*args, actor="anna", stdin=json.dumps([correction()]))
    assert (again["case"], again["repeated"]) == (first["case"], True)
    other = desk.run(*args, *desk.signing("anna"), stdin=json.dumps([correction(value=_WRONG)]))
    assert (other.exit_code, "another request" in other.output) == (1, True)


def test_a_restriction_and_its_lifting(desk: Desk, tmp_path: Path) -> None:
    """The hold is listed, status says what ends it, the lifting has a story and a certificate."""
    ref = desk.submit("restriction")
    _approved(desk, ref)
    (hold,) = [h for h in desk.ok("hold", "list")["holds"] if h["matter"] == ref]
    assert hold["reason"] == "RESTRICTION"
    code, message = desk.refused("hold", "release", hold["hold"], code=1, actor="anna")
    assert (code, f"dsr lift {ref}" in message) == ("decision_refused", True)
    assert f"dsr lift {ref} --informed-on DATE" in desk.run("status", ref).output
    today = datetime.now(UTC).date().isoformat()
    lift = ("lift", ref, "--informed-on")
    code, message = desk.refused(*lift, today, code=1, actor="berta")
    assert (code, f"dsr certificate {ref} --to" in message) == ("decision_refused", True)
    desk.ok("certificate", ref, "--to", str(tmp_path / "answer.json"), actor="anna")
    desk.refused(*lift, today, code=1, actor="anna")
    desk.refused(*lift, "2099-01-01", code=1, actor="berta")
    job = desk.ok(*lift, today, actor="berta")["lifting"]
    desk.room.settle()
    told = desk.ok("status", ref)["restriction"]
    assert told["lifting"] == job
    assert told["lifted_at"]
    assert desk.ok("status", job)["state"] == "closed"
    story = [event["text"] for event in desk.ok("explain", ref)["events"]]
    assert any(today in text and "ordered" in text for text in story)
    assert not [h for h in desk.ok("hold", "list")["holds"] if h["matter"] == ref]
    desk.refused(*lift, today, code=1, actor="berta")


def test_only_a_restriction_is_lifted(desk: Desk) -> None:
    """Another kind of case, or none at all, is named as such."""
    ref = desk.submit("access")
    code, _ = desk.refused("lift", ref, "--informed-on", "2026-01-01", code=4, actor="berta")
    assert code == "not_found"


@pytest.mark.parametrize("right", ["rectification", "restriction"])
def test_the_clocks_of_both_rights(right: str) -> None:
    """A month from receipt, by the article of the general rule (Art. 12(3) GDPR)."""
    command = [sys.executable, "-m", "dsr_worker", "due", "--right", right, "--country", "DE"]
    more = ["--received", "2026-01-15T10:00+01:00", "--json"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=True)
    assert "2026-02-16" in done.stdout  # the 15th is a Sunday
