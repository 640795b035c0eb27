"""The edges of the command line: wrong names, years and bytes, each with its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click import Argument, Command, Context, Group
from pydantic import SecretStr

from dsr_worker.cli import dsr
from tests.integration.cli_desk import Desk

AT = "2026-11-01T10:00+01:00"
SECRET = "zqsecretzq"  # stands where a person's value may slip to, and never comes back


@pytest.fixture(scope="module")
def desk(shared: Desk) -> Desk:
    """One installation; nothing here changes it."""
    shared.person = 1
    return shared


SUBMIT = ("submit", "--kind", "access", "--email", "p.zq0001zq@mail.example")
DECLARE = ("breach", "declare", "--aware", AT)
_HOLD_FOR = ("hold", "place", "--matter", "m-1", "--review", "2027-06-30", "--reason")
HOLD = (*_HOLD_FOR, "ER_LEGAL_CLAIMS")
WHAT_IF = ("due", "--right", "access", "--received", AT)

WRONG_NAMES = [
    ((*SUBMIT, "--law", "eu-gpdr"), "did you mean eu-gdpr"),
    ((*SUBMIT, "--country", "DEE"), "or DE"),
    ((*SUBMIT, "--country", "FR", "--law", "us-ca-ccpa"), "does not apply in FR"),
    ((*SUBMIT, "--country", "DE", "--zone", "Europe/Berln"), "did you mean Europe/Berlin"),
    (("submit", "--kind", "acces", *SUBMIT[3:], "--country", "DE"), "access, complaint, erasure"),
    ((*SUBMIT[:3], "--identity", "emial=a@b.example", "--country", "DE"), "did you mean email"),
    ((*SUBMIT, "--country", "DE", "--language", "german"), "two small letters"),
    ((*SUBMIT, "--country", "DE", "--verify", "kode"), "did you mean code"),
    ((*DECLARE, "--leaked", "crn"), "did you mean crm"),
    ((*DECLARE, "--leaked", "crm.custmers"), "did you mean customers"),
    ((*DECLARE, "--leaked", "crm."), "has no such collection"),
    ((*DECLARE, "--leaked", "crm.customers:emial"), "did you mean email"),
    ((*DECLARE, "--leaked", "crm:email"), "SYSTEM.COLLECTION:FIELD"),
    ((*DECLARE, "--leaked", "crm", "--market", "DEE"), "or DE"),
    ((*DECLARE, "--leaked", "crm", "--lead-country", "XX"), "unknown country"),
    ((*DECLARE, "--leaked", "crm", "--harm", "hihg"), "did you mean high"),
    ((*HOLD, "--dataset", "crn"), "did you mean crm"),
    ((*HOLD, "--dataset", "crm."), "has no such collection"),
    ((*HOLD, "--rows", "crm.invoice.id=1"), "did you mean invoices"),
    ((*HOLD, "--rows", "crm.invoices.idd=1"), "did you mean id"),
    ((*_HOLD_FOR, "ER_LEGAL_CLAIM", "--dataset", "crm"), "did you mean ER_LEGAL_CLAIMS"),
    ((*_HOLD_FOR, "AC_TRADE_SECRET", "--dataset", "crm"), "unknown reason for a hold"),
    ((*HOLD, "--review", "2020-06-30", "--dataset", "crm"), "the review lies in the past"),
    ((*HOLD, "--identity", "costumer_number=1"), "did you mean customer_number"),
    (("check", "--system", "crn"), "did you mean crm"),
    (("connectors", "propose", "crn"), "did you mean crm"),
    (("sweep", "plan", "trail"), "did you mean trial"),
    (("standing", "approve", "trail", "--rows", "1", "--share", "0.1"), "did you mean trial"),
    (("init", "--policy", "de-shap"), "did you mean de-shop"),
    (("statutes", "show", "eu-gpdr"), "did you mean eu-gdpr"),
    ((*WHAT_IF, "--country", "DEE"), "or DE"),
    ((*WHAT_IF, "--law", "eu-gpdr"), "did you mean eu-gdpr"),
    ((*WHAT_IF, "--country", "DE", "--zone", "Europe/Berln"), "did you mean Europe/Berlin"),
    (("due", "--right", "acess", "--received", AT, "--country", "DE"), "did you mean access"),
    (("due", "--breach", "--aware", AT, "--country", "DEE"), "or DE"),
    (("hold", "plac"), "did you mean place"),
    (("breach", "told", "B-2026-000001", "authority:DE"), "such as 2026-11-21T10:00+01:00"),
    ((*HOLD[:4], *HOLD[6:], "--dataset", "crm"), "such as 2027-03-31"),
    ((*SUBMIT, "--country", "Germany"), "did you mean DE"),
    ((*SUBMIT, "--country", "germny"), "did you mean DE"),
    ((*DECLARE, "--leaked", "crm", "--market", "United Kingdom"), "did you mean GB"),
    ((*WHAT_IF, "--country", "Austria"), "did you mean AT"),
]


@pytest.mark.parametrize(("args", "says"), WRONG_NAMES, ids=[" ".join(a) for a, _ in WRONG_NAMES])
def test_a_wrong_name_is_exit_code_two_with_the_near_one(
    desk: Desk, args: tuple[str, ...], says: str
) -> None:
    """Whatever is named wrongly, wherever it is typed: wrong input, and what is near."""
    before = desk.jobs()
    assert says in desk.refused(*args, actor=_actor(args), code=2)[1]
    assert desk.jobs() == before


def _actor(args: tuple[str, ...]) -> str | None:
    signed = args[0] == "submit" or args[1] in {"declare", "place", "plan", "approve"}
    return "anna" if signed else None


@pytest.mark.parametrize("year", ["0001", "1969", "2100", "9999"])
def test_years_outside_the_window_are_wrong_input(desk: Desk, year: str, tmp_path: Path) -> None:
    """An instant or a day that no deadline can be counted from is told as a slip, everywhere."""
    at = f"{year}-06-15T10:00+14:00"
    rows = tmp_path / "r.csv"
    rows.write_text(f"kind,email,country,received\naccess,p.zq0001zq@mail.example,DE,{at}\n")
    for args in (
        ("due", "--country", "DE", "--right", "access", "--received", at),
        ("due", "--country", "DE", "--breach", "--aware", at),
        (*SUBMIT, "--country", "DE", "--received", at),
        (*DECLARE[:2], "--leaked", "crm", "--aware", at),
        (*DECLARE, "--leaked", "crm", "--from", at),
        (*DECLARE, "--leaked", "crm", "--until", at),
        ("breach", "told", "B-2026-000001", "authority:DE", "--at", at),
        (*HOLD, "--review", f"{year}-06-15", "--dataset", "crm"),
        ("standing", "approve", "trial", "--rows", "1", "--share", "0.1", "--until", at),
    ):
        code, message = desk.refused(*args, code=2)
        assert (code, "1970 to 2099" in message) == ("usage", True), args
    found = desk.run("submit", "--csv", str(rows), *desk.signing("anna"), "--json")
    (row,) = json.loads(found.stdout)["rows"]
    assert (found.exit_code, row["code"], "1970 to 2099" in row["message"]) == (1, "usage", True)


@pytest.mark.parametrize("at", ["1970-01-01T00:00+00:00", "2099-12-31T23:59-12:00"])
def test_the_edges_of_the_window_are_computed_with(desk: Desk, at: str) -> None:
    """The first and last instants that are taken give an answer or a clear refusal, no overflow."""
    right = ("due", "--country", "DE", "--right", "access", "--received", at, "--json")
    breach = ("due", "--country", "DE", "--breach", "--aware", at, "--json")
    window = (*DECLARE, "--leaked", "crm", "--from", at, "--market", "XX")
    expected = 2 if at.startswith("1970") else 0  # no law was in force then
    assert desk.run(*right).exit_code == expected
    assert desk.run(*breach).exit_code == expected
    assert "country" in desk.refused(*window, actor="anna", code=2)[1]


def test_the_clock_of_a_trial_stays_in_the_calendars(desk: Desk) -> None:
    """A trial's clock does not move past the years in which deadlines can be computed."""
    assert "2099" in desk.refused("clock", "advance", "P199Y", code=2)[1]
    assert desk.refused("clock", "advance", "P9999Y", code=2)[0] == "usage"


