"""Circles, cascades, partitions and heirs: what refers to each other goes or stays rightly."""

from __future__ import annotations

import pytest

from dsr_worker.contract import Action, HeldRows, Permanent, Rule, Severity
from tests.contract.postgres_erasures import (
    ERASED,
    KEPT,
    NEEDED,
    NULL,
    TOMBSTONE,
    erased,
    found,
    masking,
)
from tests.contract.postgres_shop import execute, outcomes, query
from tests.contract.postgres_tables import collection, connected, rows


def test_rows_in_a_circle_go_together(dsn: str) -> None:
    """Neither deferrable nor nullable: one statement erases the circle, and the other one stays."""
    execute(
        dsn,
        "CREATE TABLE a (id int PRIMARY KEY, owner text, b int NOT NULL);"
        "CREATE TABLE b (id int PRIMARY KEY, owner text, c int NOT NULL);"
        "CREATE TABLE c (id int PRIMARY KEY, owner text, a int NOT NULL);"
        "INSERT INTO a VALUES (1, 'anna', 1), (2, 'bert', 2);"
        "INSERT INTO b VALUES (1, 'anna', 1), (2, 'bert', 2);"
        "INSERT INTO c VALUES (1, 'anna', 1), (2, 'bert', 2);"
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b ON DELETE RESTRICT;"
        "ALTER TABLE b ADD FOREIGN KEY (c) REFERENCES c;"
        "ALTER TABLE c ADD FOREIGN KEY (a) REFERENCES a ON DELETE CASCADE",
    )
    postgres = connected(dsn, collection("a", "b"), collection("b", "c"), collection("c", "a"))
    assert set(outcomes(erased(postgres)).values()) == {1}
    assert [query(dsn, f"SELECT id FROM {t}") for t in "abc"] == [[(2,)]] * 3  # noqa: S608 - our own names


def test_what_a_kept_row_refers_to_by_a_foreign_key_stays_masked(dsn: str) -> None:
    """An order inside its period keeps its address, which no parent of the map leads to."""
    execute(
        dsn,
        "CREATE TABLE addresses (id int PRIMARY KEY, owner text, street text);"
        "CREATE TABLE orders (id int PRIMARY KEY, owner text, at date, ship_to int"
        " REFERENCES addresses);"
        "INSERT INTO addresses VALUES (0, 'anna', 's 0'), (1, 'anna', 's 1'), (2, 'bert', 's 2');"
        "INSERT INTO orders VALUES (1, 'anna', '2024-01-01', 0), (2, 'anna', '2001-01-01', 1)",
    )
    postgres = connected(
        dsn, collection("addresses", masks={"street": NULL}), collection("orders", "at", "ship_to")
    )
    receipts = erased(postgres, orders=KEPT)
    assert outcomes(receipts) == {
        ("anna", "orders", "retained"): 1,
        ("anna", "orders", "erased"): 1,
        ("anna", "addresses", "masked"): 1,
        ("anna", "addresses", "erased"): 1,
    }
    address = next(r for r in receipts if r.collection == "addresses")
    assert {o.ground for o in address.outcomes} == {"", NEEDED}
    assert query(dsn, "SELECT id, street FROM addresses ORDER BY id") == [(0, None), (2, "s 2")]


@pytest.mark.parametrize("rule", ["NO ACTION", "RESTRICT", "CASCADE", "SET NULL"])
def test_what_goes_is_in_no_masks_way(dsn: str, rule: str) -> None:
    """A kept person's natural key is masked although carts that go still refer by it."""
    execute(
        dsn,
        "CREATE TABLE people (id int PRIMARY KEY, owner text, mail text UNIQUE, at date);"
        "CREATE TABLE carts (id int PRIMARY KEY, owner text,"
        f" mail text REFERENCES people (mail) ON UPDATE {rule})",
    )
    execute(
        dsn,
        "INSERT INTO people VALUES (1, 'anna', 'a@mail.example', '2024-01-01');"
        "INSERT INTO carts VALUES (1, 'anna', 'a@mail.example'), (2, 'anna', NULL)",
    )
    kept = Rule("minimum", KEPT.when, Action.MASK, "tax", {"mail": TOMBSTONE})
    postgres = connected(
        dsn, collection("people", "at", masks={"mail": TOMBSTONE}), collection("carts", "mail")
    )
    assert outcomes(erased(postgres, people=kept)) == {
        ("anna", "people", "masked"): 1,
        ("anna", "carts", "erased"): 2,
    }
    ((mail,),) = query(dsn, "SELECT mail FROM people")
    assert TOMBSTONE.holds(mail)
    assert rows(dsn, "carts") == []


