"""Foreign keys: which tables point at the mapped ones, and in which order they let go.

In: the server's catalogue, with the wanted tables in `pg_temp.dsr_wanted`. Out: `Reference`s, also
those of and to the partitions and heirs of a mapped table, and groups of names, children first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2.sql import SQL, Composable, Identifier

from connectors.postgres.server.session import Session


@dataclass(frozen=True, slots=True)
class Relation:
    """A table by its name, as a foreign key sees it: its own rows, or those of its partitions."""

    schema: str
    name: str
    partitioned: bool

    @property
    def sql(self) -> Composable:
        """The rows of which a foreign key speaks; tables that inherit from it are none of them."""
        return SQL("{}{}").format(
            SQL("" if self.partitioned else "ONLY "), Identifier(self.schema, self.name)
        )

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key that points at a mapped table, or at a table that is a part of one."""

    name: str
    source: Relation
    columns: tuple[str, ...]
    target: Relation
    target_columns: tuple[str, ...]
    on_delete: str  # a no action, r restrict, c cascade, n set null, d set default
    on_update: str
    sources: tuple[str, ...]  # the collections that its rows belong to
    targets: tuple[str, ...]
    by_period: bool = False  # the last columns are ranges, of which the one covers the other

    @property
    def changes(self) -> bool:
        """Whether the schema changes rows that refer when what they refer to goes or changes."""
        return self.on_delete in {"n", "d"} or self.on_update in {"c", "n", "d"}

    def points(self, source: str, target: str) -> Composable:
        """Whether the row `source` refers to the row `target`."""
        pairs = list(zip(self.columns, self.target_columns, strict=True))
        same = ["="] * len(pairs)
        if self.by_period:
            same[-1] = "&&"
        return SQL(" AND ").join(
            SQL("{} {} {}").format(Identifier(source, ours), SQL(by), Identifier(target, theirs))
            for (ours, theirs), by in zip(pairs, same, strict=True)
        )


# conperiod and conenforced are from Postgres 18 on: a reference that is not enforced does nothing.
_QUERY = SQL("""
WITH RECURSIVE lies AS (
  SELECT w.collection, c.oid FROM pg_temp.dsr_wanted w
  JOIN pg_namespace n ON n.nspname = w.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p')
  UNION
  SELECT l.collection, i.inhrelid FROM lies l JOIN pg_inherits i ON i.inhparent = l.oid
)
SELECT f.conname::text, sn.nspname::text, s.relname::text, s.relkind = 'p', ARRAY(
    SELECT a.attname::text FROM unnest(f.conkey) WITH ORDINALITY AS k(attnum, n)
    JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum ORDER BY k.n),
  tn.nspname::text, t.relname::text, t.relkind = 'p', ARRAY(
    SELECT a.attname::text FROM unnest(f.confkey) WITH ORDINALITY AS k(attnum, n)
    JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.attnum ORDER BY k.n),
  f.confdeltype::text, f.confupdtype::text,
  ARRAY(SELECT l.collection FROM lies l WHERE l.oid = s.oid ORDER BY 1),
  ARRAY(SELECT l.collection FROM lies l WHERE l.oid = t.oid ORDER BY 1),
  to_jsonb(f) @> '{"conperiod": true}'
FROM pg_constraint f
JOIN pg_class s ON s.oid = f.conrelid JOIN pg_namespace sn ON sn.oid = s.relnamespace
JOIN pg_class t ON t.oid = f.confrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE f.contype = 'f' AND f.conparentid = 0 AND f.confrelid IN (SELECT oid FROM lies)
  AND NOT to_jsonb(f) @> '{"conenforced": false}'
ORDER BY f.oid
""")


def read(session: Session) -> tuple[Reference, ...]:
    """Every foreign key that points at a wanted table or at a part of one."""
    return tuple(map(_made, session.rows(_QUERY)))


def _made(row: Sequence[Any]) -> Reference:
    name, *source, columns, target_schema, target, partitioned, target_columns = row[:9]
    on_delete, on_update, sources, targets, by_period = row[9:]
    return Reference(
        name,
        Relation(*source),
        tuple(columns),
        Relation(target_schema, target, partitioned),
        tuple(target_columns),
        on_delete,
        on_update,
        tuple(sources),
        tuple(targets),
        by_period,
    )


def circles(order: Sequence[str], below: Mapping[str, set[str]]) -> list[list[str]]:
    """The names of `order` in groups: those that are below each other together, the lowest first.

    `below` says what is directly below a name.
    """
    reached = {name: set(found) for name, found in below.items()}
    for through, further in reached.items():
        for found in reached.values():
            if through in found:
                found.update(further)
    waiting = list(order)
    groups: list[list[str]] = []
    while waiting:
        together = (
            [o for o in waiting if o == name or (o in reached[name] and name in reached[o])]
            for name in waiting
        )
        lowest = next(g for g in together if reached[g[0]].intersection(waiting) <= set(g))
        groups.append(lowest)
        waiting = [name for name in waiting if name not in lowest]
    return groups
