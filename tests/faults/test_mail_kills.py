"""A worker that dies after a mail has left never sends it again; a person is asked."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from dsr_worker.breach.desk import DECIDE_UNKNOWN
from tests.faults.room import DrillRoom, WithBrood, email
from tests.integration.breach_room import BreachRoom, shoppers
from tests.integration.engine_room import CRM, ORGANISATION
from tests.services import SmtpSink, free_port


@dataclass
class Deadly(SmtpSink):
    """A mail server whose caller dies when it has taken so many mails, before it is told so."""

    after: int = 0
    strike: Callable[[], None] = lambda: None

    async def handle_DATA(  # noqa: N802 - the library's name for the hook
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep one message; perhaps end whoever sent it."""
        answer = await super().handle_DATA(server, session, envelope)
        if len(self.mails) == self.after:
            self.strike()
        return answer


@pytest.fixture
def sink() -> Iterator[Deadly]:
    """A server on loopback."""
    with served(Deadly(free_port())) as running:
        yield running


@contextmanager
def served(sink: Deadly) -> Iterator[Deadly]:
    """The sink at work."""
    controller = Controller(sink, hostname=sink.host, port=sink.port)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()


def killed_at(room: WithBrood, sink: Deadly, mails: int) -> int:
    """Have a child work until the server has taken so many mails; how the child ended."""
    sink.after, sink.strike = mails, room.end_child
    with room.brood() as crash:
        fate = crash("")
    sink.strike = lambda: None
    return fate


@pytest.fixture
def room(tmp_path: Path, database: Callable[[], str], sink: Deadly) -> DrillRoom:
    """Two customers who are sent a code."""
    organisation = ORGANISATION.replace("port: 9,", f"port: {sink.port},")
    made = DrillRoom(tmp_path, database, {"crm": CRM}, organisation=organisation)
    made.load_people(2)
    return made


def test_a_code_that_may_have_left_is_not_sent_again(room: DrillRoom, sink: Deadly) -> None:
    """Killed between mail server and ledger: one mail, a stop for a person, a second on request."""
    ref = room.submit("access", verification="code", email=email(1))
    assert killed_at(room, sink, 1) == signal.SIGKILL
    for _ in range(3):
        room.settle()
    assert len(sink.mails) == 1
    assert ("send_code", "desk", 1, "needs_human", "may_have_happened") in room.steps(ref)
    assert "needs_human" in room.events(ref)
    room.office.decisions.send_code(ref, room.sign("anna", "send-code", ref))
    room.settle()
    assert len(sink.mails) == 2
    assert room.job(ref)["phase"] == "await_code"


def test_a_code_that_has_not_left_is_sent_by_whoever_comes_next(
    room: DrillRoom, sink: Deadly
) -> None:
    """Killed before anything was intended, the step is repeated by itself: one mail in all."""
    ref = room.submit("access", verification="code", email=email(1))
    with room.brood() as crash:
        assert crash("after-claim:2") == signal.SIGKILL
    assert sink.mails == []
    room.settle()
    assert len(sink.mails) == 1
    assert room.job(ref)["phase"] == "await_code", room.steps(ref)


class NoticeRoom(BreachRoom, WithBrood):
    """A breach whose notices are sent by children."""

    def __init__(self, folder: Path, dsn: str, sink: SmtpSink) -> None:
        self.folder, self.dsn = folder, dsn
        super().__init__(folder, dsn, sink)


def test_a_notice_that_may_have_left_is_unknown_and_the_rest_go_out(
    tmp_path: Path, database: Callable[[], str], sink: Deadly
) -> None:
    """Killed at the third of six notices: each is sent once, one is left to a person's decision."""
    room = NoticeRoom(tmp_path, database(), sink)
    room.load(shoppers(6))
    ref = room.declare()
    room.settle()
    room.write(ref)
    room.approve_notices(ref)
    before = len(sink.mails)
    assert killed_at(room, sink, before + 3) == signal.SIGKILL
    assert room.notices(ref) == {"sent": 2, "sending": 1, "listed": 3}
    for _ in range(3):
        room.settle()
    assert room.notices(ref) == {"sent": 5, "unknown": 1}
    told = Counter(mail.recipients for mail in room.told(sink))
    assert len(told) == 6
    assert set(told.values()) == {1}
    assert room.clocks(ref)["individuals:DE"].state == "running"
    signed = room.sign("anna", DECIDE_UNKNOWN, ref, "again")
    assert room.desk.decide_unknown(ref, again=True, signed=signed)[0] == 1
