"""Breaches from the declaration to the last notice, over in-memory systems and real mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.breach import BreachRefused
from dsr_worker.breach.desk import APPROVE, DECIDE_UNKNOWN, GO_ON, JUDGE, digest_of
from dsr_worker.contract import LeakScope, Remainder, Unseen
from dsr_worker.domain.calendar import end_of_day
from dsr_worker.notify.mail import MailSession, Sent
from dsr_worker.people import ActorRefused
from dsr_worker.testing.memory import Memory
from tests.integration.breach_room import BreachRoom, parsed, shoppers
from tests.services import SmtpSink

SPRING = datetime(2026, 3, 27, 16, 20, tzinfo=UTC)  # the clocks of Europe change within 72 hours


@pytest.fixture
def room(tmp_path: Path, ledger: Callable[[], str], smtp_sink: SmtpSink) -> BreachRoom:
    """An installation with two systems and a mail server."""
    return BreachRoom(tmp_path, ledger(), smtp_sink)


def test_duties_stand_before_any_system_is_asked(room: BreachRoom) -> None:
    """The declaring transaction sets every market's clocks at the instants of the statutes."""
    ref = room.declare(aware_at=SPRING)
    clocks = room.clocks(ref)
    assert room.system("crm").counts()["affected"] == 0
    berlin = datetime.fromisoformat("2026-03-30T18:20+02:00")
    assert clocks["authority:DE"].due_at == berlin
    assert clocks["authority:GB"].due_at == SPRING + timedelta(hours=72)
    assert clocks["individuals:DE"].due_at is None
    assert clocks["individuals:DE"].conservative_due_at == berlin
    california = end_of_day(datetime(2026, 4, 26, tzinfo=UTC).date(), "America/Los_Angeles")
    assert clocks["individuals:US-CA"].due_at == california
    assert clocks["attorney-general:US-CA"].due_at is None
    assert clocks["controller:DE"].state == "void"
    assert clocks["controller:DE"].facts["reason"] == "other_role"
    assert {clocks[name].verified for name in ("authority:DE", "authority:GB")} == {True}
    job = room.job(ref)
    assert job["urgent"]
    assert job["urgency_at"] == berlin
    assert room.events(ref)[0] == "breach_declared"
    assert {(s[0], s[1], s[3]) for s in room.steps(ref)} == {
        ("affected", "crm", "ready"),
        ("affected", "news", "ready"),
    }
    assert all(row.urgent for row in room.rows("SELECT urgent FROM steps"))


def test_a_declaration_is_made_once(room: BreachRoom) -> None:
    """An idempotency key gives the same breach again, and never stands for another one."""
    first = room.declare(aware_at=SPRING, idempotency_key="leak-1")
    assert room.declare(aware_at=SPRING, idempotency_key="leak-1") == first
    with pytest.raises(BreachRefused, match="another declaration"):
        room.declare(aware_at=SPRING + timedelta(hours=1), idempotency_key="leak-1")
    assert len(room.rows("SELECT 1 FROM jobs")) == 1


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"scopes": {}}, "at least one system"),
        ({"scopes": {"crn": (LeakScope("customers", ()),)}}, "no system crn"),
        ({"scopes": {"crm": (LeakScope("custmers", ()),)}}, "no collection custmers"),
        ({"scopes": {"crm": (LeakScope("customers", ("mail",)),)}}, "no field mail"),
        ({"aware_at": datetime(2099, 1, 1, tzinfo=UTC)}, "future"),
        ({"markets": ("DEU",)}, "unknown country"),
        ({"texts": {"en": {"natur": "x"}}}, "no part natur"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    room: BreachRoom, changes: dict[str, Any], word: str
) -> None:
    """A declaration that does not fit the map says what to change; no job is half made."""
    with pytest.raises(BreachRefused, match=word):
        room.declare(**changes)
    assert not room.rows("SELECT 1 FROM jobs UNION ALL SELECT 1 FROM clocks")


