"""Which rows are put right, and that it happens once or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dsr_worker.contract import (
    Action,
    Correction,
    DecisionTable,
    HeldRows,
    HeldSubjects,
    Identity,
    LeaseLost,
    NeedsHuman,
    Outcome,
    Rule,
    Since,
    Subject,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_rectifications import RECTIFY, counted, insert, person, rectified
from tests.contract.postgres_shop import execute, outcomes, query
from tests.contract.postgres_tables import collection, connected, rows

# ---- which rows


def test_what_was_said_picks_the_rows(dsn: str) -> None:
    """Of several addresses only the wrong one changes; the others are kept and say so."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, street text)")
    people = [(1, "anna", "Old"), (2, "anna", "Other"), (3, "anna", "New"), (4, "bert", "Old")]
    execute(dsn, "INSERT INTO t VALUES (%s, %s, %s)", [*people, (5, "anna", None)])
    postgres = connected(dsn, collection("t", "street"))
    anna = person("anna", Correction("street", "New", was="Old"))
    receipts = rectified(postgres, anna)
    assert counted(receipts) == {
        ("anna", "rectified", ""): (2, 1),
        ("anna", "retained", "stated_otherwise"): (2, 0),
    }
    assert query(dsn, "SELECT id FROM t WHERE street = 'New' ORDER BY id") == [(1,), (3,)]
    assert query(dsn, "SELECT count(*) FROM t WHERE street = 'Old'") == [(1,)]
    ctx = TrialContext()
    assert receipts[0].kept == {ctx.digest("t", (str(n),)) for n in (1, 2, 3, 5)}
    assert counted(rectified(postgres, anna)) == {
        ("anna", "rectified", ""): (2, 0),
        ("anna", "retained", "stated_otherwise"): (2, 0),
    }


SAID = {
    "timestamptz": "2020-01-01 10:00:00.5+02",
    "timestamp": "2020-01-01 10:00",
    "boolean": "t",
    "int[]": "{1,2}",
    "jsonb": '{"a":1}',
    "bytea": "\\x00ff",
    "inet": "10.0.0.1/32",
    "numeric": "1.50",
    "char(4)": "ab",
}


def test_what_was_said_is_read_as_a_record_says_it(dsn: str) -> None:
    """The text that an export shows for a value is the text that `was` takes."""
    fields = [f"v{n}" for n in range(len(SAID))]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(fields, SAID, strict=True))
    execute(dsn, f"CREATE TABLE t (id int PRIMARY KEY, owner text, {columns})")
    insert(dsn, (1, "anna", *SAID.values()))
    told = query(dsn, f"SELECT {', '.join(f'row_to_json(t) ->> {n!r}' for n in fields)} FROM t")  # noqa: S608 - our own names
    right = (Correction(name, None, was) for name, was in zip(fields, told[0], strict=True))
    receipts = rectified(connected(dsn, collection("t", *fields)), person("anna", *right))
    assert counted(receipts) == {("anna", "rectified", ""): (1, len(fields))}
    assert rows(dsn) == [(f"(1,anna{',' * len(fields)})",)]


def test_a_hold_keeps_rows_as_they_are(dsn: str) -> None:
    """Held rows and held people are retained on the hold's ground, shared rows among them."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, other text, v text)")
    stored = [(1, "anna", None, "x"), (2, "anna", "bert", "x"), (3, "anna", None, "held")]
    execute(dsn, "INSERT INTO t VALUES (%s, %s, %s, %s)", stored)
    mapped = collection("t", "v", "other")
    mapped = replace(mapped, takes={**mapped.takes, "other": Taken("other")})
    anna = person("anna", Correction("v", "y"))
    bert = Subject("bert", (Identity("other", "bert"),))
    holds = (
        Rule("hold", HeldRows("v", ("held",)), Action.KEEP, "RECALL"),
        Rule("hold", HeldSubjects(frozenset({"bert"})), Action.KEEP, "DISPUTE"),
    )
    assert counted(rectified(connected(dsn, mapped), anna, bert, rules=holds)) == {
        ("anna", "rectified", ""): (1, 1),
        ("anna", "retained", "RECALL"): (1, 0),
        ("anna", "retained", "DISPUTE"): (1, 0),
        ("bert", "retained", "DISPUTE"): (1, 0),
    }
    assert query(dsn, "SELECT v FROM t ORDER BY id") == [("y",), ("x",), ("held",)]


def test_fields_that_the_law_keeps_stay(dsn: str) -> None:
    """Kept fields hold corrections back, and the receipt says by which ground and since when."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, name text, sum int, at date)")
    stored = [(1, "anna", "Ana", 5, "2024-01-02"), (2, "anna", "Ana", 5, "2001-01-01")]
    execute(dsn, "INSERT INTO t VALUES (%s, %s, %s, %s, %s)", stored)
    postgres = connected(dsn, collection("t", "name", "sum", "at"))
    minimum = Rule(
        "minimum",
        Since("at", datetime(2020, 1, 1, tzinfo=UTC)),
        Action.RECTIFY,
        "tax",
        clock="at",
        kept_fields=frozenset({"sum", "at"}),
    )
    anna = person("anna", Correction("name", "Anna"), Correction("sum", "7"))
    receipts = rectified(postgres, anna, rules=[minimum])
    assert counted(receipts) == {
        ("anna", "rectified", ""): (1, 2),
        ("anna", "rectified", "tax"): (1, 1),
    }
    dated = {o.ground: o.latest_at for o in receipts[0].outcomes}
    assert dated == {"": None, "tax": datetime(2024, 1, 2, tzinfo=UTC)}
    assert query(dsn, "SELECT name, sum FROM t ORDER BY id") == [("Anna", 5), ("Anna", 7)]
    only_kept = person("anna", Correction("sum", "9"))
    assert counted(rectified(postgres, only_kept, rules=[minimum])) == {
        ("anna", "rectified", ""): (1, 1),
        ("anna", "retained", "tax"): (1, 0),
    }


