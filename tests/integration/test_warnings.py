"""Warnings of clocks: once per threshold, along the chain, until somebody acknowledges."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from dsr_worker.ledger import jobs, reports, warnings
from dsr_worker.notify import calendar
from dsr_worker.notify.warnings import Warner
from dsr_worker.organisation import Link
from dsr_worker.organisation import Warnings as WarningRules
from tests.integration.breach_room import BreachRoom, parsed
from tests.services import Mail, SmtpSink

TEAM = Link(name="team", email="team@shop.example")
BOSS = Link(name="boss", email="boss@shop.example")
HOUR = 3_600.0


@pytest.fixture
def room(tmp_path: Path, ledger: Callable[[], str], smtp_sink: SmtpSink) -> BreachRoom:
    """An installation with a breach declared in Germany alone: two running clocks of 72 hours."""
    made = BreachRoom(tmp_path, ledger(), smtp_sink)
    made.ref = made.declare(markets=("DE",))  # type: ignore[attr-defined]  # the tests' one breach
    return made


def warner(
    room: BreachRoom, *chain: Link, lead_times: tuple[str, ...] = ("P7D", "P2D", "P1D")
) -> Warner:
    """A warner with these rules; it escalates after an hour."""
    rules = WarningRules(lead_times=lead_times, chain=chain or (TEAM, BOSS), escalate_after_s=3_600)
    return Warner(room.office.ledger, rules, room.mailer, "en")


def warnings_mail_body(mail: Mail) -> str:
    """What stands in a mail, as its reader sees it."""
    body = parsed(mail).get_body()
    assert body is not None
    return str(body.get_content())


def received(sink: SmtpSink) -> list[str]:
    """Who was warned, in order."""
    return [mail.recipients[0].partition("@")[0] for mail in sink.mails]


def test_each_threshold_warns_once_under_two_tickers(room: BreachRoom, smtp_sink: SmtpSink) -> None:
    """Two tickers at once raise one row and send one mail per clock and threshold."""
    tickers = [warner(room), warner(room)]
    start = threading.Barrier(2)

    def run(one: Warner) -> None:
        start.wait()
        for _ in range(3):
            one.look()
            one.deliver()

    threads = [threading.Thread(target=run, args=(one,)) for one in tickers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = room.rows("SELECT clock_id, threshold, sent FROM warnings ORDER BY 1, 2")
    assert [(row.threshold, row.sent) for row in rows] == [("P7D", 1), ("P7D", 1)]
    assert received(smtp_sink) == ["team", "team"]


def test_nearer_thresholds_follow_and_wider_ones_are_not_sent_late(
    room: BreachRoom, smtp_sink: SmtpSink
) -> None:
    """Of thresholds first seen together the nearest alone is sent; a later one is sent anew."""
    rules = warner(room, TEAM)
    room.move_clock(hours=30)
    rules.look()
    rules.deliver()
    assert len(smtp_sink.mails) == 2  # P2D of two clocks; P7D is on record
    with room.office.ledger.transaction() as cursor:
        job = jobs.lock_ref(cursor, room.ref)  # type: ignore[attr-defined]  # set by the fixture
        assert job is not None
        assert warnings.acknowledge(cursor, job, "anna") == 4
    room.move_clock(hours=20)
    rules.look()
    rules.deliver()
    rows = room.rows("SELECT threshold, sent FROM warnings ORDER BY 1, 2")
    assert [tuple(row) for row in rows] == [("P1D", 1)] * 2 + [("P2D", 1)] * 2 + [("P7D", 0)] * 2


def test_a_warning_says_what_to_do_and_names_nobody(room: BreachRoom, smtp_sink: SmtpSink) -> None:
    """A warning holds the case, the clock, the due instant in its zone and what to do."""
    rules = warner(room)
    rules.look()
    rules.deliver()
    text = str(parsed(smtp_sink.mails[0]))
    ref = room.ref  # type: ignore[attr-defined]  # set by the fixture
    due = room.clocks(ref)["authority:DE"].conservative_due_at
    assert ref in text
    assert "Europe/Berlin" in text
    assert due.isoformat() in text
    assert "dsr warnings ack" in text
    said = " ".join(warnings_mail_body(smtp_sink.mails[0]).split())
    command = re.search(rf"dsr breach told {ref} \S+ --at INSTANT .*?such as (\S+)\)", said)
    assert command is not None, said
    assert datetime.fromisoformat(command[1]).utcoffset() is not None
    bodies = room.rows("SELECT body FROM events WHERE kind = 'warning_sent'")
    assert len(bodies) == 2
    assert "shop.example" not in repr(bodies)
    assert json.loads(bodies[0].body)["body"]["threshold_s"] == 7 * 86_400


def test_an_unacknowledged_warning_goes_up_the_chain(room: BreachRoom, smtp_sink: SmtpSink) -> None:
    """After the escalation time the next link hears as well; an acknowledgement ends it."""
    rules = warner(room, TEAM, BOSS, lead_times=("P7D",))
    rules.look()
    rules.deliver()
    rules.deliver()
    assert received(smtp_sink) == ["team"] * 2
    room.move_clock(hours=1.1)
    rules.deliver()
    assert sorted(received(smtp_sink)[2:]) == ["boss", "boss", "team", "team"]
    room.move_clock(hours=2.2)
    rules.deliver()
    assert len(smtp_sink.mails) == 10  # it repeats at the end of the chain

    ref = room.ref  # type: ignore[attr-defined]  # set by the fixture
    with room.office.ledger.transaction() as cursor:
        job = jobs.lock_ref(cursor, ref)
        assert job is not None
        (one, other) = room.rows("SELECT id FROM warnings ORDER BY id")
        assert warnings.acknowledge(cursor, job, "anna", warning=one.id) == 1
        assert warnings.acknowledge(cursor, job, "anna", warning=one.id) == 0
        job = jobs.lock_ref(cursor, ref)
        assert job is not None
        assert warnings.acknowledge(cursor, job, "anna", warning=other.id) == 1
    room.move_clock(hours=9)
    rules.look()
    rules.deliver()
    assert len(smtp_sink.mails) == 10
    assert room.events(ref).count("warning_acknowledged") == 2


def test_an_overdue_clock_is_missed_told_and_still_open(
    room: BreachRoom, smtp_sink: SmtpSink
) -> None:
    """Past its statutory instant a clock is missed once, warned of, and stays on the list."""
    rules = warner(room, TEAM, lead_times=("P1D",))
    room.move_clock(hours=73)
    rules.look()
    rules.look()
    rules.deliver()
    ref = room.ref  # type: ignore[attr-defined]  # set by the fixture
    clocks = room.clocks(ref)
    assert clocks["authority:DE"].state == "missed"
    assert clocks["individuals:DE"].state == "running"  # no statutory number: overdue, not missed
    bodies = room.rows("SELECT body FROM events WHERE body LIKE '%%clock_missed%%'")
    assert len(bodies) == 1
    assert all("OVERDUE" in str(parsed(mail)["Subject"]) for mail in smtp_sink.mails)
    assert len(smtp_sink.mails) == 2
    with room.office.ledger.transaction() as cursor:
        rows = warnings.due_list(cursor)
    assert [(row.clock, row.forecast) for row in rows] == [
        ("authority:DE", "overdue"),
        ("individuals:DE", "overdue"),
    ]
    told_at = room.now()
    assert room.mark(ref, "authority:DE", told_at) == "missed"
    assert room.mark(ref, "individuals:DE", told_at) == "met"
    room.move_clock(hours=80)
    rules.deliver()
    assert len(smtp_sink.mails) == 2
    with room.office.ledger.transaction() as cursor:
        assert warnings.due_list(cursor) == []


def test_a_dead_link_hands_over_to_the_next_at_once(room: BreachRoom, smtp_sink: SmtpSink) -> None:
    """When the first link cannot be reached the next one hears now, not hours later."""
    nowhere = Link(name="nowhere", webhook="http://127.0.0.1:9/")
    rules = warner(room, nowhere, BOSS, lead_times=("P7D",))
    rules.look()
    assert rules.deliver() == 2
    assert received(smtp_sink) == ["boss", "boss"]


def test_a_warning_that_reached_nobody_comes_again_soon(
    room: BreachRoom, smtp_sink: SmtpSink
) -> None:
    """With every link down nothing counts as sent, and a minute later it is tried again."""
    smtp_sink.refuse = True
    rules = warner(room, TEAM, lead_times=("P7D",))
    rules.look()
    assert rules.deliver() == 0
    assert {row.sent for row in room.rows("SELECT sent FROM warnings")} == {0}
    smtp_sink.refuse = False
    room.move_clock(minutes=2)
    assert rules.deliver() == 2


@pytest.fixture
def hook() -> Iterator[tuple[str, list[bytes], list[int]]]:
    """A web server that keeps what is posted; its answer's status may be changed."""
    bodies: list[bytes] = []
    status = [204]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status[0])
            if status[0] == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", bodies, status
    server.shutdown()
    thread.join()
    server.server_close()


