"""The Postgres connector against the invented shop, whose truth its generator wrote itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources

import pytest
from psycopg2.sql import SQL, Identifier
from pydantic import SecretStr

from connectors.postgres import Postgres, PostgresConfig
from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    DecisionTable,
    Identity,
    Mask,
    NeededByKept,
    Outcome,
    Rule,
    Severity,
    Since,
    Subject,
    System,
)
from dsr_worker.datamap import read_system
from dsr_worker.testing.context import TrialContext
from dsr_worker.testing.shop import Expected, Shop, load_postgres
from tests.contract.postgres_shop import connected

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SHOP = Shop(seed=11, customers=60)
PEOPLE = [n for n in SHOP.numbers if n not in SHOP.CASE_PAIR]


@pytest.fixture(scope="module")
def dsn(module_database: str) -> str:
    """The shop's database; the erasure comes last."""
    load_postgres(SHOP, module_database)
    return module_database


def mapped() -> System:
    """The shop's own data map."""
    text = resources.files("dsr_worker.testing.shop").joinpath("systems/shop.yaml").read_text()
    return read_system(text.replace("$dsn_env", "SHOP_DSN")).system


def person(number: int) -> Subject:
    """A customer with every identity that is theirs alone."""
    identities = SHOP.truth(number, now=NOW).identities
    given = [
        Identity(kind, TrialContext().canonical(kind, value) or value)
        for kind, value in identities.items()
        if kind != "phone" or number not in SHOP.SHARED_PHONE
    ]
    return Subject(f"s{number}", tuple(given))


def expected(number: int) -> list[Expected]:
    """The customer's rows in the database."""
    return [row for row in SHOP.truth(number, now=NOW, held=False).rows if row.system == "shop"]


def masks(collection: Collection) -> Mapping[str, Mask]:
    """Every mask of the map."""
    return {f.name: f.mask for f in collection.fields.values() if f.mask is not None}


def tables(system: System) -> dict[str, DecisionTable]:
    """Vouchers of the last eight years stay, and what they need."""
    cutoff = datetime(2017, 12, 31, 23, tzinfo=UTC)  # midnight in Berlin
    last = Rule("default", Always(), Action.ERASE)
    found = {}
    for name, clock in (("invoices", "issued_on"), ("payments", "paid_at")):
        collection = system.collections[name]
        outside = {
            f: m for f, m in masks(collection).items() if f not in (collection.kept_fields or ())
        }
        rule = Rule("minimum", Since(clock, cutoff), Action.MASK, "minimum", outside, clock)
        found[name] = DecisionTable(name, (rule, last))
    for name, below in (("orders", ("invoices", "payments")), ("customers", ("orders",))):
        needs = masks(system.collections[name])
        rule = Rule("needed", NeededByKept(below), Action.MASK, "needed", needs)
        found[name] = DecisionTable(name, (rule, last))
    return found


def dump(dsn: str, system: System) -> dict[tuple[str, str], dict[str, object]]:
    """Every row as a document, by collection and key."""
    with connected(dsn) as connection, connection.cursor() as cursor:
        rows: dict[tuple[str, str], dict[str, object]] = {}
        for name, collection in system.collections.items():
            cursor.execute(
                SQL("SELECT {}::text, to_jsonb(t) FROM {} t").format(
                    Identifier(collection.key[0]), Identifier(name)
                )
            )
            rows |= {(name, key): row for key, row in cursor.fetchall()}
    return rows


def test_a_batch_of_everybody_finds_each_ones_rows_and_mentions(dsn: str) -> None:
    """Sixty people in one pass: each gets exactly what the generator made for them."""
    postgres = Postgres(mapped(), PostgresConfig(dsn=SecretStr(dsn)))
    assert not [f for f in postgres.check() if f.severity is Severity.ERROR]
    people = [person(n) for n in PEOPLE]
    found = {(r.subject_ref, r.collection, r.key) for r in postgres.find(people, TrialContext())}
    assert found == {(f"s{n}", row.collection, row.key) for n in PEOPLE for row in expected(n)}
    mentions = {
        (m.subject_ref, m.collection, m.key, m.field)
        for m in postgres.mentions(people, TrialContext())
    }
    assert mentions == {
        (f"s{n}", place.collection, place.key, place.field)
        for n in PEOPLE
        for place in SHOP.truth(n, now=NOW).mentions
        if place.system == "shop"
    }


def test_erasing_half_of_them_leaves_what_the_truth_says(dsn: str) -> None:
    """Erased rows are gone, masked rows differ in their masks alone, all others are untouched."""
    system = mapped()
    postgres = Postgres(system, PostgresConfig(dsn=SecretStr(dsn)))
    chosen = PEOPLE[::2]
    people = [person(n) for n in chosen]
    before = dump(dsn, system)
    keys = list(postgres.locate(people, TrialContext()))
    receipts = list(postgres.erase(people, keys, TrialContext(tables=tables(system), now=NOW)))
    after = dump(dsn, system)
    truth = {(row.collection, row.key[0]): row for n in chosen for row in expected(n)}
    gone = {at for at, row in truth.items() if row.outcome is Outcome.ERASED}
    assert set(before) - set(after) == gone
    for at, row in after.items():
        masked = truth[at].masked if at in truth else frozenset()
        changed = {name for name, value in row.items() if before[at][name] != value}
        assert changed <= masked, at[0]
        assert all(row[name] != before[at][name] or row[name] is None for name in masked), at[0]
    counted = {
        (r.subject_ref, r.collection, o.outcome): o.rows
        for r in receipts
        for o in r.outcomes
        if o.rows
    }
    wanted = Counter((f"s{n}", r.collection, r.outcome) for n in chosen for r in expected(n))
    assert counted == wanted
    located = {(k.collection, k.key[0]) for k in keys}
    again = postgres.recheck(people, keys, TrialContext(second_path=True))
    assert {(k.collection, k.key[0]) for k in again} == located - gone
