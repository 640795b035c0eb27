"""What a stuck case tells: what its systems said, how to go on, and never a value."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from dsr_worker.contract import Configuration, LeaseLost, Permanent, Transient
from dsr_worker.engine.batch import Batch
from dsr_worker.ledger.rows import StepResult
from dsr_worker.ledger.statements import ALONE_LIMIT
from dsr_worker.logs import LONGEST_TEXT, only_allowed
from tests.integration.cli_desk import Desk

_TEXT = "Postgres: ForeignKeyViolation 23503 of fk_orders: nothing was changed"
_VALUE = "Erika Mustermann"


@pytest.fixture
def desk(shared: Desk) -> Iterator[Desk]:
    """The installation with its own performers; what stopped in it is over afterwards."""
    performers: Any = shared.room.workshop.drainer._performers
    own = dict(performers)
    shared.person += 1
    yield shared
    performers.update(own)
    shared.room.rows("UPDATE steps SET state = 'cancelled' RETURNING id")


def _stuck(desk: Desk, error: Exception | None, action: str = "resolve") -> str:
    """A case whose steps of this action meet an error for good."""
    case = desk.submit("access")
    _meet(desk, error, action)
    for _ in range(1 if isinstance(error, Transient) else ALONE_LIMIT + 1):
        desk.room.rows("UPDATE steps SET run_at = now() WHERE state = 'waiting' RETURNING id")
        desk.room.settle()
    return case


def _meet(desk: Desk, error: Exception | None, action: str = "resolve") -> None:
    def perform(_batch: Batch) -> Sequence[StepResult]:
        raise error or LeaseLost

    performers: Any = desk.room.workshop.drainer._performers
    performers[action] = perform


def _stop(desk: Desk, case: str) -> dict[str, Any]:
    (stop,) = [s for s in desk.ok("status", case)["stops"] if s["system"] == "crm"]
    return dict(stop)


@pytest.mark.parametrize(
    ("error", "code", "remedy"),
    [
        (Permanent(_TEXT), "permanent", "dsr retry"),
        (Configuration(_TEXT), "configuration", "dsr connectors check crm"),
        (Transient(_TEXT, retry_after_s=60), "transient", "by itself"),
    ],
)
def test_status_tells_what_a_system_said_and_what_helps(
    desk: Desk, error: Exception, code: str, remedy: str
) -> None:
    """The text of a connector's error stands in the case's status, with what to do about it."""
    case = _stuck(desk, error)
    stop = _stop(desk, case)
    assert (stop["code"], stop["error"]) == (code, f"{type(error).__name__}: {_TEXT}")
    assert remedy in stop["remedy"]
    shown = desk.run("status", case).stdout
    assert _TEXT in shown
    assert remedy in shown


def test_other_exceptions_are_told_by_class_and_place_alone(desk: Desk) -> None:
    """The text of a foreign exception may quote a value: neither ledger nor status hold it."""
    case = _stuck(desk, ValueError(f"bad row: {_VALUE}"))
    stop = _stop(desk, case)
    assert stop["code"] == "quarantined"
    assert stop["error"].startswith("ValueError at ")
    assert "perform:" in stop["error"]
    assert "dsr retry" in stop["remedy"]
    held = desk.room.rows("SELECT s::text AS line FROM steps s")
    assert held
    assert not [row for row in held if _VALUE in row.line]


def test_a_step_whose_worker_died_keeps_that_as_its_reason(desk: Desk) -> None:
    """A quarantine after lost leases says that leases were lost."""
    case = desk.submit("access")
    _meet(desk, None)
    for _ in range(ALONE_LIMIT):
        desk.room.workshop.drainer("crm")
        desk.room.rows("UPDATE steps SET run_at = now() WHERE state = 'ready' RETURNING id")
    stop = _stop(desk, case)
    assert (stop["code"], "lease" in stop["error"]) == ("quarantined", True)


def test_an_error_goes_with_its_step(desk: Desk) -> None:
    """Once a step goes on, nothing tells of what it met before."""
    performers: Any = desk.room.workshop.drainer._performers
    right = performers["resolve"]
    case = _stuck(desk, Permanent(_TEXT))
    desk.ok("retry", case, actor="anna")
    assert not desk.room.rows("SELECT 1 FROM steps WHERE error <> '' AND state = 'ready'")
    performers["resolve"] = right
    desk.room.settle()
    assert desk.ok("status", case)["stops"] == []


def test_a_text_is_one_bounded_line_and_never_an_address(desk: Desk) -> None:
    """Whatever a connector writes, a line of the ledger and of the log stays a line."""
    long = "first\nsecond\x1b[31m " + "x" * 900
    stop = _stop(desk, _stuck(desk, Permanent(long)))
    assert stop["error"].startswith("Permanent: first second [31m xxx")
    assert len(stop["error"]) == LONGEST_TEXT
    desk.person += 1
    stop = _stop(desk, _stuck(desk, Permanent("refused p.zq@mail.example")))
    assert stop["error"].startswith("Permanent at ")


def test_the_log_tells_it_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A system that is away for hours warns once a case, not once an attempt."""
    with caplog.at_level(logging.WARNING):
        case = _stuck(desk, Transient(_TEXT, retry_after_s=60))
        for _ in range(2):
            desk.room.rows("UPDATE steps SET run_at = now() WHERE state = 'waiting' RETURNING id")
            desk.room.settle()
    told = [r for r in caplog.records if r.message == "step_stopped" and vars(r)["system"] == "crm"]
    assert len(told) == 1
    (line,) = [only_allowed(None, "warning", {"logger": r.name, **vars(r)}) for r in told]
    assert (line["job"], line["action"], line["code"]) == (case, "resolve", "transient")
    assert line["why"] == f"Transient: {_TEXT}"
    assert told[0].levelno == logging.WARNING


def test_a_code_that_no_mail_server_takes_offers_the_word_of_a_person(desk: Desk) -> None:
    """Without a mail server a person can still be verified, and the status says how."""
    args = ("submit", "--kind", "access", *desk.named, "--country", "DE")
    case = str(desk.ok(*args, actor="anna")["case"])
    desk.ok("verify", case, "--send-code", actor="anna")
    desk.room.settle()
    shown = desk.run("status", case).stdout
    assert "desk:send_code:mail_transient" in shown
    assert f"dsr verify {case} --attest METHOD" in shown