def test_an_unknown_hold_names_the_list_of_holds(desk: Desk) -> None:
    """Whoever mistypes a hold is sent to the holds, not to the cases."""
    args = ("hold", "release", "H-1")
    assert "dsr hold list" in desk.refused(*args, actor="anna", code=4)[1]


# ---- bytes


def test_identities_that_are_no_utf8_are_wrong_input(desk: Desk) -> None:
    """Bytes of another encoding on stdin make no case, are told as such, and do not come back."""
    before = desk.jobs()
    args = ("submit", "--kind", "access", "--identities", "-", "--country", "DE")
    for raw in (
        '{"email": "' + SECRET + '\xfc@mail.example"}',
        '\ufeff{"email": "' + SECRET + '@mail.example"}',
    ):
        encoded = raw.encode("latin-1" if raw[0] == "{" else "utf-16")
        signed = [*args, *desk.signing("anna"), "--json"]
        result = desk.runner.invoke(dsr, signed, obj=desk.opening, input=encoded)
        assert result.exit_code == 2, result.output
        assert "UTF-8" in json.loads(result.stderr)["error"]["message"]
        assert SECRET not in result.output
    assert desk.jobs() == before


@pytest.mark.parametrize(
    ("stdin", "says"),
    [
        ("[" * 100_000, "no identities"),
        ("", "no identities"),
        ('["a@b.example"]', "no identities"),
        ('{"customer_number": 7}', "write it as text"),
        ('{"customer_number": ["7", 8.5]}', "write it as text"),
        ('{"email": null}', "no text"),
        ('{"email": {"home": "a@b.example"}}', "no text"),
        ('{"email": "a@b.example", "email": "c@d.example"}', "stands twice"),
    ],
)
def test_stdin_without_identities_is_wrong_input(desk: Desk, stdin: str, says: str) -> None:
    """JSON of another shape, or too deep to be one, is refused with what is wrong and wanted."""
    args = ("submit", "--kind", "access", "--identities", "-", "--country", "DE", "--json")
    result = desk.run(*args, *desk.signing("anna"), stdin=stdin)
    assert result.exit_code == 2
    assert says in json.loads(result.stderr)["error"]["message"]


