"""Restriction in Postgres: every means gives back every byte, flags are values of their column."""

from __future__ import annotations

from collections.abc import Callable

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from dsr_worker.contract import (
    Action,
    DecisionTable,
    HeldRows,
    HeldSubjects,
    Key,
    LeaseLost,
    Outcome,
    Permanent,
    Restriction,
    RestrictionKind,
    Rule,
)
from dsr_worker.embedded import Services
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_restrictions import (
    ANNA,
    BERT,
    FLAG,
    LIFT,
    LIST,
    MOVE,
    RESTRICT,
    TABLES,
    counted,
    done,
    is_restricted,
    located_by,
    mapped,
    state,
)
from tests.contract.postgres_shop import execute, outcomes, query
from tests.contract.postgres_tables import collection, connected, rows

LOUD = "-c log_min_messages=warning -c log_error_verbosity=verbose -c log_statement=all"


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
