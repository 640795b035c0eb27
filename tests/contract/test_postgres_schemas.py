"""Random schemas: what an erasure or a sweep leaves is what the brute-force model says.

Each seed makes a schema, fills it, maps it and erases some people under random decision tables, or
sweeps one of its collections. What the model refuses changes nothing. A failing test names its
seed. `--schemas N` tries N of them, `--first-seed` says from which on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a small name
from psycopg2.sql import SQL, Identifier
from pydantic import SecretStr

from connectors.postgres import Postgres, PostgresConfig
from dsr_worker.contract import ConnectorError, Key, NeedsHuman, Outcome, Permanent, Receipt
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_drawing import drawn
from tests.contract.postgres_model import Expected, RefusedError, expected
from tests.contract.postgres_schemas import SCHEMA, Row, Table, World
from tests.contract.postgres_shop import connected
from tests.contract.postgres_sweep_model import Swept, order, protection

_PER_TEST = 5
_FORESEEN = (
    "refers to a row that goes",
    "cascades beyond the plan",
)  # a dry run refuses it as well
State = dict[tuple[str, tuple[str | None, ...]], tuple[Row, str]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for a few seeds, so that each stays within its time."""
    if "seeds" in metafunc.fixturenames:
        first = metafunc.config.getoption("first_seed")
        last = first + metafunc.config.getoption("schemas")
        parts = [range(n, min(n + _PER_TEST, last)) for n in range(first, last, _PER_TEST)]
        metafunc.parametrize("seeds", parts, ids=[f"{p.start}-{p.stop - 1}" for p in parts])


@dataclass
class Ground:
    """A database in which worlds are made one after the other."""

    dsn: str
    connection: Connection
    icu: bool

    def make(self, world: World) -> None:
        """Make the schema and fill it."""
        with self.connection.cursor() as cursor:
            statements = SQL("; ").join(world.statements(icu=self.icu))
            cursor.execute(SQL("BEGIN; {}; COMMIT").format(statements))

    def state(self, world: World) -> State:
        """Every row as texts, with the transaction that wrote it."""
        found: State = {}
        with self.connection.cursor() as cursor:
            for table in world.tables.values():
                columns = SQL(", ").join(
                    SQL("abbrev({})" if column.type == "inet" else "{}::text").format(
                        Identifier(column.name)
                    )
                    for column in table.columns.values()
                )
                cursor.execute(
                    SQL("SELECT xmin::text, {} FROM {}").format(
                        columns, Identifier(SCHEMA, table.name)
                    )
                )
                for written, *values in cursor.fetchall():
                    row = dict(zip(table.columns, values, strict=True))
                    found[table.name, table.key_of(row)] = (row, written)
        return found


@pytest.fixture(scope="module")
def ground(module_database: str) -> Iterator[Ground]:
    """One database for all of them."""
    with connected(module_database) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")
            cursor.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'citext'")
            there = cursor.fetchone() == (1,)
            cursor.execute("CREATE EXTENSION citext" if there else "CREATE DOMAIN citext AS text")
            cursor.execute("SELECT count(*) > 0 FROM pg_collation WHERE collname = 'de-x-icu'")
            icu = cursor.fetchone() == (True,)
        yield Ground(module_database, connection, icu)


def test_random_schemas_are_left_as_the_model_says(ground: Ground, seeds: range) -> None:
    """What stays, what goes, what is masked, what is refused: all as rules by brute force say."""
    for seed in seeds:
        with _named(seed):
            _try(ground, drawn(seed))


def test_random_schemas_are_swept_as_the_model_says(ground: Ground, seeds: range) -> None:
    """What goes, what goes along, what staying rows keep, what a dry run says of it: the same."""
    for seed in seeds:
        with _named(seed):
            _sweep(ground, drawn(seed))


@contextmanager
def _named(seed: int) -> Iterator[None]:
    """Whatever fails names its seed."""
    try:
        yield
    except (AssertionError, ConnectorError, psycopg2.Error) as fault:
        fault.add_note(f"seed {seed}")
        raise


