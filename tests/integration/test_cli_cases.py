"""A case goes from submission to its answer by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsr_worker.bootstrap import Office
from dsr_worker.fulfil.clocks import Clocks
from dsr_worker.fulfil.decisions import Decisions
from dsr_worker.people import digest_of
from dsr_worker.statutes import UnknownNameError
from tests.integration.cli_desk import Desk


def test_submit_prints_case_and_due_dates(desk: Desk) -> None:
    """A request taken in says when it is due, by which law, in which zone, how sure that is."""
    done = desk.ok(
        *("submit", "--kind", "access", *desk.named, "--country", "DE"),
        *("--received", "2026-01-31T10:00+01:00"),
        actor="anna",
    )
    (clock,) = done["clocks"]
    assert done["case"].startswith("C-")
    assert (clock["due_on"], clock["conservative_due_on"]) == ("2026-03-02", "2026-02-28")
    assert clock["zone"] == "Europe/Berlin"
    assert clock["citation"]
    assert clock["verified"] is True


def test_a_case_from_submission_to_certificate(desk: Desk, tmp_path: Path) -> None:
    """Plan, approval by another person, certificate and story all go by the command line."""
    ref = desk.submit("erasure")
    assert desk.refused("plan", ref, code=1)[0] == "no_plan"
    desk.room.settle()
    plan = desk.ok("plan", ref.lower())
    assert {o["outcome"] for o in plan["outcomes"]} == {"erased", "masked"}
    assert all(o["at_most"] == o["rows"] + 10 for o in plan["outcomes"])
    assert desk.refused("approve", ref, "--yes", actor="anna", code=1)[0] == "actor_refused"
    wrong = ("approve", ref, "--yes", "--hash", "0" * 64)
    assert desk.refused(*wrong, actor="berta", code=1)[0] == "decision_refused"
    assert desk.refused("approve", ref, actor="berta", code=2)[0] == "usage"
    approved = desk.ok("approve", ref, "--yes", "--hash", plan["hash"], actor="berta")
    assert approved["state"] == "working"
    desk.room.settle()
    assert desk.ok("status", ref)["next"] == f"dsr certificate {ref} --to FILE"
    file = tmp_path / "certificate.json"
    done = desk.ok("certificate", ref, "--to", str(file), actor="anna")
    assert done["clocks"] == [{"clock": "respond", "state": "met"}]
    assert file.with_suffix(".html").exists()
    assert desk.ok("certificate", "verify", str(file))["valid"] is True
    story = desk.ok("explain", ref)
    assert story["verified"] is True
    assert [e["kind"] for e in story["events"]][-1] == "closed"
    assert desk.mark not in json.dumps(story)
    assert desk.ok("evidence", "verify")["valid"] is True


def test_approval_asks_and_takes_no_for_an_answer(desk: Desk) -> None:
    """Without --yes the plan is shown and nothing happens unless the person agrees."""
    ref = desk.submit("erasure")
    desk.room.settle()
    result = desk.run("approve", ref, *desk.signing("berta"), stdin="n\n")
    assert result.exit_code == 1
    assert "customers" in result.stdout
    assert desk.room.job(ref)["state"] == "awaiting_approval"


def test_an_approval_that_cannot_be_is_neither_shown_nor_asked_for(desk: Desk) -> None:
    """Another hash, no terminal, a closed case: each is told as what it is, before any question."""
    ref = desk.submit("erasure")
    desk.room.settle()
    other = desk.run("approve", ref, "--hash", "0" * 64, *desk.signing("berta"), stdin="y\n")
    assert (other.exit_code, other.stdout) == (1, "")
    assert "the plan has changed" in other.stderr
    nobody = desk.run("approve", ref, *desk.signing("berta"), stdin="")
    assert nobody.exit_code == 2
    assert "without a terminal" in nobody.stderr
    assert desk.room.job(ref)["state"] == "awaiting_approval"
    desk.ok("withdraw", ref, actor="anna")
    for more in ((), ("--yes",)):
        closed = desk.run("approve", ref, *more, *desk.signing("berta"), stdin="y\n")
        assert (closed.exit_code, closed.stdout) == (1, "")
        assert f"{ref} is withdrawn" in closed.stderr


def test_a_package_is_handed_over_with_a_passphrase_shown_once(desk: Desk, tmp_path: Path) -> None:
    """The package leaves encrypted; its passphrase is printed, and the case is closed."""
    ref = desk.submit("access")
    desk.room.settle()
    nowhere = ("package", ref, "--to", str(tmp_path / "none" / "p.zip"))
    assert desk.refused(*nowhere, actor="anna", code=2)[0] == "usage"
    assert desk.room.job(ref)["state"] == "ready"
    file = tmp_path / "p.zip"
    done = desk.ok("package", ref, "--to", str(file), actor="anna")
    assert len(done["passphrase"]) == 29
    assert desk.mark.encode() not in file.read_bytes()
    again = ("package", ref, "--to", str(file))
    assert desk.refused(*again, actor="anna", code=1)[0] == "package_refused"
    assert ref not in {job["case"] for job in desk.ok("status")["jobs"]}


def test_a_changed_event_shows(alone: Desk) -> None:
    """A chain that was changed behind our back is told by exit code 1 and the first bad event."""
    ref = alone.submit("access")
    with alone.room.office.ledger.transaction() as cursor:
        cursor.execute("ALTER TABLE events DISABLE TRIGGER events_only_grow")
        cursor.execute("UPDATE events SET body = replace(body, 'other', 'mail') WHERE seq = 1")
        assert cursor.rowcount >= 1
    result = alone.run("explain", ref, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["first_bad"] == 1
    assert alone.run("evidence", "verify").exit_code == 1


def test_an_altered_certificate_shows(desk: Desk, tmp_path: Path) -> None:
    """A certificate with one number changed is refused."""
    ref = desk.submit("erasure")
    desk.room.settle()
    desk.ok("approve", ref, "--yes", actor="berta")
    desk.room.settle()
    file = tmp_path / "c.json"
    desk.ok("certificate", ref, "--to", str(file), actor="anna")
    file.write_text(file.read_text().replace('"erased": 1', '"erased": 2', 1))
    result = desk.run("certificate", "verify", str(file), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problems"]


def test_a_refusal_is_delivered_before_it_ends(desk: Desk) -> None:
    """A refused case stays open until its letter has left."""
    ref = desk.submit("erasure")
    desk.room.settle()
    assert desk.ok("refuse", ref, "--ground", "ANY_UNFOUNDED", actor="anna")["state"] == "refused"
    assert desk.ok("status", ref)["next"] == f"dsr refuse {ref} --delivered"
    desk.ok("refuse", ref, "--delivered", actor="anna")
    assert desk.room.job(ref)["state"] == "closed"


def test_an_extension_is_taken_inside_the_window_once(desk: Desk) -> None:
    """An extension moves the due date; a second one is refused."""
    ref = desk.submit("access")
    (before,) = (c["due_at"] for c in desk.ok("due")["clocks"] if c["case"] == ref)
    desk.ok("extend", ref, "--reason", "complex", actor="anna")
    (after,) = (c["due_at"] for c in desk.ok("due")["clocks"] if c["case"] == ref)
    assert after > before
    again = ("extend", ref, "--reason", "complex")
    assert desk.refused(*again, actor="anna", code=1)[0] == "decision_refused"


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        (("refuse", "--ground", "NO"), "ANY_EXCESSIVE, ANY_NOT_IDENTIFIABLE, ANY_UNFOUNDED"),
        (("refuse", "--ground", "ANY_UNFUNDED"), "did you mean ANY_UNFOUNDED"),
        (("refuse", "--ground", "CA_NOT_VERIFIED"), "known: "),
        (("refuse", "--ground", "AC_RIGHTS_OF_OTHERS"), "known: "),
        (("extend", "--reason", "because"), "known: complex, many_requests"),
        (("extend", "--reason", "complx"), "did you mean complex"),
    ],
)
def test_a_case_is_refused_or_extended_on_what_its_law_knows(
    desk: Desk, decision: tuple[str, ...], says: str
) -> None:
    """A made-up ground or reason, or one of another law or right, changes nothing."""
    ref = desk.submit("erasure")
    before = desk.ok("status", ref)
    name, *options = decision
    assert says in desk.refused(name, ref, *options, actor="anna", code=2)[1]
    after = desk.ok("status", ref)
    assert (after["state"], after["clocks"]) == (before["state"], before["clocks"])


@pytest.mark.parametrize(
    ("action", "stated"), [("refuse", {"ground": "NO"}), ("extend", {"reason": "because"})]
)
def test_no_caller_passes_what_the_law_does_not_know(
    desk: Desk, action: str, stated: dict[str, str]
) -> None:
    """The rule stands in the decision itself, whoever calls it, and the chain stays as it was."""
    ref = desk.submit("erasure")
    before = desk.room.events(ref)
    (code,) = stated.values()
    signed = desk.room.sign("anna", action, ref, digest_of(action, ref, **stated))
    with pytest.raises(UnknownNameError):
        getattr(_deciding(desk.room.office, action), action)(ref, code, signed)
    assert desk.room.events(ref) == before


def _deciding(office: Office, action: str) -> Clocks | Decisions:
    return office.clocks if action == "extend" else office.decisions


def test_verification_takes_one_way_at_a_time(desk: Desk) -> None:
    """A case without a proven person waits; an attestation takes it on, a wrong code does not."""
    ref = desk.ok("submit", "--kind", "access", *desk.named, "--country", "DE", actor="anna")[
        "case"
    ]
    assert desk.refused("verify", ref, actor="anna", code=2)[0] == "usage"
    prose = ("verify", ref, "--attest", "I saw her passport")
    assert desk.refused(*prose, actor="anna", code=2)[0] == "usage"
    wrong = ("verify", ref, "--code", "000000")
    assert desk.refused(*wrong, actor="anna", code=1)[0] == "decision_refused"
    assert desk.ok("verify", ref, "--attest", "passport_seen", actor="anna")["state"] == "resolving"
