"""`dsr connectors check` and `grants`, and what a person is asked, for a shop in Postgres."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from dsr_worker.cli import dsr, faults
from dsr_worker.cli.desk import Opening
from dsr_worker.registry import Registry
from dsr_worker.settings import Settings
from dsr_worker.testing.memory import Memory
from tests.contract.postgres_shop import execute, query
from tests.integration.engine_room import ORGANISATION, POLICY, EngineRoom

MAIL = "anna@shop.example"
MAP = """
system: shop
connector: postgres
config: {dsn: {env: ZQ_SHOP_DSN}}
collections:
  customers:
    source: {table: customers}
    key: [id]
    person: true
    takes: {email: {field: email, form: ascii-case}, customer_number: id}
    yields: {customer_number: id}
    class: customer-account
    fields:
      id: user.unique_id
      email: {category: user.contact.email, mask: "null"}
      name: {category: user.name, mask: "null"}
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
  orders:
    source: {table: orders}
    key: [id]
    parent: {collection: customers, on: {customer_id: id}}
    class: order
    fields: {id: user.unique_id, customer_id: user.unique_id}
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""
TABLES = """
CREATE TABLE customers (id bigint PRIMARY KEY, email text, name text);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint REFERENCES customers);
CREATE INDEX ON orders (customer_id);
INSERT INTO customers VALUES (1, 'anna@shop.example', 'zq1'), (2, 'Anna@shop.example', 'zq2');
INSERT INTO orders VALUES (10, 1), (20, 2);
"""


class Desk:
    """A configuration folder with one system, and `dsr` as a process would be called."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.dsn = dsn
        file = folder / "config" / "systems" / "shop.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(MAP, "utf-8")
        settings = Settings(config_dir=folder / "config", data_dir=folder / "data")
        self.opening = Opening(settings)

    def __call__(self, *args: str, stdin: str | None = None) -> Result:
        """Call a command."""
        return CliRunner().invoke(dsr, list(args), obj=self.opening, input=stdin)

    def json(self, *args: str) -> Any:
        """Its one object."""
        return json.loads(self(*args, "--json").stdout)


@pytest.fixture
def desk(tmp_path: Path, database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A shop's database, and the file of its map."""
    dsn = database()
    execute(dsn, TABLES)
    monkeypatch.setenv("ZQ_SHOP_DSN", dsn)
    return Desk(tmp_path, dsn)


# ---- check


def test_warnings_fail_the_strict_check_alone(desk: Desk) -> None:
    """A superuser and a missing index are warned of; `--strict` makes that an exit code."""
    told = desk.json("connectors", "check")
    assert (told["errors"], desk("connectors", "check").exit_code) == (0, faults.OK)
    warned = [f for f in told["findings"] if f["severity"] == "warning"]
    assert len(warned) == told["warnings"]
    assert any("superuser" in f["message"] for f in warned)
    assert any(f["remedy"].startswith("CREATE INDEX") for f in told["findings"])
    assert desk("connectors", "check", "shop", "--strict").exit_code == faults.REFUSED


def test_errors_fail_the_check_and_name_what_to_do(desk: Desk) -> None:
    """What would make answers wrong is no matter of strictness."""
    execute(desk.dsn, "ALTER TABLE customers RENAME email TO mail")
    shown = desk("connectors", "check", "shop")
    assert shown.exit_code == faults.REFUSED
    assert "correct the name in the data map" in shown.stdout


def test_check_goes_on_calling_it(desk: Desk, tmp_path: Path) -> None:
    """`dsr check` says the same of the system, beside what it says of the files."""
    (tmp_path / "config" / "organisation.yaml").write_text(ORGANISATION, "utf-8")
    policies = tmp_path / "config" / "policies"
    policies.mkdir()
    (policies / "trial.yaml").write_text(POLICY, "utf-8")
    whole = desk.json("check", "--system", "shop")["findings"]
    of_system = desk.json("connectors", "check", "shop")["findings"]
    assert [f for f in whole if f["where"] == "shop"] == of_system


