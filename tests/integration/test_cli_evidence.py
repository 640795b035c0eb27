"""What `dsr evidence verify` sees of somebody who can write the ledger, or the checkpoint store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dsr_worker.engine.sealing import seal_events
from dsr_worker.evidence import chain_hash, leaf_hash
from dsr_worker.store import LocalStore, StoreError
from dsr_worker.vault import KeyRing
from tests.integration.engine_room import ORGANISATION
from tests.integration.test_cli_answers import Desk, opened


@pytest.fixture
def desk(tmp_path: Path, ledger: Callable[[], str]) -> Iterator[Desk]:
    """An installation with a case, and two checkpoints over its events."""
    with opened(tmp_path / "a", ledger(), ORGANISATION) as made:
        made.submit("access")
        _seal(made)
        made.submit("access")
        _seal(made)
        assert _valid(made)["checkpoints"] >= 2
        yield made


def _seal(desk: Desk) -> None:
    office = desk.room.office
    seal_events(office.ledger, office.keys, office.checkpoints, every_s=0)()


def _valid(desk: Desk) -> dict[str, int]:
    data: dict[str, int] = json.loads(desk.run("evidence", "verify", "--json").stdout)
    return data


def _problem(desk: Desk) -> str:
    shown = json.loads(desk.run("evidence", "verify", "--json", code=1).stdout)
    assert shown["valid"] is False
    return str(shown["problem"])


def _write(desk: Desk, *statements: str) -> None:
    with desk.room.office.ledger.transaction() as cursor:
        cursor.execute("ALTER TABLE events DISABLE TRIGGER USER")
        for statement in statements:
            cursor.execute(statement)


def _copy(desk: Desk, number: int) -> Path:
    store = desk.room.office.checkpoints
    assert isinstance(store, LocalStore)
    return store.folder / "checkpoints" / f"{number:08}.json"


def _rewrite(desk: Desk) -> None:
    """Change every event and make all chains anew, as whoever may write the ledger can."""
    with desk.room.office.ledger.transaction() as cursor:
        cursor.execute("ALTER TABLE events DISABLE TRIGGER USER")
        cursor.execute("SELECT job_id, seq, body FROM events ORDER BY job_id, seq")
        heads: dict[int, bytes] = {}
        for row in cursor.fetchall():
            body = row.body.replace('"anna"', '"zoe"')
            leaf = leaf_hash(body.encode())
            heads[row.job_id] = chain_hash(heads.get(row.job_id, bytes(32)), leaf)
            cursor.execute(
                "UPDATE events SET body = %s, leaf = %s, chain = %s WHERE job_id = %s AND seq = %s",
                (body, leaf, heads[row.job_id], row.job_id, row.seq),
            )
        for job_id, head in heads.items():
            cursor.execute(
                "UPDATE jobs SET head_hash = %s, unsealed = true WHERE id = %s", (head, job_id)
            )
        cursor.execute("DELETE FROM seals")
        cursor.execute("DELETE FROM checkpoints")


def test_a_log_sealed_anew_by_another_key_shows(desk: Desk, tmp_path: Path) -> None:
    """A rewritten log under checkpoints of a foreign key does not pass, though all of it fits."""
    _rewrite(desk)
    foreign = KeyRing.create(tmp_path / "foreign.key")
    seal_events(desk.room.office.ledger, foreign, LocalStore(tmp_path / "fresh"), every_s=0)()
    assert "signed by no key of this installation" in _problem(desk)


def test_a_log_sealed_anew_by_our_own_key_shows(desk: Desk) -> None:
    """A rewritten log that our own workers seal in good faith is not what the store holds."""
    _rewrite(desk)
    assert "is another in the checkpoint store" in _problem(desk)


def test_checkpoints_of_former_keys_hold(desk: Desk) -> None:
    """After the keys were rotated, what the old ones signed is still ours."""
    before = _valid(desk)["checkpoints"]
    desk.room.office.keys = desk.room.office.keys.rotate()
    desk.submit("access")
    _seal(desk)
    assert _valid(desk)["checkpoints"] > before


def test_a_copy_that_is_missing_or_another_shows(desk: Desk) -> None:
    """The checkpoint store is compared, checkpoint by checkpoint."""
    first = _copy(desk, 1)
    content = first.read_bytes()
    first.unlink()
    assert "checkpoint 1 is not in the checkpoint store" in _problem(desk)
    first.write_bytes(content.replace(b'"size": ', b'"size": 1'))
    assert "checkpoint 1 is another" in _problem(desk)
    first.write_bytes(content)
    _valid(desk)


def test_the_newest_copy_may_be_on_its_way(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between commit and copy nothing is wrong; once the next sealing is due, it is."""

    def full(_store: LocalStore, _name: str) -> None:
        raise StoreError("the store is full")

    newest = _copy(desk, _valid(desk)["checkpoints"])
    newest.unlink()
    _valid(desk)
    _write(desk, "UPDATE checkpoints SET made_at = made_at - interval '1 hour'")
    with monkeypatch.context() as broken:
        broken.setattr(LocalStore, "write", full)
        assert "is not in the checkpoint store" in _problem(desk)
    _valid(desk)
    assert newest.exists()


def test_a_ledger_that_lost_checkpoints_shows(desk: Desk) -> None:
    """A gap in the numbers shows, and an end that the store still has."""
    kept = _valid(desk)["checkpoints"]
    _write(
        desk,
        f"DELETE FROM seals WHERE checkpoint = {kept}",  # noqa: S608 - a number
        f"DELETE FROM checkpoints WHERE number = {kept}",  # noqa: S608 - a number
    )
    assert f"checkpoint {kept} is in the checkpoint store" in _problem(desk)
    _write(desk, "DELETE FROM seals WHERE checkpoint = 1", "DELETE FROM checkpoints WHERE number=1")
    assert "checkpoint 1 is missing: after 0 comes 2" in _problem(desk)


def test_no_checkpoint_at_all_is_no_pass(desk: Desk) -> None:
    """Events that should be sealed by now and are not are a failure; younger ones are not."""
    for number in range(1, _valid(desk)["checkpoints"] + 1):
        _copy(desk, number).unlink()
    _write(desk, "DELETE FROM seals", "DELETE FROM checkpoints", "UPDATE jobs SET unsealed = false")
    assert _valid(desk)["checkpoints"] == 0
    _write(desk, "UPDATE events SET at = at - interval '11 minutes'")
    assert "there is none at all" in _problem(desk)
