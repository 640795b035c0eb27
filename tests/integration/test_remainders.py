"""What a store refuses for now: told in time, tried again on its day, closed when it is gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.cli import telling, waiting
from dsr_worker.contract import Remainder
from dsr_worker.evidence import render_certificate
from dsr_worker.ledger import reports
from tests.integration.engine_room import ORGANISATION, EngineRoom

EMAIL = "p.zq0001zq@mail.example"
DOCUMENT = ("documents", ("doc-1",))
OTHER = ("documents", ("doc-1b",))
SIGNATURE = {"algorithm": "Ed25519", "public_key": "00", "value": "00"}


@pytest.fixture
def room(tmp_path: Path, ledger: Callable[[], str]) -> EngineRoom:
    """An installation with three customers, the second with two documents."""
    made = EngineRoom(tmp_path, ledger())
    made.load_people(3)
    more = {"id": "doc-1b", "owner": "1", "text": "letter"}
    made.system("files").load({"documents": [more]}, {"documents": ("id",)})
    return made


def today(room: EngineRoom) -> date:
    """The business clock's day."""
    now: datetime = room.rows("SELECT business_now() AS now")[0].now
    return now.astimezone(UTC).date()


def noon(room: EngineRoom, in_days: int) -> datetime:
    """Noon of a day from today on."""
    return datetime.combine(today(room) + timedelta(days=in_days), time(12), UTC)


