"""The Postgres connector restricts rows by a flag, a move or a list, and lifting gives all back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from connectors.postgres import Postgres
from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    Configuration,
    DecisionTable,
    HeldRows,
    HeldSubjects,
    Identity,
    Key,
    LeaseLost,
    Outcome,
    Parent,
    Permanent,
    Receipt,
    Restriction,
    RestrictionKind,
    Rule,
    Subject,
)
from dsr_worker.embedded import Services
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import execute, outcomes, query
from tests.contract.postgres_tables import collection, connected, rows

LOUD = "-c log_min_messages=warning -c log_error_verbosity=verbose -c log_statement=all"
ANNA, BERT = (Subject(name, (Identity("owner", name),)) for name in ("anna", "bert"))
RESTRICT = Rule("default", Always(), Action.RESTRICT)
LIFT = Rule("default", Always(), Action.LIFT)
NO_MEANS = Rule("default", Always(), Action.KEEP, "no_means")
FLAG = Restriction(RestrictionKind.FLAG, "flag")
MOVE = Restriction(RestrictionKind.MOVE, collection="moved")
LIST = Restriction(RestrictionKind.LIST, collection="listed")

TABLES = """
CREATE SCHEMA restricted;
CREATE TABLE t (id int PRIMARY KEY, owner text, flag boolean DEFAULT false, v text);
INSERT INTO t VALUES (0, 'anna', false, E'a\\t"b\\\\c\\n'), (1, 'anna', false, NULL),
  (2, 'bert', false, 'b');
CREATE TABLE listed (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t_id int UNIQUE REFERENCES t);
CREATE TABLE restricted.t (LIKE t INCLUDING ALL);
"""


@pytest.fixture
def dsn(module_database: str) -> str:
    """An empty database."""
    execute(
        module_database,
        "DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS restricted CASCADE;"
        " CREATE SCHEMA public",
    )
    return module_database


@pytest.fixture
def log_of(dsn: str, services: Services) -> Callable[[], str]:
    """Reads what the server has reported since the test began."""
    path = next(path for path in services.log_files() if "postgres" in path.name)
    offset = path.stat().st_size

    def told() -> str:
        with pytest.raises(psycopg2.Error):
            query(make_dsn(dsn, options=LOUD), "SELECT 'told-zq'::int")
        reported = path.read_bytes()[offset:].decode()
        assert "told-zq" in reported
        return reported

    return told


def mapped(dsn: str, means: Restriction, *others: Collection) -> Postgres:
    """A connector to `t`, restricted by these means, and to what the means need."""
    found = [collection("t", "v", restriction=means)]
    if means.kind is RestrictionKind.MOVE:
        found.append(collection("moved", "v", source={"schema": "restricted", "table": "t"}))
    if means.kind is RestrictionKind.LIST:
        parent = Parent("t", {"t_id": "id"})
        found.append(collection("listed", "t_id", owner=None, parent=parent))
    return connected(dsn, *found, *others)


def done(
    postgres: Postgres,
    rule: Rule,
    *people: Subject,
    keys: Sequence[Key] | None = None,
    before: Sequence[Rule] = (),
    ctx: TrialContext | None = None,
) -> list[Receipt]:
    """Restrict or lift; keys are located anew unless given, rules `before` come first."""
    ctx = ctx or TrialContext()
    ctx.tables = {
        name: DecisionTable(name, (*before, rule) if c.restriction else (NO_MEANS,))
        for name, c in postgres.system.collections.items()
    }
    located = located_by(postgres, *people) if keys is None else keys
    return list(postgres.restrict(people, located, ctx))


def located_by(postgres: Postgres, *people: Subject) -> list[Key]:
    """The people's keys; those of moved rows by the collection they moved from."""
    moved = {
        c.restriction.collection: c.name
        for c in postgres.system.collections.values()
        if c.restriction and c.restriction.kind is RestrictionKind.MOVE
    }
    return [
        Key(key.subject_ref, moved.get(key.collection, key.collection), key.key)
        for key in postgres.locate(people, TrialContext())
    ]


def counted(receipts: Sequence[Receipt], at: str = "t") -> dict[tuple[str, str], tuple[int, int]]:
    """Rows and values of a collection, by outcome and ground."""
    return {
        (o.outcome.value, o.ground): (o.rows, o.fields)
        for r in receipts
        for o in r.outcomes
        if o.rows and r.collection == at
    }


def state(dsn: str) -> list[list[tuple[str, ...]]]:
    """Every row of every table, as text."""
    return [rows(dsn, name) for name in ("t", "listed", "restricted.t")]


def is_restricted(dsn: str, means: Restriction) -> list[int]:
    """The keys of restricted rows, as whoever processes the rows would read them."""
    statement = {
        RestrictionKind.FLAG: "SELECT id FROM t WHERE flag",
        RestrictionKind.MOVE: "SELECT id FROM restricted.t",
        RestrictionKind.LIST: "SELECT t_id FROM listed",
    }[means.kind]
    return sorted(key for (key,) in query(dsn, statement))