def test_people_are_counted_once_across_systems(room: BreachRoom) -> None:
    """An e-mail in two systems is one person, a shared phone is not, an erased one is nobody."""
    room.load(
        [
            {"id": "1", "email": "Anna@one.example", "country": "DE", "phone": "+49 30 1111"},
            {"id": "2", "email": "bert@two.example", "country": "gb", "phone": "+49 30 1111"},
            {"id": "3", "email": None, "country": "Atlantis"},
            {"id": "4", "email": "erased-0123456789abcdef@erased.invalid", "country": "DE"},
        ],
        [
            {"id": "a", "email": "anna@one.example", "phone": "+49 30 1111"},
            {"id": "b", "email": "cora@three.example", "phone": "+49 30 1111"},
        ],
    )
    ref = room.declare()
    room.settle()
    found = room.job(ref)["facts"]["affected"]
    assert found == {
        "people": 4,
        "residences": {"DE": 1, "GB": 1},
        "unknown": 2,
        "complete": True,
        "rows": 5,
        "erased_rows": 1,
    }
    assert room.notices(ref) == {"listed": 3, "no_contact": 1}
    assert room.job(ref)["state"] == "awaiting_approval"
    languages = room.rows("SELECT language, residence FROM notices")
    assert {(r.language, r.residence) for r in languages} == {
        ("de", "DE"),
        ("en", "GB"),
        ("en", None),
    }


def test_counts_turn_duties_off_only_when_certain(room: BreachRoom) -> None:
    """Nobody in California ends its duties; a person of unknown residence keeps them open."""
    room.load(shoppers(3))
    ref = room.declare()
    room.settle()
    clocks = room.clocks(ref)
    assert clocks["individuals:US-CA"].state == "void"
    assert clocks["individuals:US-CA"].facts["reason"] == "no_resident_affected"
    assert clocks["authority:DE"].state == "running"

    room.load(shoppers(1, None))
    other = room.declare()
    room.settle()
    again = room.clocks(other)["individuals:US-CA"]
    assert again.state == "running"
    assert again.facts["reason"] == "unknown_residence_may_count"


def test_a_residence_nobody_declared_adds_its_duty(room: BreachRoom) -> None:
    """People of a country that no market named get the duties of their law, or one to find it."""
    room.load([*shoppers(1), *shoppers(1, "FR"), *shoppers(1, "US")])
    ref = room.declare(markets=("DE",))
    room.settle()
    clocks = room.clocks(ref)
    assert clocks["individuals:FR"].state == "running"
    assert clocks["authority:US"].facts["reason"] == "no_law_pack"
    assert not clocks["authority:US"].verified


