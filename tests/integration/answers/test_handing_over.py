"""An answer is handed over whole or not at all, whatever happens beside it."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest

from dsr_worker.fulfil import delivery as delivering
from dsr_worker.fulfil.housekeeping import destroy_expired
from dsr_worker.ledger import LedgerUnreachable, answers, jobs
from dsr_worker.package import Method, PackageRefused
from dsr_worker.package import hand_over as encrypt
from dsr_worker.people import ActorRefused
from tests.acceptance.judge import hand_over
from tests.integration.answers.answered import answered, certified
from tests.integration.engine_room import EngineRoom

_WAIT_S = 0.5  # long enough for a statement that does not have to wait


def test_a_second_hand_over_names_the_first(room: EngineRoom, tmp_path: Path) -> None:
    """An answer that leaves again says when, by whom and how it left before, and still leaves."""
    ref = answered(room)

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
    ref, out = answered(room, "erasure"), tmp_path / "out"
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
    ref, out = answered(room), tmp_path / "out"
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
    late, early = answered(room), answered(room)
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
    ref, out = answered(room), tmp_path / "out"
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
    ref, to = answered(room), tmp_path / "p.zip"
    with monkeypatch.context() as broken:
        _breaking(room, to, broken, commits=True, answers_again=True)
        assert _leave(room, ref, to).files == (to,)
    assert to.exists()
    assert room.job(ref)["state"] == "closed"


def test_a_commit_that_failed_leaves_no_file(
    room: EngineRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the ledger says that it holds no such hand-over, the file goes again."""
    ref, to = answered(room), tmp_path / "p.zip"
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
    ref, to = answered(room), tmp_path / "p.zip"
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
    ref, idle = answered(room, "erasure"), []
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
    certified(room, ref, tmp_path / "c.json")
    assert idle == []


def test_expiry_and_delivery_lock_in_one_order(room: EngineRoom, tmp_path: Path) -> None:
    """Housekeeping waits for the job before it touches the package, so neither blocks the other."""
    ref = answered(room)
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
    ref = answered(room)
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
