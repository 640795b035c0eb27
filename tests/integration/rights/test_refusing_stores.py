"""Where a store or a connector refuses, nothing is half done in silence and a human is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from dsr_worker.cli import questions
from dsr_worker.contract import Context, Correction, Finding, Key, Receipt, Record, Subject, System
from dsr_worker.fulfil.correcting import Stated
from dsr_worker.fulfil.decisions import Decided, DecisionRefused
from dsr_worker.ledger import holds, reports
from dsr_worker.people import digest_of
from dsr_worker.testing.memory import MemoryConfig
from tests.integration.engine_room import FILES, EngineRoom
from tests.integration.rights.restrictable import (
    MAIL,
    NEW_NAME,
    restrictable,
    right,
    rows_of,
    system_dump,
)
from tests.integration.sweep_room import SweepRoom

# ---- rectification


def test_a_value_that_the_store_refuses_asks_a_human_and_changes_nothing(
    room: EngineRoom,
) -> None:
    """The stop names the field and not the value, and is put as a question."""
    with room.system("crm").transaction() as (tables, changes):
        row = tables.rows["customers"]["3",]
        changes.append(("customers", ("3",), {**row, "country": 49}))
    before = system_dump(room)
    ref = room.submit("rectification", [right("country", NEW_NAME)], email=MAIL)
    room.settle()
    (stopped,) = room.rows("SELECT code, details FROM steps WHERE state = 'needs_human'")
    assert (stopped.code, stopped.details) == (
        "correction_refused",
        {"collection": "customers", "field": "country"},
    )
    assert system_dump(room) == before
    with room.office.ledger.transaction() as cursor:
        (question,) = questions.put(ref, reports.stops(cursor, room.job(ref)["id"]))
    assert "crm.customers.country" in question["text"]
    room.office.decisions.withdraw(ref, room.sign("anna", "withdraw", ref))


def _refusing(tmp_path: Path, ledger: Callable[[], str], method: str, *names: str) -> EngineRoom:
    """A room in which systems refuse a method's third call, the first that would change rows."""
    systems = restrictable()
    for name in names:
        systems[name] = systems[name].replace(
            f"config: {{name: NAME-{name}}}",
            f"config: {{name: NAME-{name}, fault: {{kind: permanent, method: {method},"
            " after_calls: 2}}",
        )
    made = EngineRoom(tmp_path, ledger(), systems=systems)
    made.load_people(6)
    with made.system("crm").transaction() as (tables, changes):
        rows = tables.rows["customers"].items()
        changes.extend(("customers", key, {**row, "blocked": "no"}) for key, row in rows)
    return made


def _ended(room: EngineRoom, ref: str, way: str) -> Decided:
    if way == "withdraw":
        return room.office.decisions.withdraw(ref, room.sign("anna", way, ref))
    signed = room.sign("anna", way, ref, digest_of(way, ref, ground="ANY_UNFOUNDED"))
    return room.office.decisions.refuse(ref, "ANY_UNFOUNDED", signed)


@pytest.mark.parametrize(("way", "state"), [("withdraw", "withdrawn"), ("refuse", "refused")])
@pytest.mark.parametrize(
    ("kind", "method"), [("rectification", "rectify"), ("restriction", "restrict")]
)
def test_approved_work_that_a_store_refused_whole_can_be_ended(
    tmp_path: Path, ledger: Callable[[], str], kind: str, method: str, way: str, state: str
) -> None:
    """Where nothing was changed and nothing goes on a case ends, its steps and holds with it."""
    room = _refusing(tmp_path, ledger, method, "crm", "files")
    before = system_dump(room)
    corrections = [right("name", NEW_NAME)] if kind == "rectification" else []
    ref = room.submit(kind, corrections, email=MAIL)
    room.settle()
    room.approve(ref)
    with pytest.raises(DecisionRefused, match="is under work"):
        _ended(room, ref, way)
    room.settle()
    assert room.job(ref)["state"] == "working"
    ended = _ended(room, ref, way)
    assert (ended.state, "nothing was carried out" in ended.details[0]) == (state, True)
    assert system_dump(room) == before
    assert {row[3] for row in room.steps(ref)} <= {"done", "cancelled"}
    with room.office.ledger.transaction() as cursor:
        assert not holds.listed(cursor)
    room.settle()
    assert room.job(ref)["state"] == state


def test_partly_carried_out_work_says_how_it_goes_on_instead_of_ending(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """Once one system was changed the refusal to end names mending and retrying."""
    room = _refusing(tmp_path, ledger, "erase", "files")
    ref = room.submit("erasure", email=MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    assert ("apply", "files", "failed") in {(s[0], s[1], s[3]) for s in room.steps(ref)}
    with pytest.raises(DecisionRefused, match=f"mend what stopped it.*`dsr retry {ref}`"):
        _ended(room, ref, "withdraw")
    assert room.job(ref)["state"] == "working"


def test_a_system_gone_from_the_map_is_named_as_not_asked(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """What was to be put right there is not forgotten in silence."""
    room = SweepRoom(tmp_path, ledger(), systems=restrictable())
    room.load_people(6)
    gone = Stated("files", "documents", Correction("text", "x"))
    ref = room.submit("rectification", [right("name", NEW_NAME), gone], email=MAIL)
    (room.settings.config_dir / "systems" / "files.yaml").unlink()
    room.reopen()
    room.settle()
    plan = room.job(ref)["plan"]
    assert (plan["systems"], plan["not_applicable"]) == (["crm"], ["files"])


class Reader:
    """Finds nothing and can do nothing else."""

    Config: ClassVar[type[BaseModel]] = MemoryConfig

    def __init__(self, system: System, config: BaseModel) -> None:
        del system, config

    def check(self) -> Iterator[Finding]:
        """Nothing to say."""
        return iter(())

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Nothing."""
        del subjects, ctx
        return iter(())


class Eraser(Reader):
    """Erases, and neither puts right nor restricts."""

    def locate(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """Nothing."""
        del subjects, ctx
        return iter(())

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Nothing."""
        del subjects, keys, ctx
        return iter(())


@pytest.mark.parametrize("connector", [Reader, Eraser])
def test_a_connector_that_cannot_put_right_asks_a_human(
    tmp_path: Path, ledger: Callable[[], str], connector: type[Any]
) -> None:
    """A system whose connector lacks the protocol stops the case and says which it lacks."""
    files = FILES.replace("connector: memory", "connector: lesser")
    room = EngineRoom(
        tmp_path, ledger(), systems={"files": files}, connectors={"lesser": connector}
    )
    corrections = [Stated("files", "documents", Correction("text", "x"))]
    ref = room.submit("rectification", corrections, customer_number="3")
    room.settle()
    assert [(s[0], s[4]) for s in room.steps(ref) if s[3] == "needs_human"] == [
        ("plan", "cannot_rectify")
    ]


# ---- restriction


def test_kinds_share_a_batch_and_keep_their_tables(room: EngineRoom) -> None:
    """What is claimed together is decided by the tables of each case's own kind."""
    one = room.submit("erasure", email="p.zq0001zq@mail.example")
    two = room.submit("rectification", [right("name", NEW_NAME)], email="p.zq0002zq@mail.example")
    three = room.submit("restriction", email=MAIL)
    room.settle()
    for ref in (one, two, three):
        room.approve(ref)
    room.settle()
    assert [room.job(ref)["state"] for ref in (one, two, three)] == ["ready"] * 3
    customers = rows_of(room, "crm", "customers")
    assert customers["1"]["name"] == "erased"  # its vouchers stay
    assert (customers["2"]["name"], customers["3"]["blocked"]) == (NEW_NAME, "yes")