def test_two_people_with_one_row_may_ask_for_one_thing_not_for_two(dsn: str) -> None:
    """What both ask counts for both; what contradicts stops for a human; others' rows stay."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, other text, v text, w text)")
    execute(dsn, "INSERT INTO t VALUES (1, 'anna', 'bert', 'x', 'w'), (2, 'carl', NULL, 'x', 'w')")
    mapped = collection("t", "v", "w", "other")
    mapped = replace(mapped, takes={**mapped.takes, "other": Taken("other")})
    postgres = connected(dsn, mapped)
    anna = person("anna", Correction("v", "y"))

    def bert(*corrections: Correction) -> Subject:
        return Subject("bert", (Identity("other", "bert"),), {"t": corrections})

    with pytest.raises(NeedsHuman) as stopped:
        rectified(postgres, anna, bert(Correction("w", "1"), Correction("v", "z")))
    assert stopped.value.code == "corrections_contradict"
    assert stopped.value.fields == {"collection": "t", "field": "v"}
    both = rectified(postgres, anna, bert(Correction("v", "y"), Correction("w", "1")))
    assert counted(both) == {
        ("anna", "rectified", ""): (1, 1),
        ("bert", "rectified", ""): (1, 2),
    }
    assert query(dsn, "SELECT v, w FROM t ORDER BY id") == [("y", "1"), ("x", "w")]
    with pytest.raises(NeedsHuman, match="contradict"):
        rectified(postgres, anna, bert(Correction("v", "z")))


def test_a_row_of_somebody_who_asked_for_nothing_there_is_kept(dsn: str) -> None:
    """A batch may hold people without corrections of a collection: their rows say otherwise."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, v text)")
    execute(dsn, "INSERT INTO t VALUES (1, 'anna', 'x'), (2, 'bert', 'x')")
    postgres = connected(dsn, collection("t", "v"))
    receipts = rectified(postgres, person("anna", Correction("v", "y")), person("bert"))
    assert counted(receipts)["bert", "retained", "stated_otherwise"] == (1, 0)
    assert query(dsn, "SELECT v FROM t ORDER BY id") == [("y",), ("x",)]


# ---- once, or not at all


def test_a_crash_before_the_commit_changes_nothing_and_the_repeat_is_whole(dsn: str) -> None:
    """Whoever dies while recording the intent has changed nothing; the intent had the counts."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, v text)")
    execute(dsn, "INSERT INTO t VALUES (1, 'anna', 'x')")
    postgres, anna = connected(dsn, collection("t", "v")), person("anna", Correction("v", "y"))
    before = rows(dsn)

    def lost() -> None:
        raise LeaseLost

    dying = TrialContext(on_intent=lost)
    with pytest.raises(LeaseLost):
        rectified(postgres, anna, ctx=dying)
    assert rows(dsn) == before
    assert counted(dying.intents[0]) == {("anna", "rectified", ""): (1, 1)}
    assert counted(rectified(postgres, anna)) == {("anna", "rectified", ""): (1, 1)}
    execute(dsn, "DELETE FROM t")
    keys = list(connected(dsn, collection("t", "v")).locate([anna], TrialContext()))
    assert keys == []


def test_dry_runs_tell_what_would_be_and_by_the_second_path_what_is_left(dsn: str) -> None:
    """The counts are those of the change; afterwards the second path counts no value."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, v text)")
    execute(dsn, "INSERT INTO t VALUES (1, 'anna', 'x'), (2, 'anna', 'y')")
    postgres, anna = connected(dsn, collection("t", "v")), person("anna", Correction("v", "y"))
    before = rows(dsn)
    dry = rectified(postgres, anna, ctx=TrialContext(dry_run=True))
    assert rows(dsn) == before
    assert rectified(postgres, anna) == dry
    looking = TrialContext(dry_run=True, second_path=True)
    assert counted(rectified(postgres, anna, ctx=looking)) == {("anna", "rectified", ""): (2, 0)}


def test_a_row_that_is_gone_is_already_gone(dsn: str) -> None:
    """Outcomes add up to the located keys though a row went since."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, v text)")
    execute(dsn, "INSERT INTO t VALUES (1, 'anna', 'x'), (2, 'anna', 'x')")
    postgres, anna = connected(dsn, collection("t", "v")), person("anna", Correction("v", "y"))
    keys = list(postgres.locate([anna], TrialContext()))
    execute(dsn, "DELETE FROM t WHERE id = 2")
    ctx = TrialContext(tables={"t": DecisionTable("t", (RECTIFY,))})
    assert outcomes(postgres.rectify([anna], keys, ctx)) == {
        ("anna", "t", Outcome.RECTIFIED): 1,
        ("anna", "t", Outcome.ALREADY_GONE): 1,
    }
