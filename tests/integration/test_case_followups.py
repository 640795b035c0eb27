"""Attacks on cases after the first round: what stays open, expires, stops, or goes too far."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from dsr_worker.contract import (
    Context,
    Finding,
    Identity,
    Key,
    Outcome,
    OutcomeCount,
    Receipt,
    Record,
    Subject,
    System,
)
from dsr_worker.domain.hold import DatasetHeld, PeopleHeld, RowsHeld, Scope
from dsr_worker.engine.context import BatchContext
from dsr_worker.fulfil.decisions import DecisionRefused
from dsr_worker.fulfil.holding import hold_digest
from dsr_worker.fulfil.reindexing import reindex
from dsr_worker.notify.mail import Sent
from dsr_worker.package import Method, PackageRefused, hand_over
from dsr_worker.people import ActorRefused, digest_of
from dsr_worker.testing.memory import Memory, MemoryConfig
from tests.integration.engine_room import CRM, FILES, ORGANISATION, EngineRoom

_MAIL = "p.zq0003zq@mail.example"
_PASSPHRASE = "correct-horse-battery"


@pytest.fixture
def room(tmp_path: Path, database: Callable[[], str]) -> EngineRoom:
    """An installation with ten people in two systems."""
    made = EngineRoom(tmp_path, database())
    made.load_people(10)
    return made


def _erased(room: EngineRoom, mail: str = _MAIL) -> str:
    ref = room.submit("erasure", email=mail)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    return ref


def _answered(room: EngineRoom) -> str:
    ref = room.submit("access", email=_MAIL)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    return ref


def _hand_over(room: EngineRoom, ref: str, to: Path) -> None:
    signed = room.sign("anna", "hand-over", ref)
    room.office.delivery.package(ref, to, Method.AES_ZIP, _PASSPHRASE, signed)


def _bodies(room: EngineRoom, ref: str, kind: str) -> list[dict[str, Any]]:
    return [
        row.body
        for row in room.rows(
            "SELECT e.body::jsonb->'body' AS body FROM events e JOIN jobs j ON j.id = e.job_id"
            " WHERE j.ref = %s AND e.kind = %s ORDER BY e.seq",
            ref,
            kind,
        )
    ]


# ---- no way back once rows are gone


class Stubborn(Memory):
    """Shows a cart of everybody to the second path, whatever is erased."""

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """One cart each."""
        del keys, ctx
        yield from (Key(subject.ref, "carts", ("left",)) for subject in subjects)


@pytest.mark.parametrize("way", ["withdraw", "refuse"])
def test_an_erasure_that_has_begun_is_neither_withdrawn_nor_refused(
    tmp_path: Path, database: Callable[[], str], way: str
) -> None:
    """Once rows are gone a case ends in a certificate that accounts for them, in no other way."""
    room = EngineRoom(tmp_path, database(), connectors={"memory": Stubborn})
    room.load_people(5)
    ref = room.submit("erasure", email=_MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["phase"] == "found_again", (room.steps(ref), room.events(ref))
    refused = digest_of("refuse", ref, ground="ANY_UNFOUNDED")
    signed = room.sign("anna", way, ref, refused if way == "refuse" else "")
    grounds = ("ANY_UNFOUNDED",) if way == "refuse" else ()
    with pytest.raises(DecisionRefused, match="changed rows already"):
        getattr(room.office.decisions, way)(ref, *grounds, signed)
    assert room.job(ref)["phase"] == "found_again"


# ---- packages


def test_a_refused_hand_over_leaves_no_file_and_an_open_case(
    room: EngineRoom, tmp_path: Path
) -> None:
    """Where a signature is refused nothing lies in the folder, under no name; no clock ends."""
    ref = _answered(room)
    out = tmp_path / "out"
    out.mkdir()
    signed = room.sign("anna", "withdraw", ref)
    with pytest.raises(ActorRefused):
        room.office.delivery.package(ref, out / "p.zip", Method.AES_ZIP, _PASSPHRASE, signed)
    with pytest.raises(PackageRefused):
        room.office.delivery.package(
            ref, out / "p.zip", Method.AES_ZIP, "short", room.sign("anna", "hand-over", ref)
        )
    assert list(out.iterdir()) == []
    assert room.job(ref)["state"] == "ready"
    (out / "p.zip").write_text("mine")
    with pytest.raises(PackageRefused, match="never overwritten"):
        _hand_over(room, ref, out / "p.zip")
    assert (out / "p.zip").read_text() == "mine"


def test_a_package_is_encrypted_outside_any_ledger_transaction(
    room: EngineRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a package takes to write, no transaction stands idle meanwhile."""
    ref, idle = _answered(room), []

    def watched(*args: Any, **kwargs: Any) -> Any:
        idle.extend(
            room.rows(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'idle in transaction'"
            )
        )
        return hand_over(*args, **kwargs)

    monkeypatch.setattr("dsr_worker.fulfil.delivery.hand_over", watched)
    _hand_over(room, ref, tmp_path / "p.zip")
    assert idle == []
    assert sorted(p.name for p in tmp_path.iterdir() if "p.zip" in p.name) == ["p.zip"]
    assert room.job(ref)["state"] == "closed"


