"""What was promised is carried out, and only what has to outlives its case."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from dsr_worker.contract import Context, Identity, Key, Receipt, Subject
from dsr_worker.domain.hold import DatasetHeld
from dsr_worker.engine.tick import Ticker
from dsr_worker.fulfil.intake import RequestRefused
from dsr_worker.ledger import steps
from dsr_worker.package import Method
from dsr_worker.testing.memory import Memory
from tests.integration.engine_room import EngineRoom
from tests.integration.person_three import MAIL, erased


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


# ---- what was promised


def test_rows_kept_for_a_held_dataset_go_after_its_release(room: EngineRoom) -> None:
    """A promise that waits for a hold on a dataset comes due when that hold is released."""
    review_on = room.rows("SELECT (business_now() + interval '90 days')::date AS day")[0].day
    hold = room.place_hold(DatasetHeld("files", "documents"), "matter-1", review_on)
    erased(room)
    assert ("doc-3",) in room.system("files").dump()["documents"]
    room.office.holding.release(hold, room.sign("anna", "release-hold", hold))
    room.move_clock(days=20)
    room.settle()
    assert ("doc-3",) not in room.system("files").dump()["documents"]


def test_an_erasure_waits_until_the_access_package_is_handed_over(
    room: EngineRoom, tmp_path: Path
) -> None:
    """A package that is ready and not yet delivered is not destroyed by an erasure."""
    access = room.submit("access", email=MAIL)
    room.settle()
    assert room.job(access)["state"] == "ready"
    erasure = room.submit("erasure", email=MAIL)
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
    ref = room.submit("erasure", email=MAIL)
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
    room.submit("access", email=MAIL)
    claimed = steps.claim(room.office.ledger, "crm", worker.id)
    assert claimed is not None
    lease = worker.hold(claimed.claims)
    lease.until = until = time.monotonic() + 60
    worker._renewed -= 60

    def stand_still() -> None:
        let_go.wait(100)

    ticker = Ticker(worker, [stand_still], 0.05)
    ticker.start()
    try:
        ends = time.monotonic() + 50
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
    ref = erased(room)
    deliver = room.office.delivery.certificate
    deliver(ref, tmp_path / "one.json", room.sign("anna", "hand-over", ref))
    room.move_clock(days=181)
    room.settle()
    assert room.job(ref)["data_key"] is None
    deliver(ref, tmp_path / "two.json", room.sign("anna", "hand-over", ref))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_a_promise_forgets_its_names_when_it_is_carried_out(room: EngineRoom) -> None:
    """The names in a promise end with it; its job has its own, which are shredded later."""
    erased(room)
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
    ref = erased(room)
    room.move_clock(days=60)
    signed = room.sign("anna", "hand-over", ref)
    delivered = room.office.delivery.certificate(ref, tmp_path / "c.json", signed)
    assert set(dict(delivered.clocks).values()) == {"missed"}
    assert "clock_met" not in room.events(ref)


def test_an_idempotency_key_works_without_a_stated_instant(room: EngineRoom) -> None:
    """The same request under the same key is the same case, though it is sent a little later."""
    first = room.submit("access", key="k-1", email=MAIL)
    assert room.submit("access", key="k-1", email=MAIL) == first
    with pytest.raises(RequestRefused, match="another request"):
        room.submit("erasure", key="k-1", email=MAIL)
