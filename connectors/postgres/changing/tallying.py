"""What the server itself has counted as erased, against what was planned.

In: the mapped tables, before anything changes; afterwards how many rows were to go. Out: a refusal
where more have gone: a trigger erases by statements of its own, which no count of ours sees. A
mapped table may lose no more rows than were to go. One outside the map may lose none: rows that are
written anew or moved to another partition are no loss, and a table may be exempt by name, where its
rows are derived (a queue, a cache). No table may be emptied by TRUNCATE, which resets the counts.

The counts are those of the running transaction, tries that were rolled back included: compare
within one try. A server that counts nothing (`track_counts`) cannot be asked, which the check
tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg2.sql import SQL, Literal

from connectors.postgres.server import ddl
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.session import Session
from dsr_worker.contract import Finding, Permanent, Severity

Going = Mapping[tuple[str, str], int]
"""How many rows are to go, by schema and table."""

_DROP_IT = "Drop the trigger, or let it erase no more than what the data map finds"

_FIRST_OID = 16384  # below are the server's own tables (FirstNormalObjectId)
_COUNTED = SQL(f"""
SELECT c.oid::int8, n.nspname::text, c.relname::text, c.erased, c.written, c.anew
FROM (SELECT oid, relnamespace, relname, pg_stat_get_xact_tuples_deleted(oid) AS erased,
    pg_stat_get_xact_tuples_inserted(oid) AS written, age(xmin) <= 0 AS anew
  FROM pg_class WHERE relkind = 'r' AND relpersistence <> 't' AND oid >= {_FIRST_OID}::oid) c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.erased > 0 OR c.written > 0 OR c.anew
""")  # noqa: S608 - a number of our own
"""TRUNCATE gives a table a new file, and writes its row of pg_class anew: by this transaction, or
by one that is no older."""

_EMPTIED = SQL("""
SELECT l.relation::int8 FROM pg_locks l
WHERE l.pid = pg_backend_pid() AND l.mode = 'AccessExclusiveLock'
  AND l.relation = ANY ({oids}::oid[])
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND NOT EXISTS (SELECT FROM pg_attribute a
    WHERE a.attrelid = l.relation AND a.attnum = 1 AND age(a.xmin) <= 0)
