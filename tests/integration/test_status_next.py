"""What `dsr status` says of breaches, and of what a case has promised."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.cli_desk import Desk


@pytest.fixture
def desk(alone: Desk) -> Desk:
    """An installation of its own."""
    alone.person = 1
    return alone


def test_a_breach_says_what_to_write_then_to_close(desk: Desk, tmp_path: Path) -> None:
    """Missing texts are written first; with no clock open a breach is closed; one zone for all."""
    aware = (datetime.now(UTC) - timedelta(hours=5)).isoformat()
    args = ("breach", "declare", "--leaked", "crm.customers:email,name", "--aware", aware)
    done = desk.ok(*args, "--market", "GB", "--market", "DE", actor="anna")
    ref = done["case"]
    desk.room.settle()
    told = desk.ok("status", ref)
    assert (told["next"], told["zone"]) == (f"dsr breach write {ref} FILE", "Europe/Berlin")
    assert f"dsr breach write {ref} FILE" in desk.run("status").stdout
    for name in {c["name"] for c in told["clocks"] if c["state"] == "running"}:
        at = datetime.now(UTC).isoformat()
        desk.ok("breach", "told", ref, name, "--at", at, actor="anna")
    assert desk.ok("status", ref)["zone"] == "Europe/Berlin"
    texts = tmp_path / "texts.yaml"
    parts = ("nature", "consequences", "measures", "advice")
    texts.write_text("en:\n" + "".join(f"  {p}: Words about it.\n" for p in parts))
    desk.ok("breach", "write", ref, str(texts), actor="anna")
    assert desk.ok("status", ref)["next"] == f"dsr breach approve-notices {ref}"
    with desk.room.office.ledger.transaction() as cursor:
        cursor.execute(
            "UPDATE jobs SET state = 'notified', phase = 'notified' WHERE ref = %s", (ref,)
        )
    assert desk.ok("status", ref)["next"] == f"dsr breach close {ref}"
    desk.ok("breach", "close", ref, actor="anna")


def test_a_case_tells_what_it_has_promised(desk: Desk) -> None:
    """What goes later stands in the status of its case, with the day."""
    case = desk.submit("erasure")
    desk.room.settle()
    desk.ok("approve", case, "--yes", actor="berta")
    desk.room.settle()
    promises = desk.ok("status", case)["promises"]
    assert promises
    text = desk.run("status", case).stdout
    assert all(promise["due_on"] in text for promise in promises)
