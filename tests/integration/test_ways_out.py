"""Wherever a case can stand still a person can do something about it, and the truth is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from dsr_worker.bootstrap import Office, Workshop
from dsr_worker.engine.batch import Batch, Performer
from dsr_worker.fulfil import access
from dsr_worker.fulfil.decisions import Decided, DecisionRefused
from dsr_worker.installation import Files
from dsr_worker.ledger import cases, holds, jobs
from dsr_worker.ledger.rows import StepResult
from dsr_worker.package import Contents, Method, PackageMade, PackageRefused, write_package
from dsr_worker.people import digest_of
from tests.integration.engine_room import CRM, FILES, EngineRoom

_MAIL = "p.zq0003zq@mail.example"
_PASSPHRASE = "correct-horse-battery"


def refusing(
    tmp_path: Path,
    database: Callable[[], str],
    system: str,
    fault: str = "kind: permanent",
    after_calls: int = 2,
) -> EngineRoom:
    """Six people in two systems, of which one refuses the third erasure: the first with effect."""
    systems = {"crm": CRM, "files": FILES}
    systems[system] = systems[system].replace(
        f"config: {{name: NAME-{system}}}",
        f"config: {{name: NAME-{system}, fault: {{{fault}, method: erase,"
        f" after_calls: {after_calls}}}}}",
    )
    made = EngineRoom(tmp_path, database(), systems=systems)
    made.load_people(6)
    return made


def ended(room: EngineRoom, ref: str, way: str) -> Decided:
    """Withdraw or refuse a case."""
    if way == "withdraw":
        return room.office.decisions.withdraw(ref, room.sign("anna", way, ref))
    signed = room.sign("anna", way, ref, digest_of(way, ref, ground="ANY_UNFOUNDED"))
    return room.office.decisions.refuse(ref, "ANY_UNFOUNDED", signed)


def retried(room: EngineRoom, ref: str) -> None:
    """Retry a case, and let it go on."""
    room.office.decisions.retry(ref, room.sign("anna", "retry", ref))
    room.settle()


def approved(room: EngineRoom, kind: str = "erasure") -> str:
    """A case of person 3 that was approved and has gone as far as it can."""
    ref = room.submit(kind, email=_MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    return ref


def _forget_documents(room: EngineRoom) -> None:
    with room.system("files").transaction() as (tables, changes):
        changes.extend(("documents", key, None) for key in tables.rows["documents"])


@pytest.mark.parametrize("way", ["withdraw", "refuse"])
def test_work_that_did_nothing_in_one_system_and_was_refused_in_the_other_can_end(
    tmp_path: Path, database: Callable[[], str], way: str
) -> None:
    """What was carried out and met no row has changed nothing: the case may end unanswered."""
    room = refusing(tmp_path, database, "crm")
    _forget_documents(room)
    before = room.system("crm").dump()
    ref = approved(room)
    assert {s[1]: s[3] for s in room.steps(ref) if s[0] == "apply"} == {
        "crm": "failed",
        "files": "done",
    }
    decided = ended(room, ref, way)
    assert "nothing was carried out" in decided.details[0]
    assert room.system("crm").dump() == before


@pytest.mark.parametrize("way", ["withdraw", "refuse"])
def test_work_that_waits_for_a_system_that_is_away_can_end(
    tmp_path: Path, database: Callable[[], str], way: str
) -> None:
    """Nobody has to wait for a system to come back only to withdraw what it was asked for."""
    room = refusing(tmp_path, database, "crm", "kind: transient")
    _forget_documents(room)
    ref = approved(room)
    assert ("apply", "crm", "waiting") in {(s[0], s[1], s[3]) for s in room.steps(ref)}
    ended(room, ref, way)
    room.rows("UPDATE steps SET run_at = now() WHERE state = 'waiting' RETURNING id")
    room.settle()
    assert {s[3] for s in room.steps(ref)} == {"done", "cancelled"}


def test_an_erasure_that_waits_for_an_access_can_be_withdrawn(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """While it waits nothing is under work, and the person may think better of it."""
    room = EngineRoom(tmp_path, database())
    room.load_people(6)
    room.submit("access", email=_MAIL)
    room.settle()
    ref = approved(room)
    assert room.job(ref)["phase"] == "after_access"
    ended(room, ref, "withdraw")
    room.move_clock(days=40)
    room.settle()
    assert room.job(ref)["state"] == "withdrawn"
    assert room.outcomes(ref) == {}


def test_a_restriction_withdrawn_while_its_hold_is_placed_leaves_none(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """Whoever ends a case releases its holds; one that comes after that is not placed."""
    room = EngineRoom(tmp_path, database())
    room.load_people(6)
    ref = room.submit("restriction", email=_MAIL)
    room.settle()
    room.approve(ref)
    performers: Any = room.workshop.drainer._performers
    protect: Performer = performers["protect"]

    def late(batch: Batch) -> Sequence[StepResult]:
        room.rows("UPDATE steps SET state = 'waiting' WHERE action = 'protect' RETURNING id")
        ended(room, ref, "withdraw")
        return protect(batch)

    performers["protect"] = late
    room.settle()
    assert room.job(ref)["state"] == "withdrawn"
    with room.office.ledger.transaction() as cursor:
        assert not holds.listed(cursor)


def _reopened(room: EngineRoom) -> None:
    """Let a worker begin by the files as they are now."""
    before = room.office
    files = Files.load(room.settings.config_dir)
    room.office = Office(
        room.settings, before.endpoints, files, before.keys, registry=before.registry
    )
    room.workshop = Workshop(room.office)
    room.workshop.worker.enlist()


@pytest.mark.parametrize("phase", ["locate", "apply"])
def test_a_system_that_is_given_up_is_taken_out_of_the_map(
    tmp_path: Path, database: Callable[[], str], phase: str
) -> None:
    """A case that changed nothing goes on without it; another first accounts for what it did."""
    room = refusing(tmp_path, database, "files", after_calls=1 if phase == "locate" else 2)
    ref = approved(room)
    assert (phase, "files", "failed") in {(s[0], s[1], s[3]) for s in room.steps(ref)}
    (room.settings.config_dir / "systems" / "files.yaml").unlink()
    _reopened(room)
    if phase == "apply":
        with pytest.raises(DecisionRefused, match=f"no files any more.*`dsr leave {ref}`"):
            retried(room, ref)
        return
    retried(room, ref)
    plan = room.job(ref)["plan"]
    assert (room.job(ref)["state"], plan["systems"]) == ("awaiting_approval", ["crm"])
    assert "approval_voided" in room.events(ref)


@pytest.mark.parametrize("way", ["withdraw", "retry", "voided"])
def test_steps_of_a_system_that_nobody_serves_any_more_hold_nothing_up(
    tmp_path: Path, database: Callable[[], str], way: str
) -> None:
    """Taken out of the map between approval and work, a system is not waited for."""
    room = EngineRoom(tmp_path, database())
    room.load_people(6)
    ref = room.submit("erasure", email=_MAIL)
    room.settle()
    room.approve(ref)
    (room.settings.config_dir / "systems" / "files.yaml").unlink()
    _reopened(room)
    for _ in range(3):  # confirmed where it can be, then located
        room.tick()
        room.workshop.drainer("crm")
    assert ("files", "ready") in {(s[1], s[3]) for s in room.steps(ref)}
    if way == "withdraw":
        ended(room, ref, way)
        return
    if way == "voided":
        (job,) = room.rows("SELECT id FROM jobs WHERE ref = %s", ref)
        with room.office.ledger.transaction() as cursor:
            locked = jobs.lock(cursor, [job.id])
            cases.cancel_steps(cursor, job.id)
            found = [locked[job.id]._replace(pending=0)]
            void = {job.id: ["over_bound"]}
            jobs.change(cursor, room.office.planner.again(found, void))
        assert room.job(ref)["phase"] == "system_unmapped"
    retried(room, ref)
    plan = room.job(ref)["plan"]
    assert (room.job(ref)["state"], plan["systems"]) == ("awaiting_approval", ["crm"])


def _mended(room: EngineRoom, system: str, *, broken: str = "") -> None:
    """Write a system's map anew, with a fault or without any, and let a worker begin by it."""
    file = room.settings.config_dir / "systems" / f"{system}.yaml"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("config:")]
    fault = f", fault: {{{broken}}}" if broken else ""
    lines.insert(2, f"config: {{name: {room.name}-{system}{fault}}}")
    file.write_text("\n".join(lines) + "\n")
    _reopened(room)