def answered(room: EngineRoom) -> tuple[str, dict[str, Any]]:
    """Have the second customer erased and the answer handed over: its case and certificate."""
    ref = room.submit("erasure", email=EMAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    return ref, room.hand_over(ref)


def refused(made: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What a certificate says a store refuses for now."""
    told = ("system", "collection", "rows", "ground", "due_on")
    return [tuple(d[of] for of in told) for d in made["deferred"] if d["refused_by_store"]]


def deferred(room: EngineRoom) -> list[Any]:
    """The jobs that came back for what was left, in order."""
    return room.rows("SELECT ref, state, phase FROM jobs WHERE kind = 'deferred' ORDER BY id")


def documents(room: EngineRoom) -> set[str]:
    """What is left of the second customer's documents."""
    return {key[0] for key in room.system("files").dump()["documents"]} & {"doc-1", "doc-1b"}


def test_the_answer_goes_out_in_time_and_names_each_remainder(room: EngineRoom) -> None:
    """A locked row delays no answer: it is partial and names place, rows, ground and day."""
    until_at = noon(room, 20)
    room.system("files").refuse(*DOCUMENT, Remainder.LOCKED, until_at)
    ref, made = answered(room)
    assert made["response"]["nature"] == "partly_granted"
    assert refused(made) == [("files", "documents", 1, "store-lock", str(until_at.date()))]
    assert "store-lock" not in made["response"]["denial_grounds"]
    page = render_certificate(json.dumps({"certificate": made, "signature": SIGNATURE}).encode())
    assert "the storage system has it locked until a date" in page
    assert "tried again on the day named here" in page
    assert documents(room) == {"doc-1"}
    clocks = room.rows(
        "SELECT c.state FROM clocks c JOIN jobs j ON j.id = job_id WHERE ref = %s", ref
    )
    assert {clock.state for clock in clocks} == {"met"}


def test_a_case_with_remainders_is_not_closed_before_they_are_gone(room: EngineRoom) -> None:
    """Answered, it stays open; on the day it is carried out, looked at again, and closed."""
    room.system("files").refuse(*DOCUMENT, Remainder.LOCKED, noon(room, 20))
    ref, _ = answered(room)
    assert (room.job(ref)["state"], room.job(ref)["closed_at"]) == (
        "answered_with_remainders",
        None,
    )
    room.move_clock(days=19)
    room.settle()
    assert not deferred(room), "before its day nothing is tried"
    room.move_clock(days=2)
    room.settle()
    (job,) = deferred(room)
    assert [step[0] for step in room.steps(job.ref)] == ["locate", "apply", "recheck", "certify"]
    assert room.outcomes(job.ref) == {("files", "documents", "erased"): 1}
    assert documents(room) == set()
    room.tick()
    assert room.job(ref)["state"] == "closed"
    assert room.events(ref)[-2:] == ["remainders_left", "closed"]


def test_a_remainder_without_a_date_is_tried_again_and_again(room: EngineRoom) -> None:
    """A hold in the store has no date: every 30 days somebody looks, and no case ends before."""
    files = room.system("files")
    files.refuse(*DOCUMENT, Remainder.HELD)
    ref, made = answered(room)
    assert refused(made)[0][3:] == ("store-hold", str(today(room) + timedelta(days=30)))
    for tries in (1, 2):
        room.move_clock(days=31)
        room.settle()
        assert [job.state for job in deferred(room)] == ["closed"] * tries
        assert room.job(ref)["state"] == "answered_with_remainders"
        assert documents(room) == {"doc-1"}
    files.allow(*DOCUMENT)
    room.move_clock(days=31)
    room.settle()
    room.tick()
    assert (documents(room), room.job(ref)["state"]) == (set(), "closed")


def test_the_interval_is_the_organisations(tmp_path: Path, ledger: Callable[[], str]) -> None:
    """`remainders: {look_again_after: P3D}` says after how long a store is asked again."""
    own = f"{ORGANISATION}\nremainders: {{look_again_after: P3D}}\n"
    room = EngineRoom(tmp_path, ledger(), organisation=own)
    room.load_people(3)
    room.system("files").refuse(*DOCUMENT, Remainder.DENIED)
    _, made = answered(room)
    assert refused(made)[0][3:] == ("store-denied", str(today(room) + timedelta(days=3)))


def test_each_remainder_has_its_own_day(room: EngineRoom) -> None:
    """Two locks end on two days: the case stays open until the second has ended as well."""
    files = room.system("files")
    files.refuse(*DOCUMENT, Remainder.LOCKED, noon(room, 5))
    files.refuse(*OTHER, Remainder.LOCKED, noon(room, 50))
    ref, made = answered(room)
    (told,) = [d for d in made["deferred"] if d["refused_by_store"]]
    days = [str(today(room) + timedelta(days=n)) for n in (5, 50)]
    assert [told["rows"], told["due_on"], told["last_due_on"]] == [2, *days]
    room.move_clock(days=6)
    room.settle()
    room.tick()
    assert documents(room) == {"doc-1b"}
    assert room.job(ref)["state"] == "answered_with_remainders"
    room.move_clock(days=46)
    room.settle()
    room.tick()
    assert documents(room) == set()
    assert [job.state for job in deferred(room)] == ["closed", "closed"]
    assert room.job(ref)["state"] == "closed"


def test_there_is_one_promise_at_a_time_for_what_a_store_refuses(room: EngineRoom) -> None:
    """Remainders of several days are tried again on each of them, by one chain of jobs."""
    files = room.system("files")
    files.refuse(*DOCUMENT, Remainder.LOCKED, noon(room, 5))
    files.refuse(*OTHER, Remainder.HELD)
    ref, made = answered(room)
    assert sorted(told[3] for told in refused(made)) == ["store-hold", "store-lock"]
    for days, jobs in ((6, 1), (31, 2), (31, 3)):
        room.move_clock(days=days)
        room.settle()
        assert len(deferred(room)) == jobs
        (still,) = room.rows(
            "SELECT * FROM promises WHERE carried_out_by IS NULL AND system = %s", "files"
        )
        assert (still.grounds, still.row_count) == (["store-hold"], 1)
    files.allow(*OTHER)
    room.move_clock(days=31)
    room.settle()
    room.tick()
    assert (documents(room), room.job(ref)["state"]) == (set(), "closed")


def test_what_a_law_keeps_holds_no_case_open(room: EngineRoom) -> None:
    """A promise on a law's ground is no remainder: such a case is closed when it is answered."""
    ref, made = answered(room)
    assert made["deferred"], "the invoice of 2025 is kept"
    assert not refused(made)
    assert room.job(ref)["state"] == "closed"
    assert room.rows("SELECT awaited_by FROM promises")[0].awaited_by == []


def test_a_refusal_of_everything_is_no_denial(room: EngineRoom) -> None:
    """Where a store refuses all there is, the answer is partial: nothing of it was denied."""
    room.system("files").refuse(*DOCUMENT, Remainder.ARCHIVED)
    room.system("files").refuse(*OTHER, Remainder.ARCHIVED)
    ref = room.submit("erasure", customer_number="1")
    room.settle()
    for name in ("customers", "invoices", "carts"):
        for key in room.system("crm").dump()[name]:
            room.system("crm").refuse(name, key, Remainder.DENIED)
    room.approve(ref)
    room.settle()
    made = room.hand_over(ref)
    assert {outcome for _, _, outcome in room.outcomes(ref)} == {"retained"}
    assert made["response"] | {"responded_at": ""} == {
        "nature": "partly_granted",
        "denial_grounds": [],
        "responded_at": "",
    }


def test_status_and_story_tell_of_remainders(room: EngineRoom) -> None:
    """`dsr status` names what is still to come and when; the chain says why the case is open."""
    room.system("files").refuse(*DOCUMENT, Remainder.LOCKED, noon(room, 20))
    ref, _ = answered(room)
    with room.office.ledger.transaction() as cursor:
        (row,) = reports.open_jobs(cursor, ref)
    assert waiting.waits_for(row) == "what a store refuses for now"
    lines = list(telling._one_lines(telling._one(room.office, ref)))
    day = today(room) + timedelta(days=20)
    assert f"remainder   1 row(s) of files: store-lock; tried again on {day}" in lines
    assert "remainders_left" in room.events(ref)


def test_a_remainder_gone_before_the_hand_over_holds_nothing_open(room: EngineRoom) -> None:
    """Where it was carried out between making and handing over, the case is closed at once."""
    room.system("files").refuse(*DOCUMENT, Remainder.LOCKED, noon(room, 2))
    ref = room.submit("erasure", email=EMAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    room.move_clock(days=3)
    room.settle()
    assert [job.state for job in deferred(room)] == ["closed"]
    room.hand_over(ref)
    assert room.job(ref)["state"] == "closed"


def test_identities_of_an_answered_case_go_although_a_remainder_stays(room: EngineRoom) -> None:
    """A lock of years keeps no addresses for years: its promise has keys of its own."""
    room.system("files").refuse(*DOCUMENT, Remainder.LOCKED, noon(room, 400))
    ref, _ = answered(room)
    room.move_clock(days=181)
    room.settle()
    assert room.job(ref)["data_key"] is None
    assert room.job(ref)["state"] == "answered_with_remainders"
    room.move_clock(days=221)
    room.settle()
    room.tick()
    assert (documents(room), room.job(ref)["state"]) == (set(), "closed")


def test_an_answer_is_handed_over_again_while_remainders_stay(room: EngineRoom) -> None:
    """A second hand-over changes nothing of where the case stands."""
    room.system("files").refuse(*DOCUMENT, Remainder.HELD)
    ref, _ = answered(room)
    file = room.settings.config_dir.parent / "again.json"
    signed = room.sign("anna", "hand-over", ref)
    room.office.delivery.certificate(ref, file, signed)
    assert room.job(ref)["state"] == "answered_with_remainders"
    assert room.events(ref)[-1] == "package_handed_over"
