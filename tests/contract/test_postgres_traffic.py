"""The Postgres connector among others: silent in the log, few statements, patient with locks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import psycopg2
import pytest
from psycopg2.extensions import make_dsn
from psycopg2.sql import Composable

from connectors.postgres.server.session import Session
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    DecisionTable,
    HeldPeople,
    HeldRows,
    Identity,
    LeakScope,
    Mask,
    MaskKind,
    Permanent,
    Receipt,
    Rule,
    Subject,
    SweepOrder,
    Transient,
)
from dsr_worker.embedded import Services
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import (
    ERASE,
    SCHEMA,
    add_customer,
    await_a_lock,
    connected,
    connector,
    dump,
    execute,
    keep_vouchers,
    others,
    outcomes,
    query,
    subject,
)
from tests.contract.postgres_tables import collection
from tests.contract.postgres_tables import connected as mapped_tables


def test_no_value_reaches_the_servers_log(database: Callable[[], str], services: Services) -> None:
    """With every statement logged and errors at their fullest, no marker stands in the log."""
    shop = database()
    execute(shop, SCHEMA)
    name = shop.split("/")[-1].split("?")[0]
    for setting in (
        "log_statement = 'all'",
        "log_min_messages = 'warning'",
        "log_min_error_statement = 'error'",
        "log_error_verbosity = 'verbose'",
        "log_min_duration_statement = 0",
    ):
        execute(shop, f"ALTER DATABASE {name} SET {setting}")
    with connected(shop) as connection, connection.cursor() as cursor:
        cursor.execute("SET log_statement = 'none'; SET log_min_duration_statement = -1")
        add_customer_quietly(cursor)
    person = [
        Subject(
            "a",
            (
                Identity("email", "zq7zq@shop.example"),
                Identity("customer_number", "7"),
                Identity("phone", "zq7zq-phone"),
            ),
        )
    ]
    postgres, ctx = connector(shop), TrialContext(tables=keep_vouchers())
    list(postgres.find(person, ctx))
    list(postgres.resolve(person, ctx))
    list(postgres.contacts(person, ctx))
    list(postgres.mentions(person, ctx))
    list(postgres.affected([LeakScope("orders", ("note",))], ctx))
    keys = list(postgres.locate(person, ctx))
    list(postgres.erase(person, keys, ctx))
    list(postgres.recheck(person, keys, replace(ctx, second_path=True)))
    hold = Rule("hold", HeldPeople(person[0].identities), Action.KEEP, "h")
    table = DecisionTable(
        "carts",
        (
            hold,
            Rule("limit", Before("touched_at", ctx.now), Action.ERASE),
            Rule("default", Always(), Action.KEEP),
        ),
    )
    list(postgres.sweep([SweepOrder("carts", table, 10)], ctx))
    execute(shop, "SELECT 'the end of zqlogzq'")
    text = "".join(f.read_text(errors="replace") for f in services.log_files())
    assert "zqlogzq" in text
    assert 'COPY pg_temp."dsr_name"' in text
    assert "zq7zq" not in text


_MASK = Rule("default", Always(), Action.MASK, "", {"v": Mask(MaskKind.NULL)})
_HOLD = Rule("hold", HeldRows("v", ("another",)), Action.KEEP, "DISPUTE")
_CIRCLE = "ALTER TABLE t ADD u text REFERENCES u; ALTER TABLE u ADD t text REFERENCES t;"


@pytest.mark.parametrize(
    ("schema", "rules"),
    [
        ("ALTER TABLE t ADD CONSTRAINT refused CHECK (v IS NOT NULL);", (_MASK,)),
        ("CREATE TABLE r (id text CONSTRAINT refused REFERENCES t);", (ERASE,)),
        ("CREATE TABLE r (id text CONSTRAINT refused REFERENCES t);", (_HOLD, ERASE)),
        (_CIRCLE + "CREATE TABLE r (id text CONSTRAINT refused REFERENCES t);", (_HOLD, ERASE)),
        (
            "CREATE TABLE r (id text CONSTRAINT refused REFERENCES t INITIALLY DEFERRED);",
            (ERASE,),
        ),
        (
            "CREATE TABLE r (id text CONSTRAINT refused REFERENCES t INITIALLY DEFERRED);",
            (_HOLD, ERASE),
        ),
    ],
)
def test_a_refused_change_tells_the_log_nothing_of_the_row(
    database: Callable[[], str], services: Services, schema: str, rules: tuple[Rule, ...]
) -> None:
    """The refusal names the constraint; neither it nor the server's log names the person."""
    dsn = database()
    execute(dsn, "CREATE TABLE t (id text PRIMARY KEY, owner text, v text)")
    execute(dsn, "CREATE TABLE u (id text PRIMARY KEY, owner text)")
    execute(dsn, schema)
    row = "INSERT INTO t (id, owner, v) VALUES (%s, 'anna', %s)"
    execute(dsn, row, [("row-zk", "row-zk")])
    execute(dsn, "INSERT INTO u (id, owner) VALUES ('1', 'anna')")
    if "TABLE r" in schema:
        execute(dsn, "INSERT INTO r SELECT id FROM t")
    loud = make_dsn(dsn, options="-c log_min_messages=warning -c log_error_verbosity=verbose")
    path = next(path for path in services.log_files() if "postgres" in path.name)
    postgres = mapped_tables(
        loud, collection("t", masks={"v": Mask(MaskKind.NULL)}), collection("u")
    )
    person = [Subject("anna", (Identity("owner", "anna"),))]
    ctx = TrialContext(tables={"t": DecisionTable("t", rules)})
    keys, offset = list(postgres.locate(person, ctx)), path.stat().st_size
    with pytest.raises(Permanent, match="of refused: nothing was changed") as refusal:
        list(postgres.erase(person, keys, ctx))
    with pytest.raises(psycopg2.Error):
        query(loud, "SELECT 'told-zk'::int")
    told = path.read_bytes()[offset:].decode()
    assert "told-zk" in told
    assert "row-zk" not in told
    assert "row-zk" not in str(refusal.value)


