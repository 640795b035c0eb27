"""Restriction by moving rows aside: what refers to each other moves together or stays."""

from __future__ import annotations

import pytest

from connectors.postgres import Postgres
from dsr_worker.contract import Configuration, Parent, Permanent, Restriction, RestrictionKind
from tests.contract.postgres_restrictions import (
    ANNA,
    LIFT,
    MOVE,
    RESTRICT,
    TABLES,
    counted,
    done,
    located_by,
    mapped,
    state,
)
from tests.contract.postgres_shop import execute, query
from tests.contract.postgres_tables import collection, connected, rows


def moving(dsn: str, ddl: str, *collections: tuple[str, str, Parent | None]) -> Postgres:
    """Tables that move to the schema `restricted`, each given by name, further fields, parent."""
    execute(dsn, f"CREATE SCHEMA restricted; {ddl}")
    found = []
    for name, more, parent in collections:
        owner = None if parent else "owner"
        means = Restriction(RestrictionKind.MOVE, collection=f"{name}_r")
        found.append(collection(name, *more.split(), owner=owner, restriction=means, parent=parent))
        source = {"schema": "restricted", "table": name}
        found.append(collection(f"{name}_r", *more.split(), owner=owner, source=source))
    return connected(dsn, *found)


FAMILY = """
CREATE TABLE p (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text, big numeric(9, 3),
  made text GENERATED ALWAYS AS (owner || '!') STORED, doc json, at timestamptz, odd bytea);
CREATE TABLE c (id int PRIMARY KEY, up int NOT NULL REFERENCES p, owner text);
CREATE TABLE restricted.p (LIKE p INCLUDING ALL, moved_at timestamptz DEFAULT now());
CREATE TABLE restricted.c (LIKE c INCLUDING ALL, FOREIGN KEY (up) REFERENCES restricted.p);
INSERT INTO p (id, owner, big, doc, at, odd) OVERRIDING SYSTEM VALUE VALUES
  (-5, 'anna', 1.5, '{"b" : 1,  "a":2}', 'infinity', '\\x00ff'),
  (7, 'bert', NULL, NULL, NULL, NULL);
INSERT INTO c VALUES (0, -5, 'anna'), (1, 7, 'bert');
"""


def test_what_refers_to_each_other_moves_together(dsn: str) -> None:
    """Parents and children go with their keys, identities and bytes, and come back the same."""
    postgres = moving(dsn, FAMILY, ("p", "big doc", None), ("c", "up", None))
    before = [rows(dsn, name) for name in ("p", "c")]
    receipts = done(postgres, RESTRICT, ANNA)
    assert counted(receipts, "p") == counted(receipts, "c") == {("restricted", ""): (1, 1)}
    assert query(dsn, "SELECT id, made, doc::text FROM restricted.p") == [
        (-5, "anna!", '{"b" : 1,  "a":2}')
    ]
    assert [rows(dsn, name) for name in ("p", "c")] == [before[0][1:], before[1][1:]]
    assert counted(done(postgres, LIFT, ANNA), "p") == {("lifted", ""): (1, 1)}
    assert [rows(dsn, name) for name in ("p", "c")] == before
    assert query(dsn, "SELECT count(*) FROM restricted.p, restricted.c") == [(0,)]


def test_a_row_that_would_be_left_behind_refuses_the_move(dsn: str) -> None:
    """Unmapped, held, and by cascade: whatever refers to a moved row moves too, or nothing does."""
    postgres = moving(dsn, FAMILY, ("p", "big doc", None), ("c", "up", None))
    names = ("p", "c", "restricted.p", "restricted.c")
    before = [rows(dsn, name) for name in names]
    parent_alone = [key for key in located_by(postgres, ANNA) if key.collection == "p"]
    with pytest.raises(Permanent, match=r"rows of public\.c refer to rows that would move"):
        done(postgres, RESTRICT, ANNA, keys=parent_alone)
    for action in "CASCADE", "SET NULL", "NO ACTION":
        execute(
            dsn,
            f"DROP TABLE IF EXISTS x; CREATE TABLE x (p_id int REFERENCES p ON DELETE {action})",
        )
        execute(dsn, "INSERT INTO x VALUES (-5)")
        with pytest.raises(Permanent, match=r"public\.x refer to rows that would move"):
            done(postgres, RESTRICT, ANNA)
        assert query(dsn, "SELECT p_id FROM x") == [(-5,)]
    assert [rows(dsn, name) for name in names] == before
    execute(dsn, "DROP TABLE x")
    done(postgres, RESTRICT, ANNA)
    moved = [rows(dsn, name) for name in names]
    parent_alone = [key for key in located_by(postgres, ANNA) if key.collection == "p"]
    with pytest.raises(Permanent, match=r"restricted\.c refer to rows that would move"):
        done(postgres, LIFT, ANNA, keys=parent_alone)
    assert [rows(dsn, name) for name in names] == moved


