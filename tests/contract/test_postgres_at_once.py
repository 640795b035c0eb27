"""Several transactions of one call under way at a time: the same outcome, nothing left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from connectors.postgres import connector as module
from connectors.postgres.changing import pace
from dsr_worker.contract import DecisionTable, Key, LeaseLost, Permanent, Receipt, Subject
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import (
    add_customer,
    belongings,
    connected,
    connector,
    dump,
    emptied,
    execute,
    keep_vouchers,
    outcomes,
    query,
    subject,
)

ROWS_EACH = len(belongings(1))
PEOPLE = 7


@pytest.fixture
def shop(module_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Seven customers, of whom one and a half go in a transaction: portions of one or two."""
    monkeypatch.setattr(pace, "_FIRST_ROWS", ROWS_EACH * 3 // 2)
    monkeypatch.setattr(pace, "_FEWEST_ROWS", ROWS_EACH * 3 // 2)
    monkeypatch.setattr(pace, "_MOST_ROWS", ROWS_EACH * 3 // 2)
    emptied(module_database)
    for number in range(1, PEOPLE + 1):
        add_customer(module_database, number, f"c{number}@shop.example")
    return module_database


def _people(numbers: Sequence[int] = range(1, PEOPLE)) -> list[Subject]:
    return [subject(f"s{n}", email=f"c{n}@shop.example", number=str(n)) for n in numbers]


def _located(shop: str, people: Sequence[Subject]) -> list[Key]:
    return sorted(connector(shop).locate(people, TrialContext()), key=lambda key: key.subject_ref)


@dataclass
class _Guards(TrialContext):
    """Counts guards that are entered at once; waits a moment for others to come in as well."""

    together: int = 1
    most: int = 0
    _inside: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def guard(self) -> Iterator[TrialContext]:
        """As any guard."""
        with self._changed:
            self._inside += 1
            self.most = max(self.most, self._inside)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self.together, 100)
        yield self
        with self._changed:
            self._inside -= 1


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_so_many_transactions_are_under_way_and_no_more(shop: str, at_once: int) -> None:
    """As many portions as configured are in their guards at the same time, never one more."""
    people = _people()
    ctx = _Guards(together=at_once)
    postgres = connector(shop, transactions_at_once=at_once)
    list(postgres.erase(people, _located(shop, people), ctx))
    assert ctx.most == at_once
    assert len(ctx.intents) == len(people)


@pytest.mark.parametrize("tables", [{}, keep_vouchers()], ids=["plainly", "row by row"])
def test_receipts_and_rows_are_the_same_however_many_at_once(
    shop: str, tables: dict[str, DecisionTable]
) -> None:
    """Order and content of receipts, rows that stay: as one transaction after the other."""
    people = [*_people(), subject("nobody", email="nobody@shop.example")]
    found: list[tuple[list[Receipt], dict[tuple[str, str], str]]] = []
    before = dump(shop)
    for at_once in (1, 2, 4):
        emptied(shop)
        for number in range(1, PEOPLE + 1):
            add_customer(shop, number, f"c{number}@shop.example")
        postgres = connector(shop, transactions_at_once=at_once)
        keys = sorted(postgres.locate(people, TrialContext()), key=lambda key: key.subject_ref)
        receipts = list(postgres.erase(people, iter(keys), TrialContext(tables=tables)))
        found.append((receipts, dump(shop)))
    assert found[0] == found[1] == found[2]
    receipts, after = found[0]
    assert [r.subject_ref for r in receipts[:: len(receipts) // len(people)]] == [
        person.ref for person in people
    ]
    stays = belongings(PEOPLE)
    assert {at: row for at, row in after.items() if at in stays} == {
        at: row for at, row in before.items() if at in stays
    }


def test_whoever_is_very_large_is_read_by_one_reader(shop: str) -> None:
    """A stream of one person's keys is never read by two transactions, and nobody's are lost."""
    execute(
        shop,
        "INSERT INTO carts VALUES (%s, 'c3@shop.example', NULL, NULL)",
        [(number,) for number in range(9000, 9040)],
    )
    people = _people()
    keys = (key for key in _located(shop, people))  # a generator refuses a second reader
    receipts = list(connector(shop, transactions_at_once=3).erase(people, keys, TrialContext()))
    assert sum(outcomes(receipts).values()) == ROWS_EACH * len(people) + 40
    assert set(dump(shop)) == belongings(PEOPLE)


@dataclass
class _FailsAt(TrialContext):
    """Whose intent fails for one person; `subjects` are those of a part."""

    ref: str = ""
    error: Exception = field(default_factory=lambda: LeaseLost("taken away"))

    def intend(self, receipts: Sequence[Receipt]) -> None:
        """Fail, or note."""
        if any(receipt.subject_ref == self.ref for receipt in receipts):
            raise self.error
        super().intend(receipts)


@pytest.mark.parametrize(
    "error", [LeaseLost("taken away"), Permanent("no")], ids=["lease", "other"]
)
def test_what_fails_comes_out_once_all_others_have_ended(shop: str, error: Exception) -> None:
    """Receipts before the failure come first; each person is whole; a repeat does what is left."""
    people, ctx = _people(), _FailsAt(ref="s3", error=error)
    postgres, keys, receipts = connector(shop), _located(shop, people), list[Receipt]()
    with pytest.raises(type(error)):
        receipts.extend(postgres.erase(people, keys, ctx))
    assert _open_transactions(shop) == 0
    assert {receipt.subject_ref for receipt in receipts} == {"s1", "s2"}
    left = set(dump(shop))
    whole = {n for n in range(1, PEOPLE + 1) if belongings(n) <= left}
    assert left == set[tuple[str, str]]().union(*map(belongings, whole))
    assert {3, 5, 6, 7} <= whole <= {3, 4, 5, 6, 7}
    intended = {r.subject_ref for intent in ctx.intents for r in intent}
    assert {f"s{n}" for n in range(1, PEOPLE) if n not in whole} == intended
    again = list(postgres.erase(people, keys, TrialContext()))
    assert sum(outcomes(again).values()) == len(keys)
    assert set(dump(shop)) == belongings(PEOPLE)


def test_whoever_stops_reading_receipts_leaves_no_transaction(shop: str) -> None:
    """What was under way has ended when the call has, with all of a person or nothing."""
    people = _people()
    erasing = connector(shop).erase(people, _located(shop, people), TrialContext())
    next(iter(erasing))
    erasing.close()  # type: ignore[attr-defined]  # a generator, as every connector's call
    assert _open_transactions(shop) == 0
    left = set(dump(shop))
    assert all(belongings(n) <= left or not belongings(n) & left for n in range(1, PEOPLE + 1))


def _open_transactions(shop: str) -> int:
    """How many are open once closed connections have ended: a server sees a close a moment late."""
    until = time.monotonic() + 60
    while (found := _counted(shop)) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def _counted(shop: str) -> int:
    ((count,),) = query(
        shop,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dsr_worker'"
        " AND datname = current_database() AND state <> 'idle'",
    )
    return int(count)


def test_two_portions_in_each_others_way_begin_again(shop: str) -> None:
    """A deadlock between transactions of one call costs time, and nothing else."""
    execute(
        shop,
        """
        CREATE TABLE stock (id int PRIMARY KEY, sold int);
        INSERT INTO stock VALUES (1, 0), (2, 0);
        CREATE FUNCTION restock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          UPDATE stock SET sold = sold - 1 WHERE id = 1 + OLD.customer_id % 2;
          PERFORM pg_sleep(0.2);
          UPDATE stock SET sold = sold - 1 WHERE id = 2 - OLD.customer_id % 2;
          RETURN OLD; END $$;
        CREATE TRIGGER restock BEFORE DELETE ON orders FOR EACH ROW WHEN (OLD.id % 100 = 0)
          EXECUTE FUNCTION restock();
        """,
    )
    before = _deadlocks(shop)
    people = _people([1, 2])
    ctx = TrialContext()
    receipts = list(connector(shop).erase(people, _located(shop, people), ctx))
    assert sum(outcomes(receipts).values()) == ROWS_EACH * len(people)
    assert [receipt.subject_ref for receipt in receipts[::8]] == ["s1", "s2"]
    assert len(ctx.intents) == len(people)
    assert query(shop, "SELECT id, sold FROM stock ORDER BY id") == [(1, -2), (2, -2)]
    until = time.monotonic() + 100
    while _deadlocks(shop) == before:
        assert time.monotonic() < until, "the two were not in each other's way"
        time.sleep(0.05)


def _deadlocks(shop: str) -> int:
    with connected(shop) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        ((count,),) = cursor.fetchall()
        return int(count)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_people_are_located_in_the_same_order_however_many_at_once(
    shop: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks that are read ahead change neither keys nor order, and leave no transaction."""
    monkeypatch.setattr(module, "_LOCATED_AT_ONCE", 2)
    people, ctx = _people(), TrialContext()
    postgres = connector(shop, transactions_at_once=at_once)
    keys = list(postgres.locate(people, ctx))
    parts = [people[n : n + 2] for n in range(0, len(people), 2)]
    assert keys == [key for part in parts for key in connector(shop).locate(part, ctx)]
    assert len(keys) == ROWS_EACH * len(people)
    locating = postgres.locate(people, ctx)
    next(iter(locating))
    locating.close()  # type: ignore[attr-defined]  # a generator, as every connector's call
    assert _open_transactions(shop) == 0


def test_a_lease_that_is_lost_while_locating_ends_all_chunks(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of a chunk comes out, and no chunk that was begun ahead stays open."""
    monkeypatch.setattr(module, "_LOCATED_AT_ONCE", 2)
    lost = threading.Event()

    def check() -> None:
        if lost.is_set():
            raise LeaseLost("taken away")

    locating = iter(connector(shop).locate(_people(), replace(TrialContext(), on_check=check)))
    next(locating)
    lost.set()
    with pytest.raises(LeaseLost):
        list(locating)
    assert _open_transactions(shop) == 0
