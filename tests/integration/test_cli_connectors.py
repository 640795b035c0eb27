"""`dsr connectors propose` as people and their CI call it: no ledger, no key, one system's file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dsr_worker.cli import dsr, faults
from dsr_worker.cli.desk import Opening
from dsr_worker.datamap import read_system
from dsr_worker.settings import Settings
from dsr_worker.testing.shop import Shop, load_postgres
from tests.contract.postgres_shop import execute

HEAD = "system: shop\nconnector: postgres\nconfig: {dsn: {env: ZQ_SHOP_DSN}}\n"


class Desk:
    """A configuration folder with one system's file and nothing else."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder = folder
        self.dsn = dsn
        self.file = folder / "systems" / "shop.yaml"
        self.file.parent.mkdir()
        self.file.write_text(HEAD, "utf-8")

    def __call__(self, *args: str) -> Result:
        """Call the command as a process would."""
        settings = Settings(config_dir=self.folder, data_dir=self.folder / "data")
        return CliRunner().invoke(dsr, ["connectors", "propose", *args], obj=Opening(settings))

    def json(self, *args: str) -> Any:
        """Its one object."""
        return json.loads(self(*args, "--json").stdout)


@pytest.fixture
def desk(tmp_path: Path, database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A shop's database and a file that maps nothing yet."""
    dsn = database()
    load_postgres(Shop(seed=3, customers=60), dsn)
    monkeypatch.setenv("ZQ_SHOP_DSN", dsn)
    return Desk(tmp_path, dsn)


def test_from_nothing_to_a_map_that_the_check_accepts(desk: Desk) -> None:
    """Propose into a file, take it over, and the comparison finds nothing to say against it."""
    new = desk.folder / "proposed.yaml"
    written = desk("shop", "--to", str(new))
    assert written.exit_code == faults.OK, written.output
    assert "14 collection(s)" in written.stdout
    assert desk("shop").stdout == new.read_text("utf-8")
    desk.file.write_text(new.read_text("utf-8"), "utf-8")
    assert len(read_system(new.read_text("utf-8")).system.collections) == 14
    compared = desk("shop", "--check")
    assert compared.exit_code == faults.OK, compared.output
    assert "marked `review`" in compared.stdout
    execute(desk.dsn, "ALTER TABLE carts ADD COLUMN gift_email text")
    compared = desk("shop", "--check", "--json")
    assert compared.exit_code == faults.REFUSED
    found = json.loads(compared.stdout)
    errors = [f["subject"] for f in found["findings"] if f["severity"] == "error"]
    assert (errors, found["errors"]) == (["public.carts.gift_email"], 1)


def test_an_unmapped_system_fails_the_comparison(desk: Desk) -> None:
    """Where nothing is mapped, every table of people's is named."""
    found = desk.json("shop", "--check")
    assert found["errors"] == 14
    assert desk("shop", "--check").exit_code == faults.REFUSED


def test_machines_get_the_map_with_its_grounds(desk: Desk) -> None:
    """JSON has the same collections, with evidence in counts and every mark."""
    found = desk.json("shop")
    assert found["collections"]["customers"]["takes"]["customer_number"] == "id"
    assert found["grounds"]["customers.email"]["evidence"][0] == "name.email"
    assert "customers.notes" in found["review"]
    assert found["file"] is None


def test_nothing_is_overwritten_and_wrong_names_are_told(desk: Desk) -> None:
    """An existing file, a system without file, two wishes at once, a connector that cannot."""
    taken = desk("shop", "--to", str(desk.file))
    assert taken.exit_code == faults.REFUSED
    assert "never overwritten" in taken.stderr
    assert desk.file.read_text("utf-8") == HEAD
    wrong = desk("shpo")
    assert wrong.exit_code == faults.USAGE
    assert "did you mean shop" in wrong.stderr
    desk.file.rename(desk.file.with_name("example.yaml"))
    stem = desk("example")
    assert stem.exit_code == faults.USAGE
    assert "known: shop" in stem.stderr
    desk.file.with_name("example.yaml").rename(desk.file)
    both = desk("shop", "--check", "--to", str(desk.folder / "new.yaml"))
    assert both.exit_code == faults.USAGE
    memory = HEAD.replace("postgres", "memory").replace("dsn: {env: ZQ_SHOP_DSN}", "name: trial")
    desk.file.write_text(memory, "utf-8")
    unable = desk("shop")
    assert unable.exit_code == faults.REFUSED
    assert "cannot propose" in unable.stderr


def test_a_database_that_is_not_there_is_one_sentence(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No address, no password and no traceback are told."""
    monkeypatch.setenv("ZQ_SHOP_DSN", "postgresql://zquser:zqword@127.0.0.1:1/zqbase")
    gone = desk("shop", "--json")
    assert gone.exit_code == faults.NOT_READY
    assert json.loads(gone.stderr)["error"]["code"] == "system_unreachable"
    assert "zq" not in gone.output
    monkeypatch.delenv("ZQ_SHOP_DSN")
    assert desk("shop").exit_code == faults.NOT_READY