def test_a_byte_order_mark_is_not_part_of_the_json(desk: Desk) -> None:
    """What a Windows editor puts before the first letter changes nothing."""
    args = ("submit", "--kind", "access", "--identities", "-", "--country", "DE", "--json")
    stdin = "\ufeff" + json.dumps({"email": desk.named[1]})
    assert desk.run(*args, *desk.signing("anna"), stdin=stdin).exit_code == 0


def test_a_file_that_is_no_utf8_is_refused_whole(desk: Desk, tmp_path: Path) -> None:
    """A CSV file in another encoding makes no case at all, and the line is named."""
    file = tmp_path / "r.csv"
    row = f"access,{SECRET}@mail.example,DE,k1\n".encode()
    file.write_bytes(b"kind,email,country,idempotency_key\n" + row + row.replace(b"k1", b"k\xfc"))
    before = desk.jobs()
    result = desk.run("submit", "--csv", str(file), *desk.signing("anna"), "--json")
    assert result.exit_code == 2
    message = json.loads(result.stderr)["error"]["message"]
    assert "UTF-8" in message
    assert "line 3" in message
    assert (result.stdout, SECRET in result.output) == ("", False)
    assert desk.jobs() == before


@pytest.mark.parametrize("key", ["k\x00", "k\udcfc", "k" * 201, "k\n1"])
def test_keys_are_short_codes(desk: Desk, key: str, tmp_path: Path) -> None:
    """A key that the ledger cannot keep is wrong input as an option, and one bad row in a file."""
    if "\x00" not in key:
        option = (*SUBMIT, "--country", "DE", "--idempotency-key", key)
        assert "short code" in desk.refused(*option, actor="anna", code=2)[1]
    if "\udcfc" not in key:
        file = tmp_path / "r.csv"
        cell = key.replace("\n", "\x1b")
        file.write_text(f"kind,email,country,idempotency_key\naccess,{desk.named[1]},DE,{cell}\n")
        found = desk.run("submit", "--csv", str(file), *desk.signing("anna"), "--json")
        assert found.exit_code == 1
        assert json.loads(found.stdout)["rows"][0]["code"] == "usage"


# ---- every command


