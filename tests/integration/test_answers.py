"""Answers as they leave: handed over once or again, promised, expired, warned of beforehand."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest

from dsr_worker.contract import Identity
from dsr_worker.evidence import verify_certificate
from dsr_worker.fulfil import delivery as delivering
from dsr_worker.fulfil.housekeeping import destroy_expired
from dsr_worker.fulfil.planning import free_text_notice
from dsr_worker.ledger import LedgerUnreachable, answers, jobs
from dsr_worker.package import Method, PackageRefused
from dsr_worker.package import hand_over as encrypt
from dsr_worker.people import ActorRefused
from tests.acceptance.judge import hand_over
from tests.integration.engine_room import CRM, ORGANISATION, EngineRoom

_MAIL = "p.zq0003zq@mail.example"
_SECOND_LOOK = ORGANISATION.replace("access: automatic", "access: second_actor")
_WAIT_S = 0.5  # long enough for a statement that does not have to wait


@pytest.fixture
def room(tmp_path: Path, database: Callable[[], str]) -> EngineRoom:
    """An installation with ten people in two systems; access cases are looked at by a second."""
    made = EngineRoom(tmp_path, database(), organisation=_SECOND_LOOK)
    made.load_people(10)
    return made


def _answered(room: EngineRoom, kind: str = "access") -> str:
    ref = room.submit(kind, email=_MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    return ref


def _certified(room: EngineRoom, ref: str, to: Path) -> dict[str, Any]:
    room.office.delivery.certificate(ref, to, room.sign("anna", "hand-over", ref))
    content = to.read_bytes()
    assert verify_certificate(content, room.office.keys.public_key) == []
    certificate: dict[str, Any] = json.loads(content)["certificate"]
    return certificate


# ---- handing over


def test_a_second_hand_over_names_the_first(room: EngineRoom, tmp_path: Path) -> None:
    """An answer that leaves again says when, by whom and how it left before, and still leaves."""
    ref = _answered(room)

    def leave(actor: str, to: Path) -> delivering.Delivered:
        signed = room.sign(actor, "hand-over", ref)
        return room.office.delivery.package(ref, to, Method.AES_ZIP, "long-enough-words", signed)

    assert leave("anna", tmp_path / "1.zip").before == ()
    second = leave("berta", tmp_path / "2.zip")
    (before,) = second.before
    assert (before.actor, before.method) == ("anna", "aes-zip")
    assert before.at == datetime.fromisoformat(_events(room, ref, "package_handed_over")[0]["at"])
    assert (tmp_path / "2.zip").exists()


def _events(room: EngineRoom, ref: str, kind: str) -> list[dict[str, Any]]:
    return [
        row.body
        for row in room.rows(
            "SELECT e.body::jsonb AS body FROM events e JOIN jobs j ON j.id = e.job_id"
            " WHERE j.ref = %s AND e.kind = %s ORDER BY e.seq",
            ref,
            kind,
        )
    ]


def test_a_certificate_is_handed_over_whole_or_not_at_all(
    room: EngineRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused signature, a file in the way or a failing ledger leaves no file of ours."""
    ref, out = _answered(room, "erasure"), tmp_path / "out"
    out.mkdir()
    deliver = room.office.delivery.certificate
    with pytest.raises(ActorRefused):
        deliver(ref, out / "c.json", room.sign("anna", "withdraw", ref))
    (out / "c.html").write_text("mine")
    with pytest.raises(PackageRefused, match="never overwritten"):
        deliver(ref, out / "c.json", room.sign("anna", "hand-over", ref))
    assert [p.name for p in out.iterdir()] == ["c.html"]
    (out / "c.html").unlink()
    link = os.link

    def fails(beside: Path, target: Path) -> None:
        if target.suffix == ".html":
            raise OSError("the disk is gone")
        link(beside, target)

    with monkeypatch.context() as broken:
        broken.setattr(os, "link", fails)
        with pytest.raises(OSError, match="disk"):
            deliver(ref, out / "c.json", room.sign("anna", "hand-over", ref))
    assert list(out.iterdir()) == []
    assert room.job(ref)["state"] == "ready"
    deliver(ref, out / "c.json", room.sign("anna", "hand-over", ref))
    assert sorted(p.name for p in out.iterdir()) == ["c.html", "c.json"]