def test_a_circle_moves_and_comes_back(dsn: str) -> None:
    """References in a circle, and of rows to themselves, need be neither deferrable nor null."""
    postgres = moving(
        dsn,
        "CREATE TABLE a (id int PRIMARY KEY, owner text, other int NOT NULL);"
        "CREATE TABLE b (id int PRIMARY KEY, owner text, other int NOT NULL REFERENCES a,"
        " self int NOT NULL REFERENCES b);"
        "INSERT INTO a VALUES (1, 'anna', 2); INSERT INTO b VALUES (2, 'anna', 1, 2);"
        "ALTER TABLE a ADD FOREIGN KEY (other) REFERENCES b;"
        "CREATE TABLE restricted.a (LIKE a INCLUDING ALL);"
        "CREATE TABLE restricted.b (LIKE b INCLUDING ALL, FOREIGN KEY (other)"
        " REFERENCES restricted.a);"
        "ALTER TABLE restricted.a ADD FOREIGN KEY (other) REFERENCES restricted.b",
        ("a", "other", None),
        ("b", "other self", None),
    )
    before = rows(dsn, "a") + rows(dsn, "b")
    done(postgres, RESTRICT, ANNA)
    assert rows(dsn, "a") + rows(dsn, "b") == []
    assert rows(dsn, "restricted.a") + rows(dsn, "restricted.b") == before
    done(postgres, LIFT, ANNA)
    assert rows(dsn, "a") + rows(dsn, "b") == before


def test_a_restricted_child_of_a_free_parent_is_not_taken_along_by_its_cascade(dsn: str) -> None:
    """A moved child that refers to where its parent was would go with it: refused, nothing lost."""
    ddl = FAMILY.replace("REFERENCES restricted.p", "REFERENCES p ON DELETE CASCADE")
    postgres = moving(dsn, ddl, ("p", "big doc", None), ("c", "up", None))
    before = [rows(dsn, name) for name in ("p", "c")]
    with pytest.raises(Permanent):
        done(postgres, RESTRICT, ANNA)
    assert [rows(dsn, name) for name in ("p", "c")] == before


LOST = {
    "missing": "DROP COLUMN v",
    "narrower": "ALTER COLUMN v TYPE varchar(3)",
    "of another type": "ALTER COLUMN v TYPE int USING NULL",
    "made by the server": "DROP COLUMN v, ADD COLUMN v text GENERATED ALWAYS AS (owner) STORED",
}


@pytest.mark.parametrize("case", LOST)
def test_a_move_that_would_lose_a_column_is_refused_before_anything_happens(
    dsn: str, case: str
) -> None:
    """The columns are named with what to do."""
    execute(dsn, f"{TABLES} ALTER TABLE restricted.t {LOST[case]}")
    postgres = mapped(dsn, MOVE)
    keys = located_by(connected(dsn, collection("t")), ANNA)
    before = state(dsn)
    with pytest.raises(Configuration, match=r"restricted\.t cannot hold its v"):
        done(postgres, RESTRICT, ANNA, keys=keys)
    assert state(dsn) == before


def test_a_key_in_both_places_is_refused(dsn: str) -> None:
    """Neither of the two rows could come back for sure."""
    execute(dsn, TABLES)
    execute(dsn, "INSERT INTO restricted.t SELECT * FROM t WHERE id = 0")
    postgres = mapped(dsn, MOVE)
    before = state(dsn)
    for rule in RESTRICT, LIFT:
        with pytest.raises(Permanent, match="Settle which of them"):
            done(postgres, rule, ANNA)
    assert state(dsn) == before


def test_large_objects_stay_with_their_moved_rows(dsn: str) -> None:
    """The number moves along and still names its object; a trigger that unlinks is refused."""
    execute(
        dsn,
        "CREATE SCHEMA restricted; CREATE EXTENSION IF NOT EXISTS lo;"
        "CREATE TABLE t (id int PRIMARY KEY, owner text, v oid);"
        "CREATE TABLE restricted.t (LIKE t INCLUDING ALL);"
        "INSERT INTO t VALUES (1, 'anna', lo_from_bytea(0, 'scan'))",
    )
    postgres = mapped(dsn, MOVE)
    done(postgres, RESTRICT, ANNA)
    assert query(dsn, "SELECT convert_from(lo_get(v), 'UTF8') FROM restricted.t") == [("scan",)]
    done(postgres, LIFT, ANNA)
    execute(
        dsn,
        "CREATE TRIGGER unlink BEFORE UPDATE OR DELETE ON t FOR EACH ROW"
        " EXECUTE FUNCTION lo_manage(v)",
    )
    with pytest.raises(Permanent, match="unlink the large objects"):
        done(postgres, RESTRICT, ANNA)
    assert query(dsn, "SELECT convert_from(lo_get(v), 'UTF8') FROM t") == [("scan",)]


def test_partitions_and_composite_falsy_keys_move(dsn: str) -> None:
    """Of rows that share a part of their key Anna's alone moves, out of its partition and back."""
    execute(
        dsn,
        "CREATE SCHEMA restricted;"
        "CREATE TABLE t (a int, b text, owner text, v text, PRIMARY KEY (a, b))"
        " PARTITION BY LIST (a);"
        "CREATE TABLE t_0 PARTITION OF t FOR VALUES IN (0);"
        "CREATE TABLE t_1 PARTITION OF t DEFAULT;"
        "CREATE TABLE restricted.t (LIKE t INCLUDING ALL);"
        "INSERT INTO t VALUES (0, '', 'anna', 'x'), (0, '0', 'bert', 'x'), (1, '', 'bert', 'x')",
    )
    key = ("a", "b")
    postgres = connected(
        dsn,
        collection("t", "v", key=key, restriction=MOVE),
        collection("moved", "v", key=key, source={"schema": "restricted", "table": "t"}),
    )
    before = rows(dsn)
    done(postgres, RESTRICT, ANNA)
    assert rows(dsn, "restricted.t") == before[:1]
    assert rows(dsn) == before[1:]
    done(postgres, LIFT, ANNA)
    assert rows(dsn) == before
