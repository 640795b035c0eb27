"""The check of means of restriction: what stands in their way is told in time."""

from __future__ import annotations

import pytest

from dsr_worker.contract import Finding, Parent, Restriction, RestrictionKind, Severity
from tests.contract.postgres_shop import execute
from tests.contract.postgres_tables import collection, connected

MOVE = Restriction(RestrictionKind.MOVE, collection="moved")
LIST = Restriction(RestrictionKind.LIST, collection="listed")

TABLES = """
DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS restricted CASCADE; CREATE SCHEMA public;
CREATE SCHEMA restricted;
CREATE TABLE t (id int PRIMARY KEY, owner text, v text, o oid,
  flag varchar(3) NOT NULL DEFAULT 'no',
  made text GENERATED ALWAYS AS (owner) STORED);
CREATE TABLE restricted.t (LIKE t INCLUDING ALL);
CREATE TABLE listed (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t_id int);
CREATE INDEX ON listed (t_id);
CREATE VIEW free AS SELECT * FROM t WHERE id NOT IN (SELECT t_id FROM listed);
"""


UNLINK = "CREATE TRIGGER u BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION lo_manage(o)"


def told(dsn: str, means: Restriction, ddl: str = "", **source: object) -> list[Finding]:
    """What the check says of the means and not of the same tables without them."""
    execute(dsn, TABLES + ddl)

    def found(means: Restriction | None) -> list[Finding]:
        there = {"schema": "restricted", "table": "t"}
        postgres = connected(
            dsn,
            collection("t", "v", restriction=means, source=source),
            collection("moved", "v", source=there),
            collection("listed", "t_id", owner=None, parent=Parent("t", {"t_id": "id"})),
        )
        return [f for f in postgres.check() if f.severity is not Severity.OK]

    before = found(None)
    return [finding for finding in found(means) if finding not in before]


def flag(field: str, value: str | None = "yes", free: str | None = "no") -> Restriction:
    """A flag."""
    return Restriction(RestrictionKind.FLAG, field, value, free)


@pytest.mark.parametrize("means", [flag("flag"), MOVE, LIST], ids=lambda m: m.kind.value)
def test_means_that_work_are_not_spoken_of(module_database: str, means: Restriction) -> None:
    """A flag of its type, a table with all columns, a list with its view: nothing to do."""
    assert told(module_database, means) == []


WRONG = {
    "no such column": (flag("gone"), "", "error", "no column for field 'gone'"),
    "too long": (flag("flag", "restricted"), "", "error", "`value` of the flag does not fit"),
    "of no number": (flag("id"), "", "error", "`value` of the flag does not fit"),
    "null": (flag("flag", free=None), "", "error", "`free` is null, the column is NOT NULL"),
    "the same": (flag("flag", "no"), "", "error", "restricted and free are one value"),
    "generated": (flag("made"), "", "error", "a generated column cannot be a flag"),
    "a column lost": (
        MOVE,
        "ALTER TABLE restricted.t DROP COLUMN v, ADD COLUMN v varchar(9)",
        "error",
        "restricted.t cannot hold its v",
    ),
    "more demanded": (
        MOVE,
        "ALTER TABLE restricted.t ADD COLUMN why text NOT NULL",
        "error",
        "restricted.t demands why",
    ),
    "left behind": (
        MOVE,
        "CREATE TABLE x (id int PRIMARY KEY, t_id int REFERENCES t)",
        "warning",
        "rows that public.x refers to cannot move",
    ),
    "open to all": (MOVE, "GRANT SELECT ON restricted.t TO PUBLIC", "warning", "everybody may"),
    "unlinking": (
        MOVE,
        "CREATE EXTENSION lo;" + UNLINK,
        "error",
        "would unlink the large objects",
    ),
    "no view": (LIST, "DROP VIEW free", "warning", "no view leaves out what public.listed lists"),
    "a list demands": (
        LIST,
        "ALTER TABLE listed ADD COLUMN why text NOT NULL",
        "error",
        "public.listed demands why",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_stands_in_the_way_is_told_with_what_to_do(module_database: str, case: str) -> None:
    """One finding for each, of the right weight."""
    means, ddl, severity, words = WRONG[case]
    found = [f for f in told(module_database, means, ddl) if words in f.message]
    assert [f.severity.value for f in found] == [severity]
    assert found[0].remedy


def test_large_objects_are_named_where_their_rows_go(module_database: str) -> None:
    """An object that only a moved row names must not go with another row."""
    found = told(module_database, MOVE, large_objects=["o"])
    assert ["does not name its large objects" in f.message for f in found] == [True]