def test_an_unknown_system_is_wrong_input(desk: Desk) -> None:
    """With the near name, for both commands."""
    for command in ("check", "grants"):
        result = desk("connectors", command, "shpo", "--json")
        assert result.exit_code == faults.USAGE
        assert "did you mean shop?" in json.loads(result.stderr)["error"]["message"]


# ---- grants


def test_the_grants_are_a_script(desk: Desk) -> None:
    """What is printed runs as it is, and is the same as what machines get."""
    shown = desk("connectors", "grants", "shop")
    assert shown.exit_code == faults.OK, shown.output
    roles = desk.json("connectors", "grants", "shop")["roles"]
    assert [role["role"] for role in roles] == ["dsr_shop_reader", "dsr_shop_eraser"]
    assert all(line in shown.stdout.splitlines() for r in roles for line in r["statements"])
    try:
        execute(desk.dsn, shown.stdout)
        granted = query(
            desk.dsn,
            "SELECT has_table_privilege('dsr_shop_reader', 'orders', 'DELETE'),"
            " has_table_privilege('dsr_shop_eraser', 'orders', 'DELETE')",
        )
        assert granted == [(False, True)]
    finally:
        for role in roles:
            execute(desk.dsn, f"DROP OWNED BY {role['role']}; DROP ROLE {role['role']}")


def test_the_grants_need_no_role_that_they_make(desk: Desk, tmp_path: Path) -> None:
    """A secret of the reader, who is yet to be made, may still be missing; `dsn` may not."""
    file = tmp_path / "config" / "systems" / "shop.yaml"
    whole = "{dsn: {env: ZQ_SHOP_DSN}, reader_dsn: {env: ZQ_NOT_SET}}"
    file.write_text(MAP.replace("{dsn: {env: ZQ_SHOP_DSN}}", whole), "utf-8")
    assert len(desk.json("connectors", "grants", "shop")["roles"]) == 2
    checked = desk("connectors", "check", "shop")
    assert (checked.exit_code, "ZQ_NOT_SET" in checked.stdout) == (faults.REFUSED, True)
    file.write_text(MAP.replace("ZQ_SHOP_DSN", "ZQ_NOT_SET"), "utf-8")
    refused = desk("connectors", "grants", "shop")
    assert (refused.exit_code, "ZQ_NOT_SET" in refused.stderr) == (faults.NOT_READY, True)


