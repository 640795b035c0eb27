"""Statements for people to run: names quoted as the server reads them.

In: names of the catalogue. Out: texts. Nothing here is ever executed by us.
"""

from __future__ import annotations

from collections.abc import Iterable


def quoted(name: str) -> str:
    """A name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as a string constant."""
    return "'" + text.replace("'", "''") + "'"


def relation(schema: str, name: str) -> str:
    """A table with its schema."""
    return f"{quoted(schema)}.{quoted(name)}"


def listed(columns: Iterable[str]) -> str:
    """Columns, separated by commas."""
    return ", ".join(map(quoted, columns))


def index_on(target: str, *, partitioned: bool = False) -> str:
    """The statement that makes an index on a table and its columns or expressions, as written.

    It locks no writer out, but for partitioned tables, where the server knows no such way.
    """
    return f"CREATE INDEX {'' if partitioned else 'CONCURRENTLY '}ON {target};"
