"""The conformance suite against our own connectors that hold tables, and against broken ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extras import execute_values
from psycopg2.sql import SQL, Identifier
from pydantic import SecretStr

from connectors.postgres import Postgres, PostgresConfig
from dsr_worker.contract import (
    Connector,
    Context,
    Identity,
    Key,
    Link,
    Receipt,
    Record,
    Subject,
    SweepOrder,
)
from dsr_worker.testing.conformance import (
    Adapter,
    BlocksPart,
    Conformance,
    ContactsPart,
    RectifiesPart,
    RestrictsPart,
    Where,
    World,
)
from dsr_worker.testing.memory import Memory, MemoryConfig, Store, store
from dsr_worker.testing.memory.decide import Judge

_SCHEMA: Final = """
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
CREATE TABLE people (
    id bigint PRIMARY KEY, email text NOT NULL UNIQUE, name text, phone text, country text,
    created_at timestamptz, blocked text NOT NULL DEFAULT 'no');
CREATE TABLE orders (
    id bigint PRIMARY KEY, person_id bigint NOT NULL REFERENCES people, ordered_at timestamptz,
    ship_to text);
CREATE INDEX ON orders (person_id);
CREATE TABLE invoices (
    id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, issued_at timestamptz,
    gross integer, bill_to text);
CREATE INDEX ON invoices (order_id);
CREATE TABLE remarks (
    id bigint PRIMARY KEY, author text, written_at timestamptz, body text, agent text);
CREATE TABLE logins (id bigint PRIMARY KEY, person_id bigint REFERENCES people, address text);
CREATE INDEX ON logins (person_id);
CREATE TABLE remarks_aside (LIKE remarks INCLUDING ALL);
CREATE TABLE login_blocks (login_id bigint PRIMARY KEY REFERENCES logins);
"""


@dataclass
class MemoryAdapter:
    """A world in the in-memory connector; `path` puts it into a file."""

    world: World
    path: Path | None = None
    kind: type[Memory] = Memory
    name: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        keys = {name: c.key for name, c in self.world.system.collections.items()}
        rows = {name: [dict(row) for row in some] for name, some in self.world.rows.items()}
        self._store().load(rows, keys)

    def connector(self) -> Connector:
        """A new connector on the same rows."""
        return self.kind(self.world.system, MemoryConfig(name=self.name, path=self.path))

    def unreachable(self) -> Connector:
        """A connector whose rows are in a file where no file can be."""
        config = MemoryConfig(path=Path(f"/dev/null/{self.name}"))
        return self.kind(self.world.system, config)

    def dump(self) -> Mapping[Where, bytes]:
        """The store's rows."""
        return {
            (c, key): row for c, rows in self._store().dump().items() for key, row in rows.items()
        }

    def close(self) -> None:
        """Leave the store to the end of the run: its name is its own."""

    def _store(self) -> Store:
        return store(self.name, self.path)


class TestMemory(Conformance, RectifiesPart, RestrictsPart):
    """The in-memory connector with rows in this process."""

    def make(self, world: World) -> Adapter:
        """Rows under a name of their own."""
        return MemoryAdapter(world)


class TestMemoryInFile(Conformance, RectifiesPart, RestrictsPart):
    """The in-memory connector with rows in a file."""

    folder: Path

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self, world: World) -> Adapter:
        """Rows in a file of their own."""
        return MemoryAdapter(world, self.folder / f"{uuid4().hex}.sqlite")


