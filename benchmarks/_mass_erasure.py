"""Erasing many people at once, beside SQL that somebody wrote by hand for these three tables.

In: a server, how many customers the shop has. Out: subjects a second of the connector (located
keys, receipts and all) and of two scripts: one deletes in batches of about the same transaction
time and counts per person by RETURNING, the other does it all in one transaction.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import psycopg2
from pydantic import SecretStr

from benchmarks._installation import connected
from connectors.postgres import Postgres
from connectors.postgres.connector import PostgresConfig
from dsr_worker.contract import (
    Collection,
    Field,
    Identity,
    Key,
    Outcome,
    Parent,
    Subject,
    System,
    Taken,
)
from dsr_worker.testing.context import TrialContext

ORDERS_EACH = 5
LINES_EACH = 10
TARGET_S = 0.5  # how long one transaction is to last
_FIRST_BATCH = 200
_MOST_AT_ONCE = 10_000
_WRITER_PAUSE_S = 0.002

_TABLES = """
CREATE TABLE customers (id bigint PRIMARY KEY, email text NOT NULL, name text NOT NULL);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL, note text NOT NULL);
CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint NOT NULL, title text NOT NULL);
"""
_ROWS = (
    (
        "INSERT INTO customers SELECT n, 'person.' || n || '@mail.example', 'Person ' || n"
        " FROM generate_series(1, {people}) n"
    ),
    (
        "INSERT INTO orders SELECT n, 1 + (n - 1) % {people}, 'left at the door of house ' || n"
        " FROM generate_series(1, {people} * {orders}) n"
    ),
    (
        "INSERT INTO lines SELECT n, 1 + (n - 1) % ({people} * {orders}), 'A lamp of series ' || n"
        " FROM generate_series(1, {people} * {lines}) n"
    ),
)
_KEYS = (
    "CREATE INDEX ON orders (customer_id)",
    "CREATE INDEX ON lines (order_id)",
    "ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers",
    "ALTER TABLE lines ADD FOREIGN KEY (order_id) REFERENCES orders",
    "VACUUM ANALYZE",
)
_BY_HAND = (
    (
        "WITH gone AS (DELETE FROM lines l USING orders o WHERE o.id = l.order_id"
        " AND o.customer_id = ANY(%s) RETURNING o.customer_id)"
        " SELECT customer_id, count(*) FROM gone GROUP BY 1"
    ),
    (
        "WITH gone AS (DELETE FROM orders WHERE customer_id = ANY(%s) RETURNING customer_id)"
        " SELECT customer_id, count(*) FROM gone GROUP BY 1"
    ),
    (
        "WITH gone AS (DELETE FROM customers WHERE id = ANY(%s) RETURNING id)"
        " SELECT id, count(*) FROM gone GROUP BY 1"
    ),
)


def fill(dsn: str, people: int) -> None:
    """A shop of so many customers, each with five orders and ten lines."""
    with connected(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(_TABLES)
        for statement in _ROWS:
            cursor.execute(statement.format(people=people, orders=ORDERS_EACH, lines=LINES_EACH))
        for statement in _KEYS:
            cursor.execute(statement)


def _collection(name: str, parent: tuple[str, str] | None, *fields: str) -> Collection:
    above = Parent(parent[0], {parent[1]: "id"}) if parent else None
    takes = {} if parent else {"customer_number": Taken("id")}
    mapped = {f: Field(f, "user.content") for f in ("id", *fields)}
    return Collection(
        name, ("id",), mapped, parent=above, takes=takes, person=not parent, source={"table": name}
    )


SYSTEM = System(
    "shop",
    "postgres",
    {
        c.name: c
        for c in (
            _collection("customers", None, "email", "name"),
            _collection("orders", ("customers", "customer_id"), "customer_id", "note"),
            _collection("lines", ("orders", "order_id"), "order_id", "title"),
        )
    },
)


@dataclass(frozen=True, slots=True)
class Erased:
    """How long it took, and in how many transactions."""

    people: int
    spent_s: float
    transactions: int
    slowest_s: float
    verified_s: float = 0.0

    @property
    def people_per_s(self) -> float:
        """Subjects a second."""
        return self.people / self.spent_s


@dataclass
class Trial:
    """People are drawn once each, in an order of chance that is always the same."""

    dsn: str
    people: int
    _left: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = list(range(1, self.people + 1))
        random.Random(7).shuffle(self._left)

    def draw(self, count: int) -> list[int]:
        """People who are still there."""
        drawn, self._left = self._left[:count], self._left[count:]
        assert len(drawn) == count, "the shop has run out of people"
        return drawn

    def connector(self, numbers: Sequence[int], *, verify: bool = False) -> Erased:
        """Locate and erase people with the connector; receipts must account for every row."""
        count = len(numbers)
        subjects = [Subject(str(n), (Identity("customer_number", str(n)),)) for n in numbers]
        ctx = _Timed()
        connector = Postgres(SYSTEM, PostgresConfig(dsn=SecretStr(self.dsn)))
        started = time.perf_counter()
        keys = sorted(connector.locate(subjects, ctx), key=lambda key: key.subject_ref)
        receipts = list(connector.erase(subjects, keys, ctx))
        spent_s = time.perf_counter() - started
        rows = sum(o.rows for r in receipts for o in r.outcomes if o.outcome is Outcome.ERASED)
        assert rows == count * (1 + ORDERS_EACH + LINES_EACH), "receipts do not add up"
        assert len(receipts) == 3 * count, "a receipt per person and collection"
        verified_s = self._verified(connector, subjects, keys) if verify else 0.0
        return Erased(count, spent_s, len(ctx.lasted_s), max(ctx.lasted_s), verified_s)

    def _verified(
        self, connector: Postgres, subjects: Sequence[Subject], keys: Sequence[Key]
    ) -> float:
        started = time.perf_counter()
        assert not list(connector.recheck(subjects, keys, TrialContext(second_path=True)))
        return time.perf_counter() - started

    def by_hand(self, people: Sequence[int], *, at_once: int | None = None) -> Erased:
        """The same by SQL written for it: `at_once` people a transaction, else sized by time."""
        numbers, size, lasted, count = list(people), at_once or _FIRST_BATCH, [], len(people)
        counted: Counter[int] = Counter()
        connection = psycopg2.connect(self.dsn)
        started = time.perf_counter()
        try:
            while numbers:
                batch, numbers = numbers[:size], numbers[size:]
                began = time.perf_counter()
                with connection, connection.cursor() as cursor:
                    for statement in _BY_HAND:
                        cursor.execute(statement, (batch,))
                        for number, rows in cursor.fetchall():
                            counted[number] += rows
                lasted.append(time.perf_counter() - began)
                if at_once is None:
                    size = min(_MOST_AT_ONCE, max(1, round(size * TARGET_S / lasted[-1])))
        finally:
            connection.close()
        spent_s = time.perf_counter() - started
        assert sum(counted.values()) == count * (1 + ORDERS_EACH + LINES_EACH)
        return Erased(count, spent_s, len(lasted), max(lasted))


@dataclass
class _Timed(TrialContext):
    """Notes how long each guard was held: as long as rows are locked, at least."""

    lasted_s: list[float] = field(default_factory=list)

    def guard(self) -> "_Guarded":  # type: ignore[override]  # noqa: UP037 - defined below
        """As TrialContext's, with a clock."""
        return _Guarded(self)


class _Guarded:
    def __init__(self, ctx: _Timed) -> None:
        self._ctx = ctx

    def __enter__(self) -> _Timed:
        self._began = time.perf_counter()
        return self._ctx

    def __exit__(self, *_error: object) -> None:
        self._ctx.lasted_s.append(time.perf_counter() - self._began)


class Writer:
    """Somebody who goes on working: updates one order of somebody of the batch at a time."""

    def __init__(self, dsn: str, customers: Sequence[int]) -> None:
        self._dsn = dsn
        self._customers = list(customers)
        self.waited_s: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        chance = random.Random(11)
        with connected(self._dsn) as connection, connection.cursor() as cursor:
            while not self._stop.wait(_WRITER_PAUSE_S):
                number = chance.choice(self._customers)
                began = time.perf_counter()
                cursor.execute("UPDATE customers SET name = name WHERE id = %s", (number,))
                self.waited_s.append(time.perf_counter() - began)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
