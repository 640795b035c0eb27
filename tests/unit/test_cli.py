"""The parts of the command line that need no installation: what-ifs, values, errors, stories."""

from __future__ import annotations

import importlib
import json
import string
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import psycopg2
import pytest
from click.testing import CliRunner

from dsr_worker.cli import dsr, faults, story
from dsr_worker.cli.output import local, remaining, table
from dsr_worker.cli.root import _COMMANDS
from dsr_worker.evidence import BODIES, Kind
from dsr_worker.fulfil.decisions import DecisionRefused


def run(*args: str) -> Any:
    """Call `dsr` with --json; what it printed."""
    result = CliRunner().invoke(dsr, [*args, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*args: str) -> tuple[int, str]:
    """Call `dsr` with --json, expecting an error; exit code and message."""
    result = CliRunner().invoke(dsr, [*args, "--json"])
    return result.exit_code, json.loads(result.stderr)["error"]["message"]


# ---- what the law would say


@pytest.mark.parametrize(
    ("received", "due_on", "conservative", "extended"),
    [
        ("2026-01-31T10:00+01:00", "2026-03-02", "2026-02-28", "2026-04-30"),
        ("2026-03-10T23:30+00:00", "2026-04-13", "2026-04-11", "2026-06-11"),
    ],
)
def test_the_what_if_of_a_request(
    received: str, due_on: str, conservative: str, extended: str
) -> None:
    """Month ends are clipped and weekends rolled in the statutory reading alone."""
    args = ("--law", "eu-gdpr", "--right", "access", "--country", "DE", "--received", received)
    said = run("due", *args)
    assert said["due_on"] == due_on
    assert said["conservative_due_on"] == conservative
    assert said["extended_due_on"] == extended
    assert said["acknowledge_by"] is None
    assert said["citation"]
    assert isinstance(said["verified"], bool)
    assert said["calendar_version"].startswith("holidays ")


def test_california_asks_for_an_acknowledgement() -> None:
    """Where the law wants one, the day of the acknowledgement stands beside the answer's."""
    args = ("--country", "US-CA", "--right", "erasure", "--received", "2026-03-02T09:00-08:00")
    said = run("due", *args)
    assert said["law"] == "us-ca-ccpa"
    assert said["acknowledge_by"] is not None
    assert said["acknowledge_by"] < said["due_on"]


def test_the_what_if_of_a_breach_is_72_hours_over_a_change_of_the_clock() -> None:
    """Hours run on instants: the night of the clock change does not lengthen them."""
    said = run("due", "--law", "eu-gdpr", "--breach", "--aware", "2026-03-27T17:20+01:00")
    found = {o["recipient"]: o for o in said["obligations"]}
    assert datetime.fromisoformat(found["authority"]["due_at"]) == datetime(
        2026, 3, 30, 16, 20, tzinfo=UTC
    )
    assert found["individuals"]["due_at"] is None
    assert all(o["citation"] for o in said["obligations"])


def _obligations(*args: str) -> dict[str, Any]:
    return {o["row"]: o for o in run("due", "--breach", *args)["obligations"]}


def test_the_what_if_of_a_breach_tells_the_last_day_as_that_day() -> None:
    """HIPAA's 60 days from 2026-01-15 end with 2026-03-16: nobody reads the day after."""
    found = _obligations("--law", "us-hipaa", "--aware", "2026-01-15T10:00-05:00")
    days = {(o["recipient"], o["due_on"], str(o["due_at"])[:19]) for o in found.values()}
    assert ("individuals", "2026-03-16", "2026-03-16T23:59:59") in days


def test_the_what_if_takes_the_events_from_which_a_law_counts() -> None:
    """California's attorney general hears after the letters; the SEC after materiality."""
    args = ("--law", "us-ca-ccpa", "--country", "US-CA", "--aware", "2026-02-01T10:00-08:00")
    waiting = _days(_obligations(*args), "attorney-general")
    told = _obligations(*args, "--told", "individuals=2026-02-20T10:00-08:00")
    assert (waiting, _days(told, "attorney-general")) == ([None], ["2026-03-07"])
    sec = ("--law", "us-sec-8k", "--aware", "2026-11-20T09:00-05:00")
    found = _obligations(*sec, "--started", "determination=2026-11-25T09:00-05:00")
    assert "2026-12-02" in {o["due_on"] for o in found.values()}


def _days(found: dict[str, Any], recipient: str) -> list[str | None]:
    return [o["due_on"] for o in found.values() if o["recipient"] == recipient]


@pytest.mark.parametrize(
    "more", [("--started", "lunch=2026-01-01T00:00Z"), ("--told", "authority"), ("--told", "x=y")]
)
def test_events_that_no_law_counts_from_are_told(more: tuple[str, str]) -> None:
    """A wrong event, recipient or instant is exit code 2 with what to write."""
    args = ("due", "--law", "eu-gdpr", "--breach", "--aware", "2026-03-27T17:20+01:00", *more)
    result = CliRunner().invoke(dsr, args)
    assert (result.exit_code, more[0] in result.output) == (2, True)


def test_wrong_names_get_the_near_ones() -> None:
    """A mistyped law, country or right is exit code 2 with a hint."""
    received = ("--received", "2026-01-31T10:00+01:00")
    code, message = refused("due", "--law", "eu-gpdr", "--right", "access", *received)
    assert (code, "eu-gdpr" in message) == (2, True)
    code, message = refused("due", "--country", "DEE", "--right", "access", *received)
    assert (code, "DE" in message) == (2, True)
    code, message = refused("due", "--country", "DE", "--right", "acess", *received)
    assert (code, "access" in message) == (2, True)
    assert refused("due", "--country", "DE", "--right", "access")[0] == 2
    assert refused("due", "--right", "access", *received)[0] == 2
    naive = ("--received", "2026-01-31T10:00")
    assert refused("due", "--country", "DE", "--right", "access", *naive)[0] == 2


def test_the_what_if_loads_no_ledger_and_no_connector() -> None:
    """A question about a deadline needs no database, queue, or other law or country."""
    code = (
        "import sys; from dsr_worker.cli import main\n"
        "try: main(['due','--law','eu-gdpr','--right','access','--country','DE',"
        "'--received','2026-01-31T10:00+01:00'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'psycopg2','sqlalchemy','alembic','dramatiq','boto3','botocore','redis',"
        "'pyzipper','jinja2','cryptography','pydantic_settings','connectors'}\n"
        "loaded = heavy & {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded, loaded\n"
        "loaded = {name for name in sys.modules if name.startswith('holidays.countries.')}\n"
        "assert loaded == {'holidays.countries.germany'}, loaded\n"
        "from dsr_worker.statutes import load, model\n"
        "assert load._loaded.cache_info().currsize == 1\n"
        "assert not load.retention_table.cache_info().currsize\n"
        "assert not model.RetentionTable.__pydantic_complete__"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr


def test_statutes_are_shown_with_their_standing() -> None:
    """Each law and rule says how sure we are of it."""
    listed = run("statutes", "list")
    assert {law["law"] for law in listed["laws"]} >= {"eu-gdpr", "uk-gdpr", "us-ca-ccpa"}
    assert all(rule["standing"] for rule in listed["retention"])
    shown = run("statutes", "show", "eu-gdpr")
    assert shown["pack"]["rights"]
    text = CliRunner().invoke(dsr, ["statutes", "show", "eu-gdpr"]).stdout
    assert "ER_LEGAL_CLAIMS" in text
    assert refused("statutes", "show", "eu-gpdr")[0] == 2


# ---- errors


def test_errors_of_libraries_are_named_by_class_alone() -> None:
    """What a database or a library quotes never reaches a person's terminal."""
    secret = "p.somebody@mail.example"
    for error in (
        psycopg2.DataError(f"invalid input: {secret}"),
        KeyError(secret),
        ValueError(secret),
        RuntimeError(secret),
    ):
        code, message, status = faults.described(error)
        assert secret not in f"{code}{message}"
        assert status in {1, 3}


def test_our_own_errors_keep_their_remedy() -> None:
    """A refusal of a room is shown as it is."""
    assert faults.described(DecisionRefused("wait until it is planned")) == (
        "decision_refused",
        "wait until it is planned",
        1,
    )


def test_every_error_named_in_the_table_exists() -> None:
    """A renamed exception would silently become an unexpected one."""
    for path in faults._KNOWN:
        module, _, name = path.rpartition(".")
        found = getattr(importlib.import_module(module), name)
        assert issubclass(found, Exception)


def test_a_wrong_command_gets_the_near_ones() -> None:
    """A mistyped command is exit code 2 and names what is near."""
    code, message = refused("submitt")
    assert (code, "submit" in message) == (2, True)


@pytest.mark.parametrize("name", list(_COMMANDS))
def test_every_command_can_be_asked_for_help(name: str) -> None:
    """Each command exists, explains itself, and offers JSON somewhere below it."""
    result = CliRunner().invoke(dsr, [name, "--help"])
    assert result.exit_code == 0, result.output
    command = dsr.get_command(click.Context(dsr), name)
    assert command is not None
    assert command.help
    leaves = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    for leaf in leaves:
        if leaf.name != "worker":
            assert any("--json" in option.opts for option in leaf.params), leaf.name


# ---- words


def test_every_kind_of_event_has_a_sentence() -> None:
    """A story leaves nothing out, and names only fields that its kind can hold."""
    assert set(story._SENTENCES) == {kind.value for kind in Kind}
    for kind, sentence in story._SENTENCES.items():
        named = {part[1] for part in string.Formatter().parse(sentence) if part[1]}
        assert named <= BODIES[Kind(kind)], kind


def test_a_sentence_shortens_digests_and_keeps_counts() -> None:
    """Digests are cut, lists counted, signatures mentioned."""
    event = {
        "seq": 1,
        "at": "2026-11-21T10:00:00.000000Z",
        "actor": "anna",
        "kind": "submitted",
        "body": {"request_kind": "access", "identities": ["ab" * 32], "signature": "cd" * 64},
    }
    text = story.told(event)["text"]
    assert text == "a request for access came in: 1 identities; signed"


def test_ends_of_days_are_told_as_days() -> None:
    """A due date's exclusive midnight is shown as the day that it ends."""
    assert local(datetime(2026, 3, 2, 23, tzinfo=UTC), "Europe/Berlin") == (
        "end of 2026-03-02 (Europe/Berlin)"
    )
    at = datetime(2026, 3, 30, 16, 20, tzinfo=UTC)
    assert local(at, "Europe/Berlin") == "2026-03-30 18:20 (Europe/Berlin)"
    assert remaining(timedelta(days=2, hours=3)) == "2 d 3 h"
    assert remaining(timedelta(minutes=-90)) == "1 h 30 min over"


def test_tables_are_as_wide_as_their_cells() -> None:
    """Columns stand under each other."""
    assert table(("a", "b"), [("long", None), ("x", 1)]) == [
        "a     b",
        "----  -",
        "long",
        "x     1",
    ]


def test_the_scripts_are_useful_by_themselves() -> None:
    """Each queue script explains itself."""
    scripts = Path(__file__).resolve().parents[2] / "scripts"
    for name in ("submit_request.py", "retention_sweep.py", "declare_breach.py"):
        done = subprocess.run(
            [sys.executable, str(scripts / name), "--help"], capture_output=True, check=False
        )
        assert (done.returncode, b"Usage: dsr" in done.stdout) == (0, True), done.stderr


def test_submitting_loads_neither_queue_nor_connector() -> None:
    """What takes a request in starts without the queue's library, S3's, and any connector."""
    code = (
        "import sys, dsr_worker.cli.submitting\n"
        "heavy = {'dramatiq','boto3','botocore','connectors'}\n"
        "loaded = heavy & {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
