"""A store that cannot restrict hinders no restriction elsewhere, and is told as what it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from dsr_worker.cli.plans import plan_data, plan_lines
from dsr_worker.contract import Context, Correction, Finding, Key, Receipt, Record, Subject, System
from dsr_worker.fulfil.correcting import Stated
from dsr_worker.ledger import reports
from dsr_worker.testing.memory import Memory, MemoryConfig
from tests.integration.engine_room import FILES, ORGANISATION, EngineRoom
from tests.integration.rights.restrictable import (
    MAIL,
    NEW_NAME,
    carried_out,
    certificate,
    rectified,
    restrictable,
    restricted,
    results,
    right,
    rows_of,
    system_dump,
)

_NOT_RESTRICTED = {"files.documents": {"found": 1, "kept": [(1, "no_means")]}}


class Finder:
    """Finds what lies in memory, and can do nothing else."""

    Config: ClassVar[type[BaseModel]] = MemoryConfig

    def __init__(self, system: System, config: BaseModel) -> None:
        self._memory = Memory(system, config)

    def check(self) -> Iterator[Finding]:
        """As the store in memory."""
        return self._memory.check()

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """As the store in memory."""
        return self._memory.find(subjects, ctx)


class Eraser(Finder):
    """Erases as well, and neither puts right nor restricts."""

    def locate(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """As the store in memory."""
        return self._memory.locate(subjects, ctx)

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """As the store in memory."""
        return self._memory.erase(subjects, keys, ctx)


class Rechecker(Eraser):
    """Looks again by a second path too."""

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """As the store in memory."""
        return self._memory.recheck(subjects, keys, ctx)


def _room(
    tmp_path: Path, ledger: Callable[[], str], connector: type[Any], *, only: bool = False
) -> EngineRoom:
    """Documents lie in a store without means, all else where it can be restricted."""
    files = FILES.replace("connector: memory", "connector: lesser")
    systems = {"files": files} if only else {"crm": restrictable()["crm"], "files": files}
    organisation = ORGANISATION.replace("access: automatic", "access: second_actor")
    room = EngineRoom(
        tmp_path,
        ledger(),
        systems=systems,
        organisation=organisation,
        connectors={"lesser": connector},
    )
    room.load_people(6)
    with room.system("crm").transaction() as (tables, changes):
        rows = tables.rows["customers"].items()
        changes.extend(("customers", key, {**row, "blocked": "no"}) for key, row in rows)
    return room


@pytest.fixture(params=[Finder, Eraser, Rechecker], ids=lambda each: each.__name__)
def room(request: pytest.FixtureRequest, tmp_path: Path, ledger: Callable[[], str]) -> EngineRoom:
    """Such a room, by each kind of connector that cannot restrict."""
    return _room(tmp_path, ledger, request.param)


def _told(stated: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Results, what is kept as rows and ground."""
    told = results(stated)
    for result in told.values():
        if "kept" in result:
            result["kept"] = [(k["rows"], k["ground"]) for k in result["kept"]]
    return told


def test_other_systems_are_restricted_and_this_one_is_told(room: EngineRoom) -> None:
    """Its rows stay as they are, `retained` for want of means; nothing stops or repeats."""
    before = room.system("files").dump()
    ref = restricted(room)
    assert rows_of(room, "crm", "customers")["3"]["blocked"] == "yes"
    assert room.system("files").dump() == before
    stated = certificate(room, ref)
    assert _told(stated).items() >= _NOT_RESTRICTED.items()
    assert stated["response"]["nature"] == "partly_granted"
    assert "no_means" in {ground["code"] for ground in stated["grounds"]}
    looked = {s["system"]: s["requery"] for s in stated["systems"]}
    assert (looked["files"]["returned"], looked["files"]["path"]) == (0, "dry-run")
    assert {step[2] for step in room.steps(ref) if step[0] in {"apply", "recheck"}} == {
        step[2] for step in room.steps(ref) if step[0] == "locate"
    }
    assert room.job(ref)["facts"].get("rechecks", 0) == 0