def test_a_package_expires_from_its_hand_over_and_not_before(
    room: EngineRoom, tmp_path: Path
) -> None:
    """A case that waits for delivery can be answered however late; afterwards its package goes."""
    ref = _answered(room)
    room.move_clock(days=60)
    room.settle()
    assert "package_destroyed" not in room.events(ref)
    _hand_over(room, ref, tmp_path / "p.zip")
    (row,) = room.rows("SELECT expires_at - handed_over_at AS kept FROM packages")
    assert timedelta(days=13, hours=23) < row.kept <= timedelta(days=14)
    room.move_clock(days=13)
    room.settle()
    _hand_over(room, ref, tmp_path / "again.zip")
    room.move_clock(days=2)
    room.settle()
    assert "package_destroyed" in room.events(ref)
    with pytest.raises(DecisionRefused, match="destroyed"):
        _hand_over(room, ref, tmp_path / "late.zip")


def test_an_erasure_tells_each_case_whose_package_it_destroys(
    room: EngineRoom, tmp_path: Path
) -> None:
    """Packages of earlier cases go with an erasure, and those cases' own evidence says why."""
    earlier = [_answered(room) for _ in range(2)]
    for n, ref in enumerate(earlier):
        _hand_over(room, ref, tmp_path / f"{n}.zip")
    stranger = room.submit("access", email="p.zq0004zq@mail.example")
    room.settle()
    erasure = _erased(room)
    said = {"reason": "erasure", "case": str(room.job(erasure)["id"])}
    for ref in earlier:
        assert _bodies(room, ref, "package_destroyed") == [said]
    signed = room.sign("anna", "hand-over", erasure)
    room.office.delivery.certificate(erasure, tmp_path / "c.json", signed)
    certificate = json.loads((tmp_path / "c.json").read_bytes())["certificate"]
    assert certificate["earlier_packages_destroyed"] == len(earlier)
    assert "destroyed by this erasure: 2" in (tmp_path / "c.html").read_text("utf-8")
    assert "package_destroyed" not in room.events(stranger)


# ---- connectors that cannot erase


class ReadOnly:
    """A system that can be read and nothing else."""

    Config: ClassVar[type[BaseModel]] = MemoryConfig

    def __init__(self, system: System, config: MemoryConfig) -> None:
        self._memory = Memory(system, config)

    def check(self) -> Sequence[Finding]:
        """Nothing to say."""
        return ()

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """As the memory does."""
        return self._memory.find(subjects, ctx)


_SECOND_LOOK = ORGANISATION.replace("access: automatic", "access: second_actor")
_BY_MAIL = FILES.replace("takes: {customer_number: owner}", "takes: {email: owner}")


@pytest.fixture
def archive(tmp_path: Path, database: Callable[[], str]) -> EngineRoom:
    """An installation whose archive of documents, by e-mail, cannot erase."""
    systems = {"crm": CRM, "files": _BY_MAIL.replace("connector: memory", "connector: archive")}
    made = EngineRoom(
        tmp_path,
        database(),
        systems=systems,
        organisation=_SECOND_LOOK,
        connectors={"archive": ReadOnly},
    )
    made.load_people(5)
    documents = [{"id": f"d{n}", "owner": _MAIL, "text": "letter"} for n in range(2)]
    made.system("files").load({"documents": documents}, {"documents": ("id",)})
    return made


