"""Attacks on the core: odd moments, wrong people, what is never carried out, what stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dsr_worker.contract import Context, Identity, Key, Receipt, Subject
from dsr_worker.domain.hold import DatasetHeld
from dsr_worker.engine.batch import Batch, Performer
from dsr_worker.engine.tick import Ticker
from dsr_worker.fulfil.intake import RequestRefused
from dsr_worker.ledger import steps
from dsr_worker.ledger.rows import StepResult
from dsr_worker.notify.mail import Sent
from dsr_worker.package import Method
from dsr_worker.people import digest_of
from dsr_worker.testing.memory import Memory
from tests.integration.engine_room import CRM, FILES, EngineRoom

_MAIL = "p.zq0003zq@mail.example"
_TEXTS = FILES[FILES.index("    source:") :]
_TICKETS = f"""
system: tickets
connector: gossip
config: {{name: NAME-tickets}}
collections:
  users:
    key: [id]
    person: true
    takes: {{email: {{field: email, form: ascii-case}}, helpdesk_user: id}}
    yields: {{helpdesk_user: id, phone: phone}}
    class: customer-account
    fields:
      id: user.unique_id
      email: user.contact.email
      phone: user.contact.phone_number
{_TEXTS}
"""


class Gossip(Memory):
    """A helpdesk; its users are people like the shop's."""


class Piecemeal(Memory):
    """Erases carts in a transaction of their own, and then everything else."""

    between: ClassVar[Callable[[], None]] = staticmethod(lambda: None)

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """In two parts."""
        located = list(keys)
        if ctx.dry_run:
            yield from super().erase(subjects, located, ctx)
            return
        carts = [key for key in located if key.collection == "carts"]
        rest = [key for key in located if key.collection != "carts"]
        first = list(super().erase(subjects, carts, ctx))
        type(self).between()
        second = list(super().erase(subjects, rest, ctx))
        yield from (receipt for receipt in first if receipt.collection == "carts")
        yield from (receipt for receipt in second if receipt.collection != "carts")


@pytest.fixture
def wide(tmp_path: Path, ledger: Callable[[], str]) -> EngineRoom:
    """The same with a helpdesk, in which user `u3` is customer 3 and `u4` is customer 4."""
    systems = {"crm": CRM, "files": FILES, "tickets": _TICKETS}
    made = EngineRoom(tmp_path, ledger(), systems=systems, connectors={"gossip": Gossip})
    made.load_people(10)
    users = [
        {"id": f"u{n}", "email": f"p.zq{n:04x}zq@mail.example", "phone": f"+49 30 1{n:06}"}
        for n in (3, 4)
    ]
    made.system("tickets").load({"users": users}, {"users": ("id",)})
    return made


class _Postman:
    """Takes every mail, or none, and remembers what the codes were and where they went."""

    def __init__(self, says: Sent = Sent.SENT) -> None:
        self.says = says
        self.sent: list[tuple[str, str]] = []

    def send_template(self, _name: str, *, to: str, values: dict[str, Any], **_rest: Any) -> Sent:
        """One mail."""
        self.sent.append((to, values["code"]))
        return self.says


def _with_postman(room: EngineRoom, postman: _Postman) -> _Postman:
    verifying = room.workshop.drainer._performers["send_code"].__self__  # type: ignore[attr-defined]
    verifying._mailer = postman
    return postman


def _perform(room: EngineRoom, action: str, make: Callable[[Performer], Performer]) -> None:
    """Put something around the performer of an action."""
    performers: Any = room.workshop.drainer._performers
    performers[action] = make(performers[action])


def _identities(room: EngineRoom, ref: str, standing: str) -> set[str]:
    return {
        row.kind
        for row in room.rows(
            "SELECT i.kind FROM identities i JOIN jobs j ON j.id = i.job_id"
            " WHERE j.ref = %s AND i.standing = %s",
            ref,
            standing,
        )
    }


def _erased(room: EngineRoom, mail: str = _MAIL) -> str:
    ref = room.submit("erasure", email=mail)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    return ref


# ---- never the wrong person


