"""The command line against an installation with a real ledger and in-memory systems."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from dsr_worker.cli import dsr
from dsr_worker.cli.desk import Opening
from dsr_worker.people import digest_of
from dsr_worker.registry import Registry
from dsr_worker.settings import Settings
from dsr_worker.statutes import UnknownNameError
from dsr_worker.testing.memory import Memory
from tests.integration.engine_room import ORGANISATION, POLICY, EngineRoom
from tests.services import Databases

PEOPLE = 40


class Desk:
    """`dsr` as two people call it on one machine. Each test asks for a person of its own."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder = folder
        self.room = EngineRoom(folder, dsn, organisation=ORGANISATION, policies={"trial": POLICY})
        self.room.load_people(PEOPLE)
        settings = self.room.settings.model_copy(update={"ledger_dsn": SecretStr(dsn)})
        self.opening = Opening(settings, Registry({"memory": Memory}))
        self.person = 0
        self.runner = CliRunner()

    @property
    def mark(self) -> str:
        """What stands in every value of this test's person."""
        return f"zq{self.person:04x}zq"

    @property
    def named(self) -> tuple[str, str]:
        """The option that names this test's person."""
        return ("--email", f"p.{self.mark}@mail.example")

    def run(self, *args: str, stdin: str | None = None) -> Result:
        """Call it; nothing it prints may be a traceback."""
        result = self.runner.invoke(dsr, list(args), obj=self.opening, input=stdin)
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert "Traceback" not in result.output
        return result

    def ok(self, *args: str, actor: str | None = None, stdin: str | None = None) -> dict[str, Any]:
        """Call it as somebody; what it printed as JSON."""
        result = self.run(*args, *(self.signing(actor) if actor else ()), "--json", stdin=stdin)
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def refused(self, *args: str, code: int, actor: str | None = None) -> tuple[str, str]:
        """Call it, expecting an exit code; code and message of the error."""
        result = self.run(*args, *(self.signing(actor) if actor else ()), "--json")
        assert result.exit_code == code, result.output
        error = json.loads(result.stderr)["error"]
        return error["code"], error["message"]

    def signing(self, actor: str) -> tuple[str, ...]:
        """The options by which somebody signs."""
        return ("--as", actor, "--key", str(self.folder / f"{actor}.key"))

    def submit(self, kind: str, *more: str, actor: str = "anna") -> str:
        """Submit a request of this test's person; its reference."""
        args = ("submit", "--kind", kind, *self.named, "--country", "DE", "--attest", "trial")
        return str(self.ok(*args, *more, actor=actor)["case"])

    def jobs(self) -> int:
        """How many jobs there are."""
        return len(self.room.rows("SELECT 1 FROM jobs"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, postgres_dsn: str) -> Iterator[Desk]:
    """One installation for every test that leaves others alone."""
    databases = Databases(postgres_dsn)
    desk = Desk(tmp_path_factory.mktemp("desk"), databases())
    yield desk
    desk.room.office.ledger.dispose()
    databases.drop_all()


@pytest.fixture
def desk(shared: Desk) -> Desk:
    """The shared installation, and a person of it for this test alone."""
    shared.person += 1
    return shared


@pytest.fixture
def alone(tmp_path: Path, database: Callable[[], str]) -> Iterator[Desk]:
    """An installation for a test that changes clock, keys, files or events."""
    desk = Desk(tmp_path, database())
    yield desk
    desk.room.office.ledger.dispose()


# ---- a case


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
        getattr(desk.room.office.decisions, action)(ref, code, signed)
    assert desk.room.events(ref) == before


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


# ---- what is refused


@pytest.mark.parametrize("kind", ["objection", "complaint", "nonsense"])
def test_kinds_not_carried_out_are_refused_with_the_list(desk: Desk, kind: str) -> None:
    """What is not carried out is not taken in; the refusal names what is."""
    args = ("submit", "--kind", kind, *desk.named, "--country", "DE", "--attest", "trial")
    code, message = desk.refused(*args, actor="anna", code=2)
    assert code == "kind_refused"
    assert "access, erasure" in message


def test_deletion_is_another_word_for_erasure(desk: Desk) -> None:
    """The alias makes an erasure."""
    assert desk.room.job(desk.submit("deletion"))["kind"] == "erasure"


HOSTILE = [
    ("email", "%"),
    ("email", "_@%.%"),
    ("email", ""),
    ("email", "   "),
    ("email", "null"),
    ("email", "Robert'); DROP TABLE customers;--"),
    ("email", "p.zq0003zq@m\u0430il.example"),
    ("email", "p.zq0003zq@mail.example\u200b"),
    ("email", "x" * 10_000 + "@mail.example"),
    ("email", "../../etc/passwd"),
    ("email", "p.zq0003zq@mail.example, p.zq0004zq@mail.example"),
    ("customer_number", "%"),
    ("customer_number", "_"),
    ("customer_number", "3%"),
    ("customer_number", "../3"),
    ("customer_number", "3 OR 1=1"),
    ("customer_number", "NULL"),
    ("phone", "(0)"),
    ("phone", "%49"),
    ("shoe_size", "42"),
    ("anna@mail.example", "x"),
]


def test_hostile_identifiers_are_refused_and_not_echoed(desk: Desk) -> None:
    """A value that cannot name one person makes no case, and does not come back in the output."""
    before = desk.jobs()
    for kind, value in HOSTILE:
        args = ("submit", "--kind", "access", "--identity", f"{kind}={value}", "--country", "DE")
        result = desk.run(*args, *desk.signing("anna"), "--json")
        assert result.exit_code == 2, (kind, result.output)
        assert json.loads(result.stderr)["error"]["message"]
        assert len(value.strip()) <= 6 or value not in result.output
        assert "anna@" not in result.output
    assert desk.jobs() == before


def test_odd_identifiers_match_exactly_or_not_at_all(desk: Desk) -> None:
    """A value with wildcard letters or quotes that may be somebody's finds nobody else's data."""
    refs = []
    for kind, value in (
        ("email", "_._%@mail.example"),
        ("email", "o'neil@mail.example"),
        ("customer_number", "3_"),
    ):
        args = ("submit", "--kind", "erasure", "--identity", f"{kind}={value}", "--country", "DE")
        refs.append(desk.ok(*args, "--attest", "trial", actor="anna")["case"])
    desk.room.settle()
    for ref in refs:
        assert desk.ok("plan", ref)["outcomes"] == []


def test_identities_come_from_stdin_and_stay_out_of_the_output(desk: Desk) -> None:
    """Who asks may be read from stdin; it stands in no output."""
    args = ("submit", "--kind", "access", "--identities", "-", "--country", "DE")
    stdin = json.dumps({"email": [desk.named[1]], "customer-number": str(desk.person)})
    result = desk.run(*args, *desk.signing("anna"), stdin=stdin)
    assert result.exit_code == 0, result.output
    assert desk.mark not in result.output
    result = desk.run(*args, *desk.signing("anna"), stdin=desk.named[1])
    assert result.exit_code == 2
    assert desk.mark not in result.output


def test_a_value_in_the_wrong_place_is_not_echoed(desk: Desk) -> None:
    """A person's value where an option or command belongs never comes back."""
    value = desk.named[1]
    for args in (
        ("submit", "--kind", "access", value),
        (value,),
        ("status", value),
        ("submit", f"--{value}"),
        ("submit", "--kind", "access", *desk.named, "--received", value),
        ("submit", "--kind", "access", *desk.named, "--verify", value),
    ):
        for more in ((), ("--json",)):
            result = desk.run(*args, *more)
            assert result.exit_code in {2, 4}, result.output
            assert desk.mark not in result.output


def test_the_same_key_gives_the_same_case_and_another_content_is_refused(desk: Desk) -> None:
    """An idempotency key stands for one request."""
    at = ("--received", "2026-11-01T10:00+01:00", "--idempotency-key", "key-1")
    ref = desk.submit("access", *at)
    assert desk.submit("access", *at) == ref
    args = ("submit", "--kind", "erasure", *desk.named, "--country", "DE", "--attest", "trial", *at)
    code, message = desk.refused(*args, actor="anna", code=1)
    assert code == "request_refused"
    assert ref in message


def test_who_acts_follows_from_the_key(desk: Desk, tmp_path: Path) -> None:
    """Without a name the registered person of this key acts; a stranger's key does nothing."""
    desk.ok("actor", "add", "carla", "--key", str(tmp_path / "carla.key"))
    names = [a["actor"] for a in desk.ok("actor", "list")["actors"]]
    assert names == ["anna", "berta", "carla"]
    assert desk.ok("actor", "add", "carla", "--key", str(tmp_path / "carla.key"))["added"] is False
    args = ("submit", "--kind", "access", *desk.named, "--country", "DE", "--attest", "trial")
    ref = desk.ok(*args, "--key", str(tmp_path / "carla.key"))["case"]
    assert desk.room.job(ref)["submitted_by"] == "carla"
    other = ("--as", "anna", "--key", str(tmp_path / "carla.key"))
    assert desk.refused(*args, *other, code=1)[0] == "actor_refused"
    desk.ok("actor", "retire", "carla")
    retired = ("--key", str(tmp_path / "carla.key"))
    assert desk.refused(*args, *retired, code=1)[0] == "actor_refused"
    assert desk.refused(*args, "--key", str(tmp_path / "no.key"), code=3)[0] == "actor_key"
    assert desk.refused("actor", "add", "Carla!", code=2)[0] == "usage"
    assert desk.refused("actor", "retire", "dora", code=4)[0] == "not_found"


def test_an_unknown_case_is_exit_code_four(desk: Desk) -> None:
    """What is not there is told apart from what is refused."""
    for command in (("plan",), ("explain",), ("status",), ("retry",), ("breach", "show")):
        assert desk.run(*command, "C-2026-999999").exit_code == 4


# ---- many at once


def test_each_row_of_a_file_has_its_own_result(alone: Desk, tmp_path: Path) -> None:
    """A bad row stops no other, keys are respected, and no row's value comes back."""
    file = tmp_path / "requests.csv"
    before = alone.jobs()
    rows = [
        "kind,email,customer-number,country,received,attest,idempotency_key",
        "access,p.zq0021zq@mail.example,,DE,2026-11-01T10:00+01:00,letter,k1",
        "access,%,,DE,2026-11-01T10:00+01:00,letter,k2",
        'access,"p.zq0022zq@mail.example,,DE,2026-11-01T10:00+01:00,letter,k3',
        "",
        "erasure,,34,DE,2026-11-01T10:00+01:00,letter,k4",
        "access,p.zq0021zq@mail.example,,DE,2026-11-01T10:00+01:00,letter,k1",
        "rectification,p.zq0024zq@mail.example,,DE,2026-11-01T10:00+01:00,letter,k5",
        "access,,,DE,2026-11-01T10:00+01:00,letter,k6",
        "access,p.zq0025zq@mail.example,,DE,yesterday,letter,k7",
        "access,p.zq0026zq@mail.example,,XX,2026-11-01T10:00+01:00,letter,k8",
        "access,a,b,c,d,e,f,g,h,i",
        "erasure,p.zq0027zq@mail.example,,DE,2026-11-01T10:00+01:00,letter,k9",
    ]
    file.write_text("\n".join(rows), "utf-8")
    result = alone.run("submit", "--csv", str(file), *alone.signing("anna"), "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    status = {row["row"]: row["status"] for row in found["rows"]}
    assert [n for n, s in status.items() if s == "accepted"] == [1, 5, 6, 12]
    assert [n for n, s in status.items() if s == "refused"] == [2, 3, 7, 8, 9, 10, 11]
    cases = {row["row"]: row.get("case") for row in found["rows"]}
    assert cases[1] == cases[6]
    assert "zq002" not in result.output
    assert alone.jobs() == before + 3


def test_a_file_without_its_first_line_is_refused_whole(desk: Desk, tmp_path: Path) -> None:
    """Values where column names belong are not taken for columns, nor echoed."""
    file = tmp_path / "requests.csv"
    file.write_text("access,p.zq0001zq@mail.example\n", "utf-8")
    result = desk.run("submit", "--csv", str(file), *desk.signing("anna"))
    assert result.exit_code == 2
    assert "zq0001zq" not in result.output


# ---- holds, clocks, warnings


def test_a_hold_on_a_place_that_is_not_mapped_is_refused(desk: Desk) -> None:
    """A misspelt place would hold nothing, so it is refused with what there is."""
    rest = ("--reason", "ER_LEGAL_CLAIMS", "--matter", "m-1", "--review", "2027-06-30")
    for scope in (
        ("--dataset", "crn"),
        ("--dataset", "crm.invoice"),
        ("--rows", "crm.invoices.numbr=1"),
        ("--rows", "crm.invoices=1"),
        ("--rows", "crm.invoices.id=1", "--rows", "crm.carts.id=1"),
        ("--rows", "crm.invoices.id=1", *desk.named),
        (),
    ):
        assert desk.refused("hold", "place", *scope, *rest, actor="anna", code=2)[0] == "usage"
    prose = ("--dataset", "crm", "--reason", "they sue us", *rest[2:])
    assert desk.refused("hold", "place", *prose, actor="anna", code=2)[0] == "usage"


def test_holds_are_placed_listed_and_released(desk: Desk) -> None:
    """A hold on a person keeps their data in the plan; released, it is on the list no more."""
    rest = ("--reason", "ER_LEGAL_CLAIMS", "--matter", "m-1", "--review", "2027-06-30")
    ref = desk.ok("hold", "place", *desk.named, *rest, actor="anna")["hold"]
    rows = ("--rows", "crm.invoices.id=38-new", "--rows", "crm.invoices.id=39-new")
    desk.ok("hold", "place", *rows, *rest, actor="anna")
    assert {h["scope"] for h in desk.ok("hold", "list")["holds"]} == {"subject", "rows"}
    case = desk.submit("erasure")
    desk.room.settle()
    assert {o["outcome"] for o in desk.ok("plan", case)["outcomes"]} == {"retained"}
    desk.ok("hold", "release", ref, actor="berta")
    assert [h["scope"] for h in desk.ok("hold", "list")["holds"]] == ["rows"]
    assert desk.refused("hold", "release", ref, actor="berta", code=1)[0] == "decision_refused"


def test_a_release_names_the_day_on_which_what_was_held_goes_on(desk: Desk, tmp_path: Path) -> None:
    """What an erasure left under a hold is told with its day: at release, in both lists."""
    rest = ("--reason", "ER_LEGAL_CLAIMS", "--matter", "m-9", "--review", "2027-06-30")
    hold = desk.ok("hold", "place", *desk.named, *rest, actor="anna")["hold"]
    case = desk.submit("erasure")
    desk.room.settle()
    desk.ok("approve", case, "--yes", actor="berta")
    desk.room.settle()
    desk.ok("certificate", case, "--to", str(tmp_path / "c.json"), actor="anna")
    waiting = _promises(desk, case)
    rows = sum(promise["rows"] for promise in waiting)
    assert {promise["due_on"] for promise in waiting} == {None}
    assert rows > 0
    assert "once the hold on them is released" in _line(desk, f"{case} promised", "due")
    assert hold not in {row["hold"] for row in desk.ok("hold", "list")["released"]}
    (now,) = desk.room.rows("SELECT business_now()::date + 14 AS goes_on")
    day = now.goes_on.isoformat()
    done = desk.ok("hold", "release", hold, actor="berta")
    assert (done["due_on"], done["cases"], done["rows"]) == (day, [case], rows)
    assert {(p["due_on"], p["last_due_on"]) for p in _promises(desk, case)} == {(day, day)}
    assert f"on {day}" in _line(desk, f"{case} promised", "due")
    assert day in _line(desk, case, "hold", "list")
    listed = {row["hold"]: row["due_on"] for row in desk.ok("hold", "list")["released"]}
    assert listed[hold] == day


def _promises(desk: Desk, case: str) -> list[dict[str, Any]]:
    return [p for p in desk.ok("due")["promises"] if p["case"] == case]


def _line(desk: Desk, start: str, *args: str) -> str:
    return next(line for line in desk.run(*args).stdout.splitlines() if start in line)


def test_a_release_that_frees_nothing_says_so(desk: Desk) -> None:
    """Without an erasure that waited, a release names no day."""
    rest = ("--reason", "ER_LEGAL_CLAIMS", "--matter", "m-8", "--review", "2027-06-30")
    hold = desk.ok("hold", "place", *desk.named, *rest, actor="anna")["hold"]
    done = desk.run("hold", "release", hold, *desk.signing("berta"))
    assert "no promised erasure waited" in done.stdout
    assert hold not in desk.run("hold", "list").stdout


def test_a_promise_is_listed_with_the_day_its_minimum_ends(desk: Desk) -> None:
    """What a statute keeps for now stands below the clocks, with case, day and rows."""
    case = desk.submit("erasure")
    desk.room.settle()
    desk.ok("approve", case, "--yes", actor="berta")
    desk.room.settle()
    (promise,) = _promises(desk, case)
    rows = desk.room.rows("SELECT due_on, row_count FROM promises ORDER BY id DESC LIMIT 1")
    assert (promise["due_on"], promise["rows"]) == (rows[0].due_on.isoformat(), rows[0].row_count)
    assert promise["due_on"] in _line(desk, f"{case} promised", "due")


def test_open_clocks_are_listed_soonest_first(desk: Desk) -> None:
    """`due` lists every open clock by the instant that alerts go by, and as a calendar."""
    now = datetime.now(UTC)
    later = desk.submit("access", "--received", (now - timedelta(days=1)).isoformat())
    sooner = desk.submit("erasure", "--received", (now - timedelta(days=20)).isoformat())
    everything = desk.ok("due")["clocks"]
    clocks = [c for c in everything if c["case"] in {sooner, later}]
    assert [c["case"] for c in clocks] == [sooner, later]
    assert all(c["zone"] == "Europe/Berlin" and c["citation"] for c in clocks)
    assert clocks[0]["remaining_s"] < clocks[1]["remaining_s"]
    calendar = desk.run("due", "--ics").stdout
    assert calendar.count("BEGIN:VEVENT") == len(everything)
    assert sooner in desk.run("due").stdout


def test_a_command_ticks_and_warnings_are_acknowledged(desk: Desk) -> None:
    """With no worker ticking, any command raises the warnings that are due; a person ends them."""
    received = (datetime.now(UTC) - timedelta(days=29)).isoformat()
    ref = desk.submit("access", "--received", received)
    desk.ok("status")
    standing = [w for w in desk.ok("warnings")["warnings"] if w["ref"] == ref]
    done = desk.ok("warnings", "ack", str(standing[0]["id"]), actor="berta")
    assert done["acknowledged"] == 1
    desk.ok("warnings", "ack", ref, actor="berta")
    assert ref not in {w["ref"] for w in desk.ok("warnings")["warnings"]}
    assert desk.refused("warnings", "ack", "999999", actor="berta", code=4)[0] == "not_found"


def test_nobody_at_work_is_said_loudly(alone: Desk) -> None:
    """Open work without a living worker is told by every command: a line, or in its JSON."""
    with alone.room.office.ledger.transaction() as cursor:
        cursor.execute("UPDATE workers SET seen_at = now() - interval '2 minutes'")
    assert "notes" not in alone.ok("status")
    alone.submit("access")
    said = alone.run("status", "--json")
    assert said.stderr == ""
    told = json.loads(said.stdout)
    assert told["jobs"]
    assert "NO WORKER IS RUNNING" in told["notes"][0]
    failed = alone.run("plan", "C-2026-999999", "--json")
    assert failed.stdout == ""
    assert "NO WORKER IS RUNNING" in json.loads(failed.stderr)["notes"][0]
    assert "NO WORKER IS RUNNING" in alone.run("status").stderr


def test_the_clock_of_a_trial_moves(alone: Desk) -> None:
    """A trial's business clock moves by a calendar period; a wrong period is refused."""
    now = alone.ok("clock", "advance", "P8Y")["now"]
    assert datetime.fromisoformat(now) > datetime.now(UTC) + timedelta(days=8 * 365)
    assert alone.refused("clock", "advance", "8 years", code=2)[0] == "usage"
    with alone.room.office.ledger.transaction() as cursor:
        cursor.execute("UPDATE instance SET clock_offset = '0', trial = false")
    assert alone.refused("clock", "advance", "P1D", code=1)[0] == "no_trial"


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
