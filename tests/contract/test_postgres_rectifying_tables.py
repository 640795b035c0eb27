"""Rectification where a table is awkward: triggers, cascades, documents, locks, odd names."""

from __future__ import annotations

import pytest

from dsr_worker.contract import (
    Action,
    Configuration,
    Correction,
    DecisionTable,
    HeldRows,
    Identity,
    NeedsHuman,
    Parent,
    Permanent,
    Rule,
    Subject,
    Transient,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_rectifications import RECTIFY, SECRET, counted, person, rectified
from tests.contract.postgres_shop import connected as connected_plainly
from tests.contract.postgres_shop import execute, query
from tests.contract.postgres_tables import collection, connected, rows


@pytest.mark.parametrize("body", ["NEW.v := OLD.v", "NEW.v := upper(NEW.v)", "NEW := OLD"])
def test_a_trigger_that_puts_the_old_value_back_is_noticed(dsn: str, body: str) -> None:
    """A correction that does not stay in place is refused whole."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, v text);"
        "CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$BEGIN {body}; RETURN NEW; END$$;"
        "CREATE TRIGGER undo BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION undo();",
    )
    execute(dsn, "INSERT INTO t VALUES (1, 'anna', 'x')")
    before = rows(dsn)
    with pytest.raises(Permanent, match="did not stay in place"):
        rectified(connected(dsn, collection("t", "v")), person("anna", Correction("v", "yes")))
    assert rows(dsn) == before


def test_a_row_that_resists_rolls_everything_back(dsn: str) -> None:
    """A trigger that swallows the update of one row must not pass for a correction."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, v text);"
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN IF NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW; END$$;"
        "CREATE TRIGGER keep BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION keep();"
        "INSERT INTO t VALUES (1, 'anna', 'x'), (2, 'anna', 'x')",
    )
    before = rows(dsn)
    with pytest.raises(Permanent, match="1 of 2 rows resisted"):
        rectified(connected(dsn, collection("t", "v")), person("anna", Correction("v", "y")))
    assert rows(dsn) == before


FIXED = {
    "id": "a key names its row",
    "made": "the server makes this value",
    "always": "the server makes this value",
    "up": "whose row this is",
    "code": "rows of c are found by it",
    "nowhere": "not a field of the data map",
}


@pytest.mark.parametrize("name", FIXED)
def test_some_columns_are_never_corrected(dsn: str, name: str) -> None:
    """Keys, what the server makes, and what says whose a row is are refused with the reason."""
    execute(
        dsn,
        "CREATE TABLE p (id int PRIMARY KEY);"
        "CREATE TABLE t (id int PRIMARY KEY, owner text, up int REFERENCES p, code text UNIQUE,"
        " made text GENERATED ALWAYS AS (owner) STORED, always int GENERATED ALWAYS AS IDENTITY);"
        "CREATE TABLE c (id int PRIMARY KEY, code text);"
        "INSERT INTO t VALUES (1, 'anna', NULL, 'k')",
    )
    postgres = connected(
        dsn,
        collection("p", owner=None),
        collection("t", "up", "code", "made", "always", parent=Parent("p", {"up": "id"})),
        collection("c", "code", owner=None, parent=Parent("t", {"code": "code"})),
    )
    before = rows(dsn)
    with pytest.raises(Permanent, match=FIXED[name]):
        rectified(postgres, person("anna", Correction(name, "2")))
    assert rows(dsn) == before