def _sweep(ground: Ground, world: World) -> None:
    """Sweep one of the collections that have others below or beside them, if any have."""
    ground.make(world)
    before = ground.state(world)
    targets = [link.target for link in world.links if world.tables[link.target].mapped]
    names = targets or [table.name for table in world.mapped]
    swept = Swept(world, names[world.seed % len(names)])
    orders = [order(swept.collection)]
    tables = protection(world)
    postgres = Postgres(world.system(), PostgresConfig(dsn=SecretStr(ground.dsn)))
    try:
        if swept.refused():
            for dry in (True, False):
                with pytest.raises(Permanent):
                    list(postgres.sweep(orders, TrialContext(tables=tables, dry_run=dry)))
            assert ground.state(world) == before
            return
        said = _counted(postgres.sweep(orders, TrialContext(tables=tables, dry_run=True)))
        assert ground.state(world) == before
        try:
            swept.run()
        except RefusedError as refusal:
            with pytest.raises(Permanent):
                _unrefused(postgres.sweep(orders, TrialContext(tables=tables)), refusal)
        else:
            done = _counted(postgres.sweep(orders, TrialContext(tables=tables)))
            assert done == said == swept.counts
        _left(world, swept.result, before, ground.state(world))
    finally:
        postgres.close()


def _counted(receipts: Iterator[Receipt]) -> Counter[tuple[str, str, str]]:
    found: Counter[tuple[str, str, str]] = Counter()
    for receipt in receipts:
        for one in receipt.outcomes:
            found[receipt.collection, str(one.outcome), one.ground] += one.rows
    return found


def _try(ground: Ground, world: World) -> None:
    ground.make(world)
    before = ground.state(world)
    assert {at: row for at, (row, _) in before.items()} == _rows(world)
    ctx = TrialContext(tables=world.decisions)
    postgres = Postgres(world.system(), PostgresConfig(dsn=SecretStr(ground.dsn)))
    try:
        _erase(ground, world, postgres, ctx, before)
    finally:
        postgres.close()


def _erase(
    ground: Ground, world: World, postgres: Postgres, ctx: TrialContext, before: State
) -> None:
    keys = list(postgres.locate(world.people, ctx))
    try:
        model = expected(world, ctx.pseudonym)
    except RefusedError as refusal:
        if any(reason in str(refusal) for reason in _FORESEEN):
            dry = TrialContext(tables=world.decisions, dry_run=True)
            with pytest.raises(Permanent):
                _unrefused(postgres.erase(world.people, keys, dry), refusal)
        with pytest.raises(Permanent):
            _unrefused(postgres.erase(world.people, keys, ctx), refusal)
        assert ground.state(world) == before
        return
    located = Counter((k.subject_ref, k.collection, k.key) for k in keys)
    assert located == Counter(
        (world.people[n].ref, place[0], world.tables[place[0]].key_of(model.row(place)))
        for place, owners in model.owners.items()
        for n in owners
    )
    said: list[Receipt] = []
    if world.seed % 2 == 0:
        dry = TrialContext(tables=world.decisions, dry_run=True)
        said = list(postgres.erase(world.people, keys, dry))
    receipts = list(postgres.erase(world.people, keys, ctx))
    assert said in ([], receipts), "a dry run says what an erasure does"
    after = ground.state(world)
    _left(world, model, before, after)
    _accounted(world, model, receipts, ctx)
    if world.seed % 5 == 1:
        _again(world, model, postgres, keys)
        assert ground.state(world) == after


def _unrefused(receipts: Iterator[Receipt], refusal: RefusedError) -> None:
    list(receipts)
    message = f"must be refused: {refusal}"
    raise AssertionError(message)


def _rows(world: World) -> dict[tuple[str, tuple[str | None, ...]], Row]:
    return {(t.name, t.key_of(row)): row for t in world.tables.values() for row in t.rows}


