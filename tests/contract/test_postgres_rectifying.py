"""The Postgres connector puts right what a person says is wrong, and nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from connectors.postgres import Postgres
from dsr_worker.contract import (
    Action,
    Always,
    Configuration,
    Correction,
    DecisionTable,
    HeldRows,
    HeldSubjects,
    Identity,
    LeaseLost,
    NeedsHuman,
    Outcome,
    Parent,
    Permanent,
    Receipt,
    Rule,
    Since,
    Subject,
    Taken,
    Transient,
)
from dsr_worker.embedded import Services
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import connected as connected_plainly
from tests.contract.postgres_shop import execute, outcomes, query
from tests.contract.postgres_tables import collection, connected, rows

LOUD = "-c log_min_messages=warning -c log_error_verbosity=verbose -c log_statement=all"
RECTIFY = Rule("default", Always(), Action.RECTIFY)
SECRET = "zq-secret-zq"
LONG = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(9000))  # no compression makes it short


def person(owner: str, *corrections: Correction, at: str = "t") -> Subject:
    """Somebody who asks for these corrections in one collection."""
    asked = {at: corrections} if corrections else {}
    return Subject(owner, (Identity("owner", owner),), asked)


def rectified(
    postgres: Postgres, *people: Subject, rules: Sequence[Rule] = (), **given: TrialContext
) -> list[Receipt]:
    """Locate the people's rows and put them right; `rules` stand before the rule that does so."""
    ctx = given.get("ctx") or TrialContext()
    ctx.tables = {n: DecisionTable(n, (*rules, RECTIFY)) for n in postgres.system.collections}
    keys = list(postgres.locate(people, TrialContext()))
    return list(postgres.rectify(people, keys, ctx))


def insert(dsn: str, *stored: tuple[str | int | None, ...]) -> None:
    """Put rows into the table `t`."""
    places = ", ".join(["%s"] * len(stored[0]))
    execute(dsn, f"INSERT INTO t VALUES ({places})", stored)  # noqa: S608 - placeholders alone


def counted(receipts: Sequence[Receipt]) -> dict[tuple[str | None, str, str], tuple[int, int]]:
    """Rows and values by subject, outcome and ground."""
    return {
        (r.subject_ref, o.outcome.value, o.ground): (o.rows, o.fields)
        for r in receipts
        for o in r.outcomes
        if o.rows
    }


# ---- types

INSTANT, ZERO = "timestamptz", ":00:00+00:00"
TYPES = {
    "text": ("text", "Ana", "Anna", "Anna"),
    "quotes, backslashes, tabs, lines": ("text", "x", "a'\"\\\t\n\r\\N%s$$;--", None),
    "empty text": ("text", "x", "", ""),
    "null": ("text", "x", None, None),
    "letter case in citext": ("citext", "anna@shop.example", "Anna@Shop.example", None),
    "whole number": ("bigint", "7", "-9", "-9"),
    "numeric with its own scale": ("numeric", "1.0", "1.00", "1.00"),
    "numeric of a scale": ("numeric(8, 2)", "2.50", "3.5", "3.50"),
    "truth": ("boolean", "true", "no", "false"),
    "enum": ("mood", "low", "high", "high"),
    "domain": ("short", "abc", "abd", "abd"),
    "date": ("date", "1987-01-02", "1987-02-01", "1987-02-01"),
    "the same instant": (INSTANT, "2020-01-01", "2020-01-01T02:30+02:30", f"2020-01-01T00{ZERO}"),
    "another instant": (INSTANT, "2020-01-01", "2020-01-01 00:00-01", f"2020-01-01T01{ZERO}"),
    "bytea": ("bytea", "\\x00", "\\x00ff27", "\\x00ff27"),
    "address": ("inet", "10.0.0.1", "2001:db8::1", "2001:db8::1"),
    "uuid": ("uuid", "0" * 32, "A" * 32, "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"),
    "array": ("text[]", "{a}", '{a,"b c",NULL}', '["a","b c",null]'),
    "document": ("jsonb", "{}", '{"b":1,"a":"x"}', '{"a": "x", "b": 1}'),
    "range": ("int4range", "[1,2)", "[1,5]", "[1,6)"),
    "fixed length": ("char(4)", "ab", "abc", "abc "),
    "varchar": ("varchar(4)", "ab", "abcd", "abcd"),
}


def test_a_new_text_becomes_a_value_of_the_columns_own_type(dsn: str) -> None:
    """What stands there afterwards is what the type makes of the text; a repeat finds no change."""
    columns = ", ".join(f"v{n} {kind}" for n, (kind, *_) in enumerate(TYPES.values()))
    execute(
        dsn,
        "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('low', 'high');"
        "CREATE DOMAIN short AS varchar(5) NOT NULL CHECK (VALUE <> 'no');"
        f"CREATE TABLE t (id int PRIMARY KEY, owner text, {columns})",
    )
    stored = [before for _, before, *_ in TYPES.values()]
    insert(dsn, (1, "anna", *stored), (2, "bert", *stored))
    bert = rows(dsn)[1]
    fields = [f"v{n}" for n in range(len(stored))]
    postgres = connected(dsn, collection("t", *fields))
    asked = dict(zip(fields, (text for _, _, text, _ in TYPES.values()), strict=True))
    anna = person("anna", *(Correction(name, text) for name, text in asked.items()))
    changed = len(fields) - 1  # one says the same instant in other words
    assert counted(rectified(postgres, anna)) == {("anna", "rectified", ""): (1, changed)}
    for name, (case, (_, _, text, after)) in zip(fields, TYPES.items(), strict=True):
        told = query(dsn, f"SELECT row_to_json(t) ->> '{name}' FROM t WHERE id = 1")  # noqa: S608 - our own names
        assert told == [(text if after is None else after,)], case
    assert rows(dsn)[1] == bert
    assert counted(rectified(postgres, anna)) == {("anna", "rectified", ""): (1, 0)}


