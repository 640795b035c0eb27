"""A system that cannot erase is counted for an access and asks a human for an erasure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel

from dsr_worker.contract import Context, Finding, Record, Subject, System
from dsr_worker.testing.memory import Memory, MemoryConfig
from tests.integration.engine_room import CRM, FILES, ORGANISATION, EngineRoom
from tests.integration.person_three import MAIL


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
def archive(tmp_path: Path, ledger: Callable[[], str]) -> EngineRoom:
    """An installation whose archive of documents, by e-mail, cannot erase."""
    systems = {"crm": CRM, "files": _BY_MAIL.replace("connector: memory", "connector: archive")}
    made = EngineRoom(
        tmp_path,
        ledger(),
        systems=systems,
        organisation=_SECOND_LOOK,
        connectors={"archive": ReadOnly},
    )
    made.load_people(5)
    documents = [{"id": f"d{n}", "owner": MAIL, "text": "letter"} for n in range(2)]
    made.system("files").load({"documents": documents}, {"documents": ("id",)})
    return made


def test_an_access_plan_counts_what_a_system_that_cannot_erase_holds(archive: EngineRoom) -> None:
    """The plan of an access request needs a connector that finds, and no more."""
    ref = archive.submit("access", email=MAIL)
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
    erasure, access = (archive.submit(k, email=MAIL) for k in ("erasure", "access"))
    archive.settle()
    (stopped,) = [s for s in archive.steps(erasure) if s[3] == "needs_human"]
    assert (stopped[0], stopped[1], stopped[4]) == ("plan", "files", "cannot_erase")
    assert archive.job(access)["state"] == "awaiting_approval", archive.steps(access)
