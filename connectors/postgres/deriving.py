"""Stores that hold copies of mapped rows: materialised views, and columns of words to search by.

In: the catalogue. Out: findings. What a copy holds is gone only when the copy is made anew; a
generated column is made anew with its row.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg2.sql import SQL

from connectors.postgres import ddl
from connectors.postgres.catalogue import Catalogue
from connectors.postgres.columns import masked
from connectors.postgres.session import Session
from dsr_worker.contract import Finding, Severity

_VIEWS = SQL("""
WITH RECURSIVE reads AS (
  SELECT r.ev_class AS view, d.refobjid AS read FROM pg_rewrite r
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
), below AS (
  SELECT view, read FROM reads
  UNION SELECT b.view, r.read FROM below b JOIN reads r ON r.view = b.read
)
SELECT DISTINCT vn.nspname::text, v.relname::text, n.nspname::text, t.relname::text,
  EXISTS (SELECT FROM pg_index i WHERE i.indrelid = v.oid AND i.indisunique AND i.indisvalid
    AND i.indpred IS NULL AND i.indexprs IS NULL)
FROM below b
JOIN pg_class v ON v.oid = b.view AND v.relkind = 'm'
JOIN pg_namespace vn ON vn.oid = v.relnamespace
JOIN pg_class t ON t.oid = b.read JOIN pg_namespace n ON n.oid = t.relnamespace
ORDER BY 1, 2, 3, 4
""")


def findings(session: Session, tables: Catalogue) -> Iterator[Finding]:
    """Every derived store of a mapped table."""
    mapped = {(t.schema, t.name): t.collection.name for t in tables.tables.values()}
    for schema, name, source_schema, source, unique in session.rows(_VIEWS):
        collection = mapped.get((source_schema, source))
        if collection is not None:
            together = "CONCURRENTLY " if unique else ""
            yield Finding(
                Severity.WARNING,
                collection,
                f"the materialised view {schema}.{name} holds copies of its rows, which stay there"
                " after an erasure until it is made anew",
                f"after erasures, on a schedule: REFRESH MATERIALIZED VIEW {together}"
                f"{ddl.relation(schema, name)};",
            )
    for table in tables.tables.values():
        for column in table.columns.values():
            if column.base == "tsvector":
                name = table.collection.name
                followed = column.generated or column.name in masked(table)
                yield _words(f"{name}.{column.name}", name, followed=followed)


def _words(column: str, collection: str, *, followed: bool) -> Finding:
    if followed:
        message = f"the words in {column} go with what they were made of"
        return Finding(Severity.OK, collection, message)
    return Finding(
        Severity.WARNING,
        collection,
        f"{column} holds words of the row's texts, which stay there when the texts are masked",
        'map the column with mask: "null", or make it GENERATED ALWAYS AS (…) STORED',
    )
