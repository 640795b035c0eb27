"""What the server itself has counted as erased, against what was planned.

In: the mapped tables, before anything changes; afterwards how many rows were to go. Out: a refusal
where more have gone: a trigger erases by statements of its own, which no count of ours sees. The
counts are those of the running transaction, tries that were rolled back included: compare within
one try. A server that counts nothing (`track_counts`) cannot be asked, which the check tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from psycopg2.sql import SQL, Literal

from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.session import Session
from dsr_worker.contract import Finding, Permanent, Severity

Going = Mapping[tuple[str, str], int]
"""How many rows are to go, by schema and table."""

_COUNTED = SQL("pg_stat_get_xact_tuples_deleted({0}), pg_stat_get_xact_tuples_inserted({0})")
_BEGUN = SQL("""
WITH RECURSIVE lies AS (
  SELECT w.collection, c.oid FROM (VALUES {}) w (collection, schema, name)
  JOIN pg_namespace n ON n.nspname = w.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
  UNION
  SELECT l.collection, i.inhrelid FROM lies l JOIN pg_inherits i ON i.inhparent = l.oid
)
SELECT collection, oid::int8, {} FROM lies
""")
_SINCE = SQL("SELECT o, {} FROM unnest({}::int8[]) o")


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts as they stood when it was begun."""

    session: Session
    catalogue: Catalogue
    parts: Mapping[str, frozenset[int]]  # of each collection's table, itself included
    before: Mapping[int, tuple[int, int]]  # erased and written

    def refuse_excess(self, going: Going) -> None:
        """Raise Permanent where more rows of a mapped table have gone than were to go."""
        for name, rows in self.excess(going).items():
            raise Permanent(
                f"a trigger erased {rows} rows of {name} beyond the plan; nothing was changed. Drop"
                " it, or let it erase no more than what the data map finds"
            )

    def excess(self, going: Going) -> dict[str, int]:
        """How many rows too many have gone, by collection."""
        since = self._since()
        found = {}
        for table in self.catalogue.tables.values():
            parts = self.parts[table.collection.name]
            erased = sum(since[part][0] - self.before[part][0] for part in parts)
            if erased and (more := erased - self._let(table, going, since)) > 0:
                found[table.collection.name] = more
        return found

    def _since(self) -> dict[int, tuple[int, int]]:
        query = _SINCE.format(_COUNTED.format(SQL("o::oid")), Literal(list(self.before)))
        return {part: (erased, written) for part, erased, written in self.session.rows(query)}

    def _let(self, table: Table, going: Going, since: Mapping[int, tuple[int, int]]) -> int:
        """How many may have gone; a row that changes its partition goes here and comes there."""
        parts = self.parts[table.collection.name]
        among = {
            (other.schema, other.name)
            for other in self.catalogue.tables.values()
            if parts & self.parts[other.collection.name]
        }
        moved = sum(since[part][1] - self.before[part][1] for part in parts) if table.split else 0
        return moved + sum(rows for at, rows in going.items() if at in among)


def begun(session: Session, catalogue: Catalogue) -> Tally:
    """What the server has counted up to now."""
    tables = SQL(", ").join(
        SQL("({}, {}, {})").format(Literal(name), Literal(table.schema), Literal(table.name))
        for name, table in catalogue.tables.items()
    )
    found = session.rows(_BEGUN.format(tables, _COUNTED.format(SQL("oid"))))
    parts: dict[str, set[int]] = {name: set() for name in catalogue.tables}
    for name, part, _, _ in found:
        parts[name].add(part)
    before = {part: (erased, written) for _, part, erased, written in found}
    return Tally(session, catalogue, {n: frozenset(p) for n, p in parts.items()}, before)


def findings(session: Session, system: str) -> Iterator[Finding]:
    """Whether the server counts at all."""
    if session.rows(SQL("SELECT current_setting('track_counts')"))[0][0] != "on":
        yield Finding(
            Severity.WARNING,
            system,
            "track_counts is off: rows that a trigger erases beyond the plan go unseen",
            "SET track_counts = on for the server or for the role",
        )
