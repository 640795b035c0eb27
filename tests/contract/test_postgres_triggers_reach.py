"""What triggers take away beside the planned rows: by TRUNCATE, and in tables outside the map."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from psycopg2.sql import SQL

from connectors.postgres import Postgres
from connectors.postgres.changing import tallying
from connectors.postgres.server import catalogue
from connectors.postgres.server.session import Session
from dsr_worker.contract import (
    Action,
    Always,
    Correction,
    DecisionTable,
    Identity,
    Mask,
    MaskKind,
    Permanent,
    Rule,
    Severity,
    Subject,
    SweepOrder,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import connected as other_connection
from tests.contract.postgres_shop import execute, query
from tests.contract.postgres_tables import collection, connected, rows

ANNA = Subject("anna", (Identity("owner", "anna"),))
MASKING = Rule("default", Always(), Action.MASK, "", {"v": Mask(MaskKind.NULL)})
KEEPING = Rule("hold", Always(), Action.KEEP, "dispute")
RIGHTS = Rule("default", Always(), Action.RECTIFY)
ERASE = Rule("default", Always(), Action.ERASE)

TABLES = """
CREATE TABLE t (id int PRIMARY KEY, owner text, v text);
CREATE TABLE u (id int PRIMARY KEY, owner text, v text);
CREATE TABLE kept (id int PRIMARY KEY, owner text);
CREATE TABLE beside (id int, owner text);
INSERT INTO t VALUES (1, 'anna', 'a'), (2, 'bert', 'b');
INSERT INTO u VALUES (1, 'carl', 'a'), (2, 'bert', 'b');
INSERT INTO kept VALUES (1, 'anna');
INSERT INTO beside VALUES (1, 'anna'), (2, 'bert');
"""


@pytest.fixture
def dsn(module_database: str) -> str:
    """A database with these tables alone."""
    execute(module_database, f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {TABLES}")
    return module_database


def mapped(dsn: str, *exempt: str) -> Postgres:
    """`t`, `u` and `kept`; `exempt` are the tables in which triggers of `t` may erase."""
    t = collection("t", masks={"v": Mask(MaskKind.NULL)}, source={"triggers_erase": [*exempt]})
    return connected(dsn, t, collection("u", "v"), collection("kept"))


def changed(postgres: Postgres, kind: str, tables: dict[str, DecisionTable]) -> object:
    """Change what is Anna's."""
    subject = Subject("anna", ANNA.identities, {"t": (Correction("v", "new"),)})
    keys = list(postgres.locate([ANNA], TrialContext()))
    return list(getattr(postgres, kind)([subject], keys, TrialContext(tables=tables)))


def plainly(postgres: Postgres) -> object:
    """Erase in one statement a collection."""
    return changed(postgres, "erase", {})


def row_by_row(postgres: Postgres) -> object:
    """Erase where another row stays."""
    return changed(postgres, "erase", {"kept": DecisionTable("kept", (KEEPING,))})


def mask(postgres: Postgres) -> object:
    """Mask."""
    return changed(postgres, "erase", {"t": DecisionTable("t", (MASKING,))})


def rectify(postgres: Postgres) -> object:
    """Put a value right."""
    return changed(postgres, "rectify", {n: DecisionTable(n, (RIGHTS,)) for n in ("t", "kept")})


def sweep(postgres: Postgres) -> object:
    """Sweep `t`."""
    order = SweepOrder("t", DecisionTable("t", (ERASE,)), 100)
    return list(postgres.sweep([order], TrialContext(tables={"t": order.table})))


WAYS: dict[str, Callable[[Postgres], object]] = {
    "plainly": plainly,
    "row by row": row_by_row,
    "masking": mask,
    "rectifying": rectify,
    "sweeping": sweep,
}


def acts(body: str, *, also: str = "", definer: bool = False) -> str:
    """A trigger of `t` that does this for each row that goes or changes."""
    return (
        "CREATE FUNCTION acts() RETURNS trigger LANGUAGE plpgsql"
        f" {'SECURITY DEFINER' if definer else ''} AS $$BEGIN {body};"
        " RETURN coalesce(NEW, OLD); END$$; CREATE TRIGGER acts AFTER DELETE OR UPDATE ON t"
        f" FOR EACH ROW EXECUTE FUNCTION acts(); {also}"
    )


def everything(dsn: str) -> list[object]:
    """All rows of all tables."""
    return [rows(dsn, name) for name in ("t", "u", "kept", "beside")]


@pytest.mark.parametrize("way", WAYS)
def test_a_trigger_may_not_empty_a_mapped_table(dsn: str, way: str) -> None:
    """TRUNCATE counts no row, and empties a table all the same: nothing is changed."""
    execute(dsn, acts("TRUNCATE u"))
    before, postgres = everything(dsn), mapped(dsn)
    with pytest.raises(Permanent, match=r"emptied u by TRUNCATE; nothing was changed\. Drop"):
        WAYS[way](postgres)
    assert everything(dsn) == before
    execute(dsn, "DROP TRIGGER acts ON t")
    WAYS[way](postgres)


