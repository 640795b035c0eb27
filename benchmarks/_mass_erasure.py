"""Erasing many people at once, beside SQL that somebody wrote by hand for these three tables.

In: a server, how many customers the shop has. Out: subjects a second of the connector (located
keys, receipts and all) and of scripts: one deletes in batches of about the same transaction time,
by one connection or several, and counts per person by RETURNING, one does it in one transaction.
Before each turn the dead rows and dirty pages of the turns before are cleared away, so that nobody
pays for others.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

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
from dsr_worker.ledger.holds import exclude_effects, share_lock
from dsr_worker.spool import KeySpool, read_keys
from dsr_worker.store import LocalStore, new_name
from dsr_worker.testing.context import TrialContext
from dsr_worker.vault import KeyRing

ORDERS_EACH = 5
LINES_EACH = 10
TARGET_S = 0.5  # how long one transaction is to last
TRANSACTIONS_AT_ONCE: int = PostgresConfig.model_fields["transactions_at_once"].default
_FIRST_BATCH = 200
_MOST_AT_ONCE = 10_000

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
    """How long it took, and how long each transaction that changed something."""

    people: int
    spent_s: float
    lasted_s: tuple[float, ...]
    located_s: float = 0.0  # of `spent_s`
    verified_s: float = 0.0

    @property
    def people_per_s(self) -> float:
        """Subjects a second."""
        return self.people / self.spent_s

    @property
    def erased_per_s(self) -> float:
        """Subjects a second, once they are located."""
        return self.people / (self.spent_s - self.located_s)

    @property
    def transaction_s(self) -> float:
        """How long a transaction lasted, from its begin to its commit: the median."""
        return statistics.median(self.lasted_s)


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
        """People who are still there; what others left behind is cleared away."""
        drawn, self._left = self._left[:count], self._left[count:]
        assert len(drawn) == count, "the shop has run out of people"
        with connected(self.dsn) as connection, connection.cursor() as cursor:
            cursor.execute("VACUUM")
            cursor.execute("CHECKPOINT")
        return drawn

    def connector(
        self, numbers: Sequence[int], *, verify: bool = False, at_once: int = TRANSACTIONS_AT_ONCE
    ) -> Erased:
        """Locate and erase people with the connector; receipts must account for every row."""
        count = len(numbers)
        subjects = [Subject(str(n), (Identity("customer_number", str(n)),)) for n in numbers]
        connector = self.opened(at_once)
        with ExitStack() as stack:
            ctx = _Timed()
            for _ in range(at_once):
                ctx.ledgers.put(stack.enter_context(connected(self.dsn)).cursor())
            started = time.perf_counter()
            keys = sorted(connector.locate(subjects, ctx), key=lambda key: key.subject_ref)
            located_s = time.perf_counter() - started
            receipts = list(connector.erase(subjects, keys, ctx))
            spent_s = time.perf_counter() - started
        rows = sum(o.rows for r in receipts for o in r.outcomes if o.outcome is Outcome.ERASED)
        assert rows == count * (1 + ORDERS_EACH + LINES_EACH), "receipts do not add up"
        assert len(receipts) == 3 * count, "a receipt per person and collection"
        verified_s = self._verified(connector, subjects, keys) if verify else 0.0
        return Erased(count, spent_s, tuple(ctx.lasted_s), located_s, verified_s)

    def opened(self, at_once: int = TRANSACTIONS_AT_ONCE) -> Postgres:
        """A connector of this shop, with so many transactions of a call under way at a time."""
        config = PostgresConfig(dsn=SecretStr(self.dsn), transactions_at_once=at_once)
        return Postgres(SYSTEM, config)

    def sealed(self, numbers: Sequence[int], folder: Path) -> float:
        """Seconds that it takes to seal these people's keys durably and to read them back."""
        subjects = [Subject(str(n), (Identity("customer_number", str(n)),)) for n in numbers]
        located = list(self.opened().locate(subjects, TrialContext()))
        ring = KeyRing.create(folder / new_name("rings", TrialContext().now.date()))
        keys = {subject.ref: ring.new_case_key()[0] for subject in subjects}
        store = LocalStore(folder)
        started = time.perf_counter()
        with KeySpool(store, new_name("keys", TrialContext().now.date()), keys) as spool:
            for key in located:
                spool.add(key)
            frames = spool.finish()
        read = sum(1 for ref, of in frames.items() for _ in read_keys(store, of, keys[ref], ref))
        assert read == len(located), "keys were lost"
        return time.perf_counter() - started

    def _verified(
        self, connector: Postgres, subjects: Sequence[Subject], keys: Sequence[Key]
    ) -> float:
        started = time.perf_counter()
        assert not list(connector.recheck(subjects, keys, TrialContext(second_path=True)))
        return time.perf_counter() - started

    def by_hand(
        self,
        people: Sequence[int],
        *,
        at_once: int | None = None,
        target_s: float = TARGET_S,
        connections: int = 1,
    ) -> Erased:
        """The same by SQL written for it: `at_once` people a transaction, or as `target_s` says.

        By several connections, each has its share of the people.
        """
        shares = [people[n::connections] for n in range(connections)]
        started = time.perf_counter()
        with ThreadPoolExecutor(connections) as threads:
            lasted = list(threads.map(lambda share: self._share(share, at_once, target_s), shares))
        spent_s = time.perf_counter() - started
        return Erased(len(people), spent_s, tuple(chain.from_iterable(lasted)))

    def _share(self, people: Sequence[int], at_once: int | None, target_s: float) -> list[float]:
        """How long each transaction lasted."""
        numbers, size, lasted = list(people), at_once or _FIRST_BATCH, list[float]()
        counted: Counter[int] = Counter()
        connection = psycopg2.connect(self.dsn)
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
                    size = min(_MOST_AT_ONCE, max(1, round(size * target_s / lasted[-1])))
        finally:
            connection.close()
        assert counted.total() == len(people) * (1 + ORDERS_EACH + LINES_EACH)
        return lasted


