"""Tables with each means of restriction, and restricting and lifting in a line."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.postgres import Postgres
from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    DecisionTable,
    Identity,
    Key,
    Parent,
    Receipt,
    Restriction,
    RestrictionKind,
    Rule,
    Subject,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import query
from tests.contract.postgres_tables import collection, connected, rows

ANNA, BERT = (Subject(name, (Identity("owner", name),)) for name in ("anna", "bert"))
RESTRICT = Rule("default", Always(), Action.RESTRICT)
LIFT = Rule("default", Always(), Action.LIFT)
NO_MEANS = Rule("default", Always(), Action.KEEP, "no_means")
FLAG = Restriction(RestrictionKind.FLAG, "flag")
MOVE = Restriction(RestrictionKind.MOVE, collection="moved")
LIST = Restriction(RestrictionKind.LIST, collection="listed")
TABLES = """
CREATE SCHEMA restricted;
CREATE TABLE t (id int PRIMARY KEY, owner text, flag boolean DEFAULT false, v text);
INSERT INTO t VALUES (0, 'anna', false, E'a\\t"b\\\\c\\n'), (1, 'anna', false, NULL),
  (2, 'bert', false, 'b');
CREATE TABLE listed (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t_id int UNIQUE REFERENCES t);
CREATE TABLE restricted.t (LIKE t INCLUDING ALL);
"""


def mapped(dsn: str, means: Restriction, *others: Collection) -> Postgres:
    """A connector to `t`, restricted by these means, and to what the means need."""
    found = [collection("t", "v", restriction=means)]
    if means.kind is RestrictionKind.MOVE:
        found.append(collection("moved", "v", source={"schema": "restricted", "table": "t"}))
    if means.kind is RestrictionKind.LIST:
        parent = Parent("t", {"t_id": "id"})
        found.append(collection("listed", "t_id", owner=None, parent=parent))
    return connected(dsn, *found, *others)


def done(
    postgres: Postgres,
    rule: Rule,
    *people: Subject,
    keys: Sequence[Key] | None = None,
    before: Sequence[Rule] = (),
    ctx: TrialContext | None = None,
) -> list[Receipt]:
    """Restrict or lift; keys are located anew unless given, rules `before` come first."""
    ctx = ctx or TrialContext()
    ctx.tables = {
        name: DecisionTable(name, (*before, rule) if c.restriction else (NO_MEANS,))
        for name, c in postgres.system.collections.items()
    }
    located = located_by(postgres, *people) if keys is None else keys
    return list(postgres.restrict(people, located, ctx))


def located_by(postgres: Postgres, *people: Subject) -> list[Key]:
    """The people's keys; those of moved rows by the collection they moved from."""
    moved = {
        c.restriction.collection: c.name
        for c in postgres.system.collections.values()
        if c.restriction and c.restriction.kind is RestrictionKind.MOVE
    }
    return [
        Key(key.subject_ref, moved.get(key.collection, key.collection), key.key)
        for key in postgres.locate(people, TrialContext())
    ]


def counted(receipts: Sequence[Receipt], at: str = "t") -> dict[tuple[str, str], tuple[int, int]]:
    """Rows and values of a collection, by outcome and ground."""
    return {
        (o.outcome.value, o.ground): (o.rows, o.fields)
        for r in receipts
        for o in r.outcomes
        if o.rows and r.collection == at
    }


def state(dsn: str) -> list[list[tuple[str, ...]]]:
    """Every row of every table, as text."""
    return [rows(dsn, name) for name in ("t", "listed", "restricted.t")]


def is_restricted(dsn: str, means: Restriction) -> list[int]:
    """The keys of restricted rows, as whoever processes the rows would read them."""
    statement = {
        RestrictionKind.FLAG: "SELECT id FROM t WHERE flag",
        RestrictionKind.MOVE: "SELECT id FROM restricted.t",
        RestrictionKind.LIST: "SELECT t_id FROM listed",
    }[means.kind]
    return sorted(key for (key,) in query(dsn, statement))