def test_a_broken_system_holds_no_clock_and_can_be_left_out(
    room: BreachRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a system cannot answer the rest is assessed on a person's word, as incomplete."""
    room.load(shoppers(2))
    whole = Memory.affected

    def broken(self: Memory, *arguments: Any) -> Any:
        if self._system.name == "news":
            raise RuntimeError("out of order")
        return whole(self, *arguments)

    monkeypatch.setattr(Memory, "affected", broken)
    ref = room.declare()
    for _ in range(4):
        room.settle()
        room.wake()
    assert ("affected", "news", 1, "needs_human", "quarantined") in room.steps(ref)
    assert room.clocks(ref)["authority:DE"].state == "running"
    assert room.desk.go_on_without(ref, room.sign("anna", GO_ON, ref)) == ["news"]
    room.settle()
    found = room.job(ref)["facts"]["affected"]
    assert (found["people"], found["complete"]) == (2, False)
    assert found["silent"] == ["news"]
    assert room.clocks(ref)["individuals:US-CA"].state == "running"


def test_what_a_system_cannot_look_into_leaves_the_count_incomplete(
    room: BreachRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody else is counted and told at once, and what is unseen is named; no duty goes."""
    room.load(shoppers(2))
    whole = Memory.affected

    def partly(self: Memory, *arguments: Any) -> Any:
        yield from whole(self, *arguments)
        if self._system.name == "news":
            for digest in ("aa", "bb", "aa"):
                yield Unseen("readers", digest, Remainder.ARCHIVED)

    monkeypatch.setattr(Memory, "affected", partly)
    ref = room.declare()
    room.settle()
    found = room.job(ref)["facts"]["affected"]
    assert (found["people"], found["complete"]) == (2, False)
    part = {"system": "news", "collection": "readers", "ground": "store-archive", "parts": 2}
    assert found["unseen"] == [{**part, "named": ["aa", "bb"]}]
    assert room.job(ref)["state"] == "awaiting_approval"
    assert room.clocks(ref)["individuals:US-CA"].state == "running"


def test_fifty_people_hear_once_each(room: BreachRoom, smtp_sink: SmtpSink) -> None:
    """Approved notices go to the frozen list, one each, in plain words and their language."""
    room.load([*shoppers(30), *shoppers(20, "GB")])
    ref = room.declare()
    room.settle()
    with pytest.raises(BreachRefused, match=r"de\.advice"):
        room.approve_notices(ref)
    room.write(ref)
    with pytest.raises(BreachRefused, match="second person"):
        room.approve_notices(ref, "anna")
    room.approve_notices(ref)
    room.settle()
    assert room.notices(ref) == {"sent": 50}
    received = Counter(mail.recipients for mail in room.told(smtp_sink))
    assert len(received) == 50
    assert set(received.values()) == {1}
    german = next(m for m in room.told(smtp_sink) if m.recipients[0].endswith("@de.example"))
    text = parsed(german).get_content()
    assert "Guten Tag" in text
    assert "E-Mail-Adresse" in text
    assert "A stranger read a table." in text
    assert parsed(german)["Auto-Submitted"] == "auto-generated"
    assert room.clocks(ref)["individuals:DE"].state == "met"
    assert room.clocks(ref)["individuals:GB"].state == "met"
    assert room.clocks(ref)["authority:DE"].state == "running"
    assert room.job(ref)["state"] == "notified"
    assert room.job(ref)["approved_by"] == "berta"
    kinds = Counter(room.events(ref))
    assert kinds["notices_approved"] == 1
    assert kinds["notice_sent"] == 3
    assert b".example" not in repr(room.rows("SELECT body FROM events")).encode()


def test_an_approval_binds_texts_and_list(room: BreachRoom) -> None:
    """What was signed is what goes out: another text or another list needs another signature."""
    room.load(shoppers(2))
    ref = room.declare()
    room.settle()
    room.write(ref)
    signed = room.sign("berta", APPROVE, ref, room.desk.proposal(ref).hash)
    with room.office.ledger.transaction() as cursor:
        cursor.execute(
            "INSERT INTO notices (job_id, digest, sealed) SELECT job_id, 'x', sealed FROM notices"
            " LIMIT 1"
        )
    with pytest.raises(BreachRefused, match="changed since"):
        room.desk.approve_notices(ref, signed)
    with pytest.raises(ActorRefused):
        room.desk.approve_notices(
            ref,
            replace(signed, action=replace(signed.action, plan_hash=room.desk.proposal(ref).hash)),
        )


class Killed(BaseException):
    """What a SIGKILL leaves behind: nothing runs after it."""


def test_a_mail_that_may_have_left_is_not_repeated(
    room: BreachRoom, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between mail server and ledger, the notice is unknown and nobody hears twice."""
    room.load(shoppers(6))
    ref = room.declare()
    room.settle()
    room.write(ref)
    room.approve_notices(ref)
    whole = MailSession.send

    def killed(self: MailSession, message: Any) -> Sent:
        sent = whole(self, message)
        if len(room.told(smtp_sink)) == 3:
            raise Killed
        return sent

    monkeypatch.setattr(MailSession, "send", killed)
    with pytest.raises(Killed):
        room.settle()
    monkeypatch.setattr(MailSession, "send", whole)
    assert room.notices(ref) == {"sent": 2, "sending": 1, "listed": 3}
    room.wake()
    room.settle()
    assert room.notices(ref) == {"sent": 5, "unknown": 1}
    assert set(Counter(mail.recipients for mail in room.told(smtp_sink)).values()) == {1}
    assert len(room.told(smtp_sink)) == 6
    assert room.clocks(ref)["individuals:DE"].state == "running"

    signed = room.sign("anna", DECIDE_UNKNOWN, ref, "again")
    assert room.desk.decide_unknown(ref, again=True, signed=signed)[0] == 1
    room.settle()
    assert room.notices(ref) == {"sent": 6}
    assert room.clocks(ref)["individuals:DE"].state == "met"
    ids = Counter(str(parsed(mail)["Message-ID"]) for mail in room.told(smtp_sink))
    assert sorted(ids.values()) == [1, 1, 1, 1, 1, 2]  # the doubled one can be told


def test_a_mail_server_that_is_down_loses_nothing(
    room: BreachRoom, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the server cannot be reached notices stay listed and go out once it can."""
    room.load(shoppers(5))
    ref = room.declare()
    room.settle()
    room.write(ref)
    room.approve_notices(ref)
    good = room.mailer._settings
    monkeypatch.setattr(room.mailer, "_settings", good.model_copy(update={"port": 9}))
    room.settle()
    assert room.notices(ref) == {"listed": 5}
    assert ("notify", "desk", 2, "waiting", "mail_transient") in room.steps(ref)
    monkeypatch.setattr(room.mailer, "_settings", good)
    room.wake()
    room.settle()
    assert room.notices(ref) == {"sent": 5}
    assert len(room.told(smtp_sink)) == 5


def test_a_refused_address_is_left_to_people(room: BreachRoom, smtp_sink: SmtpSink) -> None:
    """A mailbox refused for good fails that notice alone, and the duty stays open."""
    room.load([*shoppers(1), {"id": "x", "email": "two words@x.example", "country": "DE"}])
    smtp_sink.refuse = True
    ref = room.declare()
    room.settle()
    room.write(ref)
    room.approve_notices(ref)
    room.settle()
    assert room.notices(ref) == {"failed": 2}
    clock = room.clocks(ref)["individuals:DE"]
    assert clock.state == "running"
    assert room.mark(ref, "individuals:DE", room.now()) == "met"  # told by post


def test_the_attorney_general_hears_after_the_people(room: BreachRoom) -> None:
    """California's 15 days run from the notice to its residents, whoever recorded it."""
    room.load(shoppers(501, "US-CA"))
    aware_at = datetime(2026, 2, 1, 20, tzinfo=UTC)
    ref = room.declare(aware_at=aware_at, markets=("US-CA",))
    room.settle()
    assert room.clocks(ref)["attorney-general:US-CA"].facts["duty"] == "live"
    told_at = datetime(2026, 2, 20, 20, tzinfo=UTC)
    assert room.mark(ref, "individuals:US-CA", told_at) == "met"
    general = room.clocks(ref)["attorney-general:US-CA"]
    pacific = "America/Los_Angeles"
    assert general.due_at == end_of_day(datetime(2026, 3, 7, tzinfo=UTC).date(), pacific)


def test_a_notice_to_germans_starts_no_californian_period(room: BreachRoom) -> None:
    """What runs from the notice to people runs from that of its own law and place alone."""
    room.load([*shoppers(1, "DE"), *shoppers(501, "US-CA")])
    ref = room.declare(markets=("DE", "US-CA"))
    room.settle()
    room.mark(ref, "individuals:DE", room.now())
    assert room.clocks(ref)["attorney-general:US-CA"].due_at is None


def test_mail_to_germans_starts_no_californian_period(room: BreachRoom) -> None:
    """Notices that went out start what runs from them where their readers live, nowhere else."""
    unreachable = [{**shopper, "email": None} for shopper in shoppers(501, "US-CA")]
    room.load([*shoppers(1, "DE"), *unreachable])
    ref = room.declare(markets=("DE", "US-CA"))
    room.settle()
    room.write(ref)
    room.approve_notices(ref)
    room.settle()
    assert room.notices(ref) == {"sent": 1, "no_contact": 501}
    assert room.clocks(ref)["attorney-general:US-CA"].due_at is None


def test_telling_late_stays_late(room: BreachRoom) -> None:
    """An authority told after its instant is recorded as missed, and never as met."""
    ref = room.declare(aware_at=SPRING)
    room.warner.look()
    assert room.clocks(ref)["authority:DE"].state == "missed"
    assert room.mark(ref, "authority:DE", SPRING + timedelta(hours=80)) == "missed"
    assert room.mark(ref, "authority:GB", SPRING + timedelta(hours=71)) == "met"
    with pytest.raises(BreachRefused, match="no open clock"):
        room.mark(ref, "authority:GB", SPRING + timedelta(hours=71))
    with pytest.raises(BreachRefused, match="before the breach"):
        room.mark(ref, "individuals:DE", SPRING - timedelta(hours=1))


def test_a_judgement_changes_what_binds(room: BreachRoom) -> None:
    """High harm makes people's duty live, unlikely harm turns it off, with the reason on record."""
    ref = room.declare()
    for harm, state, duty in (("high", "running", "live"), ("unlikely", "void", "not_due")):
        changes = {"harm": harm}
        room.desk.judge(ref, changes, room.sign("anna", JUDGE, ref, digest_of(changes)))
        clock = room.clocks(ref)["individuals:DE"]
        assert (clock.state, clock.facts["duty"]) == (state, duty)


def test_drafts_name_what_is_missing_and_what_is_counted(room: BreachRoom) -> None:
    """An authority's draft holds Art. 33(3)'s parts; a gap in it is named, never blank."""
    room.load(shoppers(2))
    ref = room.declare()
    room.settle()
    report = room.desk.drafts(ref).reports["authority:GB"].body
    assert "[MISSING: nature]" in report
    assert "Approximately 2 people" in report
    assert "- DE: 2" in report
    assert "e-mail address" in report
    room.write(ref)
    written = room.desk.drafts(ref)
    assert not written.missing
    assert "MISSING" not in written.reports["authority:GB"].body
