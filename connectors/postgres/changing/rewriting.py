"""Rewrite rules (`CREATE RULE`): statements that the server adds to ours, or runs in their place.

In: the server's catalogue. Out: findings for the check, and a refusal before anything changes. What
a rule changes is neither counted nor held back by anything of ours: it may erase other people's
rows, or copy the erased ones elsewhere. Reading is not concerned.
"""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Iterator
from dataclasses import dataclass

from psycopg2.sql import SQL

from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.columns import inserted
from connectors.postgres.server.ddl import quoted, relation
from connectors.postgres.server.session import Session
from dsr_worker.contract import Configuration, Finding, Severity

_RULES = SQL("""
WITH RECURSIVE lies AS (
  SELECT r.rulename, r.ev_type, r.ev_class, r.ev_class AS oid FROM pg_rewrite r
  WHERE r.ev_type IN ('2', '3', '4') AND r.ev_enabled <> 'D'
  UNION
  SELECT l.rulename, l.ev_type, l.ev_class, i.inhparent
  FROM lies l JOIN pg_inherits i ON i.inhrelid = l.oid
)
SELECT n.nspname::text, c.relname::text, en.nspname::text, e.relname::text, l.rulename::text,
  CASE l.ev_type WHEN '2' THEN 'UPDATE' WHEN '3' THEN 'INSERT' ELSE 'DELETE' END
FROM lies l
JOIN pg_class c ON c.oid = l.oid AND c.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class e ON e.oid = l.ev_class JOIN pg_namespace en ON en.oid = e.relnamespace
ORDER BY 1, 2, 3, 4, 5
""")
"""Every rule beside its table and whatever that table is a partition or an heir of."""


@dataclass(frozen=True, slots=True)
class _Rewrite:
    """A rule that stands at a table, or at a partition or heir of it."""

    schema: str
    name: str
    at_schema: str
    at_name: str
    rule: str
    event: str

    @property
    def message(self) -> str:
        return (
            f"rule {self.rule} ON {self.event} of {self.at_schema}.{self.at_name} rewrites"
            " statements: it may erase or copy rows beyond the plan, held ones too"
        )

    @property
    def remedy(self) -> str:
        statement = f"DROP RULE {quoted(self.rule)} ON {relation(self.at_schema, self.at_name)};"
        return f"make it a trigger, whose reach is watched, or drop it: {statement}"


def findings(session: Session, tables: Catalogue) -> Iterator[Finding]:
    """Every rule on changes of a mapped table; on INSERT where rows are written as well."""
    found = _read(session)
    for table in tables.tables.values():
        for rewrite in found:
            at = (rewrite.schema, rewrite.name)
            written = rewrite.event != "INSERT" or bool(inserted(tables, table))
            if at == (table.schema, table.name) and written:
                yield Finding(
                    Severity.ERROR,
                    table.collection.name,
                    f"{rewrite.message}; nothing is changed while it stands",
                    rewrite.remedy,
                )


def refuse(
    session: Session, tables: Catalogue, changing: Names[Table], *, inserting: bool = False
) -> None:
    """Raise Configuration where a rule stands at a table of which rows may change.

    Foreign keys that change other rows (cascades, SET NULL) are statements as well.
    """
    at = {(table.schema, table.name) for table in changing}
    for table in changing:
        for reference in tables.pointing_at(table):
            if reference.changes or reference.on_delete == "c":
                at.add((reference.source.schema, reference.source.name))
    for rewrite in _read(session):
        if (rewrite.schema, rewrite.name) in at and (inserting or rewrite.event != "INSERT"):
            raise Configuration(f"{rewrite.message}; nothing was changed. {rewrite.remedy}")


def _read(session: Session) -> list[_Rewrite]:
    return [_Rewrite(*row) for row in session.rows(_RULES)]
