"""A case's package is whole, leaves outside any transaction, and goes with its person's data."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.fulfil.decisions import DecisionRefused
from dsr_worker.package import Method, PackageRefused, hand_over
from dsr_worker.people import ActorRefused
from tests.integration.engine_room import EngineRoom
from tests.integration.person_three import PASSPHRASE, answered, bodies_of, erased, handed_over


def test_a_refused_hand_over_leaves_no_file_and_an_open_case(
    room: EngineRoom, tmp_path: Path
) -> None:
    """Where a signature is refused nothing lies in the folder, under no name; no clock ends."""
    ref = answered(room)
    out = tmp_path / "out"
    out.mkdir()
    signed = room.sign("anna", "withdraw", ref)
    with pytest.raises(ActorRefused):
        room.office.delivery.package(ref, out / "p.zip", Method.AES_ZIP, PASSPHRASE, signed)
    with pytest.raises(PackageRefused):
        room.office.delivery.package(
            ref, out / "p.zip", Method.AES_ZIP, "short", room.sign("anna", "hand-over", ref)
        )
    assert list(out.iterdir()) == []
    assert room.job(ref)["state"] == "ready"
    (out / "p.zip").write_text("mine")
    with pytest.raises(PackageRefused, match="never overwritten"):
        handed_over(room, ref, out / "p.zip")
    assert (out / "p.zip").read_text() == "mine"


def test_a_package_is_encrypted_outside_any_ledger_transaction(
    room: EngineRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a package takes to write, no transaction stands idle meanwhile."""
    ref, idle = answered(room), []

    def watched(*args: Any, **kwargs: Any) -> Any:
        idle.extend(
            room.rows(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'idle in transaction'"
            )
        )
        return hand_over(*args, **kwargs)

    monkeypatch.setattr("dsr_worker.fulfil.delivery.hand_over", watched)
    handed_over(room, ref, tmp_path / "p.zip")
    assert idle == []
    assert sorted(p.name for p in tmp_path.iterdir() if "p.zip" in p.name) == ["p.zip"]
    assert room.job(ref)["state"] == "closed"


def test_a_package_expires_from_its_hand_over_and_not_before(
    room: EngineRoom, tmp_path: Path
) -> None:
    """A case that waits for delivery can be answered however late; afterwards its package goes."""
    ref = answered(room)
    room.move_clock(days=60)
    room.settle()
    assert "package_destroyed" not in room.events(ref)
    handed_over(room, ref, tmp_path / "p.zip")
    (row,) = room.rows("SELECT expires_at - handed_over_at AS kept FROM packages")
    assert timedelta(days=13, hours=23) < row.kept <= timedelta(days=14)
    room.move_clock(days=13)
    room.settle()
    handed_over(room, ref, tmp_path / "again.zip")
    room.move_clock(days=2)
    room.settle()
    assert "package_destroyed" in room.events(ref)
    with pytest.raises(DecisionRefused, match="destroyed"):
        handed_over(room, ref, tmp_path / "late.zip")


def test_an_erasure_tells_each_case_whose_package_it_destroys(
    room: EngineRoom, tmp_path: Path
) -> None:
    """Packages of earlier cases go with an erasure, and those cases' own evidence says why."""
    earlier = [answered(room) for _ in range(2)]
    for n, ref in enumerate(earlier):
        handed_over(room, ref, tmp_path / f"{n}.zip")
    stranger = room.submit("access", email="p.zq0004zq@mail.example")
    room.settle()
    erasure = erased(room)
    said = {"reason": "erasure", "case": str(room.job(erasure)["id"])}
    for ref in earlier:
        assert bodies_of(room, ref, "package_destroyed") == [said]
    signed = room.sign("anna", "hand-over", erasure)
    room.office.delivery.certificate(erasure, tmp_path / "c.json", signed)
    certificate = json.loads((tmp_path / "c.json").read_bytes())["certificate"]
    assert certificate["earlier_packages_destroyed"] == len(earlier)
    assert "destroyed by this erasure: 2" in (tmp_path / "c.html").read_text("utf-8")
    assert "package_destroyed" not in room.events(stranger)