def test_an_access_plan_counts_what_a_system_that_cannot_erase_holds(archive: EngineRoom) -> None:
    """The plan of an access request needs a connector that finds, and no more."""
    ref = archive.submit("access", email=_MAIL)
    archive.settle()
    assert archive.job(ref)["state"] == "awaiting_approval", archive.steps(ref)
    found = {
        (o["system"], o["collection"]): o["rows"] for o in archive.job(ref)["plan"]["outcomes"]
    }
    assert found["files", "documents"] == 2
    archive.approve(ref)
    archive.settle()
    assert archive.job(ref)["state"] == "ready", archive.steps(ref)


def test_an_erasure_in_a_system_that_cannot_erase_asks_a_human_at_once(
    archive: EngineRoom,
) -> None:
    """Nobody waits for attempts that cannot help, and no access case in the batch is held up."""
    erasure, access = (archive.submit(k, email=_MAIL) for k in ("erasure", "access"))
    archive.settle()
    (stopped,) = [s for s in archive.steps(erasure) if s[3] == "needs_human"]
    assert (stopped[0], stopped[1], stopped[4]) == ("plan", "files", "cannot_erase")
    assert archive.job(access)["state"] == "awaiting_approval", archive.steps(access)


# ---- promises


def _deferred(room: EngineRoom) -> list[Any]:
    return room.rows("SELECT * FROM jobs WHERE kind = 'deferred' ORDER BY id")


def _returned(room: EngineRoom, count: int) -> None:
    """The erased customer 3 has come back under the same number and left many carts."""
    crm = room.system("crm")
    carts = [
        {"id": f"new-{n}", "customer_id": "3", "content": "lamp", "created_at": "2036-01-01"}
        for n in range(count)
    ]
    crm.load({"carts": carts}, {"carts": ("id",)})


def test_a_promise_erases_no_more_than_was_promised(room: EngineRoom) -> None:
    """Rows that came after the erasure are not taken by its promise; a human is asked."""
    _erased(room)
    _returned(room, 30)
    room.move_clock(days=366 * 10)
    room.settle()
    (job,) = [j for j in _deferred(room) if j.state != "closed"]
    assert (job.state, job.phase) == ("needs_human", "promise_exceeded"), room.steps(job.ref)
    assert ("3-new",) in room.system("crm").dump()["invoices"]
    assert ("new-1",) in room.system("crm").dump()["carts"]
    room.office.decisions.retry(job.ref, room.sign("anna", "retry", job.ref))
    room.settle()
    assert room.job(job.ref)["phase"] == "promise_exceeded"
    erasure = room.submit("erasure", customer_number="3")
    room.settle()
    room.approve(erasure)
    room.settle()
    assert ("new-1",) not in room.system("crm").dump()["carts"]
    room.office.decisions.retry(job.ref, room.sign("anna", "retry", job.ref))
    room.settle()
    assert room.job(job.ref)["state"] == "closed", (room.steps(job.ref), room.events(job.ref))


def test_a_promise_that_does_not_open_holds_up_no_other(room: EngineRoom) -> None:
    """One spoilt promise becomes a question to a human; the others are carried out."""
    for n in (3, 4):
        _erased(room, f"p.zq000{n}zq@mail.example")
    spoilt = room.rows("SELECT id, sealed FROM promises WHERE system = 'crm' ORDER BY id")[0]
    with room.office.ledger.transaction() as cursor:
        cursor.execute("UPDATE promises SET sealed = 'x' WHERE id = %s", (spoilt.id,))
    room.move_clock(days=366 * 10)
    room.settle()
    stopped = [j for j in _deferred(room) if j.state != "closed"]
    assert [j.phase for j in stopped] == ["promise_unopenable"]
    assert ("4-new",) not in room.system("crm").dump()["invoices"]
    with room.office.ledger.transaction() as cursor:
        cursor.execute(
            "UPDATE promises SET sealed = %s WHERE id = %s", (bytes(spoilt.sealed), spoilt.id)
        )
    (job,) = stopped
    room.office.decisions.retry(job.ref, room.sign("anna", "retry", job.ref))
    room.settle()
    assert {j.state for j in _deferred(room)} == {"closed"}
    assert ("3-new",) not in room.system("crm").dump()["invoices"]


