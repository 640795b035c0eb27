"""The in-memory connector beyond the suite: shared rows, calls counted, faults on order."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from pydantic import ValidationError

from dsr_worker.contract import (
    Action,
    Always,
    DecisionTable,
    HeldRows,
    Identity,
    Key,
    LeakScope,
    NeedsHuman,
    Outcome,
    Permanent,
    Rule,
    Subject,
    SweepOrder,
    Transient,
)
from dsr_worker.testing.conformance import World, standard_world
from dsr_worker.testing.context import TrialContext
from dsr_worker.testing.memory import Fault, Memory, MemoryConfig, store

ANN: Final = Subject("ann", (Identity("customer_number", "1"),))
BEN: Final = Subject("ben", (Identity("customer_number", "2"),))


def filled(path: Path | None = None, name: str | None = None, **fault: Any) -> Memory:
    """A connector on the standard world's rows, in a file or under a name of their own."""
    world, name = standard_world(), name or uuid4().hex
    keys = {collection: c.key for collection, c in world.system.collections.items()}
    rows = {collection: [dict(row) for row in some] for collection, some in world.rows.items()}
    store(name, path).load(rows, keys)
    one = Fault(**fault) if fault else None
    return Memory(world.system, MemoryConfig(name=name, path=path, fault=one))


PROGRAM: Final = """
import json, sys
from pathlib import Path
from dsr_worker.contract import Identity, Key, Subject
from dsr_worker.testing.conformance import standard_world
from dsr_worker.testing.context import TrialContext
from dsr_worker.testing.memory import Memory, MemoryConfig

config = MemoryConfig.model_validate_json(sys.argv[1])
memory = Memory(standard_world().system, config)
people = [Subject(s.ref, tuple(s.identities)) for s in standard_world().people]
keys = list(memory.locate(people, TrialContext()))
for receipt in memory.erase(people, keys, TrialContext()):
    print(receipt.collection, receipt.rows)
"""


def run(path: Path, **fault: Any) -> subprocess.CompletedProcess[str]:
    """Locate and erase everybody in a process of its own."""
    given = {"path": str(path), "fault": fault or None}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def keys_of(world: World) -> list[Key]:
    """The keys of everybody asked about."""
    return [Key(ref, c, key) for ref, places in world.owned.items() for c, key in sorted(places)]


def test_a_name_is_shared_inside_a_process() -> None:
    """What one connector erases, another of the same name no longer finds."""
    first = filled(name="shared")
    second = Memory(standard_world().system, MemoryConfig(name="shared"))
    people = standard_world().people
    list(first.erase(people, list(first.locate(people, TrialContext())), TrialContext()))
    assert not list(second.find(people, TrialContext()))
    assert second.store.counts() == {"locate": 1, "erase": 1, "find": 1}


def test_a_file_is_shared_between_processes(tmp_path: Path) -> None:
    """What another process erases is gone here, and its calls are counted here."""
    path = tmp_path / "rows.sqlite"
    memory, world = filled(path), standard_world()
    before = memory.store.dump()
    assert list(memory.find(world.people, TrialContext()))
    done = run(path)
    assert done.returncode == 0, done.stderr
    assert not list(memory.find(world.people, TrialContext()))
    assert memory.store.counts() == {"find": 2, "locate": 1, "erase": 1}
    own = {place for places in world.owned.values() for place in places}
    left = {(c, k) for c, rows in memory.store.dump().items() for k in rows}
    assert left == {(c, k) for c, rows in before.items() for k in rows} - own


def test_a_poison_value_kills_the_process_that_touches_it(tmp_path: Path) -> None:
    """SIGKILL, as a crash would be; the rows are as they were."""
    path = tmp_path / "rows.sqlite"
    memory = filled(path)
    before = memory.store.dump()
    done = run(path, kind="kill", for_value="2", method="erase")
    assert done.returncode == -signal.SIGKILL
    assert memory.store.dump() == before
    assert memory.store.counts()["fault"] == 1


def test_a_kill_after_the_commit_leaves_the_effect(tmp_path: Path) -> None:
    """The window that a probe is for: the rows are gone and nobody was told."""
    path = tmp_path / "rows.sqlite"
    memory = filled(path)
    done = run(path, kind="kill", when="after", method="erase")
    assert done.returncode == -signal.SIGKILL
    assert not done.stdout
    assert not list(memory.find(standard_world().people, TrialContext()))


def test_a_fault_with_times_is_over_after_them(tmp_path: Path) -> None:
    """`times` counts over processes, so that a restarted worker is not killed for ever."""
    path = tmp_path / "rows.sqlite"
    filled(path)
    order = {"kind": "kill", "method": "erase", "times": 1}
    assert run(path, **order).returncode == -signal.SIGKILL
    assert run(path, **order).returncode == 0


