"""A new text becomes a value of its column's type, or nothing changes and nothing is told of it."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from dsr_worker.contract import Correction, NeedsHuman
from dsr_worker.embedded import Services
from tests.contract.postgres_rectifications import SECRET, counted, insert, person, rectified
from tests.contract.postgres_shop import execute, query
from tests.contract.postgres_tables import collection, connected, rows

LOUD = "-c log_min_messages=warning -c log_error_verbosity=verbose -c log_statement=all"
LONG = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(9000))  # no compression makes it short
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
    "would be rounded": ("numeric(8, 2)", "1.00", "1.00572846"),
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
    hidden = (SECRET, "another-zq", "row-zq", "1.00572846", LONG[:9])
    assert not [word for word in hidden if word in told]


@pytest.fixture
def services_log(services: Services) -> Path:
    """Where the server writes what it reports."""
    return next(path for path in services.log_files() if "postgres" in path.name)


def at_fault(dsn: str, *corrections: Correction) -> str:
    """The fields that a refusal of these corrections names."""
    postgres = connected(dsn, collection("t", "a", "b"))
    with pytest.raises(NeedsHuman) as refusal:
        rectified(postgres, person("anna", *corrections))
    assert set(refusal.value.fields) == {"collection", "field"}
    assert refusal.value.fields["collection"] == "t"
    field: str = refusal.value.fields["field"]
    return field


def test_the_field_that_is_at_fault_is_found_among_several(dsn: str) -> None:
    """Of two corrections that one statement carries out, the refused one is named."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, a text, b text, CHECK (b <> 'bad'));"
        "INSERT INTO t VALUES (1, 'anna', 'x', 'y')",
    )
    assert at_fault(dsn, Correction("a", "bad"), Correction("b", "bad")) == "b"


def test_fields_that_are_at_fault_together_are_named_together(dsn: str) -> None:
    """A check over two columns that either alone would pass names both."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, a int, b int, CHECK (a + b < 10));"
        "INSERT INTO t VALUES (1, 'anna', 1, 1)",
    )
    assert at_fault(dsn, Correction("a", "6"), Correction("b", "6")) == "a, b"