def test_a_promise_whose_system_left_the_map_asks_a_human(room: EngineRoom) -> None:
    """A promise in a system that the map names no longer neither vanishes nor fails in silence."""
    _erased(room)
    with room.office.ledger.transaction() as cursor:
        cursor.execute("UPDATE promises SET system = 'gone'")
    room.move_clock(days=366 * 10)
    room.settle()
    (job,) = _deferred(room)
    assert (job.state, job.phase) == ("needs_human", "system_unmapped")
    assert room.rows("SELECT 1 FROM promises WHERE sealed IS NOT NULL")


# ---- how far an effect may go


class DeadlockError(Exception):
    """What a target says when it has rolled a transaction back."""


class Restless(Memory):
    """Each transaction is rolled back once after its intent, and begun again."""

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """In one transaction, the second time."""
        located = list(keys)
        if not ctx.dry_run:
            assert isinstance(ctx, BatchContext)
            stated = list(super().erase(subjects, located, ctx.trying()))
            with suppress(DeadlockError), ctx.guard() as guard:
                guard.intend(stated)
                raise DeadlockError
        yield from super().erase(subjects, located, ctx)


class OneByOne(Restless):
    """Every cart in a transaction of its own, then everything else."""

    between: ClassVar[Callable[[], None]] = staticmethod(lambda: None)

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """As the object stores and helpdesks do."""
        located = list(keys)
        if ctx.dry_run:
            yield from super().erase(subjects, located, ctx)
            return
        carts: Counter[tuple[str, Outcome, str]] = Counter()
        for key in (key for key in located if key.collection == "carts"):
            for receipt in super().erase(subjects, [key], ctx):
                if receipt.collection == "carts" and receipt.subject_ref == key.subject_ref:
                    for part in receipt.outcomes:
                        carts[key.subject_ref, part.outcome, part.ground] += part.rows
            type(self).between()
        rest = [key for key in located if key.collection != "carts"]
        for receipt in super().erase(subjects, rest, ctx):
            if receipt.collection != "carts":
                yield receipt
                continue
            told = [
                OutcomeCount(outcome, rows, ground=ground)
                for (ref, outcome, ground), rows in carts.items()
                if ref == receipt.subject_ref and rows
            ]
            yield Receipt(receipt.subject_ref, "carts", tuple(told or receipt.outcomes))


def _carts(room: EngineRoom, count: int) -> None:
    carts = [
        {"id": f"c{n:02}", "customer_id": "3", "content": "lamp", "created_at": "2026-11-01"}
        for n in range(count)
    ]
    room.system("crm").load({"carts": carts}, {"carts": ("id",)})


def _review_on(room: EngineRoom) -> date:
    found = room.rows("SELECT (business_now() + interval '90 days')::date AS day")[0].day
    assert isinstance(found, date)
    return found


def _left(room: EngineRoom) -> int:
    carts = room.system("crm").dump()["carts"]
    return sum(1 for (key,) in carts if key.startswith("c") and not key.startswith("cart-"))