@pytest.mark.parametrize("means", [FLAG, MOVE, LIST], ids=lambda m: m.kind.value)
def test_lifting_gives_back_every_byte(dsn: str, means: Restriction) -> None:
    """Restricted once, repeated, lifted, repeated: exact counts, others' rows untouched."""
    execute(dsn, TABLES)
    postgres = mapped(dsn, means)
    before = state(dsn)
    keys = located_by(postgres, ANNA)
    looking = TrialContext(dry_run=True)
    assert counted(done(postgres, RESTRICT, ANNA, ctx=looking)) == {("restricted", ""): (2, 2)}
    assert state(dsn) == before
    receipts = done(postgres, RESTRICT, ANNA, keys=keys)
    assert counted(receipts) == {("restricted", ""): (2, 2)}
    ctx = TrialContext()
    assert receipts[0].kept == {ctx.digest("t", ("0",)), ctx.digest("t", ("1",))}
    assert is_restricted(dsn, means) == [0, 1]
    restricted = state(dsn)
    assert [row for row in restricted[0] if "bert" in row[0]] == before[0][2:]
    again = TrialContext(dry_run=True, second_path=True)
    for ctx in TrialContext(), again:
        receipts = done(postgres, RESTRICT, ANNA, keys=keys, ctx=ctx)
        assert counted(receipts) == {("restricted", ""): (2, 0)}
    assert state(dsn) == restricted
    assert counted(done(postgres, LIFT, ANNA)) == {("lifted", ""): (2, 2)}
    assert state(dsn) == before
    assert is_restricted(dsn, means) == []
    assert counted(done(postgres, LIFT, ANNA, keys=keys)) == {("lifted", ""): (2, 0)}
    assert state(dsn) == before


@pytest.mark.parametrize("means", [FLAG, MOVE, LIST], ids=lambda m: m.kind.value)
def test_a_crash_before_the_commit_changes_nothing(dsn: str, means: Restriction) -> None:
    """Whoever dies while recording the intent has moved, flagged and listed nothing."""
    execute(dsn, TABLES)
    postgres = mapped(dsn, means)
    before = state(dsn)

    def lost() -> None:
        raise LeaseLost

    dying = TrialContext(on_intent=lost)
    with pytest.raises(LeaseLost):
        done(postgres, RESTRICT, ANNA, ctx=dying)
    assert state(dsn) == before
    assert counted(dying.intents[0]) == {("restricted", ""): (2, 2)}
    done(postgres, RESTRICT, ANNA)
    assert is_restricted(dsn, means) == [0, 1]


def test_rules_before_keep_rows_where_they_are(dsn: str) -> None:
    """Held rows stay, moved ones too; a row of two people is held when one of them is."""
    execute(dsn, TABLES)
    execute(dsn, "UPDATE t SET flag = NULL WHERE id = 2; INSERT INTO restricted.t SELECT * FROM t"
            " WHERE id = 1; DELETE FROM t WHERE id = 1")  # fmt: skip
    postgres = mapped(dsn, MOVE)
    held = Rule("hold", HeldRows("id", ("1",)), Action.KEEP, "RECALL")
    assert counted(done(postgres, LIFT, ANNA, before=[held])) == {
        ("lifted", ""): (1, 0),
        ("retained", "RECALL"): (1, 0),
    }
    held = Rule("hold", HeldSubjects(frozenset({"anna"})), Action.KEEP, "DISPUTE")
    assert counted(done(postgres, LIFT, ANNA, before=[held])) == {("retained", "DISPUTE"): (2, 0)}
    assert is_restricted(dsn, MOVE) == [1]
    assert counted(done(postgres, LIFT, ANNA, BERT)) == {("lifted", ""): (1, 0)}
    assert is_restricted(dsn, MOVE) == []


def test_rows_without_means_and_rows_that_are_gone_are_told(dsn: str) -> None:
    """Outcomes add up to the keys: kept where nothing is mapped, already gone where nothing is."""
    execute(dsn, TABLES)
    execute(dsn, "CREATE TABLE other (id int PRIMARY KEY, owner text)")
    execute(dsn, "INSERT INTO other VALUES (1, 'anna')")
    postgres = mapped(dsn, MOVE, collection("other"))
    keys = [*located_by(postgres, ANNA), Key("anna", "t", ("77",))]
    assert outcomes(done(postgres, RESTRICT, ANNA, keys=keys)) == {
        ("anna", "t", Outcome.RESTRICTED): 2,
        ("anna", "t", Outcome.ALREADY_GONE): 1,
        ("anna", "other", Outcome.RETAINED): 1,
    }


# ---- flags