def test_approved_work_of_a_system_that_moved_is_planned_by_the_mended_map(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """A system that is away at its old address is not waited for once the map has the new one."""
    room = refusing(tmp_path, database, "crm", "kind: transient")
    ref = approved(room)
    assert ("apply", "crm", "waiting") in {(s[0], s[1], s[3]) for s in room.steps(ref)}
    _mended(room, "crm")
    retried(room, ref)
    assert room.job(ref)["state"] == "awaiting_approval", room.steps(ref)
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)


@pytest.mark.parametrize("kind", ["permanent", "transient"])
def test_a_promise_that_its_map_keeps_from_being_kept_begins_anew_by_the_mended_one(
    tmp_path: Path, database: Callable[[], str], kind: str
) -> None:
    """Nobody approves it again: what was promised rests on no map."""
    room = EngineRoom(tmp_path, database())
    room.load_people(6)
    ref = approved(room)
    assert room.job(ref)["state"] == "ready"
    _mended(room, "crm", broken=f"kind: {kind}, method: erase")
    room.move_clock(days=365 * 12)
    room.settle()
    (job,) = {row.ref for row in room.rows("SELECT ref FROM jobs WHERE kind = 'deferred'")}
    assert room.job(job)["state"] == "working"
    before = {s[3] for s in room.steps(job)}
    assert before == {"failed" if kind == "permanent" else "waiting"}
    _mended(room, "crm")
    retried(room, job)
    assert room.job(job)["state"] == "closed", room.steps(job)