@pytest.mark.parametrize("connector", [Restless, OneByOne])
def test_work_that_was_rolled_back_and_begun_again_counts_once(
    tmp_path: Path, database: Callable[[], str], connector: type[Memory]
) -> None:
    """An approval is not void because a target deadlocked, whole or by the object."""
    room = EngineRoom(tmp_path, database(), connectors={"memory": connector})
    room.load_people(5)
    _carts(room, 25)
    ref = room.submit("erasure", email=_MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    assert "approval_voided" not in room.events(ref)
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    assert _left(room) == 0


def test_small_effects_add_up_against_the_approval(
    tmp_path: Path, database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Carts that go one by one after a hold fell stop where the approved number is reached."""
    room = EngineRoom(tmp_path, database(), connectors={"memory": OneByOne})
    room.load_people(5)
    _carts(room, 12)
    scope = RowsHeld("crm", "carts", "id", tuple(f"c{n:02}" for n in range(6)))
    held = room.place_hold(scope, "matter-1", _review_on(room))
    ref = room.submit("erasure", email=_MAIL)
    room.settle()
    room.approve(ref)

    def release() -> None:
        monkeypatch.setattr(OneByOne, "between", staticmethod(lambda: None))
        room.office.holding.release(held, room.sign("anna", "release-hold", held))

    monkeypatch.setattr(OneByOne, "between", staticmethod(release))
    room.settle()
    assert "approval_voided" in room.events(ref)
    gone = 12 - _left(room)
    assert gone <= 7  # the six approved, and the person's first cart is one of seven
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))


# ---- a rotated key ring


class _Postman:
    """Takes every mail and remembers the codes."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def send_template(self, _name: str, *, values: dict[str, Any], **_rest: Any) -> Sent:
        """One mail."""
        self.codes.append(values["code"])
        return Sent.SENT


def _rotate(room: EngineRoom) -> int:
    """As `dsr keys rotate` does; every part of this process then holds the new ring."""
    ring = room.office.keys.rotate()
    vars(room.office.keys).update(vars(ring))
    return reindex(room.office.ledger, ring, at_once=2)


def test_cases_of_one_person_meet_over_a_rotation(room: EngineRoom, tmp_path: Path) -> None:
    """An erasure after a rotation waits for the access case before it, and takes its package."""
    access = _answered(room)
    assert _rotate(room) > 0
    assert _rotate(room) > 0
    erasure = room.submit("erasure", email=_MAIL)
    room.settle()
    room.approve(erasure)
    room.settle()
    assert room.job(erasure)["phase"] == "after_access"
    _hand_over(room, access, tmp_path / "p.zip")
    room.settle()
    assert room.job(erasure)["state"] == "ready", room.steps(erasure)
    assert "package_destroyed" in room.events(access)


def test_a_rotation_between_approval_and_effect_changes_nobody(room: EngineRoom) -> None:
    """The same names, indexed anew, are no new names: the approval stands."""
    ref = room.submit("erasure", email=_MAIL)
    room.settle()
    room.approve(ref)
    _rotate(room)
    room.settle()
    assert "approval_voided" not in room.events(ref)
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))


def test_rows_kept_before_a_rotation_are_kept_after_it(room: EngineRoom) -> None:
    """A second look under a new key knows the rows that were kept under the old one."""
    ref = room.submit("erasure", email=_MAIL)
    room.settle()
    room.approve(ref)
    for _ in range(20):
        if room.job(ref)["phase"] == "recheck":
            break
        room.tick()
        for system in ("crm", "files"):
            if room.job(ref)["phase"] != "recheck":
                room.workshop.drainer(system)
    assert room.job(ref)["phase"] == "recheck", room.steps(ref)
    _rotate(room)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    assert {s[2] for s in room.steps(ref) if s[0] == "recheck"} == {4}


def test_a_code_sent_before_a_rotation_still_proves_its_names(room: EngineRoom) -> None:
    """Whoever got a code before a rotation is verified by it afterwards, by the same names."""
    postman = _Postman()
    verifying: Any = room.workshop.drainer._performers["send_code"]
    verifying.__self__._mailer = postman
    ref = room.submit("access", verification="code", email=_MAIL)
    room.settle()
    _rotate(room)
    signed = room.sign("anna", "enter-code", ref)
    room.office.decisions.enter_code(ref, postman.codes[0], signed)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    (made,) = _bodies(room, ref, "package_made")
    assert made["records"] > 0


def test_a_hold_released_after_a_rotation_lets_its_promises_come_due(room: EngineRoom) -> None:
    """A promise made under the old key is found by the release of the hold that it waits for."""
    hold = room.hold_person(Identity("email", _MAIL))
    _erased(room)
    _rotate(room)
    room.office.holding.release(hold, room.sign("anna", "release-hold", hold))
    assert not room.rows("SELECT 1 FROM promises WHERE due_on IS NULL")
    room.move_clock(days=20)
    room.settle()
    assert ("doc-3",) not in room.system("files").dump()["documents"]


# ---- what a signature covers