WALK = {
    "up": (("--workers", "0"), 2),
    "connectors propose": (("crn",), 2),
    "down": (("--what",), 2),
    "health": (("extra",), 2),
    "migrate": (("extra",), 2),
    "worker": (("--processes", "many"), 2),
    "clock advance": (("8 years",), 2),
    "init": (("--policy", SECRET), 2),
    "check": (("--system", SECRET), 2),
    "connectors check": ((SECRET,), 2),
    "connectors grants": ((SECRET,), 2),
    "actor add": (("Not A Name",), 2),
    "actor list": (("extra",), 2),
    "actor retire": ((SECRET,), 4),
    "keys backup": (("/dev/null",), 1),
    "keys rotate": (("extra",), 2),
    "keys fingerprint": (("extra",), 2),
    "submit": (("--kind", SECRET, "--email", "a@b.example"), 2),
    "verify": ((SECRET, "--attest", "trial"), 4),
    "plan": ((SECRET,), 4),
    "approve": ((SECRET, "--yes"), 4),
    "choose": ((SECRET, "email"), 2),
    "retention rules": ((SECRET,), 2),
    "retry": ((SECRET,), 4),
    "withdraw": ((SECRET,), 4),
    "refuse": ((SECRET, "--ground", "not a code"), 2),
    "appeal": ((SECRET, "--decide", "perhaps"), 2),
    "letter": ((SECRET, "--about", "the weather"), 2),
    "acknowledge": ((SECRET,), 4),
    "also": ((SECRET, "--country", "DE"), 4),
    "pause": ((SECRET, "--ground", "they are slow"), 2),
    "resume": ((SECRET, "--ground", "identity"), 4),
    "replay": ((SECRET,), 4),
    "extend": ((SECRET, "--reason", "they are slow"), 2),
    "package": ((SECRET, "--to", "/no/such/folder/p.zip"), 2),
    "certificate": ((SECRET, "--to", "/no/such/folder/c.json"), 2),
    "certificate verify": (("/no/such/file",), 2),
    "hold place": ((*HOLD[2:], "--dataset", SECRET), 2),
    "hold list": (("extra",), 2),
    "hold release": ((SECRET,), 4),
    "hold review": ((SECRET, "--review", "2030-01-01"), 4),
    "leave": ((SECRET,), 4),
    "lift": ((SECRET, "--informed-on", "2026-11-01"), 4),
    "status": ((SECRET,), 4),
    "explain": ((SECRET,), 4),
    "decisions": ((SECRET,), 4),
    "evidence verify": ((SECRET,), 4),
    "due": (("--country", SECRET, "--right", "access", "--received", AT), 2),
    "statutes list": (("extra",), 2),
    "statutes show": ((SECRET,), 2),
    "statutes explain": ((SECRET,), 2),
    "statutes page": (("extra",), 2),
    "warnings": ((SECRET,), 2),
    "warnings ack": (("999999",), 4),
    "sweep plan": ((SECRET,), 2),
    "sweep status": ((SECRET,), 4),
    "sweep approve": ((SECRET,), 4),
    "sweep again": ((SECRET,), 4),
    "sweep abandon": ((SECRET, "--reason", "no reason"), 2),
    "sweep certificate": ((SECRET, "--to", "/no/such/folder/c.json"), 2),
    "standing approve": ((SECRET, "--rows", "1", "--share", "0.1"), 2),
    "standing revoke": (("trial", "--nonsense"), 2),
    "standing list": (("extra",), 2),
    "complaint show": ((SECRET,), 4),
    "complaint letter": ((SECRET, "--about", "the weather"), 2),
    "complaint note": ((SECRET, "--text", "/no/such/file"), 4),
    "complaint acknowledge": ((SECRET,), 2),
    "complaint investigate": ((SECRET,), 4),
    "complaint escalate": ((SECRET, "--to", "The Board"), 2),
    "complaint refer": ((SECRET, "--to", "somebody"), 2),
    "complaint resolve": ((SECRET, "--outcome", "perhaps"), 2),
    "complaint deliver": ((SECRET,), 4),
    "complaint withdraw": ((SECRET,), 4),
    "breach declare": (("--leaked", SECRET, "--aware", AT), 2),
    "breach show": ((SECRET,), 4),
    "breach write": ((SECRET, "/no/such/file"), 2),
    "breach judge": ((SECRET,), 2),
    "breach go-on": ((SECRET,), 4),
    "breach approve-notices": ((SECRET,), 4),
    "breach told": ((SECRET, "authority:DE", "--at", "yesterday"), 2),
    "breach unknown": ((SECRET, "perhaps"), 2),
    "breach close": ((SECRET,), 4),
}
"""Command -> arguments with a bad value, and the exit code of docs/cli.md for it."""


