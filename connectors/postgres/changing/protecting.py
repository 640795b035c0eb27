"""Whose rows a hold on people protects: those that a restriction has moved away among them.

In: held people's names, the catalogue. Out: the SQL of `Ownership`, over a collection's own table
and the one that its rows move to. What stayed behind below a moved row is found through it.
"""

from __future__ import annotations

from psycopg2.sql import SQL, Composable

from connectors.postgres.changing.restrictions import destination
from connectors.postgres.reading.ownership import Ownership
from connectors.postgres.server.catalogue import Table
from connectors.postgres.server.places import Place


class Protected(Ownership):
    """Owners of rows wherever these are; moved rows count as their own collection's."""

    def rows(
        self,
        table: Table,
        columns: Composable,
        *,
        direct: bool = False,
        shown: Composable | None = None,
    ) -> Composable:
        """`columns` of every owned row `t`, moved or not."""
        found = [
            super(Protected, self).rows(place, columns, direct=direct, shown=shown)
            for place in self._places(table)
        ]
        return SQL(" UNION ALL ").join(found)

    def _on_file(self, table: Table, place: Place, slot: int, folded: Composable) -> Composable:
        found = [
            super(Protected, self)._on_file(at, place, slot, folded) for at in self._places(table)
        ]
        return self.session.written(SQL(" UNION ALL ").join(found))

    def _places(self, table: Table) -> list[Table]:
        moved = destination(self.catalogue, table)
        return [table] if moved is None else [table, moved]