def test_a_code_verifies_only_the_names_that_led_to_it(wide: EngineRoom) -> None:
    """A code sent to one's own address proves nothing about somebody else's name in the request."""
    postman = _with_postman(wide, _Postman())
    ref = wide.submit("access", verification="code", email=_MAIL, helpdesk_user="u4")
    wide.settle()
    ((to, code),) = postman.sent
    assert to == _MAIL
    wide.office.decisions.enter_code(ref, code, wide.sign("anna", "enter-code", ref))
    wide.settle()
    found = {
        bytes(row.digest)
        for row in wide.rows("SELECT digest FROM identities WHERE standing <> 'claimed'")
    }
    assert wide.office.keys.index_digest("helpdesk_user", "u4") not in found
    assert wide.office.keys.index_digest("helpdesk_user", "u3") in found


def test_a_choice_stops_what_the_shared_name_had_begun(wide: EngineRoom) -> None:
    """After a choice between people, answers under way for the shared name are not believed."""
    wide.system("crm").load(
        {
            "customers": [
                {"id": n, "email": _MAIL, "name": n, "phone": None, "country": "DE"}
                for n in ("3", "33")
            ]
        },
        {"customers": ("id",)},
    )
    ref = wide.submit("access", email=_MAIL)

    def chosen_meanwhile(perform: Performer) -> Performer:
        def performed(batch: Batch) -> Sequence[StepResult]:
            results = perform(batch)
            if batch.ctx.system.name == "tickets" and wide.job(ref)["round"] == 1:
                digest = digest_of("choose", ref, kind="customer_number", value="33")
                signed = wide.sign("anna", "choose", ref, digest)
                wide.office.decisions.choose(ref, "customer_number", "33", signed)
            return results

        return performed

    _perform(wide, "resolve", chosen_meanwhile)
    wide.tick()
    wide.workshop.drainer("crm")
    assert ("resolve", "crm", 1, "needs_human", "several_people") in wide.steps(ref)
    wide.workshop.drainer("tickets")
    assert "helpdesk_user" not in _identities(wide, ref, "resolved")
    wide.settle()
    assert "helpdesk_user" not in _identities(wide, ref, "resolved")
    wide.approve(ref)
    wide.settle()
    assert wide.job(ref)["state"] == "ready", (wide.steps(ref), wide.events(ref))


def test_an_identity_contested_anywhere_seeds_nowhere(wide: EngineRoom) -> None:
    """A phone that two customers share is contested, in whatever order the systems answer."""
    phone = "+49 30 1000003"
    wide.system("crm").load(
        {
            "customers": [
                {"id": "3", "email": _MAIL, "name": "a", "phone": phone, "country": "DE"},
                {"id": "5", "email": "b@mail.example", "name": "b", "phone": phone},
            ]
        },
        {"customers": ("id",)},
    )
    ref = wide.submit("access", email=_MAIL)
    wide.tick()
    for system in ("tickets", "crm"):
        wide.workshop.drainer(system)
    assert "phone" in _identities(wide, ref, "contested"), wide.steps(ref)
    assert "phone" not in _identities(wide, ref, "resolved")


# ---- a case never stands still in silence


def test_a_case_goes_on_when_the_code_could_not_be_sent(room: EngineRoom) -> None:
    """After a mail that failed, a new code or an attestation carries the case on."""
    postman = _with_postman(room, _Postman(Sent.REFUSED))
    ref = room.submit("access", verification="code", email=_MAIL)
    room.settle()
    assert ("send_code", "desk", 1, "needs_human", "mail_refused") in room.steps(ref)
    postman.says = Sent.SENT
    room.office.decisions.send_code(ref, room.sign("anna", "send-code", ref))
    room.settle()
    assert len(postman.sent) == 2
    assert room.job(ref)["phase"] == "await_code"


def test_an_attestation_replaces_a_code_that_could_not_be_sent(room: EngineRoom) -> None:
    """An operator's word carries a case on though the mail with its code failed."""
    _with_postman(room, _Postman(Sent.REFUSED))
    ref = room.submit("access", verification="code", email=_MAIL)
    room.settle()
    signed = room.sign("anna", "attest", ref, digest_of("attest", ref, method="passport"))
    room.office.decisions.attest(ref, "passport", signed)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))


