"""Packages and checkpoints reach their store whole and once; what no row names does not stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from dsr_worker.engine import upkeep
from dsr_worker.engine.sealing import seal_events
from dsr_worker.fulfil import access
from dsr_worker.package import Contents, PackageMade, write_package
from dsr_worker.store import LocalStore, S3Store, new_name
from tests import services
from tests.integration.engine_room import EngineRoom


@pytest.fixture
def room(tmp_path: Path, ledger: Callable[[], str]) -> EngineRoom:
    """An installation with a dozen people in two systems."""
    made = EngineRoom(tmp_path, ledger())
    made.load_people(12)
    return made


def _email(number: int) -> str:
    return f"p.zq{number:04x}zq@mail.example"


def test_an_orphan_goes_although_packages_stand(room: EngineRoom) -> None:
    """What no row names goes after its day, also where other blobs have rows."""
    ref = room.submit(email=_email(3))
    room.settle()
    assert room.job(ref)["state"] == "ready"
    orphan = new_name("packages", (datetime.now(UTC) - timedelta(days=3)).date())
    with room.office.store.write(orphan) as blob:
        blob.write(b"sealed")
    with room.office.ledger.transaction() as cursor:
        cursor.execute("DELETE FROM chores")
    upkeep.upkeep(room.office.ledger, room.office.store)()
    assert not room.office.store.exists(orphan)
    assert [room.office.store.exists(r["blob"]) for r in _packages(room)] == [True]


def test_a_broken_member_leaves_no_package_that_nobody_knows(
    room: EngineRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages made beside one that fails are destroyed when they are made anew."""
    refs = [room.submit(email=_email(n)) for n in range(12)]

    def write(out: BinaryIO, contents: Contents) -> PackageMade:
        if contents.case.case == refs[-1]:
            raise ValueError("a record that no writer can write")
        return write_package(out, contents)

    monkeypatch.setattr(access, "write_package", write)
    room.settle()
    states = [room.job(ref)["state"] for ref in refs]
    assert states == ["ready"] * 11 + ["packaging"]
    assert {r["blob"] for r in _packages(room)} == set(room.office.store.names("packages/"))


@pytest.mark.parametrize("dies", ["before", "after"])
def test_the_sealer_goes_on_after_it_died_publishing(
    room: EngineRoom, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    """A checkpoint that is committed and not published, or both and not told, is no dead end."""
    room.submit(email=_email(3))
    room.settle()
    store = room.office.checkpoints
    seal = seal_events(room.office.ledger, room.office.keys, store, every_s=0)
    real = LocalStore.write

    @contextmanager
    def write(self: LocalStore, name: str) -> Iterator[BinaryIO]:
        if dies == "after":
            with real(self, name) as blob:
                yield blob
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "write", write)
        with pytest.raises(OSError, match="killed"):
            seal()
    room.submit(email=_email(4))
    room.settle()
    seal()
    numbers = [row["number"] for row in _rows(room, "SELECT number FROM checkpoints")]
    assert len(numbers) > 1
    assert sorted(store.names("checkpoints/")) == [f"checkpoints/{n:08}.json" for n in numbers]


def test_an_installation_keeps_its_store_in_a_bucket(
    tmp_path: Path,
    ledger: Callable[[], str],
    s3_endpoint: str,
    bucket: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`DSR_STORE=s3://…` is all it takes: spools, packages and checkpoints go there."""
    for name, value in {
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_ACCESS_KEY_ID": services.S3_KEY,
        "AWS_SECRET_ACCESS_KEY": services.S3_SECRET,
        "AWS_DEFAULT_REGION": services.S3_REGION,
    }.items():
        monkeypatch.setenv(name, value)
    room = EngineRoom(tmp_path, ledger(), store=f"s3://{bucket()}/dsr")
    room.load_people(3)
    assert isinstance(room.office.store, S3Store)
    ref = room.submit(email=_email(1))
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    (package,) = _packages(room)
    assert room.office.store.exists(package["blob"])
    seal_events(room.office.ledger, room.office.keys, room.office.checkpoints, every_s=0)()
    assert list(room.office.checkpoints.names("checkpoints/"))


def _packages(room: EngineRoom) -> list[dict[str, Any]]:
    return _rows(room, "SELECT blob FROM packages WHERE destroyed_at IS NULL")


def _rows(room: EngineRoom, query: str) -> list[dict[str, Any]]:
    with room.office.ledger.transaction() as cursor:
        cursor.execute(query)
        return [row._asdict() for row in cursor.fetchall()]
