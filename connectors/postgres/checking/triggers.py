r"""Triggers of mapped tables that write with the rights of whoever erases, and where they write.

In: the server's catalogue. Out: the mapped tables that a trigger on DELETE or UPDATE names after
INSERT INTO, where its function is not SECURITY DEFINER. What a function's text puts together while
it runs is not seen.
"""

from __future__ import annotations

import re

from psycopg2.sql import SQL

from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.session import Session

WRITING = re.compile(
    r"\b(insert\s+into|delete\s+from|merge\s+into|update\s+(only\s+)?[^\s;]+(\s+(as\s+)?\w+)?\s+set)\b",
    re.IGNORECASE,
)

_INVOKED = SQL("""
SELECT DISTINCT n.nspname::text, c.relname::text, p.prosrc
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_proc p ON p.oid = t.tgfoid AND NOT p.prosecdef
WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 24 > 0
""")
"""Bits 8 and 16 of tgtype: fires on DELETE, on UPDATE."""


def writes_into(source: str, table: Table) -> bool:
    """Whether a function's text inserts into a table, by its name with or without the schema."""
    schema, name = (rf'"?{re.escape(part)}"?' for part in (table.schema, table.name))
    insert = rf"\binsert\s+into\s+({schema}\s*\.\s*)?{name}(?![\w.])"
    return re.search(insert, source, re.IGNORECASE) is not None


def written(session: Session, tables: Catalogue) -> list[Table]:
    """The mapped tables into which triggers of mapped tables insert by the eraser's rights."""
    at = {(table.schema, table.name) for table in tables.tables.values()}
    sources = [source for schema, name, source in session.rows(_INVOKED) if (schema, name) in at]
    return [
        table
        for table in tables.tables.values()
        if any(writes_into(source, table) for source in sources)
    ]