def test_webhook_and_command_get_json(
    room: BreachRoom,
    hook: tuple[str, list[bytes], list[int]],
    tmp_path: Path,
) -> None:
    """A webhook is posted JSON, a command reads it; a redirect or a bad exit is no delivery."""
    address, bodies, status = hook
    out = tmp_path / "told.json"
    web = Link(name="web", webhook=address)
    shell = Link(name="shell", command=("/bin/sh", "-c", f"cat >> {out}; echo >> {out}"))
    status[0] = 302
    bad = Link(name="bad", command=("/bin/false",))
    rules = warner(room, web, bad, shell, lead_times=("P7D",))
    rules.look()
    assert rules.deliver() == 2
    assert {row.sent for row in room.rows("SELECT sent FROM warnings")} == {1}
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert {entry["clock"] for entry in told} == {"authority:DE", "individuals:DE"}
    assert len(bodies) == 2  # asked, not followed, not counted
    links = room.rows("SELECT body FROM events WHERE kind = 'warning_sent'")
    assert {json.loads(row.body)["body"]["channel"] for row in links} == {"command"}
    status[0] = 204
    room.move_clock(hours=1.1)
    rules.deliver()
    assert json.loads(bodies[-1])["case"] == room.ref  # type: ignore[attr-defined]  # the fixture's