FLAGS = {
    "boolean": ("boolean", "false", "true", "false"),
    "null": ("boolean", None, "true", None),
    "text": ("varchar(10)", "", "restricted", ""),
    "enum": ("mood", "free", "held", "free"),
    "instant": ("timestamptz", None, "2026-11-21 12:00:00+01", None),
    "number": ("smallint", "0", "1", "0"),
    "domain": ("state", "free", "held", "free"),
}


@pytest.mark.parametrize("case", FLAGS)
def test_a_flag_is_a_value_of_its_column(dsn: str, case: str) -> None:
    """Whatever its type, the flag is set and reset; what says something else was never set."""
    kind, free, value, back = FLAGS[case]
    execute(
        dsn,
        "CREATE TYPE mood AS ENUM ('free', 'held');"
        "CREATE DOMAIN state AS text NOT NULL CHECK (VALUE IN ('free', 'held'));"
        f"CREATE TABLE t (id int PRIMARY KEY, owner text, flag {kind}, v text)",
    )
    execute(dsn, "INSERT INTO t VALUES (%s, %s, %s)", [(1, "anna", free), (2, "bert", free)])
    postgres = mapped(dsn, Restriction(RestrictionKind.FLAG, "flag", value, back))
    before = rows(dsn)
    assert counted(done(postgres, LIFT, ANNA)) == {("lifted", ""): (1, 0)}
    assert counted(done(postgres, RESTRICT, ANNA)) == {("restricted", ""): (1, 1)}
    assert [row for row in rows(dsn) if row in before] == before[1:]
    assert counted(done(postgres, RESTRICT, ANNA)) == {("restricted", ""): (1, 0)}
    assert counted(done(postgres, LIFT, ANNA)) == {("lifted", ""): (1, 1)}
    assert rows(dsn) == before


UNDONE = {
    "a flag put back": (FLAG, "BEFORE UPDATE ON t", "NEW.flag := false; RETURN NEW"),
    "an update swallowed": (FLAG, "BEFORE UPDATE ON t", "RETURN NULL"),
    "a list that swallows": (LIST, "BEFORE INSERT ON listed", "RETURN NULL"),
    "a list that changes": (LIST, "BEFORE INSERT ON listed", "NEW.t_id := 2; RETURN NEW"),
    "a copy altered": (MOVE, "BEFORE INSERT ON restricted.t", "NEW.v := 'x'; RETURN NEW"),
    "a copy swallowed": (MOVE, "BEFORE INSERT ON restricted.t", "RETURN NULL"),
    "a row that stays": (MOVE, "BEFORE DELETE ON t", "RETURN NULL"),
    "a copy taken along": (MOVE, "AFTER DELETE ON t", "DELETE FROM restricted.t; RETURN NULL"),
}


@pytest.mark.parametrize("case", UNDONE)
def test_what_a_trigger_undoes_is_refused_whole(dsn: str, case: str) -> None:
    """Nothing is called restricted that is not, and nothing is lost on the way."""
    means, event, body = UNDONE[case]
    execute(dsn, TABLES)
    execute(
        dsn,
        "CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$BEGIN {body}; END$$;"
        f"CREATE TRIGGER undo {event} FOR EACH ROW EXECUTE FUNCTION undo()",
    )
    before = state(dsn)
    with pytest.raises(Permanent, match=r"(nothing|Nothing) was"):
        done(mapped(dsn, means), RESTRICT, ANNA)
    assert state(dsn) == before


# ---- moves


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
INSERT INTO p OVERRIDING SYSTEM VALUE VALUES (-5, 'anna', 1.5, DEFAULT, '{"b" : 1,  "a":2}',
  'infinity', '\\x00ff'), (7, 'bert', NULL, DEFAULT, NULL, NULL, NULL);
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


# ---- refusals


def test_a_refused_restriction_tells_the_constraint_and_no_row(
    dsn: str, log_of: Callable[[], str]
) -> None:
    """A check that forbids the flag: the error and the server's log hold nothing of the row."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, v text, flag boolean DEFAULT false,"
        " CONSTRAINT never CHECK (NOT flag));"
        "INSERT INTO t VALUES (1, 'anna', 'row-zq')",
    )
    with pytest.raises(Permanent, match="23514 of never"):
        done(mapped(make_dsn(dsn, options=LOUD), FLAG), RESTRICT, ANNA)
    assert "row-zq" not in log_of()


def test_a_table_of_an_erasure_restricts_nothing(dsn: str) -> None:
    """Rules that speak of something else are refused, not counted as done."""
    execute(dsn, TABLES)
    postgres = mapped(dsn, FLAG)
    keys = located_by(postgres, ANNA)
    before = state(dsn)
    with pytest.raises(Permanent, match="decision table"):
        list(postgres.restrict([ANNA], keys, TrialContext()))
    tables = {"t": DecisionTable("t", (RESTRICT,))}
    with pytest.raises(Permanent, match="decision table"):
        list(connected(dsn, collection("t")).restrict([ANNA], keys, TrialContext(tables=tables)))
    assert state(dsn) == before