def test_a_field_is_corrected_once(dsn: str) -> None:
    """Two corrections of one field are nobody's guess."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, v text)")
    execute(dsn, "INSERT INTO t VALUES (1, 'anna', 'x')")
    twice = person("anna", Correction("v", "a"), Correction("v", "b"))
    with pytest.raises(Permanent, match="corrected twice"):
        rectified(connected(dsn, collection("t", "v")), twice)
    elsewhere = person("anna", Correction("v", "a"), at="nowhere")
    with pytest.raises(Configuration, match="nowhere"):
        rectified(connected(dsn, collection("t", "v")), elsewhere)


CASCADE = (
    "CREATE TABLE t (id int PRIMARY KEY, owner text, code text UNIQUE);"
    "CREATE TABLE c (id int PRIMARY KEY, code text REFERENCES t (code) ON UPDATE CASCADE);"
    "INSERT INTO t VALUES (1, 'anna', 'k'); INSERT INTO c VALUES (1, 'k')"
)


def test_a_cascade_reaches_the_persons_own_rows_and_nobody_elses(dsn: str) -> None:
    """ON UPDATE CASCADE changes located children; unmapped or held ones refuse the correction."""
    execute(dsn, CASCADE)
    right = Correction("code", "n")
    alone = connected(dsn, collection("t", "code"))
    before = rows(dsn)
    with pytest.raises(Permanent, match="ON UPDATE"):
        rectified(alone, person("anna", right))
    assert rows(dsn) == before
    child = collection("c", "code", owner=None, parent=Parent("t", {"code": "code"}))
    postgres = connected(dsn, collection("t", "code"), child)
    held = Rule("hold", HeldRows("id", ("1",)), Action.KEEP, "RECALL")
    anna = person("anna", right)
    keys = list(postgres.locate([anna], TrialContext()))
    tables = {"t": DecisionTable("t", (RECTIFY,)), "c": DecisionTable("c", (held, RECTIFY))}
    with pytest.raises(Permanent, match="ON UPDATE"):
        list(postgres.rectify([anna], keys, TrialContext(tables=tables)))
    assert rows(dsn) == before
    rectified(postgres, anna)
    assert query(dsn, "SELECT t.code, c.code FROM t, c") == [("n", "n")]


def test_rows_of_any_shape_of_table(dsn: str) -> None:
    """Composite falsy keys and partitions: the row that is meant, and one that moves along."""
    execute(
        dsn,
        "CREATE TABLE t (a int, b text, owner text, v text, PRIMARY KEY (a, b));"
        "CREATE TABLE s (id int, owner text, v text) PARTITION BY LIST (v);"
        "CREATE TABLE s_x PARTITION OF s FOR VALUES IN ('x');"
        "CREATE TABLE s_y PARTITION OF s FOR VALUES IN ('y');"
        "INSERT INTO t VALUES (0, '', 'anna', 'x'), (0, '0', 'bert', 'x'), (1, '', 'bert', 'x');"
        "INSERT INTO s VALUES (0, 'anna', 'x'), (1, 'bert', 'x')",
    )
    postgres = connected(dsn, collection("t", "v", key=("a", "b")), collection("s", "v"))
    right = (Correction("v", "y"),)
    anna = Subject("anna", (Identity("owner", "anna"),), {"t": right, "s": right})
    rectified(postgres, anna)
    assert query(dsn, "SELECT owner, v FROM t ORDER BY a, b") == [
        ("anna", "y"),
        ("bert", "x"),
        ("bert", "x"),
    ]
    assert query(dsn, "SELECT id FROM s_y") == [(0,)]
    assert query(dsn, "SELECT id FROM s_x") == [(1,)]


def test_a_place_in_a_document_keeps_its_kind(dsn: str) -> None:
    """Text stays text, a number a number; what is none, and what has no such place, is refused."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, doc jsonb)")
    document = '{"n": {"size": 4, "ok": true, "name": "Ana", "all": [1]}, "left": 1}'
    execute(dsn, "INSERT INTO t VALUES (1, 'anna', %s), (2, 'bert', %s)", [(document, document)])
    fields = [f"doc->n->>{name}" for name in ("size", "ok", "name", "all", "new")]
    postgres = connected(dsn, collection("t", *fields, "doc->gone->>x"))

    def asking(**texts: str | None) -> Subject:
        right = (Correction(f"doc->n->>{name}", text) for name, text in texts.items())
        return person("anna", *right)

    told = rectified(postgres, asking(size="5.50", ok="false", name="5", new="x"))
    assert counted(told) == {("anna", "rectified", ""): (1, 4)}
    ((after,),) = query(dsn, "SELECT doc::text FROM t WHERE id = 1")
    assert after == (
        '{"n": {"ok": false, "all": [1], "new": "x", "name": "5", "size": 5.50}, "left": 1}'
    )
    rectified(postgres, asking(name=None))
    assert query(dsn, "SELECT doc #> '{n}' ? 'name' FROM t ORDER BY id") == [(False,), (True,)]
    before = rows(dsn)
    for wrong in (
        asking(size=SECRET),
        asking(all="x"),
        person("anna", Correction("doc->gone->>x", "y")),
    ):
        with pytest.raises(NeedsHuman) as refusal:
            rectified(postgres, wrong)
        assert refusal.value.code == "correction_refused"
        assert rows(dsn) == before