def test_the_tick_delivers_beside_itself(room: BreachRoom, smtp_sink: SmtpSink) -> None:
    """The tick's duty returns at once; a thread of its own brings the warnings out."""
    rules = warner(room, TEAM, lead_times=("P7D",))
    rules.duty()
    thread = rules._delivery
    assert thread is not None
    thread.join(100)
    assert received(smtp_sink) == ["team", "team"]


def test_due_list_is_soonest_first_and_names_what_is_stuck(room: BreachRoom) -> None:
    """Every open clock, soonest first, with its source, what is left, and steps that wait."""
    ref = room.ref  # type: ignore[attr-defined]  # set by the fixture
    with room.office.ledger.transaction() as cursor:
        cursor.execute(
            "UPDATE steps SET state = 'needs_human', code = 'quarantined' WHERE system = 'news'"
        )
    later = room.declare(markets=("US-CA",))
    with room.office.ledger.transaction() as cursor:
        rows = warnings.due_list(cursor)
    assert [row.conservative_due_at for row in rows] == sorted(
        row.conservative_due_at for row in rows if row.conservative_due_at
    )
    first = rows[0]
    assert (first.ref, first.clock, first.zone) == (ref, "authority:DE", "Europe/Berlin")
    assert first.citation == "GDPR Art 33(1)"
    assert first.stuck == ("news:affected:quarantined",)
    assert first.forecast == "stuck"
    assert first.remaining is not None
    assert timedelta(hours=71) < first.remaining < timedelta(hours=72)
    assert {row.forecast for row in rows if row.ref == later} == {"open"}


def test_a_job_is_told_in_the_zone_of_the_clock_that_is_due_next(room: BreachRoom) -> None:
    """With the clocks of one country met, the instant shown and its zone are the other's."""
    ref = room.declare(markets=("DE", "US-CA"))
    standing = {n: c for n, c in room.clocks(ref).items() if c.state == "running"}
    german = [name for name, clock in standing.items() if clock.zone == "Europe/Berlin"]
    for name in german:
        room.mark(ref, name, room.now())
    left = {c.conservative_due_at: c.zone for n, c in standing.items() if n not in german}
    with room.office.ledger.transaction() as cursor:
        (job,) = reports.open_jobs(cursor, ref)
    assert german
    assert job.due_at is not None
    assert job.zone == left[job.due_at] == "America/Los_Angeles"


def test_the_calendar_has_a_day_that_ends_a_period_as_that_day(room: BreachRoom) -> None:
    """The midnight after is the next day in a calendar: who went by it was late."""
    with room.office.ledger.transaction() as cursor:
        row = warnings.due_list(cursor)[0]
    end_at = datetime(2027, 1, 5, 23, tzinfo=UTC)
    text = calendar.ics([row._replace(zone="Europe/Berlin", conservative_due_at=end_at)])
    assert "DTSTART;VALUE=DATE:20270105" in text.split("\r\n")


def test_the_calendar_export_is_well_formed(room: BreachRoom) -> None:
    """The export is RFC 5545: CRLF, lines of at most 75 octets, one event per clock in UTC."""
    with room.office.ledger.transaction() as cursor:
        rows = warnings.due_list(cursor)
    text = calendar.ics([rows[0]._replace(recipient="Behörde; für, Daten " * 8), rows[1]])
    lines = text.split("\r\n")
    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-2:] == ["END:VCALENDAR", ""]
    assert all(len(line.encode()) <= 75 for line in lines)
    assert text.count("BEGIN:VEVENT") == 2
    assert f"DTSTART:{rows[0].conservative_due_at:%Y%m%dT%H%M%SZ}" in lines
    whole = text.replace("\r\n ", "")
    assert "Behörde\\; für\\, Daten" in whole