def _left(world: World, model: Expected, before: State, after: State) -> None:
    """Every row is as it must be; those that nothing was to change were not even written."""
    wanted = {
        (name, _key(world, name, number)): row
        for (name, number), row in model.after.items()
        if row is not None
    }
    assert {at: row for at, (row, _) in after.items()} == wanted
    unwritten = {at for at, row in wanted.items() if row == before[at][0]}
    assert [at for at in unwritten if after[at][1] != before[at][1]] == []


def _key(world: World, name: str, number: int) -> tuple[str | None, ...]:
    table: Table = world.tables[name]
    return table.key_of(table.rows[number])


def _accounted(world: World, model: Expected, receipts: list[Receipt], ctx: TrialContext) -> None:
    """One receipt for every person and collection, which counts what happened and no more."""
    assert [(r.subject_ref, r.collection) for r in receipts] == [
        (p.ref, t.name) for p in world.people for t in world.mapped
    ]
    counts, clocks = model.counts(), model.clocks()
    for receipt in receipts:
        at = (receipt.subject_ref or "", receipt.collection)
        told = {(o.outcome, o.ground): [o.rows, o.fields] for o in receipt.outcomes if o.rows}
        assert told == dict(counts.get(at, {}))
        for one in receipt.outcomes:
            days = clocks.get((*at, one.ground), [])
            assert (one.latest_at, one.earliest_at) == (
                max(days, default=None),
                min(days, default=None),
            )
        kept = {
            ctx.digest(place[0], [str(v) for v in _key(world, *place)])
            for place, owners in model.owners.items()
            if place[0] == receipt.collection
            and at[0] in {world.people[n].ref for n in owners}
            and place not in model.going()
        }
        assert receipt.kept == kept


def _orphaned(
    world: World, model: Expected, gone: AbstractSet[tuple[str, tuple[str | None, ...]]]
) -> tuple[bool, bool]:
    """Whether rows outside the map may, and whether they must, be seen to hold a gone row's key.

    A column without a foreign key is looked at when it is called like a reference to a mapped
    table; called so for several tables, it is one of theirs, and which is not said.
    """
    called: dict[str, set[str]] = {}
    for link in world.links:
        target, source = world.tables[link.target], world.tables[link.source]
        told = link.enforced or (link.parent and source.mapped)
        if told and target.mapped and link.target_columns == target.key and len(target.key) == 1:
            called.setdefault(link.columns[0], set()).add(target.name)
    guarded = {
        (link.source, name) for link in world.links if link.enforced for name in link.columns
    }
    left = [
        len(called[column])
        for (name, _), row in model.after.items()
        if row is not None and not world.tables[name].mapped
        for column in called.keys() & row.keys()
        if (name, column) not in guarded
        if any((target, (row[column],)) in gone for target in called[column])
    ]
    return bool(left), 1 in left


def _again(world: World, model: Expected, postgres: Postgres, keys: list[Key]) -> None:
    """A second look finds what stays and nothing else; a repeat changes nothing."""
    going = {(place[0], _key(world, *place)) for place in model.going()}
    located: set[tuple[str, tuple[str | None, ...]]] = {(k.collection, k.key) for k in keys}
    ctx = TrialContext(tables=world.decisions, second_path=True)
    found: Counter[Key] = Counter()
    asked = ""
    try:
        for key in postgres.recheck(world.people, keys, ctx):
            found[key] += 1
    except NeedsHuman as question:
        asked = question.code
    possible, certain = _orphaned(world, model, located & going)
    assert asked in ({"unmapped_rows_left"} if certain else {"", "unmapped_rows_left"})
    assert possible or not asked
    assert found == Counter(k for k in keys if (k.collection, k.key) not in going)
    repeated = list(postgres.erase(world.people, keys, TrialContext(tables=world.decisions)))
    gone = sum(o.rows for r in repeated for o in r.outcomes if o.outcome is Outcome.ALREADY_GONE)
    assert gone == sum((k.collection, k.key) in going for k in keys)
    assert not sum(o.fields for r in repeated for o in r.outcomes)
