"""The check explains how rows would be put right and restricted, as it does for erasing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from connectors.postgres import Postgres
from connectors.postgres.checking.explaining import Explained
from dsr_worker.contract import Finding, Parent, Restriction, RestrictionKind, Severity
from tests.contract.postgres_shop import database_of_a_module, execute
from tests.contract.postgres_tables import collection, connected

ROWS = 120_000
MEANS = {
    "flag": Restriction(RestrictionKind.FLAG, "flag"),
    "move": Restriction(RestrictionKind.MOVE, collection="moved"),
    "list": Restriction(RestrictionKind.LIST, collection="listed"),
}


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> Iterator[str]:
    """A big table, another like it that rows move to, and a list; all with their indexes."""
    with database_of_a_module(postgres_dsn) as dsn:
        execute(
            dsn,
            "CREATE TABLE t (id int PRIMARY KEY, owner text, flag boolean, n int NOT NULL,"
            " doc json);"
            "CREATE TABLE moved (LIKE t INCLUDING ALL);"
            "CREATE TABLE listed (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t_id int);"
            "CREATE INDEX ON t (owner); CREATE INDEX ON moved (owner);"
            "CREATE INDEX listing ON listed (t_id)",
        )
        for table, columns in (("t", "n, 'o' || n"), ("moved", "n, 'o' || n")):
            execute(
                dsn,
                f"INSERT INTO {table} SELECT {columns}, false, 0, '{{}}'"  # noqa: S608 - our own names
                f" FROM generate_series(1, {ROWS}) n",
            )
        execute(dsn, f"INSERT INTO listed (t_id) SELECT generate_series(1, {ROWS}); ANALYZE")
        yield dsn


def mapped(dsn: str, kind: str) -> Postgres:
    """`t`, restricted by these means."""
    t = collection("t", "flag", "n", "doc", "doc->>x", restriction=MEANS[kind])
    moved = replace(t, name="moved", restriction=None, source={"table": "moved"})
    listed = collection("listed", "t_id", owner=None, parent=Parent("t", {"t_id": "id"}))
    others = {"flag": [], "move": [moved], "list": [listed]}
    return connected(dsn, t, *others[kind])


def scans(postgres: Postgres) -> list[Finding]:
    """What would be read as a whole."""
    found = list(postgres.check())
    assert not [f for f in found if f.severity is Severity.ERROR], found
    return [f for f in found if "reads all of" in f.message]


@pytest.mark.parametrize("kind", MEANS)
def test_statements_of_all_changes_are_explained(
    dsn: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Each means both ways, and an UPDATE of every field that may be put right, without a value."""
    seen: list[str] = []
    look = Explained._look

    def looked(session: Explained, text: str) -> bool:
        seen.append(text)
        return look(session, text)

    monkeypatch.setattr(Explained, "_look", looked)
    assert not scans(mapped(dsn, kind))
    updates = [text for text in seen if text.startswith('UPDATE "public"."t" t SET')]
    assert any(
        all(f'"{name}" = CASE' in text for name in ("n", "doc", "owner")) for text in updates
    )
    wanted = {
        "flag": ['UPDATE "public"."t" t SET "flag" = '],
        "move": [
            f'{verb} "public"."{name}"'
            for verb in ("INSERT INTO", "DELETE FROM")
            for name in ("t", "moved")
        ],
        "list": ['INSERT INTO "public"."listed"', 'DELETE FROM "public"."listed"'],
    }
    for beginning in wanted[kind]:
        assert any(text.startswith(beginning) for text in seen), beginning
    assert not [text for text in seen if "nobody" in text]


def test_means_that_do_not_work_are_told_once_and_explained_never(dsn: str) -> None:
    """A table that lacks a column is an error of its own; the rest of the check goes on."""
    execute(dsn, "ALTER TABLE moved DROP COLUMN doc")
    try:
        postgres = mapped(dsn, "move")
        found = list(postgres.check())
    finally:
        execute(dsn, "ALTER TABLE moved ADD COLUMN doc json")
    errors = [f.message for f in found if f.severity is Severity.ERROR]
    assert len(errors) == 1
    assert "doc" in errors[0]