def test_whoever_approves_reads_what_is_not_restricted(room: EngineRoom) -> None:
    """The plan counts it with its ground and says in words what stays in use."""
    ref = room.submit("restriction", email=MAIL)
    room.settle()
    with room.office.ledger.transaction() as cursor:
        job = reports.job(cursor, ref)
    assert job is not None
    assert plan_data(job)["not_restricted"] == {"crm.invoices": 2, "files.documents": 1}
    (line,) = [line for line in plan_lines(job) if line.startswith("NOT RESTRICTED")]
    assert "crm.invoices 2, files.documents 1" in line
    assert f"dsr refuse {ref} --ground CODE" in line


def test_its_lifting_ends_as_any(room: EngineRoom) -> None:
    """What was restricted is freed; what could not be is told once more, and no hold is left."""
    before = system_dump(room)
    ref = restricted(room)
    job = room.lift(ref)
    room.settle()
    assert room.job(job)["state"] == "closed", room.steps(job)
    assert system_dump(room) == before
    assert _told(certificate(room, job)).items() >= _NOT_RESTRICTED.items()


def test_a_row_that_has_gone_is_not_told_as_one_that_stays(room: EngineRoom) -> None:
    """A lifting long afterwards looks before it says so."""
    ref = restricted(room)
    with room.system("files").transaction() as (_tables, changes):
        changes.append(("documents", ("doc-3",), None))
    job = room.lift(ref)
    room.settle()
    assert room.job(job)["state"] == "closed", room.steps(job)
    assert _told(certificate(room, job))["files.documents"] == {"found": 1, "already_gone": 1}


def test_a_person_of_whom_nothing_can_be_restricted_is_answered(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """The answer is a denial on that ground, while the hold keeps the rows from erasure."""
    room = _room(tmp_path, ledger, Rechecker, only=True)
    ref = carried_out(room, room.submit("restriction", customer_number="3"))
    stated = certificate(room, ref)
    assert (stated["response"]["nature"], _told(stated)) == ("denied", _NOT_RESTRICTED)
    before = room.system("files").dump()
    carried_out(room, room.submit("erasure", customer_number="3"))
    assert room.system("files").dump() == before
    assert json.dumps(stated["grounds"]).count("no_means") == 1


def test_a_rectification_elsewhere_is_not_hindered(room: EngineRoom) -> None:
    """A store that cannot put right takes no part where no correction names it."""
    ref = rectified(room, right("name", NEW_NAME))
    assert rows_of(room, "crm", "customers")["3"]["name"] == NEW_NAME
    assert {step[1] for step in room.steps(ref)} == {"crm", "desk"}


def test_a_correction_there_stops_for_a_human(room: EngineRoom) -> None:
    """Where a correction names such a store, nothing is changed before somebody decides."""
    before = system_dump(room)
    there = Stated("files", "documents", Correction("text", "x"))
    ref = room.submit("rectification", [right("name", NEW_NAME), there], email=MAIL)
    room.settle()
    stopped = [(s[0], s[1], s[4]) for s in room.steps(ref) if s[3] == "needs_human"]
    assert stopped == [("plan", "files", "cannot_rectify")]
    assert system_dump(room) == before
    room.office.decisions.withdraw(ref, room.sign("anna", "withdraw", ref))
    assert room.job(ref)["state"] == "withdrawn"


def test_kinds_share_the_batch_of_a_store_without_means(room: EngineRoom) -> None:
    """An access, a restriction and a rectification planned together each get what is theirs."""
    there = Stated("files", "documents", Correction("text", "x"))
    access = room.submit("access", email=MAIL)
    restriction = room.submit("restriction", email=MAIL)
    rectification = room.submit("rectification", [there], email=MAIL)
    room.settle()
    assert [(o["collection"], o["rows"]) for o in _planned(room, access)] == [("documents", 1)]
    assert [(o["outcome"], o["rows"]) for o in _planned(room, restriction)] == [("retained", 1)]
    assert room.job(rectification)["state"] == "planning", room.steps(rectification)
    assert "cannot_rectify" in {step[4] for step in room.steps(rectification)}


def _planned(room: EngineRoom, ref: str) -> list[dict[str, Any]]:
    outcomes = (room.job(ref)["plan"] or {})["outcomes"]
    return [outcome for outcome in outcomes if outcome["system"] == "files"]