@dataclass
class PostgresAdapter:
    """A world in a database of its own."""

    world: World
    dsn: str
    made: list[Postgres] = field(default_factory=list)

    def __post_init__(self) -> None:
        with closing(psycopg2.connect(self.dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(_SCHEMA)
            for table, rows in self.world.rows.items():
                if not rows:
                    continue
                names = SQL(", ").join(map(Identifier, rows[0]))
                insert = SQL("INSERT INTO {} ({}) VALUES %s").format(Identifier(table), names)
                execute_values(cursor, insert, [tuple(row.values()) for row in rows])
            connection.commit()

    def connector(self) -> Connector:
        """A new connector on the database."""
        return self._connector(self.dsn)

    def unreachable(self) -> Connector:
        """A connector to a folder in which no server listens."""
        return self._connector("postgresql://nobody@/nothing?host=/dev/null")

    def dump(self) -> Mapping[Where, bytes]:
        """Every row as the server spells it."""
        found: dict[Where, bytes] = {}
        with closing(psycopg2.connect(self.dsn)) as connection, connection.cursor() as cursor:
            for table in self.world.rows:
                (key,) = self.world.system.collections[table].key
                whole = SQL("SELECT t.{}::text, t::text FROM {} AS t")
                cursor.execute(whole.format(Identifier(key), Identifier(table)))
                found |= {(table, (name,)): row.encode() for name, row in cursor}
        return found

    def close(self) -> None:
        """Close the connectors' connections; the next world takes their place."""
        for connector in self.made:
            connector.close()

    def _connector(self, dsn: str) -> Postgres:
        connector = Postgres(self.world.system, PostgresConfig(dsn=SecretStr(dsn)))
        self.made.append(connector)
        return connector


class TestPostgres(Conformance, BlocksPart, RectifiesPart, RestrictsPart):
    """The Postgres connector on a real server."""

    dsn: str

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _database(cls, module_database: str) -> None:
        cls.dsn = module_database

    def make(self, world: World) -> Adapter:
        """Fresh tables in the class's database."""
        return PostgresAdapter(world, self.dsn)


class _Leaky(Memory):
    """Gives the first person's records to everybody in the batch."""

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        for record in super().find(subjects, ctx):
            yield record
            yield from (replace(record, subject_ref=s.ref) for s in subjects[1:2])


class _Talkative(Memory):
    """Logs whom it reads."""

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        logging.getLogger("talkative").info("reading %s", subjects[0].identities[0].value)
        return super().find(subjects, ctx)


class _Greedy(Memory):
    """Collects everything before it hands over the first record."""

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        return iter(list(super().find(subjects, ctx)))


class _Hasty(Memory):
    """Acts on the plan's tables and tells its intent when all is done."""

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        if ctx.dry_run:
            yield from super().erase(subjects, keys, ctx)
            return
        with self.store.transaction() as (tables, changes):
            judge = Judge(self._system, tables, ctx, ctx.table)
            receipts = judge.erase(subjects, keys)
            changes.extend(judge.changes)
        with ctx.guard() as guard:
            guard.intend(receipts)
        yield from receipts


class _Forgetful(Memory):
    """Leaves out receipts that have nothing to tell."""

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        return (r for r in super().erase(subjects, keys, ctx) if r.rows)


class _Blind(Memory):
    """Looks again by identities alone, which a mask has cut."""

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        return super().recheck(subjects, (), ctx)


class _Folding(Memory):
    """Compares numbers as numbers, so that 01 is 1."""

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        def plain(identity: Identity) -> Identity:
            number = identity.kind == "customer_number" and identity.value.strip().isdecimal()
            return Identity(identity.kind, str(int(identity.value))) if number else identity

        bent = [Subject(s.ref, tuple(map(plain, s.identities))) for s in subjects]
        return super().find(bent, ctx)


class _Shortsighted(Memory):
    """Tells only what is new."""

    def resolve(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Link]:
        known = {(s.ref, identity) for s in subjects for identity in s.identities}
        links = super().resolve(subjects, ctx)
        return (link for link in links if (link.subject_ref, link.identity) not in known)


class _Rash(Memory):
    """Puts right whatever stands there, without asking whether it was what was stated."""

    def rectify(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        rash = [
            replace(
                s,
                corrections={
                    name: tuple(replace(c, was=None) for c in some)
                    for name, some in s.corrections.items()
                },
            )
            for s in subjects
        ]
        return super().rectify(rash, keys, ctx)


class _Optimistic(Memory):
    """Says of every second look that nothing is left to change."""

    def rectify(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        for receipt in super().rectify(subjects, keys, ctx):
            done = tuple(replace(o, fields=0) for o in receipt.outcomes)
            yield replace(receipt, outcomes=done) if ctx.second_path else receipt


class _Stuck(Memory):
    """Restricts, and never finds what it has moved again."""

    def restrict(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        stands = self.store.dump()["remarks"]
        there = [key for key in keys if key.collection != "remarks" or key.key in stands]
        return super().restrict(subjects, there, ctx)


class _Unbraked(Memory):
    """Sweeps without looking at the limit."""

    def sweep(self, orders: Sequence[SweepOrder], ctx: Context) -> Iterator[Receipt]:
        return super().sweep([replace(o, max_rows=10**6) for o in orders], ctx)


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (_Leaky, "test_each_finds_exactly_their_own"),
        (_Talkative, "test_logs_and_errors_name_nobody"),
        (_Greedy, "test_memory_does_not_grow_with_the_records"),
        (_Hasty, "test_the_intent_comes_before_the_effect"),
        (_Hasty, "test_a_hold_placed_at_the_last_moment_wins"),
        (_Forgetful, "test_receipts_add_up"),
        (_Blind, "test_after_an_erasure_only_what_stays_is_there"),
        (_Folding, "test_hostile_identities_find_nobody"),
        (_Shortsighted, "test_a_name_of_several_people_is_told_so"),
        (_Shortsighted, "test_every_row_of_a_person_shows"),
        (_Unbraked, "test_the_brake_stops_before_the_first_change"),
        (_Rash, "test_what_was_stated_is_put_right_and_nothing_else"),
        (_Optimistic, "test_the_second_path_sees_what_is_not_yet_right"),
        (_Stuck, "test_lifting_restores_exactly_the_state_before"),
        (_Stuck, "test_a_repeated_restriction_changes_nothing_more"),
    ],
)
def test_the_suite_sees_a_broken_connector(
    kind: type[Memory], test: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of these faults makes the test fail that is meant to see it."""

    class Suite(Conformance, RectifiesPart, RestrictsPart):
        def make(self, world: World) -> Adapter:
            return MemoryAdapter(world, kind=kind)

    method = getattr(Suite(), test)
    with pytest.raises(AssertionError):
        method(caplog) if "logs" in test else method()


def test_a_capability_without_its_part_is_a_failure() -> None:
    """A suite that leaves a protocol of the connector untried does not pass."""

    class Suite(ContactsPart):
        def make(self, world: World) -> Adapter:
            return MemoryAdapter(world)

    with pytest.raises(AssertionError, match="Erases"):
        Suite().test_every_capability_is_tried()