""")
"""Of these those that we have locked as TRUNCATE does, and not made just now."""

_ABOVE = SQL("""
WITH RECURSIVE above AS (
  SELECT o AS part, o::oid AS oid FROM unnest({}::int8[]) o
  UNION SELECT a.part, i.inhparent FROM above a JOIN pg_inherits i ON i.inhrelid = a.oid
)
SELECT a.part, n.nspname::text, c.relname::text
FROM above a JOIN pg_class c ON c.oid = a.oid JOIN pg_namespace n ON n.oid = c.relnamespace
""")
"""What tables are partitions or heirs of, themselves included."""

_Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Part:
    """A table that holds rows, as far as this transaction has changed it."""

    oid: int
    schema: str
    name: str
    erased: int
    written: int
    anew: bool

    @property
    def at(self) -> _Name:
        """Schema and name."""
        return self.schema, self.name


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts as they stood when it was begun."""

    session: Session
    catalogue: Catalogue
    before: Mapping[int, _Part]

    def refuse_excess(self, going: Going) -> None:
        """Raise Permanent where more has gone than was to go."""
        for message in self._beyond(going):
            raise Permanent(message)

    def exceeds(self, going: Going) -> bool:
        """Whether more has gone than was to go."""
        return any(self._beyond(going))

    def _beyond(self, going: Going) -> Iterator[str]:
        changed = list(self._since())
        above = self._above(changed)
        emptied = self._emptied(changed)
        mapped = {(table.schema, table.name) for table in self.catalogue.tables.values()}
        for table in self.catalogue.tables.values():
            parts = [part for part in changed if (table.schema, table.name) in above[part.oid]]
            among = {(table.schema, table.name)}.union(*(above[part.oid] for part in parts))
            let = sum(rows for at, rows in going.items() if at in among)
            yield from _of_mapped(table, parts, emptied, let)
        others = [part for part in changed if not mapped & above[part.oid]]
        yield from self._of_others(others, emptied, above)

    def _since(self) -> Iterator[_Part]:
        for part in _counted(self.session):
            before = self.before.get(part.oid)
            if before is not None:
                erased, written = part.erased - before.erased, part.written - before.written
                yield replace(part, erased=erased, written=written)
            else:
                yield part

    def _above(self, changed: Sequence[_Part]) -> Mapping[int, frozenset[_Name]]:
        """By table, its name and those of what it is a part of."""
        above = {part.oid: {part.at} for part in changed}
        tables = self.catalogue.tables.values()
        mapped = {(table.schema, table.name) for table in tables}
        lost = any(part.erased or part.anew for part in changed if part.at not in mapped)
        if lost or any(table.split for table in tables):
            for part, *name in self.session.rows(_ABOVE.format(Literal(list(above)))):
                above[part].add((name[0], name[1]))
        return {part: frozenset(names) for part, names in above.items()}

    def _emptied(self, changed: Sequence[_Part]) -> frozenset[int]:
        anew = [part.oid for part in changed if part.anew]
        if not anew:
            return frozenset()
        query = _EMPTIED.format(oids=Literal(anew))
        return frozenset(oid for (oid,) in self.session.rows(query))

    def _of_others(
        self,
        others: Sequence[_Part],
        emptied: frozenset[int],
        above: Mapping[int, frozenset[_Name]],
    ) -> Iterator[str]:
        """Tables outside the map: what a row becomes elsewhere in its family is no loss."""
        exempt = {at for table in self.catalogue.tables.values() for at in table.triggers_erase}
        for part in others:
            family = [other for other in others if above[part.oid] & above[other.oid]]
            lost = sum(other.erased - other.written for other in family)
            if exempt & above[part.oid] or not (part.oid in emptied or (part.erased and lost > 0)):
                continue
            did = "emptied" if part.oid in emptied else f"erased {lost} rows of"
            table = f"{part.schema}.{part.name}"
            yield (
                f"a trigger {did} {table}, which is not in the data map; nothing was changed. Map"
                " it, so that its rows are found and judged like any others; or, where they are"
                f" derived (a queue, a cache), say `triggers_erase: [{table}]` in the source of the"
                " collection that has the trigger; or drop the trigger"
            )


def _of_mapped(
    table: Table, parts: Sequence[_Part], emptied: frozenset[int], let: int
) -> Iterator[str]:
    """A row that changes its partition goes here and comes there."""
    name = table.collection.name
    if any(part.oid in emptied for part in parts):
        yield f"a trigger emptied {name} by TRUNCATE; nothing was changed. {_DROP_IT}"
    erased = sum(part.erased for part in parts)
    moved = sum(part.written for part in parts) if table.split else 0
    if erased and (more := erased - moved - let) > 0:
        yield (
            f"a trigger erased {more} rows of {name} beyond the plan; nothing was changed."
            f" {_DROP_IT}"
        )


def _counted(session: Session) -> Iterator[_Part]:
    return (_Part(*row) for row in session.rows(_COUNTED))


def begun(session: Session, catalogue: Catalogue) -> Tally:
    """What the server has counted up to now."""
    return Tally(session, catalogue, {part.oid: part for part in _counted(session)})


def findings(session: Session, tables: Catalogue) -> Iterator[Finding]:
    """Whether the server counts at all, and whether what is exempt can be."""
    if session.rows(SQL("SELECT current_setting('track_counts')"))[0][0] != "on":
        yield Finding(
            Severity.WARNING,
            tables.system.name,
            "track_counts is off: rows that a trigger erases beyond the plan go unseen",
            "SET track_counts = on for the server or for the role",
        )
    mapped = {(table.schema, table.name) for table in tables.tables.values()}
    for table in tables.tables.values():
        for schema, name in table.triggers_erase:
            query = SQL("SELECT to_regclass({})").format(Literal(ddl.relation(schema, name)))
            if (schema, name) in mapped or session.rows(query)[0][0] is None:
                yield Finding(
                    Severity.ERROR,
                    table.collection.name,
                    f"triggers_erase names {schema}.{name}, which is no table outside the map",
                    "name a table as SCHEMA.TABLE, or take it out: in mapped tables triggers erase"
                    " nothing beyond the plan",
                )