@dataclass
class _Timed(TrialContext):
    """Takes the lock that keeps holds out, as a ledger's guard does, and times transactions.

    A transaction begins after a part of the subjects was taken, and has ended when its guard has.
    """

    ledgers: SimpleQueue[Any] = field(default_factory=SimpleQueue)  # cursors that nobody uses
    lasted_s: list[float] = field(default_factory=list)
    _began: float = 0.0

    def part(self, subjects: Sequence[Subject]) -> TrialContext:
        """As TrialContext's, with a clock of its own, which starts."""
        return replace(self, _began=time.perf_counter())

    @contextmanager
    def guard(self) -> Iterator[TrialContext]:
        """As TrialContext's, under the lock; the clock stops."""
        ledger = self.ledgers.get()
        ledger.execute("BEGIN")
        share_lock(ledger, SYSTEM.name)
        yield self
        ledger.execute("COMMIT")
        self.ledgers.put(ledger)
        self.lasted_s.append(time.perf_counter() - self._began)


class Beside:
    """Somebody who goes on working while people are erased, and notes how long each time took.

    `once` does the work with a cursor; `pause_s` is what lies between two times.
    """

    def __init__(self, dsn: str, once: Callable[[Any], None], *, pause_s: float) -> None:
        self.waited_s: list[float] = []
        self._dsn, self._once, self._pause_s = dsn, once, pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        with connected(self._dsn) as connection, connection.cursor() as cursor:
            while not self._stop.wait(self._pause_s):
                began = time.perf_counter()
                self._once(cursor)
                self.waited_s.append(time.perf_counter() - began)


def writing(dsn: str, customers: Sequence[int]) -> Beside:
    """Somebody who updates one customer of the batch at a time."""
    numbers, chance = list(customers), random.Random(11)

    def once(cursor: Any) -> None:
        cursor.execute("UPDATE customers SET name = name WHERE id = %s", (chance.choice(numbers),))

    return Beside(dsn, once, pause_s=0.002)


def holding(dsn: str) -> Beside:
    """Somebody who places hold after hold, as far as effects notice: by the ledger's lock."""

    def once(cursor: Any) -> None:
        cursor.execute("BEGIN")
        exclude_effects(cursor, [SYSTEM.name])
        cursor.execute("COMMIT")

    return Beside(dsn, once, pause_s=0.02)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