@pytest.mark.parametrize("body", ["DELETE FROM beside WHERE owner = 'bert'", "TRUNCATE beside"])
@pytest.mark.parametrize("way", WAYS)
def test_a_trigger_may_not_erase_outside_the_map(dsn: str, way: str, body: str) -> None:
    """Whose rows go there nobody has judged: refused, with the table, and both ways out work."""
    execute(dsn, acts(body, definer=True))
    before = everything(dsn)
    with pytest.raises(Permanent, match=r"(1 rows of|emptied) public\.beside, which is not in"):
        WAYS[way](mapped(dsn))
    assert everything(dsn) == before
    WAYS[way](mapped(dsn, "public.beside"))
    assert len(rows(dsn, "beside")) == (0 if body.startswith("T") else 1)


def test_emptying_a_part_of_a_mapped_table_counts(dsn: str) -> None:
    """A partition is what its table is."""
    execute(
        dsn,
        "DROP TABLE u; CREATE TABLE u (id int, owner text, v text) PARTITION BY LIST (owner);"
        "CREATE TABLE u_bert PARTITION OF u FOR VALUES IN ('bert');"
        "INSERT INTO u VALUES (2, 'bert', 'b')",
    )
    execute(dsn, acts("TRUNCATE u_bert"))
    with pytest.raises(Permanent, match="emptied u by TRUNCATE"):
        row_by_row(mapped(dsn))
    assert query(dsn, "SELECT count(*) FROM u") == [(1,)]


INNOCENT = {
    "audit": "INSERT INTO beside VALUES (OLD.id, 'log')",
    "outbox": "INSERT INTO beside VALUES (9, 'x'); DELETE FROM beside WHERE id = 9",
    "summary": "DELETE FROM beside WHERE id = 2; INSERT INTO beside VALUES (2, 'bert')",
    "update": "UPDATE beside SET owner = 'n'",
    "lock": "LOCK TABLE beside; LOCK TABLE u",
    "partition": "CREATE TABLE IF NOT EXISTS p1 PARTITION OF parted FOR VALUES IN (1);"
    " INSERT INTO parted VALUES (1)",
    "moved": "UPDATE moving SET n = 2",
    "in vain": "BEGIN TRUNCATE u; RAISE 'no'; EXCEPTION WHEN raise_exception THEN NULL; END",
    "scratch": "CREATE TEMP TABLE IF NOT EXISTS scratch ON COMMIT DROP AS SELECT 1 AS n;"
    " DELETE FROM scratch",
}


@pytest.mark.parametrize("case", INNOCENT)
def test_triggers_that_take_nothing_away_hinder_nobody(dsn: str, case: str) -> None:
    """What is written, written anew, moved, locked or made is no loss."""
    also = (
        "CREATE TABLE parted (n int) PARTITION BY LIST (n);"
        "CREATE TABLE moving (n int) PARTITION BY LIST (n);"
        "CREATE TABLE m1 PARTITION OF moving FOR VALUES IN (1);"
        "CREATE TABLE m2 PARTITION OF moving FOR VALUES IN (2); INSERT INTO moving VALUES (1)"
    )
    execute(dsn, acts(INNOCENT[case], also=also))
    for way in rectify, mask, row_by_row:
        way(mapped(dsn))
    assert rows(dsn) == [("(2,bert,b)",)]


def test_a_table_that_others_rewrite_meanwhile_hinders_nobody(dsn: str) -> None:
    """VACUUM FULL and TRUNCATE of another session give tables new files as well."""
    postgres = mapped(dsn)
    with other_connection(dsn) as connection:
        session = Session(connection)
        session.run(SQL("BEGIN; CREATE TEMP TABLE ours (n int) ON COMMIT DROP; LOCK TABLE t"))
        tally = tallying.begun(session, catalogue.read(session, postgres.system))
        execute(dsn, "VACUUM FULL u")
        execute(dsn, "TRUNCATE beside")
        assert not tally.exceeds({})
        session.run(SQL("TRUNCATE beside"))
        assert tally.exceeds({})


def test_the_check_knows_the_tables_in_which_triggers_may_erase(dsn: str) -> None:
    """A name that is no table, or is in the map, exempts nothing: the check says so."""
    found = list(mapped(dsn, "beside", "gone", "public.u").check())
    wrong = [f for f in found if "triggers_erase names" in f.message]
    assert [(f.subject, f.severity) for f in wrong] == [("t", Severity.ERROR)] * 2
    assert ["public.gone" in f.message for f in wrong] == [True, False]