@pytest.mark.parametrize("kind", ["access", "erasure"])
def test_a_request_that_no_system_can_answer_is_answered(room: EngineRoom, kind: str) -> None:
    """A name that no collection takes ends in an answer that nothing is held (Art. 12 GDPR)."""
    ref = room.submit(kind, phone="+49 30 1000003")
    room.settle()
    if kind == "erasure":
        assert room.job(ref)["state"] == "awaiting_approval", room.steps(ref)
        room.approve(ref)
        room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))


def test_a_kind_that_is_not_carried_out_is_refused(room: EngineRoom) -> None:
    """A request that nothing would ever carry out is refused where it is taken in."""
    with pytest.raises(RequestRefused, match="access, erasure"):
        room.submit("objection", email=_MAIL)
    assert room.rows("SELECT 1 FROM jobs") == []


def test_an_erasure_that_waited_in_vain_goes_on_by_a_persons_word(room: EngineRoom) -> None:
    """An erasure that stopped because an access case is unfinished can be carried on by retry."""
    access = room.submit("access", email=_MAIL)
    erasure = room.submit("erasure", email=_MAIL)
    room.settle()
    room.approve(erasure)
    room.settle()
    assert room.job(erasure)["phase"] == "after_access", room.job(access)["state"]
    room.move_clock(days=29)
    room.settle()
    assert room.job(erasure)["phase"] == "access_unfinished"
    room.office.decisions.retry(erasure, room.sign("anna", "retry", erasure))
    room.settle()
    assert room.job(erasure)["state"] == "ready", (room.steps(erasure), room.events(erasure))


def test_withdrawing_one_case_does_not_hold_up_its_batch(room: EngineRoom) -> None:
    """When one case of a batch is withdrawn, the others are worked on at once."""
    refs = [room.submit("erasure", email=f"p.zq000{n}zq@mail.example") for n in (1, 2, 3)]
    withdrawn = refs[0]

    def interrupted(perform: Performer) -> Performer:
        def performed(batch: Batch) -> Sequence[StepResult]:
            if withdrawn in {m.job.ref for m in batch.members}:
                signed = room.sign("anna", "withdraw", withdrawn)
                room.office.decisions.withdraw(withdrawn, signed)
                room.workshop.worker._renewed -= 60
                room.workshop.worker.renew()
                batch.ctx.check()
            return perform(batch)

        return performed

    _perform(room, "plan", interrupted)
    for _ in range(8):
        room.tick()
        for system in room.office.systems:
            room.workshop.drainer(system)
    assert room.job(withdrawn)["state"] == "withdrawn"
    assert {room.job(r)["state"] for r in refs[1:]} == {"awaiting_approval"}, room.steps()


# ---- what was promised


def test_rows_kept_for_a_held_dataset_go_after_its_release(room: EngineRoom) -> None:
    """A promise that waits for a hold on a dataset comes due when that hold is released."""
    review_on = room.rows("SELECT (business_now() + interval '90 days')::date AS day")[0].day
    hold = room.place_hold(DatasetHeld("files", "documents"), "matter-1", review_on)
    _erased(room)
    assert ("doc-3",) in room.system("files").dump()["documents"]
    room.office.holding.release(hold, room.sign("anna", "release-hold", hold))
    room.move_clock(days=20)
    room.settle()
    assert ("doc-3",) not in room.system("files").dump()["documents"]


def test_an_erasure_waits_until_the_access_package_is_handed_over(
    room: EngineRoom, tmp_path: Path
) -> None:
    """A package that is ready and not yet delivered is not destroyed by an erasure."""
    access = room.submit("access", email=_MAIL)
    room.settle()
    assert room.job(access)["state"] == "ready"
    erasure = room.submit("erasure", email=_MAIL)
    room.settle()
    room.approve(erasure)
    room.settle()
    assert room.job(erasure)["phase"] == "after_access"
    signed = room.sign("anna", "hand-over", access)
    room.office.delivery.package(access, tmp_path / "p.zip", Method.AES_ZIP, "x" * 20, signed)
    room.settle()
    assert room.job(erasure)["state"] == "ready", (room.steps(erasure), room.events(erasure))