def test_a_database_that_is_away_is_not_ready(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3, no half a script, and nothing of the DSN."""
    monkeypatch.setenv("ZQ_SHOP_DSN", "postgresql://u:zqsecretzq@127.0.0.1:1/none")
    result = desk("connectors", "grants", "shop", "--json")
    assert (result.exit_code, result.stdout) == (faults.NOT_READY, "")
    assert json.loads(result.stderr)["error"]["code"] == "system_unreachable"
    assert "zqsecretzq" not in result.output


def test_a_connector_without_grants_says_where_its_rights_stand(tmp_path: Path) -> None:
    """Refused, with what to read instead."""
    systems = tmp_path / "config" / "systems"
    systems.mkdir(parents=True)
    text = MAP.replace("postgres", "memory").replace("{dsn: {env: ZQ_SHOP_DSN}}", "{name: x}")
    (systems / "shop.yaml").write_text(text, "utf-8")
    settings = Settings(config_dir=tmp_path / "config", data_dir=tmp_path / "data")
    opening = Opening(settings, Registry({"memory": Memory}))
    result = CliRunner().invoke(dsr, ["connectors", "grants", "shop"], obj=opening)
    assert result.exit_code == faults.REFUSED
    assert "docs/connectors" in result.stderr


# ---- what a person is asked


class Case:
    """The same shop behind a whole installation."""

    def __init__(self, folder: Path, ledger: str, desk: Desk) -> None:
        self.folder = folder
        self.shop = desk.dsn
        self.room = EngineRoom(
            folder,
            ledger,
            systems={"shop": MAP},
            organisation=ORGANISATION,
            policies={"trial": POLICY},
        )
        settings = self.room.settings.model_copy(update={"ledger_dsn": SecretStr(ledger)})
        self.opening = Opening(settings, self.room.office.registry)

    def __call__(self, *args: str, actor: str | None = None, stdin: str | None = None) -> Result:
        """Call a command, perhaps as somebody."""
        signed = ["--as", actor, "--key", str(self.folder / f"{actor}.key")] if actor else []
        return CliRunner().invoke(dsr, [*args, *signed], obj=self.opening, input=stdin)

    def json(self, *args: str, actor: str | None = None, stdin: str | None = None) -> Any:
        """Its one object."""
        result = self(*args, "--json", actor=actor, stdin=stdin)
        assert result.exit_code == faults.OK, result.output
        return json.loads(result.stdout)

    def erasure(self) -> str:
        """A request of whoever the address belongs to, worked off as far as it goes."""
        args = ("submit", "--kind", "erasure", "--email", MAIL, "--country", "DE")
        ref: str = self.json(*args, "--attest", "trial", actor="anna")["case"]
        self.room.settle()
        return ref

    def erased(self, ref: str) -> None:
        """Approve, and go on as far as it goes."""
        self.json("approve", ref, "--yes", actor="berta")
        self.room.settle()


@pytest.fixture
def case(tmp_path: Path, database: Callable[[], str], desk: Desk) -> Iterator[Case]:
    """An installation over the desk's shop."""
    made = Case(tmp_path / "whole", database(), desk)
    yield made
    made.room.office.ledger.dispose()


def test_several_people_are_put_as_a_question_and_a_choice_goes_on(case: Case) -> None:
    """One address, two customers: nothing happens until a person says which, and then to one."""
    ref = case.erasure()
    told = case.json("status", ref)
    assert told["next"] == f"dsr choose {ref} KIND=VALUE"
    (question,) = told["questions"]
    assert (question["code"], question["places"]) == ("several_people", ["shop.customers"])
    shown = case("status", ref).stdout
    assert "who is meant? A name of this request leads to more than one person in shop." in shown
    assert f"`dsr choose {ref} customer_number=-`" in shown
    assert MAIL not in shown.lower()
    assert query(case.shop, "SELECT count(*) FROM customers") == [(2,)]
    case.json("choose", ref, "customer_number=-", actor="berta", stdin="2\n")
    case.room.settle()
    assert case.json("status", ref)["questions"] == []
    case.erased(ref)
    assert case.json("status", ref)["state"] == "ready"
    assert query(case.shop, "SELECT id FROM customers") == [(1,)]
    assert query(case.shop, "SELECT id FROM orders") == [(10,)]


def test_two_accounts_of_one_person_are_two_requests(case: Case) -> None:
    """One choice names one row of people; the other account goes by a request of its own."""
    ref = case.erasure()
    both = case("choose", ref, "customer_number=1", "customer_number=2", actor="berta")
    assert both.exit_code == faults.USAGE
    assert "submit a further request" in both.stderr
    assert "registered again" in case("status", ref).stdout
    case.json("choose", ref, "customer_number=1", actor="berta")
    args = ("submit", "--kind", "erasure", "--identities", "-", "--country", "DE")
    second = case.json(*args, "--attest", "trial", actor="anna", stdin='{"customer_number": "2"}')[
        "case"
    ]
    case.room.settle()
    for one in (ref, second):
        case.erased(one)
        assert case.json("status", one)["state"] == "ready"
    assert query(case.shop, "SELECT count(*) FROM customers") == [(0,)]


def test_rows_outside_the_map_are_put_as_a_question_and_a_retry_goes_on(case: Case) -> None:
    """An erasure is not certified while a place that nobody mapped still names the person."""
    execute(
        case.shop,
        "DELETE FROM orders WHERE id = 20; DELETE FROM customers WHERE id = 2;"
        " CREATE TABLE logins (customer_id bigint); INSERT INTO logins VALUES (1), (7)",
    )
    ref = case.erasure()
    case.erased(ref)
    told = case.json("status", ref)
    assert told["state"] != "ready"
    (question,) = told["questions"]
    assert question["places"] == ["public.logins.customer_id"]
    assert "whose are these 1 row(s)?" in question["text"]
    assert told["next"] == f"dsr retry {ref}"
    execute(case.shop, "DELETE FROM logins WHERE customer_id = 1")
    case.json("retry", ref, actor="berta")
    case.room.settle()
    assert case.json("status", ref)["state"] == "ready"