_SECRET = "long-enough-words"


def _leave(room: EngineRoom, ref: str, to: Path) -> delivering.Delivered:
    signed = room.sign("anna", "hand-over", ref)
    return room.office.delivery.package(ref, to, Method.AES_ZIP, _SECRET, signed)


def _meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen once, between the writing of a package and its getting its name."""
    left = [happens]

    def slow(*args: Any, **kwargs: Any) -> Any:
        made = encrypt(*args, **kwargs)
        if left:
            left.pop()()
        return made

    monkeypatch.setattr("dsr_worker.fulfil.delivery.hand_over", slow)


@pytest.mark.parametrize("error", [None, errno.EPERM, errno.EOPNOTSUPP], ids=str)
def test_a_file_that_appears_meanwhile_stays(
    room: EngineRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int | None
) -> None:
    """However late a name is taken, nothing is replaced; also where there are no hard links."""

    def refuses(_beside: Path, _to: Path) -> None:
        raise OSError(error, "no links here")

    if error is not None:
        monkeypatch.setattr(os, "link", refuses)
    ref, out = _answered(room), tmp_path / "out"
    out.mkdir()
    to = out / "p.zip"
    _meanwhile(monkeypatch, lambda: to.write_text("mine"))
    with pytest.raises(PackageRefused, match="never overwritten"):
        _leave(room, ref, to)
    assert to.read_text() == "mine"
    assert list(out.iterdir()) == [to]
    assert room.job(ref)["state"] == "ready"
    _leave(room, ref, out / "q.zip")
    assert sorted(p.name for p in out.iterdir()) == ["p.zip", "q.zip"]


def test_two_hand_overs_to_one_name(
    room: EngineRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two cases handed over to one name at once, one gets it and the other stays ready."""
    late, early = _answered(room), _answered(room)
    to, given = tmp_path / "p.zip", []

    def first() -> None:
        _leave(room, early, to)
        given.append(to.read_bytes())

    _meanwhile(monkeypatch, first)
    with pytest.raises(PackageRefused, match="never overwritten"):
        _leave(room, late, to)
    assert [to.read_bytes()] == given
    assert (room.job(early)["state"], room.job(late)["state"]) == ("closed", "ready")


def test_a_kill_before_the_ledger_took_it_is_explained(room: EngineRoom, tmp_path: Path) -> None:
    """A file of a killed hand-over does not count: whoever repeats it is told what it may be."""
    ref, out = _answered(room), tmp_path / "out"
    out.mkdir()
    to = out / "p.zip"
    child = os.fork()
    if child == 0:
        link = os.link

        def killed(beside: Path, target: Path) -> None:
            link(beside, target)
            if target == to:
                os.kill(os.getpid(), signal.SIGKILL)

        os.link = killed  # type: ignore[assignment]  # this process dies of it
        try:
            _leave(room, ref, to)
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert to.exists()
    assert room.job(ref)["state"] == "ready"
    with pytest.raises(PackageRefused, match=f"{ref} was never recorded.*interrupted.*remove it"):
        _leave(room, ref, to)
    to.unlink()
    assert _leave(room, ref, to).before == ()
    with pytest.raises(PackageRefused, match=r"choose another name\.$"):
        _leave(room, ref, to)


def _breaking(
    room: EngineRoom,
    to: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    commits: bool,
    answers_again: bool,
) -> None:
    """Let the ledger break off at the commit that follows the file's getting its name."""
    real = room.office.ledger.transaction
    broken: list[bool] = []

    @contextmanager
    def transaction() -> Iterator[Any]:
        if broken and not answers_again:
            raise LedgerUnreachable("gone")
        with real() as cursor:
            yield cursor
            breaks = to.exists() and not broken
            if breaks:
                broken.append(True)
            if breaks and not commits:
                raise psycopg2.OperationalError("gone")
        if breaks:
            raise psycopg2.OperationalError("gone")

    monkeypatch.setattr(room.office.ledger, "transaction", transaction)