def test_what_went_before_an_approval_was_voided_is_accounted_for(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """Rows erased right before an effect was found to go too far stand in the final account."""
    room = EngineRoom(tmp_path, ledger(), connectors={"memory": Piecemeal})
    room.load_people(5)
    review_on = room.rows("SELECT (business_now() + interval '90 days')::date AS day")[0].day
    hold = room.place_hold(DatasetHeld("crm", "invoices"), "matter-1", review_on)
    ref = room.submit("erasure", email=_MAIL)
    room.settle()
    room.approve(ref)

    def release() -> None:
        Piecemeal.between = staticmethod(lambda: None)
        room.office.holding.release(hold, room.sign("anna", "release-hold", hold))

    Piecemeal.between = staticmethod(release)
    room.settle()
    assert "approval_voided" in room.events(ref)
    assert ("cart-3",) not in room.system("crm").dump()["carts"]
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    assert room.outcomes(ref)["crm", "carts", "erased"] == 1


def test_a_slow_duty_lets_no_lease_run_out(room: EngineRoom) -> None:
    """Leases are renewed while a duty of the tick stands still."""
    worker, let_go = room.workshop.worker, threading.Event()
    room.submit("access", email=_MAIL)
    claimed = steps.claim(room.office.ledger, "crm", worker.id)
    assert claimed is not None
    lease = worker.hold(claimed.claims)
    lease.until = until = time.monotonic() + 6
    worker._renewed -= 60

    def stand_still() -> None:
        let_go.wait(20)

    ticker = Ticker(worker, [stand_still], 0.05)
    ticker.start()
    try:
        ends = time.monotonic() + 5
        while lease.until == until and time.monotonic() < ends:
            time.sleep(0.02)
        worker._renewed -= 60
        until = lease.until
        while lease.until == until and time.monotonic() < ends:
            time.sleep(0.02)
        assert lease.until > until
    finally:
        let_go.set()
        ticker.stop()


# ---- what stays, and what does not


def test_a_certificate_outlives_the_key_of_its_case(room: EngineRoom, tmp_path: Path) -> None:
    """A certificate can be read after the case's identities were shredded."""
    ref = _erased(room)
    deliver = room.office.delivery.certificate
    deliver(ref, tmp_path / "one.json", room.sign("anna", "hand-over", ref))
    room.move_clock(days=181)
    room.settle()
    assert room.job(ref)["data_key"] is None
    deliver(ref, tmp_path / "two.json", room.sign("anna", "hand-over", ref))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_a_promise_forgets_its_names_when_it_is_carried_out(room: EngineRoom) -> None:
    """The names in a promise end with it; its job has its own, which are shredded later."""
    _erased(room)
    room.move_clock(days=366 * 10)
    room.settle()
    assert room.rows("SELECT 1 FROM promises WHERE carried_out_by IS NOT NULL")
    assert not room.rows(
        "SELECT 1 FROM promises WHERE carried_out_by IS NOT NULL"
        " AND (data_key IS NOT NULL OR sealed IS NOT NULL)"
    )


def test_the_names_in_a_released_hold_are_shredded(room: EngineRoom) -> None:
    """A hold's key is destroyed a while after its release, like that of a closed case."""
    ref = room.hold_person(Identity("customer_number", "3"))
    room.office.holding.release(ref, room.sign("anna", "release-hold", ref))
    room.move_clock(days=181)
    room.settle()
    assert room.job(ref)["data_key"] is None


def test_a_late_answer_is_not_told_as_a_clock_that_was_met(
    room: EngineRoom, tmp_path: Path
) -> None:
    """The evidence of a case answered too late says so."""
    ref = _erased(room)
    room.move_clock(days=60)
    signed = room.sign("anna", "hand-over", ref)
    delivered = room.office.delivery.certificate(ref, tmp_path / "c.json", signed)
    assert set(dict(delivered.clocks).values()) == {"missed"}
    assert "clock_met" not in room.events(ref)


def test_an_idempotency_key_works_without_a_stated_instant(room: EngineRoom) -> None:
    """The same request under the same key is the same case, though it is sent a little later."""
    first = room.submit("access", key="k-1", email=_MAIL)
    assert room.submit("access", key="k-1", email=_MAIL) == first
    with pytest.raises(RequestRefused, match="another request"):
        room.submit("erasure", key="k-1", email=_MAIL)