def test_set_null_never_changes_a_protected_row(dsn: str) -> None:
    """Another's row that a hold protects is not changed; a free one is as its schema says."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, brought_by int REFERENCES t"
        " ON DELETE SET NULL); INSERT INTO t VALUES (1, 'anna', NULL), (2, 'bert', 1)",
    )
    postgres = connected(dsn, collection("t", "brought_by"))
    before = rows(dsn)
    with pytest.raises(Permanent, match="a hold or a minimum protects"):
        erased(postgres, Rule("hold", HeldRows("id", ("2",)), Action.KEEP, "RECALL"))
    assert rows(dsn) == before
    erased(postgres)
    assert rows(dsn) == [("(2,bert,)",)]


@pytest.mark.parametrize("target", ["t_1", "t"])
def test_a_cascade_is_seen_through_partitions(dsn: str, target: str) -> None:
    """A reference to one partition alone reaches beyond the plan as well."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text) PARTITION BY LIST (id);"
        "CREATE TABLE t_1 PARTITION OF t FOR VALUES IN (1);"
        "CREATE TABLE t_2 PARTITION OF t FOR VALUES IN (2);"
        f"CREATE TABLE logins (id int PRIMARY KEY, t int REFERENCES {target} ON DELETE CASCADE)",
    )
    execute(dsn, "INSERT INTO t VALUES (1, 'anna'), (2, 'bert'); INSERT INTO logins VALUES (1, 1)")
    postgres = connected(dsn, collection("t"))
    with pytest.raises(Permanent, match="CASCADE"):
        erased(postgres)
    assert found(postgres, "CASCADE").severity is Severity.ERROR
    assert query(dsn, "SELECT count(*) FROM logins") == [(1,)]
    mapped = connected(dsn, collection("t"), collection("logins", owner=None, parent=None))
    with pytest.raises(Permanent, match="CASCADE"):
        erased(mapped)


def test_a_mask_may_move_a_row_to_another_partition(dsn: str) -> None:
    """The masked row is the same row wherever it lies now."""
    execute(
        dsn,
        "CREATE TABLE t (id int, owner text, place text) PARTITION BY LIST (place);"
        "CREATE TABLE t_de PARTITION OF t FOR VALUES IN ('DE');"
        "CREATE TABLE t_rest PARTITION OF t DEFAULT;"
        "INSERT INTO t VALUES (1, 'anna', 'DE'), (2, 'bert', 'DE')",
    )
    postgres = connected(dsn, collection("t", masks={"place": ERASED}))
    assert outcomes(erased(postgres, masking(place=ERASED))) == {("anna", "t", "masked"): 1}
    assert rows(dsn, "t_rest") == [("(1,anna,erased)",)]
    assert rows(dsn, "t_de") == [("(2,bert,DE)",)]


def test_heirs_that_share_a_key_are_refused(dsn: str) -> None:
    """Inherited tables share no unique key: two rows of one key are not told apart, none goes."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text); CREATE TABLE heir () INHERITS (t);"
        "INSERT INTO t VALUES (1, 'anna'); INSERT INTO heir VALUES (1, 'bert'), (2, 'anna')",
    )
    postgres = connected(dsn, collection("t"))
    assert found(postgres, "inherits").severity is Severity.WARNING
    before = rows(dsn)
    with pytest.raises(Permanent, match="keys name"):
        erased(postgres)
    assert rows(dsn) == before
    execute(dsn, "UPDATE heir SET id = 3 WHERE owner = 'bert'")
    erased(postgres)
    assert rows(dsn) == [("(3,bert)",)]


def test_a_table_that_is_mapped_twice_is_an_error(dsn: str) -> None:
    """A part that has a collection of its own would be erased twice."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text); CREATE TABLE h () INHERITS (t)")
    errors = [
        f
        for f in connected(dsn, collection("t"), collection("h")).check()
        if "erased twice" in f.message
    ]
    assert [(f.subject, f.severity) for f in errors] == [("t", Severity.ERROR)]