@pytest.mark.parametrize(
    ("action", "signed_over", "decided"),
    [
        ("refuse", {"ground": "ANY_EXCESSIVE"}, "ANY_UNFOUNDED"),
        ("extend", {"reason": "complex"}, "many_requests"),
    ],
)
def test_a_signature_covers_what_was_decided(
    room: EngineRoom, action: str, signed_over: dict[str, str], decided: str
) -> None:
    """A signature over one ground or reason lets nobody refuse or extend on another, or on none."""
    ref = room.submit("erasure", email=_MAIL)
    other = room.submit("erasure", email="p.zq0004zq@mail.example")
    decide = getattr(room.office.decisions, action)
    (right,) = signed_over.values()
    for stated in (
        room.sign("anna", action, ref, digest_of(action, ref, **signed_over)),
        room.sign("anna", action, ref),
    ):
        with pytest.raises(ActorRefused, match="another action"):
            decide(ref, decided, stated)
    of_another = room.sign("anna", action, ref, digest_of(action, other, **signed_over))
    with pytest.raises(ActorRefused, match="another action"):
        decide(ref, right, of_another)
    decide(ref, right, room.sign("anna", action, ref, digest_of(action, ref, **signed_over)))
    wanted = {"refuse": "closed", "extend": "clock_extended"}
    assert wanted[action] in room.events(ref)


def test_an_attestation_is_signed_with_its_method(room: EngineRoom) -> None:
    """Whoever signed that they saw a passport has not signed that they know the voice."""
    ref = room.submit("access", verification="code", email=_MAIL)
    passport = digest_of("attest", ref, method="passport")
    for digest in ("", passport):
        signed = room.sign("anna", "attest", ref, digest)
        with pytest.raises(ActorRefused, match="another action"):
            room.office.decisions.attest(ref, "voice", signed)
    signed = room.sign("anna", "attest", ref, passport)
    room.office.decisions.attest(ref, "passport", signed)
    assert "identity_verified" in room.events(ref)


def test_a_choice_is_signed_with_who_was_chosen(room: EngineRoom) -> None:
    """A signature that names one of two people settles nothing for the other."""
    twins = [{"id": n, "email": _MAIL, "name": n, "country": "DE"} for n in ("3", "33")]
    room.system("crm").load({"customers": twins}, {"customers": ("id",)})
    ref = room.submit("access", email=_MAIL)
    room.settle()
    chosen = digest_of("choose", ref, kind="customer_number", value="33")
    for digest in ("", chosen):
        signed = room.sign("anna", "choose", ref, digest)
        with pytest.raises(ActorRefused, match="another action"):
            room.office.decisions.choose(ref, "customer_number", "3", signed)
    signed = room.sign("anna", "choose", ref, chosen)
    room.office.decisions.choose(ref, "customer_number", "33", signed)
    room.settle()
    assert room.job(ref)["state"] == "awaiting_approval", room.steps(ref)


@pytest.mark.parametrize(
    "scope",
    [
        DatasetHeld("crm", "invoices"),
        DatasetHeld("files"),
        RowsHeld("crm", "invoices", "id", ("1-old",)),
        PeopleHeld((Identity("customer_number", "4"),)),
    ],
)
def test_a_hold_is_signed_with_its_scope(room: EngineRoom, scope: Scope) -> None:
    """A signature under one hold places no other: not on another scope, reason, matter or day."""
    day = _review_on(room)
    wanted = PeopleHeld((Identity("customer_number", "3"),))
    signed_over = (
        "",
        hold_digest(wanted, "ER_LEGAL_CLAIMS", "m-1", day),
        hold_digest(scope, "ER_FREE_SPEECH", "m-1", day),
        hold_digest(scope, "ER_LEGAL_CLAIMS", "m-2", day),
        hold_digest(scope, "ER_LEGAL_CLAIMS", "m-1", day + timedelta(days=1)),
    )
    for digest in signed_over:
        signed = room.sign("anna", "place-hold", "new", digest)
        with pytest.raises(ActorRefused, match="another action"):
            room.office.holding.place(scope, "ER_LEGAL_CLAIMS", "m-1", day, signed)
    assert room.rows("SELECT 1 FROM holds") == []
    room.place_hold(scope, "m-1", day)
    assert len(room.rows("SELECT 1 FROM holds")) == 1