def test_a_commit_without_an_answer_is_asked_for(
    room: EngineRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the ledger took it, though its answer was lost, the hand-over stands with its file."""
    ref, to = _answered(room), tmp_path / "p.zip"
    with monkeypatch.context() as broken:
        _breaking(room, to, broken, commits=True, answers_again=True)
        assert _leave(room, ref, to).files == (to,)
    assert to.exists()
    assert room.job(ref)["state"] == "closed"


def test_a_commit_that_failed_leaves_no_file(
    room: EngineRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the ledger says that it holds no such hand-over, the file goes again."""
    ref, to = _answered(room), tmp_path / "p.zip"
    with monkeypatch.context() as broken:
        _breaking(room, to, broken, commits=False, answers_again=True)
        with pytest.raises(psycopg2.OperationalError):
            _leave(room, ref, to)
    assert not to.exists()
    assert room.job(ref)["state"] == "ready"


@pytest.mark.parametrize(("commits", "state"), [(True, "closed"), (False, "ready")])
def test_a_file_of_which_nothing_is_known_stays(
    room: EngineRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, commits: bool, state: str
) -> None:
    """Where the ledger says nothing at all, the file stays and the error says what to do."""
    ref, to = _answered(room), tmp_path / "p.zip"
    with monkeypatch.context() as broken:
        _breaking(room, to, broken, commits=commits, answers_again=False)
        with pytest.raises(delivering.HandOverUnknown, match=f"stays.*hand {ref} over again"):
            _leave(room, ref, to)
    assert to.exists()
    assert room.job(ref)["state"] == state
    _leave(room, ref, tmp_path / "q.zip")
    assert room.job(ref)["state"] == "closed"


def test_no_certificate_is_written_inside_a_transaction(
    room: EngineRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow the disk is, no transaction stands idle and no job stays locked meanwhile."""
    ref, idle = _answered(room, "erasure"), []
    write = delivering._write

    def watched(path: Path, content: bytes) -> None:
        idle.extend(
            room.rows(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'idle in transaction'"
            )
        )
        write(path, content)

    monkeypatch.setattr(delivering, "_write", watched)
    _certified(room, ref, tmp_path / "c.json")
    assert idle == []


def test_expiry_and_delivery_lock_in_one_order(room: EngineRoom, tmp_path: Path) -> None:
    """Housekeeping waits for the job before it touches the package, so neither blocks the other."""
    ref = _answered(room)
    hand_over(room, ref, tmp_path / "1.zip")
    room.move_clock(days=30)
    failures: list[BaseException] = []

    def expire() -> None:
        try:
            destroy_expired(room.office.ledger)()
        except psycopg2.errors.DeadlockDetected as deadlock:
            failures.append(deadlock)

    with room.office.ledger.transaction() as cursor:
        job = jobs.lock_ref(cursor, ref)
        assert job is not None
        other = threading.Thread(target=expire)
        other.start()
        other.join(_WAIT_S)
        assert other.is_alive(), "it did not wait for the job"
        made = answers.of(cursor, job.id)
        assert made is not None
        assert made.destroyed_at is None
    other.join()
    assert failures == []
    assert "package_destroyed" in room.events(ref)


def test_a_package_made_anew_while_expiry_waited_is_not_destroyed(
    room: EngineRoom, tmp_path: Path
) -> None:
    """What was expired is asked again under the lock."""
    ref = _answered(room)
    hand_over(room, ref, tmp_path / "1.zip")
    room.move_clock(days=30)
    with room.office.ledger.transaction() as cursor:
        job = jobs.lock_ref(cursor, ref)
        assert job is not None
        other = threading.Thread(target=destroy_expired(room.office.ledger))
        other.start()
        other.join(_WAIT_S)
        cursor.execute("UPDATE packages SET handed_over_at = NULL WHERE job_id = %s", (job.id,))
    other.join()
    assert "package_destroyed" not in room.events(ref)


# ---- what is promised


def test_a_masked_parent_is_promised_with_what_it_is_kept_for(
    room: EngineRoom, tmp_path: Path
) -> None:
    """The customer that an invoice needs stands in certificate and promise, with a day."""
    ref = _answered(room, "erasure")
    said = _certified(room, ref, tmp_path / "c.json")
    promised = {(d["collection"], d["ground"]): d["due_on"] for d in said["deferred"]}
    due = promised["invoices", "de-ao-147-voucher"]
    assert promised == {
        ("invoices", "de-ao-147-voucher"): due,
        ("customers", "needed_by_kept"): due,
    }
    (promise,) = room.rows("SELECT due_on, row_count FROM promises")
    assert (promise.due_on, promise.row_count) == (date.fromisoformat(due), 2)
    page = (tmp_path / "c.html").read_text("utf-8")
    for code in ("needed_by_kept", "de-ao-147", "second-path", "partly_granted", "eu-gdpr"):
        assert code not in page
    room.move_clock(days=366 * 10)
    room.settle()
    assert ("3",) not in room.system("crm").dump()["customers"]


def test_a_promise_covers_as_many_parents_as_it_names(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """Thirty orders kept for thirty invoices go with them: they are no surprise on the day."""
    orders = CRM.replace(
        "  invoices:\n    key: [id]\n    parent: {collection: customers, on: {customer_id: id}}",
        "  orders:\n    key: [id]\n    parent: {collection: customers, on: {customer_id: id}}\n"
        "    class: order\n    fields: {id: user.unique_id, customer_id: user.unique_id,\n"
        '      note: {category: user.content, mask: "null"}}\n'
        "    source: {}\n    purpose: Trial.\n    legal_basis: Contract.\n"
        "    recipients: [nobody]\n    origin: You.\n"
        "  invoices:\n    key: [id]\n    parent: {collection: orders, on: {order_id: id}}",
    ).replace(
        "      customer_id: user.unique_id\n      name:",
        "      order_id: user.unique_id\n      name:",
    )
    orders = orders.replace("keeps: [id, customer_id, total", "keeps: [id, order_id, total")
    room = EngineRoom(tmp_path, database(), systems={"crm": orders})
    numbers = [str(n) for n in range(30)]
    customer = {
        "id": "3",
        "email": _MAIL,
        "name": "Name",
        "phone": "+49 30 1000003",
        "country": "DE",
        "created_at": "2020-01-01T00:00:00",
    }
    room.system("crm").load(
        {
            "customers": [customer],
            "orders": [{"id": n, "customer_id": "3", "note": "ring twice"} for n in numbers],
            "invoices": [
                {"id": n, "order_id": n, "name": "Name", "total": "1", "issued_on": "2026-01-01"}
                for n in numbers
            ],
            "carts": [],
        },
        dict.fromkeys(("customers", "orders", "invoices", "carts"), ("id",)),
    )
    _answered(room, "erasure")
    (promise,) = room.rows("SELECT row_count FROM promises")
    assert promise.row_count == 61
    room.move_clock(days=366 * 10)
    room.settle()
    (deferred,) = room.rows("SELECT ref, state, phase FROM jobs WHERE kind = 'deferred'")
    assert deferred.state == "closed", (deferred.phase, room.steps(deferred.ref))
    assert not any(room.system("crm").dump().values())


def test_rows_under_a_hold_are_promised_for_its_end(room: EngineRoom, tmp_path: Path) -> None:
    """What a hold keeps is listed without a day, and with the hold's ground in words."""
    room.hold_person(Identity("customer_number", "3"))
    said = _certified(room, _answered(room, "erasure"), tmp_path / "c.json")
    assert {d["due_on"] for d in said["deferred"]} == {None}
    assert {d["ground"] for d in said["deferred"]} == {"ER_LEGAL_CLAIMS"}
    page = (tmp_path / "c.html").read_text("utf-8")
    assert "needed to establish, exercise or defend legal claims (Art. 17(3)(e) GDPR)" in page
    assert "after the legal hold has ended" in page


def test_a_certificate_names_what_nobody_looked_in(room: EngineRoom, tmp_path: Path) -> None:
    """A system in which the person is known by nothing is not passed over in silence."""
    ref = room.submit("erasure", email="someone.else@mail.example")
    room.settle()
    room.approve(ref)
    room.settle()
    said = _certified(room, ref, tmp_path / "c.json")
    assert said["not_asked"] == ["files"]
    assert [s["system"] for s in said["systems"]] == ["crm"]
    found = {c["collection"]: c["found"] for c in said["systems"][0]["collections"]}
    assert found == {"customers": 0, "invoices": 0, "carts": 0}
    assert any("were not asked" in sentence for sentence in said["not_covered"])


def test_the_house_text_on_backups_is_in_the_certificate(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """Where the organisation says how long backups last, its certificates say so in its words."""
    own = ORGANISATION + 'backups: {en: "Overwritten within 35 days."}\n'
    room = EngineRoom(tmp_path, database(), organisation=own)
    room.load_people(4)
    said = _certified(room, _answered(room, "erasure"), tmp_path / "c.json")
    assert said["backups"] == "Overwritten within 35 days."
    assert any("Shop says of them: Overwritten" in sentence for sentence in said["not_covered"])


# ---- before anything leaves


def test_an_approver_is_told_of_free_texts(room: EngineRoom) -> None:
    """A plan of an access counts records with free text by collection, bound by its hash."""
    ref = room.submit("access", email=_MAIL)
    room.settle()
    plan = room.job(ref)["plan"]
    assert plan["free_texts"] == {"crm.carts": 1, "files.documents": 1}
    notice = free_text_notice(plan)
    assert notice is not None
    assert "crm.carts 1, files.documents 1" in notice
    assert "names alone are not" in notice
    erasure = room.submit("erasure", email="p.zq0004zq@mail.example")
    room.settle()
    assert free_text_notice(room.job(erasure)["plan"]) is None


def test_a_standing_approval_names_where_free_texts_may_be(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """Where nobody looks at a plan the places stand in it uncounted, for whoever hands over."""
    room = EngineRoom(tmp_path, database())
    room.load_people(4)
    ref = room.submit("access", email=_MAIL)
    room.settle()
    plan = room.job(ref)["plan"]
    assert plan["free_texts"] == {"crm.carts": None, "files.documents": None}
    assert "crm.carts, files.documents:" in (free_text_notice(plan) or "")


def test_a_package_says_how_the_person_was_known(room: EngineRoom, tmp_path: Path) -> None:
    """The first page tells how it was verified and by which names the person was looked for."""
    found = hand_over(room, _answered(room), tmp_path / "1.zip")
    page = found["index.html"].decode()
    assert "A person of our team confirmed it (trial)." in page
    assert "E-mail address (you named it and it was checked)" in page
    assert "Customer number (found in our systems by what you named)" in page
    assert "at least 8 years from the end of the calendar year" in (
        found["information/art15.html"].decode()
    )
    told = json.loads(found["information/art15.json"])["data"]
    terms = {d["collection"]: d["storage_terms"] for d in told}
    assert [(t["side"], t["period"]) for t in terms["invoices"]] == [("at_least", "P8Y")]


def test_missing_texts_are_known_at_the_beginning(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """An access case that no package could be made for warns at once; an erasure does not."""
    bare = ORGANISATION.replace('rights: "yours"', 'rights: ""')
    room = EngineRoom(tmp_path, database(), organisation=bare)
    (line,) = room.office.texts.warnings("access", None, "eu-gdpr", "DE")
    assert "the person's rights (Art. 15(1)(e) GDPR)" in line
    assert room.office.texts.warnings("erasure", None, "eu-gdpr", "DE") == []