def add_customer_quietly(cursor: psycopg2.extensions.cursor) -> None:
    """A customer whose every value holds a marker, by a session that logs nothing."""
    cursor.execute(
        "INSERT INTO customers VALUES (7, 'zq7zq@shop.example', 'zq7zq-phone', 'zq7zq', 'DE');"
        "INSERT INTO orders VALUES (700, 7, 'zq7zq', 1);"
        "INSERT INTO invoices VALUES (700, 700, 'zq7zq', 'zq7zq@shop.example', 1, '2024-01-01');"
        "INSERT INTO carts VALUES (700, 'zq7zq@shop.example', NULL, '2010-01-01')"
    )


def test_the_number_of_statements_does_not_depend_on_the_subjects(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pass for a thousand as for one: statements are counted, not timed."""
    people = []
    for number in range(12):
        add_customer(shop, number, f"c{number}@shop.example", phone=f"0170-55{number:04d}")
        people.append(subject(f"s{number}", email=f"c{number}@shop.example", number=str(number)))
    postgres = connector(shop)
    list(postgres.find(people[:1], TrialContext()))
    sent: list[str] = []
    _count_statements(monkeypatch, sent)
    calls: list[Callable[[list[Subject]], object]] = [
        lambda batch: list(postgres.find(batch, TrialContext())),
        lambda batch: list(postgres.resolve(batch, TrialContext())),
        lambda batch: list(postgres.mentions(batch, TrialContext())),
        lambda batch: list(
            postgres.erase(
                batch,
                list(postgres.locate(batch, TrialContext())),
                TrialContext(tables=keep_vouchers()),
            )
        ),
    ]
    for call in calls:
        counts = []
        for batch in (people[:1], people[1:]):
            sent.clear()
            call(batch)
            counts.append(len(sent))
        assert counts[0] == counts[1]
        people = [*people[1:], people[0]]


def _count_statements(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    for name in ("run", "rows", "fill", "parcels"):
        original = getattr(Session, name)

        def counted(
            self: Session,
            *args: Composable | list[Composable],
            _original: Callable[..., object] = original,
            **sized: int,
        ) -> object:
            sent.extend(map(str, args[0] if isinstance(args[0], list) else args[:1]))
            return _original(self, *args, **sized)

        monkeypatch.setattr(Session, name, counted)


def test_a_locked_row_is_a_matter_of_time(shop: str) -> None:
    """Another transaction on a row makes the erasure wait, then try later; nothing is changed."""
    add_customer(shop, 1, "anna@shop.example")
    person = [subject("a", email="anna@shop.example", number="1")]
    before = dump(shop)
    postgres = connector(shop, lock_timeout_s=0.2)
    keys = list(postgres.locate(person, TrialContext()))
    with connected(shop) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; UPDATE orders SET note = note WHERE id = 100")
        with pytest.raises(Transient):
            list(postgres.erase(person, keys, TrialContext()))
        cursor.execute("ROLLBACK")
    assert dump(shop) == before


_LONG_AGO = datetime(1900, 1, 1, tzinfo=UTC)
_LOOKING = {
    "orders": DecisionTable(
        "orders",
        (
            Rule("minimum", Before("placed_at", _LONG_AGO), Action.KEEP, "tax"),
            ERASE,
        ),
    )
}


@pytest.mark.parametrize("tables", [{}, _LOOKING], ids=["plainly", "row by row"])
def test_a_row_that_is_rewritten_while_it_is_waited_for_goes_as_it_is_then(
    shop: str, tables: dict[str, DecisionTable]
) -> None:
    """Another transaction moves rows under the waiting erasure: theirs go, nobody else's.

    While it waits it is not in the guard: placing a hold never waits for a row.
    """
    add_customer(shop, 1, "anna@shop.example")
    add_customer(shop, 2, "bert@shop.example")
    before = others(dump(shop), 1)
    person = [subject("a", email="anna@shop.example", number="1")]
    keys = list(connector(shop).locate(person, TrialContext()))
    with connected(shop) as rival, rival.cursor() as cursor:
        cursor.execute("BEGIN; UPDATE order_lines SET order_id = order_id WHERE order_id = 100")
        cursor.execute("UPDATE orders SET note = 'rival' WHERE id = 100")
        ctx, receipts = _Guarded(tables=tables), list[Receipt]()
        erasing = threading.Thread(
            target=lambda: receipts.extend(connector(shop).erase(person, keys, ctx))
        )
        erasing.start()
        await_a_lock(shop)
        assert ctx.entered == 0
        cursor.execute("COMMIT")
        erasing.join(100)
    assert ctx.entered == 1
    assert {outcome for _, _, outcome in outcomes(receipts)} == {"erased"}
    assert sum(outcomes(receipts).values()) == len(keys)
    assert dump(shop) == before


@dataclass
class _Guarded(TrialContext):
    """Counts how often the guard was entered."""

    entered: int = 0

    @contextmanager
    def guard(self) -> Iterator[TrialContext]:
        """Count, and be as any guard."""
        self.entered += 1
        yield self


def test_a_deadlock_begins_again_and_erases_once(shop: str) -> None:
    """The victim of a deadlock goes back behind its keys, waits a moment and finishes."""
    add_customer(shop, 1, "anna@shop.example")
    person = [subject("a", email="anna@shop.example", number="1")]
    keys = list(connector(shop).locate(person, TrialContext()))
    with connected(shop) as rival, rival.cursor() as cursor:
        cursor.execute("SET deadlock_timeout = '30s'; BEGIN")
        cursor.execute("UPDATE customers SET phone = '1' WHERE id = 1")
        ctx, receipts = TrialContext(), list[Receipt]()
        erasing = threading.Thread(
            target=lambda: receipts.extend(connector(shop).erase(person, keys, ctx))
        )
        erasing.start()
        await_a_lock(shop)
        cursor.execute("UPDATE orders SET note = 'rival' WHERE id = 100")
        cursor.execute("COMMIT")
        erasing.join(100)
    assert sum(outcomes(receipts).values()) == len(keys)
    assert len(ctx.intents) == 1
    assert dump(shop) == {}