@pytest.mark.parametrize("means", ["same", "others"])
def test_a_lifting_keeps_to_its_own_means(
    tmp_path: Path, database: Callable[[], str], means: str
) -> None:
    """By a mended map it begins anew only where rows are freed by what they were restricted by."""
    room = EngineRoom(tmp_path, database(), systems={"crm": _flagged("blocked")})
    room.load_people(6)
    ref = approved(room, "restriction")
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    file = room.settings.config_dir / "systems" / "crm.yaml"
    frozen = room.job(ref)["frozen"]
    job = room.lift(ref)
    room.rows(
        "UPDATE steps SET state = 'failed', code = 'permanent' WHERE state = 'ready' RETURNING id"
    )
    if means == "others":
        file.write_text(file.read_text().replace("blocked", "barred"))
    else:
        file.write_text(file.read_text().replace("Trial.", "Trials."))
    _reopened(room)
    retried(room, job)
    assert (room.job(job)["frozen"] == frozen) is (means == "others")
    assert room.job(job)["state"] == "closed", room.steps(job)


def _flagged(name: str) -> str:
    restricted = f"    class: cart\n    restrict: {{flag: {name}}}\n"
    text = CRM.replace("    class: cart\n", restricted)
    return text.replace("      content:", f"      {name}: system.operations\n      content:")


# ---- an access whose package cannot be made, or is gone


@pytest.fixture
def unpackable(
    tmp_path: Path, database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> EngineRoom:
    """An installation in which no package can be made of a cart that says `odd`."""
    made = EngineRoom(tmp_path, database())
    made.load_people(6)
    _cart(made, "odd")

    def write(out: BinaryIO, contents: Contents) -> PackageMade:
        bodies = [r.body for s in contents.sources for r in s.read() if not hasattr(r, "lines")]
        if any(b'"odd"' in body for body in bodies):
            raise PackageRefused("odd", collection="carts")
        return write_package(out, contents)

    monkeypatch.setattr(access, "write_package", write)
    return made


def _cart(room: EngineRoom, content: str) -> None:
    with room.system("crm").transaction() as (tables, changes):
        row = tables.rows["carts"]["cart-3",]
        changes.append(("carts", ("cart-3",), {**row, "content": content}))


def _stopped(room: EngineRoom) -> str:
    ref = room.submit("access", email=_MAIL)
    room.settle()
    assert room.job(ref)["state"] == "packaging"
    assert room.steps(ref)[-1][3:] == ("needs_human", "package_refused")
    return ref


@pytest.mark.parametrize(("way", "state"), [("withdraw", "withdrawn"), ("refuse", "refused")])
def test_an_access_that_stops_at_its_package_can_end(
    unpackable: EngineRoom, way: str, state: str
) -> None:
    """Nothing was changed for it; what was found is destroyed with it."""
    ref = _stopped(unpackable)
    ended(unpackable, ref, way)
    assert unpackable.job(ref)["state"] == state
    unpackable.settle()
    assert not list(unpackable.office.store.names("records/"))


def test_a_package_under_work_is_not_ended_in_passing(unpackable: EngineRoom) -> None:
    """While somebody makes the package, its case is neither withdrawn nor refused."""
    ref = _stopped(unpackable)
    unpackable.office.decisions.retry(ref, unpackable.sign("anna", "retry", ref))
    unpackable.rows("UPDATE jobs SET state = 'packaging' WHERE ref = %s RETURNING id", ref)
    with pytest.raises(DecisionRefused, match="is under work"):
        ended(unpackable, ref, "withdraw")


def test_an_access_whose_records_were_mended_is_asked_for_anew(unpackable: EngineRoom) -> None:
    """What cannot be packaged lies in what was found, so that a retry finds again."""
    ref = _stopped(unpackable)
    retried(unpackable, ref)
    assert unpackable.job(ref)["state"] == "packaging"
    _cart(unpackable, "lamp")
    retried(unpackable, ref)
    assert unpackable.job(ref)["state"] == "ready", unpackable.steps(ref)


def test_an_answer_destroyed_before_it_left_can_be_made_anew(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """An erasure that no longer waits destroys the package; what is still held can be asked for."""
    room = EngineRoom(tmp_path, database())
    room.load_people(6)
    case = room.submit("access", email=_MAIL)
    room.settle()
    erasure = approved(room)
    room.move_clock(days=29)
    room.settle()
    assert room.job(erasure)["phase"] == "access_unfinished"
    retried(room, erasure)
    assert room.job(erasure)["state"] == "ready"
    signed = room.sign("anna", "hand-over", case)
    to = tmp_path / "p.zip"
    with pytest.raises(DecisionRefused, match=f"was destroyed.*`dsr retry {case}`"):
        room.office.delivery.package(case, to, Method.AES_ZIP, _PASSPHRASE, signed)
    retried(room, case)
    assert room.job(case)["state"] == "ready", room.steps(case)
    signed = room.sign("anna", "hand-over", case)
    room.office.delivery.package(case, to, Method.AES_ZIP, _PASSPHRASE, signed)
    assert room.job(case)["state"] == "closed"