def test_a_table_that_says_something_else_is_refused(dsn: str) -> None:
    """A decision table of an erasure puts nothing right, and nothing is called erased."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, v text)")
    execute(dsn, "INSERT INTO t VALUES (1, 'anna', 'x')")
    postgres, anna = connected(dsn, collection("t", "v")), person("anna", Correction("v", "y"))
    keys = list(postgres.locate([anna], TrialContext()))
    with pytest.raises(Permanent, match="does not speak of putting right"):
        list(postgres.rectify([anna], keys, TrialContext()))
    assert query(dsn, "SELECT v FROM t") == [("x",)]


ONCE = """
CREATE SEQUENCE attempts;
CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  IF nextval('attempts') = 1 THEN RAISE 'another was first' USING ERRCODE = '{state}'; END IF;
  RETURN NEW; END$$;
CREATE TRIGGER once BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION once();
"""


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_deadlock_is_no_refusal_and_begins_again(dsn: str, state: str) -> None:
    """What another transaction stood in the way of goes through at the second try."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, v text)" + ";" + _once(state))
    execute(dsn, "INSERT INTO t VALUES (1, 'anna', 'x')")
    right = rectified(connected(dsn, collection("t", "v")), person("anna", Correction("v", "y")))
    assert counted(right) == {("anna", "rectified", ""): (1, 1)}
    assert query(dsn, "SELECT v, nextval('attempts') FROM t") == [("y", 3)]


def test_a_lock_that_does_not_come_is_no_refusal(dsn: str) -> None:
    """The step is tried later: nobody is asked about a value that is in order."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, v text)" + ";" + _once("55P03"))
    execute(dsn, "INSERT INTO t VALUES (1, 'anna', 'x')")
    postgres, anna = connected(dsn, collection("t", "v")), person("anna", Correction("v", "y"))
    with pytest.raises(Transient, match="55P03"):
        rectified(postgres, anna)
    assert query(dsn, "SELECT v FROM t") == [("x",)]


def _once(state: str) -> str:
    return ONCE.replace("{state}", state)


def test_odd_names_are_quoted(dsn: str) -> None:
    """Names with quotes, dollars, percents and capitals in every place of a statement."""
    odd = "it's \"$$ %s\\; --"
    quoted = '"' + odd.replace('"', '""') + '"'
    execute(
        dsn,
        f"CREATE TABLE {quoted} (id int PRIMARY KEY, owner text, {quoted} text);"
        f" ALTER TABLE {quoted} ADD CHECK ({quoted} <> 'no')",
    )
    with connected_plainly(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {quoted} VALUES (1, 'anna', 'x')")  # noqa: S608 - our own names
    postgres = connected(dsn, collection("t", odd, source={"table": odd}))
    rectified(postgres, person("anna", Correction(odd, "y'\\")))
    assert query(dsn, f"SELECT {quoted} FROM {quoted}") == [("y'\\",)]  # noqa: S608 - our own names
    with pytest.raises(NeedsHuman, match="correction_refused"):
        rectified(postgres, person("anna", Correction(odd, "no")))


def test_the_rows_of_row_security_are_never_passed_over(dsn: str) -> None:
    """Where policies would hide rows the correction fails, and says what to look at."""
    execute(
        dsn,
        "DROP ROLE IF EXISTS zq_bound; CREATE ROLE zq_bound LOGIN;"
        "GRANT USAGE ON SCHEMA public TO zq_bound;"
        "CREATE TABLE t (id int PRIMARY KEY, owner text, v text);"
        "INSERT INTO t VALUES (1, 'anna', 'x');"
        "GRANT SELECT, UPDATE ON t TO zq_bound; ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    )
    anna = person("anna", Correction("v", "y"))
    keys = list(connected(dsn, collection("t", "v")).locate([anna], TrialContext()))
    bound = connected(dsn.replace("//dsr@", "//zq_bound@"), collection("t", "v"))
    ctx = TrialContext(tables={"t": DecisionTable("t", (RECTIFY,))})
    with pytest.raises(Configuration, match="42501"):
        list(bound.rectify([anna], keys, ctx))
    assert query(dsn, "SELECT v FROM t") == [("x",)]
    execute(dsn, "DROP OWNED BY zq_bound; DROP ROLE zq_bound")
