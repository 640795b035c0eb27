"""What is taken in, what is refused, and never a value said back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.cli_desk import Desk

# ---- what is refused


@pytest.mark.parametrize("kind", ["objection", "portability", "nonsense"])
def test_kinds_not_carried_out_are_refused_with_the_list(desk: Desk, kind: str) -> None:
    """What is not carried out is not taken in; the refusal names what is."""
    args = ("submit", "--kind", kind, *desk.named, "--country", "DE", "--attest", "trial")
    code, message = desk.refused(*args, actor="anna", code=2)
    assert code == "kind_refused"
    assert "access, complaint, erasure" in message


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


def test_a_repeated_request_is_told_with_the_days_of_the_first(desk: Desk) -> None:
    """Sent again a day later under its key, it is due when it was: no clock begins anew."""
    args = ("submit", "--kind", "access", *desk.named, "--country", "DE")
    key = ("--idempotency-key", f"web-{desk.mark}")
    first = desk.ok(*args, *key, "--received", "2026-11-02T10:00+01:00", actor="anna")
    again = desk.ok(*args, *key, actor="anna")
    assert (again["case"], again["repeated"]) == (first["case"], True)
    assert again["clocks"] == first["clocks"]