def _leaves(command: Command, path: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(command, Group):
        yield " ".join(path)
        return
    if command.invoke_without_command or path == ("certificate",):
        yield " ".join(path)
    context = Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from _leaves(found, (*path, name))


def test_the_walk_knows_every_command() -> None:
    """A new command comes with a bad value of its own."""
    assert sorted(_leaves(dsr, ())) == sorted(WALK)


@pytest.mark.parametrize("command", list(WALK))
def test_every_command_refuses_a_bad_value_by_its_exit_code(desk: Desk, command: str) -> None:
    """A bad value gives the documented exit code, one error object, and does not come back."""
    args, expected = WALK[command]
    result = desk.run(*command.split(), *args, "--json")
    if "--as" in _options(command):
        result = desk.run(*command.split(), *args, *desk.signing("anna"), "--json")
    assert result.exit_code == expected, result.output
    error = json.loads(result.stderr)["error"]
    assert error["message"]
    assert error["code"] != "unexpected"
    assert SECRET not in result.output
    assert result.stdout == ""


def _options(command: str) -> set[str]:
    found: Command = dsr
    for name in command.split():
        assert isinstance(found, Group)
        inner = found.get_command(Context(found), name)
        assert inner is not None
        found = inner
    return {flag for p in found.params if not isinstance(p, Argument) for flag in p.opts}


# ---- what is not set up


def test_a_ledger_that_was_never_migrated_is_told_before_its_key_ring(
    desk: Desk, tmp_path: Path, database: Callable[[], str]
) -> None:
    """With an empty ledger and no key ring the remedy is `dsr migrate`, which makes both."""
    empty = SecretStr(database())
    before = desk.opening.settings
    settings = desk.room.settings.model_copy(
        update={"ledger_dsn": empty, "key_ring": tmp_path / "ring.json"}
    )
    try:
        desk.opening.settings = settings
        code, message = desk.refused("status", code=3)
        assert (code, "dsr migrate" in message) == ("schema", True)
        assert desk.ok("migrate")["schema"] == "current"
        assert settings.key_ring_file.exists()
        desk.ok("status")
    finally:
        desk.opening.settings = before


def test_a_policy_in_force_without_a_file_is_told_with_file_and_line(desk: Desk) -> None:
    """A misspelt policy in organisation.yaml stops every command with where it stands."""
    file = desk.room.settings.config_dir / "organisation.yaml"
    text = file.read_text()
    assert "policies: [trial]" in text
    try:
        file.write_text(text.replace("policies: [trial]", "policies: [tryal]"))
        code, message = desk.refused("status", code=3)
        assert code == "files"
        assert "organisation.yaml:" in message
        assert "did you mean trial" in message
    finally:
        file.write_text(text)


def test_markets_that_no_law_covers_are_found_by_check(desk: Desk) -> None:
    """An unknown market is an error of `dsr check`, with file, line and what is near."""
    file = desk.room.settings.config_dir / "organisation.yaml"
    text = file.read_text()
    line = next(n for n, t in enumerate(text.splitlines(), 1) if t.startswith("markets:"))
    try:
        file.write_text(text.replace("markets: [", "markets: [XX, US, "))
        result = desk.run("check", "--json")
    finally:
        file.write_text(text)
    findings = json.loads(result.stdout)["findings"]
    found = [f["message"] for f in findings if f["severity"] == "error"]
    assert result.exit_code == 1
    assert len(found) == 2, found
    assert "markets.0: unknown country" in found[0]
    assert "markets.1: unknown country with a law pack" in found[1]
    assert all(f"organisation.yaml:{line}:" in message for message in found)


def test_a_file_that_is_no_key_is_told_as_such(desk: Desk) -> None:
    """Advice fits: a file of another kind is no key of ours, and `dsr actor add` makes one."""
    args = (*SUBMIT, "--country", "DE", "--as", "anna", "--key", "/etc/passwd")
    code, message = desk.refused(*args, code=3)
    assert code == "actor_key"
    assert "not a key of ours" in message
    assert "dsr actor add" in message
