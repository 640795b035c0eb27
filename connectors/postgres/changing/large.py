"""Large objects: what a row only names by number, and what would stay when the row goes.

In: the changes of a transaction, and the columns that the map's `source.large_objects` names. Out:
the objects that only erased or masked rows named are unlinked in the same transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2.sql import SQL, Identifier, Literal

from dsr_worker.contract import Action

if TYPE_CHECKING:
    from connectors.postgres.changing.applying import Changes


def note(changes: Changes) -> None:
    """Keep the numbers of the objects of rows that go, or whose column is masked."""
    if not _declared(changes):
        return
    changes.session.run(SQL("CREATE TEMP TABLE dsr_large (o oid) ON COMMIT DROP"))
    for table in changes.tables:
        for name in table.large_objects:
            letting_go = [
                number
                for number, rule in enumerate(changes.rules[table.collection.name])
                if rule.action is Action.ERASE or name in rule.masks
            ]
            changes.session.run(
                SQL(
                    "INSERT INTO pg_temp.dsr_large SELECT {} FROM {} t JOIN pg_temp.{} d ON {}"
                    " WHERE d.rule = ANY ({}::int4[])"
                ).format(
                    table.place(name).value("t"),
                    table.sql,
                    changes.done(table),
                    table.same_key("t", "d"),
                    Literal(letting_go),
                )
            )


def unlink(changes: Changes) -> None:
    """Unlink those of the kept numbers that no row names any more."""
    if not _declared(changes):
        return
    named = [
        SQL("NOT EXISTS (SELECT FROM {} t WHERE t.{} = l.o)").format(table.sql, Identifier(name))
        for table in changes.catalogue.tables.values()
        for name in table.large_objects
    ]
    changes.session.rows(
        SQL(
            "SELECT count(lo_unlink(l.o)) FROM (SELECT DISTINCT o FROM pg_temp.dsr_large) l"
            " JOIN pg_largeobject_metadata m ON m.oid = l.o WHERE {}"
        ).format(SQL(" AND ").join(named))
    )


def _declared(changes: Changes) -> bool:
    return any(table.large_objects for table in changes.tables)
