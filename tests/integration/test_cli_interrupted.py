"""Ctrl-C: what was done is told, and nobody reads that nothing was."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import click
import pytest

from dsr_worker.cli import confirming, submitting
from tests.integration.cli_desk import Desk

STAYS = "interrupted; what was committed before stays: see `dsr status`"


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Ctrl-C as in a terminal: what is started in the background may have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _press(*_: Any) -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("as_json", [True, False])
def test_an_interrupted_file_tells_the_rows_that_were_taken_in(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, as_json: bool
) -> None:
    """Rows done before Ctrl-C are printed as at the end, with exit code 130."""
    file = tmp_path / "r.csv"
    rows = (f"access,p{n}.{desk.mark}@mail.example,DE\n" for n in range(5))
    file.write_text("kind,email,country\n" + "".join(rows))
    submit, calls = submitting._submit, count(1)

    def _third_is_interrupted(*args: Any) -> Any:
        if next(calls) == 3:
            _press()
        return submit(*args)

    monkeypatch.setattr(submitting, "_submit", _third_is_interrupted)
    before = desk.jobs()
    more = ("--json",) if as_json else ()
    result = desk.run("submit", "--csv", str(file), *desk.signing("anna"), *more)
    assert result.exit_code == 130
    assert desk.jobs() - before == 2
    assert STAYS in result.stderr
    if not as_json:
        told = result.stdout.splitlines()
        assert [line.split(":")[0] for line in told] == ["row 1", "row 2"]
        return
    data = json.loads(result.stdout)
    assert [(row["row"], row["status"]) for row in data["rows"]] == [
        (1, "accepted"),
        (2, "accepted"),
    ]
    assert (data["accepted"], data["interrupted_at"]) == (2, 3)
    assert json.loads(result.stderr)["error"]["code"] == "interrupted"


def test_an_interrupted_wait_says_that_the_sweep_stands(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while workers count ends the waiting and not the sweep."""
    monkeypatch.setattr(time, "sleep", _press)
    before = desk.jobs()
    code, message = desk.refused("sweep", "plan", "trial", actor="anna", code=130)
    assert (code, message) == ("interrupted", STAYS)
    assert desk.jobs() == before + 1


def test_a_no_at_the_question_did_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an answer to a question says that nothing was done; Ctrl-C there is Ctrl-C."""
    case = desk.submit("erasure")
    desk.room.settle()
    args = ("approve", case, *desk.signing("berta"))
    no = desk.run(*args, stdin="n\n")
    assert (no.exit_code, "nothing was done" in no.stderr) == (1, True)

    def _interrupted(*_: Any, **__: Any) -> None:
        try:
            _press()
        except KeyboardInterrupt:
            raise click.Abort from None

    monkeypatch.setattr(click, "confirm", _interrupted)
    monkeypatch.setattr(confirming, "at_terminal", lambda: True)
    stopped = desk.run(*args)
    assert (stopped.exit_code, STAYS in stopped.stderr) == (130, True)
