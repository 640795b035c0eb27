"""What single versions of Postgres brought with them; `./scripts/versions` runs all on each.

A server that does not have a feature yet says so in the reason of the skip.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from psycopg2.extensions import make_dsn

from dsr_worker.contract import Action, HeldRows, Permanent, Rule, Severity
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_erasures import ANNA, ERASED, NULL, erased, masking
from tests.contract.postgres_shop import execute, outcomes, query
from tests.contract.postgres_tables import collection, connected, rows

Having = Callable[[int, str], str]


@pytest.fixture
def server(dsn: str) -> Having:
    """A database on a server of at least this major version, which brought this feature."""

    def made(oldest: int, feature: str) -> str:
        ((major,),) = query(dsn, "SELECT current_setting('server_version_num')::int / 10000")
        if major < oldest:
            pytest.skip(f"Postgres {major} has no {feature}")
        return dsn

    return made


def test_a_null_mask_that_nulls_not_distinct_refuses_changes_nothing(server: Having) -> None:
    """Where two nulls are equal, masking a second row to null is refused as a whole."""
    dsn = server(15, "NULLS NOT DISTINCT")
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, tag text UNIQUE NULLS NOT DISTINCT);"
        " INSERT INTO t VALUES (1, 'anna', 'a'), (2, 'anna', 'b')",
    )
    before = rows(dsn)
    with pytest.raises(Permanent, match="23505 of t_tag_key"):
        erased(connected(dsn, collection("t", masks={"tag": NULL})), masking(tag=NULL))
    assert rows(dsn) == before


def test_set_null_of_some_columns_lets_a_row_go(server: Having) -> None:
    """ON DELETE SET NULL (column) empties that column alone; the other part of the key stays."""
    dsn = server(15, "SET NULL of some columns")
    execute(
        dsn,
        "CREATE TABLE t (shop int, id int, owner text, PRIMARY KEY (shop, id));"
        " CREATE TABLE notes (id int PRIMARY KEY, shop int, of_t int, FOREIGN KEY (shop, of_t)"
        " REFERENCES t ON DELETE SET NULL (of_t));"
        " INSERT INTO t VALUES (1, 1, 'anna'); INSERT INTO notes VALUES (1, 1, 1)",
    )
    erased(connected(dsn, collection("t", key=("shop", "id"))))
    assert (rows(dsn), rows(dsn, "notes")) == ([], [("(1,1,)",)])


def test_whoever_may_maintain_a_view_refreshes_it(server: Having) -> None:
    """From 17 on the eraser need not own a materialised view: MAINTAIN is enough."""
    dsn = server(17, "MAINTAIN")
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text); INSERT INTO t VALUES (1, 'anna');"
        " CREATE MATERIALIZED VIEW copies AS SELECT * FROM t;"
        " DROP ROLE IF EXISTS zq_maintainer; CREATE ROLE zq_maintainer LOGIN;"
        " GRANT SELECT, UPDATE, DELETE ON t TO zq_maintainer;"
        " GRANT SELECT, MAINTAIN ON copies TO zq_maintainer;"
        " GRANT USAGE ON SCHEMA public TO zq_maintainer",
    )
    try:
        role = make_dsn(dsn, user="zq_maintainer")
        postgres = connected(role, collection("t"), refresh_views=True)
        assert not [f for f in postgres.check() if "copies" in f.message]
        erased(postgres)
        assert rows(dsn, "copies") == []
    finally:
        execute(dsn, "DROP OWNED BY zq_maintainer; DROP ROLE zq_maintainer")


def test_a_virtual_column_follows_what_is_masked(server: Having) -> None:
    """A generated column that is not stored is handed over, follows its source, takes no mask."""
    dsn = server(18, "virtual generated columns")
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, name text,"
        " loud text GENERATED ALWAYS AS (upper(name)) VIRTUAL);"
        " INSERT INTO t VALUES (1, 'anna', 'Anna')",
    )
    wrong = connected(dsn, collection("t", masks={"loud": NULL}))
    assert "t.loud" in {f.subject for f in wrong.check() if f.severity is Severity.ERROR}
    postgres = connected(dsn, collection("t", "loud", masks={"name": ERASED}))
    (record,) = postgres.find([ANNA], TrialContext())
    assert b'"loud":"ANNA"' in record.body
    erased(postgres, masking(name=ERASED))
    assert rows(dsn) == [("(1,anna,erased,ERASED)",)]


def test_a_period_that_a_kept_row_lies_in_stays(server: Having) -> None:
    """Temporal keys: a row whose period covers that of a held one is needed, the next one goes."""
    dsn = server(18, "temporal keys")
    execute(
        dsn,
        "CREATE TABLE t (id int4range, valid daterange, owner text,"
        " PRIMARY KEY (id, valid WITHOUT OVERLAPS));"
        " CREATE TABLE stays (id int PRIMARY KEY, t int4range, during daterange, owner text,"
        " FOREIGN KEY (t, PERIOD during) REFERENCES t (id, PERIOD valid));"
        " INSERT INTO t VALUES ('[1,2)', '[2020-01-01,2021-01-01)', 'anna'),"
        " ('[1,2)', '[2021-01-01,2022-01-01)', 'anna');"
        " INSERT INTO stays VALUES (1, '[1,2)', '[2020-03-01,2020-04-01)', 'anna')",
    )
    postgres = connected(
        dsn, collection("t", key=("id", "valid")), collection("stays", "t", "during")
    )
    assert not [f for f in postgres.check() if f.severity is Severity.ERROR]
    hold = Rule("hold", HeldRows("id", ("1",)), Action.KEEP, "dispute")
    told = outcomes(erased(postgres, stays=hold))
    assert told["anna", "t", "retained"] == told["anna", "t", "erased"] == 1
    assert rows(dsn) == [('("[1,2)","[2020-01-01,2021-01-01)",anna)',)]


def test_a_reference_that_is_not_enforced_does_nothing(server: Having) -> None:
    """NOT ENFORCED: neither does its cascade reach anything, nor does it keep a row."""
    dsn = server(18, "NOT ENFORCED")
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text);"
        " CREATE TABLE notes (id int PRIMARY KEY, of_t int REFERENCES t ON DELETE CASCADE"
        " NOT ENFORCED); INSERT INTO t VALUES (1, 'anna'); INSERT INTO notes VALUES (1, 1)",
    )
    erased(connected(dsn, collection("t")))
    assert (rows(dsn), rows(dsn, "notes")) == ([], [("(1,1)",)])
