"""No way back once rows are gone, and no effect beyond what was approved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest

from dsr_worker.contract import Context, Key, Outcome, OutcomeCount, Receipt, Subject
from dsr_worker.domain.hold import RowsHeld
from dsr_worker.engine.context import BatchContext
from dsr_worker.fulfil.decisions import DecisionRefused
from dsr_worker.people import digest_of
from dsr_worker.testing.memory import Memory
from tests.integration.engine_room import EngineRoom
from tests.integration.person_three import MAIL, review_on


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
    tmp_path: Path, ledger: Callable[[], str], way: str
) -> None:
    """Once rows are gone a case ends in a certificate that accounts for them, in no other way."""
    room = EngineRoom(tmp_path, ledger(), connectors={"memory": Stubborn})
    room.load_people(5)
    ref = room.submit("erasure", email=MAIL)
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


def _left(room: EngineRoom) -> int:
    carts = room.system("crm").dump()["carts"]
    return sum(1 for (key,) in carts if key.startswith("c") and not key.startswith("cart-"))


@pytest.mark.parametrize("connector", [Restless, OneByOne])
def test_work_that_was_rolled_back_and_begun_again_counts_once(
    tmp_path: Path, ledger: Callable[[], str], connector: type[Memory]
) -> None:
    """An approval is not void because a target deadlocked, whole or by the object."""
    room = EngineRoom(tmp_path, ledger(), connectors={"memory": connector})
    room.load_people(5)
    _carts(room, 25)
    ref = room.submit("erasure", email=MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    assert "approval_voided" not in room.events(ref)
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    assert _left(room) == 0


def test_small_effects_add_up_against_the_approval(
    tmp_path: Path, ledger: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Carts that go one by one after a hold fell stop where the approved number is reached."""
    room = EngineRoom(tmp_path, ledger(), connectors={"memory": OneByOne})
    room.load_people(5)
    _carts(room, 12)
    scope = RowsHeld("crm", "carts", "id", tuple(f"c{n:02}" for n in range(6)))
    held = room.place_hold(scope, "matter-1", review_on(room))
    ref = room.submit("erasure", email=MAIL)
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