def test_a_fault_waits_for_its_call() -> None:
    """`after_calls` lets that many calls of the method pass."""
    memory = filled(kind="transient", method="find", after_calls=2)
    people = standard_world().people
    for _ in range(2):
        assert list(memory.find(people, TrialContext()))
        assert list(memory.locate(people, TrialContext()))
    with pytest.raises(Transient):
        list(memory.find(people, TrialContext()))


def test_a_fault_for_one_subject_leaves_the_others() -> None:
    """Only batches with that subject fail, and the error names nobody."""
    memory = filled(kind="permanent", for_ref="ben")
    assert list(memory.find((ANN,), TrialContext()))
    with pytest.raises(Permanent) as caught:
        list(memory.find((ANN, BEN), TrialContext()))
    assert "ben" not in str(caught.value)


def test_a_failed_transaction_changes_nothing(tmp_path: Path) -> None:
    """An error in the last moment before the commit leaves memory and file as they were."""

    def refuse() -> None:
        raise Transient("the ledger is gone")

    for path in (None, tmp_path / "rows.sqlite"):
        memory, world = filled(path), standard_world()
        before = memory.store.dump()
        with pytest.raises(Transient):
            list(memory.erase(world.people, keys_of(world), TrialContext(on_intent=refuse)))
        assert memory.store.dump() == before
        assert list(memory.erase(world.people, keys_of(world), TrialContext()))


def test_many_threads_take_each_row_once(tmp_path: Path) -> None:
    """Eight threads erase the same people at once: each row is erased by exactly one of them."""
    for path in (None, tmp_path / "rows.sqlite"):
        memory, world = filled(path), standard_world()
        erased: list[int] = []

        def work(memory: Memory = memory, world: World = world, to: list[int] = erased) -> None:
            receipts = list(memory.erase(world.people, keys_of(world), TrialContext()))
            outcomes = [o for r in receipts for o in r.outcomes]
            to.append(sum(o.rows for o in outcomes if o.outcome is Outcome.ERASED))

        _at_once(work, 8)
        assert sorted(erased) == [0] * 7 + [len(keys_of(world))]


def _at_once(work: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)


def test_a_row_set_hold_keeps_its_rows() -> None:
    """Rows named by a hold stay; the rest of the same person's go."""
    memory, world = filled(), standard_world()
    hold = Rule("hold", HeldRows("id", ("1",)), Action.KEEP, "matter-7")
    default = Rule("default", Always(), Action.ERASE)
    tables = {"remarks": DecisionTable("remarks", (hold, default))}
    list(memory.erase(world.people, keys_of(world), TrialContext(tables=tables)))
    assert ("1",) in memory.store.dump()["remarks"]
    assert ("2",) not in memory.store.dump()["remarks"]


def test_a_row_of_two_people_is_decided_once() -> None:
    """A row located for two subjects is decided once, and both receipts tell the same."""
    memory, world = filled(), standard_world()
    keys = [Key("ann", "remarks", ("1",)), Key("ben", "remarks", ("1",))]
    receipts = list(memory.erase(world.people, keys, TrialContext()))
    told = {r.subject_ref: r.rows for r in receipts if r.collection == "remarks"}
    assert told == {"ann": 1, "ben": 1, "dan": 0}


def test_a_sweep_takes_what_hangs_on_a_swept_row() -> None:
    """Orders that are swept take their invoices with them, each told in its own receipt."""
    memory = filled()
    everything = DecisionTable("orders", (Rule("limit", Always(), Action.ERASE, "trial"),))
    ctx = TrialContext(tables={"orders": everything})
    receipts = list(memory.sweep((SweepOrder("orders", everything, 100),), ctx))
    assert {r.collection: r.rows for r in receipts} == {"orders": 7, "invoices": 7}
    assert not memory.store.dump()["invoices"]


def test_a_brake_names_numbers_and_no_one() -> None:
    """What stops a sweep says how many rows there were and how many were allowed."""
    memory = filled()
    everything = DecisionTable("orders", (Rule("limit", Always(), Action.ERASE, "trial"),))
    ctx = TrialContext(tables={"orders": everything})
    with pytest.raises(NeedsHuman) as stopped:
        list(memory.sweep((SweepOrder("orders", everything, 5),), ctx))
    assert stopped.value.fields == {"rows": 7, "limit": 5}


def test_unknown_residence_is_unknown() -> None:
    """A person without a country is counted as such, not as living anywhere."""
    people = filled().affected((LeakScope("orders", ()),), TrialContext())
    by_number = {i.value: p.residence for p in people for i in p.identities if i.kind != "email"}
    assert by_number["0"] is None
    assert by_number["1"] == "DE"


def test_a_config_with_a_slip_is_refused() -> None:
    """A fault that nobody would see is worse than none."""
    with pytest.raises(ValidationError):
        MemoryConfig.model_validate({"fault": {"kind": "kil"}})
    with pytest.raises(ValidationError):
        MemoryConfig.model_validate({"nmae": "x"})