REFUSED = {
    "no number": ("int", "7", SECRET),
    "no date": ("date", "2000-01-01", SECRET),
    "no value of an enum": ("mood", "low", SECRET),
    "too long": ("varchar(4)", "ab", SECRET),
    "too long but for blanks": ("varchar(4)", "ab", "abcd  "),
    "too long for a domain": ("short", "abc", SECRET),
    "against a domain": ("short", "abc", "no"),
    "null in a domain": ("short", "abc", None),
    "null where none may be": ("text NOT NULL", "abc", None),
    "would be rounded": ("numeric(8, 2)", "1.00", "1.005"),
    "would lose its microseconds": ("timestamptz(0)", "2020-01-01", "2020-01-01 00:00:00.5+00"),
    "taken by another": ("text UNIQUE", "abc", "another-zq"),
    "against a check": (f"text CHECK (v <> '{SECRET}')", "abc", SECRET),
    "a reference to nothing": ("text REFERENCES named", "abc", SECRET),
    "a deferred reference": ("text REFERENCES named DEFERRABLE INITIALLY DEFERRED", "abc", SECRET),
    "excluded": ("text, EXCLUDE (v WITH =)", "abc", "another-zq"),
    "a NUL": ("text", "abc", f"{SECRET}\0"),
    "no document": ("jsonb", "{}", SECRET),
    "no such table": ("regclass", "pg_class", SECRET),
    "too long for its index": ("text UNIQUE", "abc", LONG),
}


def test_a_value_that_the_store_refuses_stops_for_a_human_and_leaks_nowhere(
    dsn: str, services_log: Path
) -> None:
    """The place is told; the value is in no error and no server log, and nothing has changed."""
    columns = [kind.replace("v ", f"v{n} ") for n, (kind, *_) in enumerate(REFUSED.values())]
    columns = [f"v{n} {kind}" for n, kind in enumerate(columns)]
    execute(
        dsn,
        "CREATE TYPE mood AS ENUM ('low');"
        "CREATE DOMAIN short AS varchar(5) NOT NULL CHECK (VALUE <> 'no');"
        "CREATE TABLE named (name text PRIMARY KEY);"
        f"CREATE TABLE t (id int PRIMARY KEY, owner text, name text, {', '.join(columns)})",
    )
    execute(dsn, "INSERT INTO named VALUES (%s)", [("abc",), ("another-zq",)])
    stored = [before for _, before, _ in REFUSED.values()]
    others = [
        "another-zq" if "UNIQUE" in kind or "EXCLUDE" in kind else before
        for kind, before, _ in REFUSED.values()
    ]
    insert(dsn, (1, "anna", "row-zq", *stored), (2, "bert", "row-zq", *others))
    before = rows(dsn)
    fields = [f"v{n}" for n in range(len(stored))]
    loud = make_dsn(dsn, options=LOUD)
    postgres = connected(loud, collection("t", "name", *fields))
    offset = services_log.stat().st_size
    for name, (case, (_, _, text)) in zip(fields, REFUSED.items(), strict=True):
        with pytest.raises(NeedsHuman) as refusal:
            rectified(postgres, person("anna", Correction("name", "Anna"), Correction(name, text)))
        assert (case, refusal.value.code) == (case, "correction_refused")
        assert refusal.value.fields == {"collection": "t", "field": name}, case
        assert str(refusal.value) == "correction_refused"
        assert refusal.value.__cause__ is None
    assert rows(dsn) == before
    with pytest.raises(psycopg2.Error):
        query(loud, "SELECT 'told-zq'::int")
    told = services_log.read_bytes()[offset:].decode()
    assert "told-zq" in told
    hidden = (SECRET, "another-zq", "row-zq", "1.005", LONG[:9])
    assert not [word for word in hidden if word in told]


@pytest.fixture
def services_log(services: Services) -> Path:
    """Where the server writes what it reports."""
    return next(path for path in services.log_files() if "postgres" in path.name)


def test_the_field_that_is_at_fault_is_found_among_several(dsn: str) -> None:
    """Of two corrections that one statement carries out, the refused one is named."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, a text, b text, CHECK (b <> 'bad'));"
        "INSERT INTO t VALUES (1, 'anna', 'x', 'y')",
    )
    postgres = connected(dsn, collection("t", "a", "b"))
    with pytest.raises(NeedsHuman) as refusal:
        rectified(postgres, person("anna", Correction("a", "bad"), Correction("b", "bad")))
    assert refusal.value.fields == {"collection": "t", "field": "b"}


def test_fields_that_are_at_fault_together_are_named_together(dsn: str) -> None:
    """A check over two columns that either alone would pass names both."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, a int, b int, CHECK (a + b < 10));"
        "INSERT INTO t VALUES (1, 'anna', 1, 1)",
    )
    postgres = connected(dsn, collection("t", "a", "b"))
    with pytest.raises(NeedsHuman) as refusal:
        rectified(postgres, person("anna", Correction("a", "6"), Correction("b", "6")))
    assert refusal.value.fields == {"collection": "t", "field": "a, b"}


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


# ---- where a table is awkward


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
