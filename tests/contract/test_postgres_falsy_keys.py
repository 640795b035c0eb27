"""A key that is 0, '', false or NULL names its own row and no other, on every disposition."""

from __future__ import annotations

import pytest

from dsr_worker.contract import (
    Action,
    HeldRows,
    Identity,
    Outcome,
    Parent,
    Permanent,
    Rule,
    Severity,
    Subject,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_erasures import HELD, KEPT, NULL, erased, found, masking
from tests.contract.postgres_shop import ERASE, execute, outcomes, query
from tests.contract.postgres_tables import collection, connected, rows

FALSY = {
    "bigint": ("0", "-1"),
    "numeric": ("0", "-0.5"),
    "text": ("", "0"),
    "boolean": ("false", "true"),
    "char(3)": ("", "0"),
    "bytea": ("\\x", "\\x00"),
    "double precision": ("0", "-1"),
    "date": ("0001-01-01", "1970-01-01"),
}
DISPOSITIONS = {
    "erase": (ERASE, Outcome.ERASED),
    "mask": (masking(name=NULL), Outcome.MASKED),
    "minimum": (KEPT, Outcome.RETAINED),
    "held person": (HELD, Outcome.RETAINED),
    "held row": (None, Outcome.RETAINED),
}


@pytest.mark.parametrize("disposition", DISPOSITIONS)
@pytest.mark.parametrize("kind", FALSY)
def test_a_falsy_key_names_its_own_row_and_no_other(dsn: str, kind: str, disposition: str) -> None:
    """Of rows that share all but a falsy part of their key, Anna's alone is dealt with."""
    falsy, other = FALSY[kind]
    execute(
        dsn,
        f"CREATE TABLE t (a {kind}, b {kind}, owner text, name text, at timestamptz,"
        " PRIMARY KEY (a, b))",
    )
    keys = [(falsy, falsy), (falsy, other), (other, falsy), (other, other)]
    owned = [(*key, "bert" if n else "anna") for n, key in enumerate(keys)]
    execute(dsn, "INSERT INTO t VALUES (%s, %s, %s, 'name', '2024-01-01')", owned)
    before = rows(dsn)
    rule, outcome = DISPOSITIONS[disposition]
    rule = rule or Rule("hold", HeldRows("b", (falsy,)), Action.KEEP, "RECALL")
    mapped = collection("t", "at", key=("a", "b"), masks={"name": NULL})
    receipts = erased(connected(dsn, mapped), rule)
    assert outcomes(receipts) == {("anna", "t", outcome): 1}
    after = rows(dsn)
    if outcome is Outcome.RETAINED:
        assert after == before
    else:
        assert len(set(before) - set(after)) == 1
        assert query(dsn, "SELECT count(*) FROM t WHERE owner = 'bert' AND name = 'name'") == [(3,)]
        left = query(dsn, "SELECT name FROM t WHERE owner = 'anna'")
        assert left == ([] if outcome is Outcome.ERASED else [(None,)])


@pytest.mark.parametrize(
    ("kind", "falsy"), [("bigint", "0"), ("text", ""), ("boolean", "false"), ("bigint", "-1")]
)
def test_rows_below_a_falsy_key_go_with_it(dsn: str, kind: str, falsy: str) -> None:
    """A parent's key of 0, '' or false leads to its own children, and a null leads nowhere."""
    other = "true" if kind == "boolean" else "8"
    execute(
        dsn,
        f"CREATE TABLE p (id {kind} PRIMARY KEY, owner text);"
        f"CREATE TABLE c (id int PRIMARY KEY, up {kind} REFERENCES p)",
    )
    execute(dsn, "INSERT INTO p VALUES (%s, %s)", [(falsy, "anna"), (other, "bert")])
    execute(dsn, "INSERT INTO c VALUES (%s, %s)", [(0, falsy), (1, other), (2, None)])
    child = collection("c", "up", owner=None, parent=Parent("p", {"up": "id"}))
    receipts = erased(connected(dsn, collection("p"), child), at="p")
    assert outcomes(receipts) == {("anna", "p", "erased"): 1, ("anna", "c", "erased"): 1}
    assert [key for (key,) in query(dsn, "SELECT id FROM c ORDER BY id")] == [1, 2]


def test_empty_and_null_names_are_nobodys(dsn: str) -> None:
    """Rows without an owner's name belong to nobody, whatever a request came with."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text)")
    execute(dsn, "INSERT INTO t VALUES (%s, %s)", [(1, ""), (2, None), (3, " ")])
    nobody = Subject("n", tuple(Identity("owner", v) for v in ("", " ", "\t")))
    assert not list(connected(dsn, collection("t")).locate([nobody], TrialContext()))


def test_a_null_in_a_key_is_refused(dsn: str) -> None:
    """A key that may be null names no row: the check says so, and nothing is erased by it."""
    execute(
        dsn,
        "CREATE TABLE t (a int, b int, owner text, UNIQUE (a, b));"
        " INSERT INTO t VALUES (1, NULL, 'anna'), (1, NULL, 'bert')",
    )
    postgres = connected(dsn, collection("t", key=("a", "b")))
    assert found(postgres, "a key column may be null").severity is Severity.ERROR
    before = rows(dsn)
    with pytest.raises(Permanent, match="NOT NULL"):
        erased(postgres)
    assert rows(dsn) == before


def test_a_field_is_masked_by_its_whole_name(dsn: str) -> None:
    """Neither a longer name nor a longer path that begins alike is touched."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, cookie text, cookie_id text, doc jsonb);"
        """INSERT INTO t VALUES (1, 'anna', 'c', 'i', '{"mail": "a", "mail_ok": true}')""",
    )
    mapped = collection("t", "cookie_id", masks={"cookie": NULL, "doc->>mail": NULL})
    erased(connected(dsn, mapped), masking(cookie=NULL, **{"doc->>mail": NULL}))
    left = query(dsn, "SELECT cookie, cookie_id, doc FROM t")
    assert left == [(None, "i", {"mail_ok": True})]
