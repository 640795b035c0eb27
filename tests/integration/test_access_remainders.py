"""What an access cannot show for now: told in time with its day, looked at again, never lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.cli import telling
from dsr_worker.contract import Permanent, Remainder
from dsr_worker.engine.batch import Batch
from dsr_worker.fulfil.decisions import DecisionRefused, refusal_digest
from dsr_worker.ledger.rows import StepResult
from tests.integration.access_packages import handed_over, left_out
from tests.integration.engine_room import EngineRoom

EMAIL = "p.zq0001zq@mail.example"
DOCUMENT = ("documents", ("doc-1",))


@pytest.fixture
def room(tmp_path: Path, ledger: Callable[[], str]) -> EngineRoom:
    """An installation with three customers."""
    made = EngineRoom(tmp_path, ledger())
    made.load_people(3)
    return made


def noon(room: EngineRoom, in_days: int) -> datetime:
    """Noon of a day from today on, by the business clock."""
    now: datetime = room.rows("SELECT business_now() AS now")[0].now
    on: date = now.astimezone(UTC).date() + timedelta(days=in_days)
    return datetime.combine(on, time(12), UTC)


def asked(room: EngineRoom) -> str:
    """An access case of the second customer, its package made."""
    ref = room.submit("access", email=EMAIL)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    return ref


def test_the_package_goes_out_and_names_what_it_lacks_with_its_day(room: EngineRoom) -> None:
    """An archive delays no answer: it is partial, and names place, ground and day."""
    until_at = noon(room, 3)
    room.system("files").refuse(*DOCUMENT, Remainder.ARCHIVED, until_at)
    ref = asked(room)
    made = handed_over(room, ref)
    day = str(until_at.date())
    assert left_out(made) == [("files", "documents", "store-archive", 1, day)]
    assert made["manifest.json"]["complete"] is False
    assert "has to be brought back first" in made["page"]
    assert "expected from" in made["page"]
    assert "letter zq0001zq" not in json.dumps(made)
    job = room.job(ref)
    assert (job["state"], job["closed_at"]) == ("answered_with_remainders", None)
    assert room.events(ref)[-1] == "remainders_left"
    clocks = room.rows("SELECT state FROM clocks WHERE job_id = %s", job["id"])
    assert {clock.state for clock in clocks} == {"met"}


def test_on_its_day_it_is_found_shown_and_the_case_closed(room: EngineRoom) -> None:
    """The rest is found by the tick, on a clock of our own, and handed over like the first part."""
    room.system("files").refuse(*DOCUMENT, Remainder.ARCHIVED, noon(room, 3))
    ref = asked(room)
    handed_over(room, ref)
    room.move_clock(days=2)
    room.settle()
    assert room.job(ref)["state"] == "answered_with_remainders", "before its day nothing is tried"
    room.move_clock(days=2)
    room.settle()
    job = room.job(ref)
    assert job["state"] == "ready"
    running = room.rows(
        "SELECT name FROM clocks WHERE job_id = %s AND settled_at IS NULL", job["id"]
    )
    assert [clock.name for clock in running] == ["carry-out"]
    made = handed_over(room, ref)
    assert left_out(made) == []
    assert made["manifest.json"]["complete"] is True
    assert "letter zq0001zq" in json.dumps(made["data/files/documents.json"])
    assert room.job(ref)["state"] == "closed"


def test_what_is_still_refused_bothers_nobody_and_is_tried_again(room: EngineRoom) -> None:
    """Without a date somebody looks every 30 days; a package is made when there is more to show."""
    files = room.system("files")
    files.refuse(*DOCUMENT, Remainder.DENIED)
    ref = asked(room)
    first = handed_over(room, ref)
    assert left_out(first)[0][4] is None
    for _ in range(2):
        before = len(room.events(ref))
        room.move_clock(days=31)
        room.settle()
        assert room.job(ref)["state"] == "answered_with_remainders"
        assert "package_made" not in room.events(ref)[before:]
        assert not room.rows("SELECT 1 FROM clocks WHERE settled_at IS NULL AND state <> 'void'")
    files.allow(*DOCUMENT)
    room.move_clock(days=31)
    room.settle()
    assert room.job(ref)["state"] == "ready"
    assert left_out(handed_over(room, ref)) == []
    assert room.job(ref)["state"] == "closed"


def test_an_access_that_owes_something_keeps_its_identities(room: EngineRoom) -> None:
    """Whom to look for again has to be known until all is shown; then the usual time runs."""
    room.system("files").refuse(*DOCUMENT, Remainder.ARCHIVED, noon(room, 400))
    ref = asked(room)
    handed_over(room, ref)
    room.move_clock(days=200)
    room.settle()
    assert room.job(ref)["data_key"] is not None
    room.move_clock(days=202)
    room.settle()
    assert left_out(handed_over(room, ref)) == []


def test_nothing_is_erased_by_an_access_that_owes_something(room: EngineRoom) -> None:
    """What it owes is no promise of an erasure: the rows are there afterwards as before."""
    room.system("files").refuse(*DOCUMENT, Remainder.ARCHIVED, noon(room, 3))
    before = {name: room.system(name).dump() for name in ("crm", "files")}
    ref = asked(room)
    handed_over(room, ref)
    room.move_clock(days=5)
    room.settle()
    assert not room.rows("SELECT 1 FROM promises")
    assert not room.rows("SELECT 1 FROM jobs WHERE kind = 'deferred'")
    assert {name: room.system(name).dump() for name in ("crm", "files")} == before


def test_status_names_what_an_access_still_owes(room: EngineRoom) -> None:
    """`dsr status` tells rows, ground and the day of the next look."""
    until_at = noon(room, 3)
    room.system("files").refuse(*DOCUMENT, Remainder.ARCHIVED, until_at)
    ref = asked(room)
    handed_over(room, ref)
    lines = list(telling._one_lines(telling._one(room.office, ref)))
    told = f"remainder   1 row(s) of files: store-archive; tried again on {until_at.date()}"
    assert told in lines
    assert "waits for   what a store refuses for now" in lines


def test_what_was_answered_is_not_refused_while_its_rest_is_looked_for(room: EngineRoom) -> None:
    """The package has left: a rest that meets a fault is shown or withdrawn, never refused."""
    room.system("files").refuse(*DOCUMENT, Remainder.ARCHIVED, noon(room, 3))
    ref = asked(room)
    handed_over(room, ref)
    performers: Any = room.workshop.drainer._performers
    performers["find"] = _falling
    room.move_clock(days=4)
    room.settle()
    assert room.job(ref)["state"] == "working"
    digest = refusal_digest(ref, "ANY_UNFOUNDED", ())
    with pytest.raises(DecisionRefused, match="has left already"):
        room.office.decisions.refuse(ref, "ANY_UNFOUNDED", room.sign("anna", "refuse", ref, digest))
    assert room.job(ref)["state"] == "working"
    decided = room.office.decisions.withdraw(ref, room.sign("anna", "withdraw", ref))
    assert decided.state == "withdrawn"


def _falling(_batch: Batch) -> Sequence[StepResult]:
    message = "the store refuses"
    raise Permanent(message)
