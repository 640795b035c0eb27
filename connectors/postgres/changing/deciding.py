"""Decision tables as SQL: which rule decides a row, what a mask puts in place, what it changes.

In: contract rules, masks, the catalogue. Out: expressions over a row's alias. What rules hold of
people (held rows' values, held people's names) goes into temporary tables first, like every
subject value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from psycopg2.sql import SQL, Composable, Identifier, Literal

from connectors.postgres.changing.protecting import Protected
from connectors.postgres.server.catalogue import Catalogue, Table
from connectors.postgres.server.places import Place
from connectors.postgres.server.session import Session, line, storable
from dsr_worker.contract import (
    Always,
    Before,
    Context,
    DecisionTable,
    Frozen,
    HeldPeople,
    HeldRows,
    HeldSubjects,
    Mask,
    MaskKind,
    NeededByKept,
    Rule,
    Since,
    Subject,
)

IN_PLACE = {
    MaskKind.PSEUDONYM: "^erased-[0-9a-f]{16}$",
    MaskKind.TOMBSTONE: "^erased-[0-9a-f]{16}@erased[.]invalid$",
    MaskKind.YEAR: "^[0-9]{4}-01-01([ T]00:00:00(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?$",
    MaskKind.NETWORK: "^([0-9]{1,3}[.]){3}0/24$|^[0-9a-f:]*::/48$",
}
"""How a stored value shows that a computed mask is in place, as the session writes its text."""
FIRST_INSTANT, LAST_INSTANT = "0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00"
"""The ends of what `datetime` holds; columns of the server reach further."""
TRUE, FALSE = SQL("true"), SQL("false")


@dataclass
class Rules:
    """The predicates of some tables within one transaction. Call `load` before anything else.

    `stays(child, alias)` says in SQL whether a child's row stays; `held(refs, alias)` whether a row
    belongs to one of these subjects of the batch; `tied(table, alias)` whether a row is needed by
    what the map's children do not tell.
    """

    session: Session
    catalogue: Catalogue
    ctx: Context
    stays: Callable[[Table, str], Composable]
    held: Callable[[Table, HeldSubjects, str], Composable]
    tied: Callable[[Table, str], Sequence[Composable]] = lambda _table, _alias: ()
    mark: str = ""  # tells apart the temporary tables of several rules in one transaction
    _values: dict[HeldRows, int] = field(default_factory=dict)
    _people: dict[HeldPeople, int] = field(default_factory=dict)
    _owners: Protected | None = None

    def load(self, tables: Mapping[str, DecisionTable]) -> None:
        """Send what the rules hold of people."""
        for table in tables.values():
            for rule in table.rules:
                if isinstance(rule.when, HeldRows):
                    self._values.setdefault(rule.when, len(self._values))
                if isinstance(rule.when, HeldPeople):
                    self._people.setdefault(rule.when, len(self._people))
        if self._values:
            self.session.run(
                SQL("CREATE TEMP TABLE {} (slot int4, v text) ON COMMIT DROP").format(self._held)
            )
            self.session.fill(self._held, self._lines())
        if self._people:
            held = [Subject(str(n), when.identities) for when, n in self._people.items()]
            self._owners = Protected(
                self.session, self.catalogue, held, self.ctx, f"dsr_kept_{self._number}"
            )
            self._owners.prepare()

    @property
    def _number(self) -> int:
        return list(self.catalogue.tables).index(self.mark) if self.mark else 0

    @property
    def _held(self) -> Identifier:
        return Identifier(f"dsr_held_{self._number}")

    def _lines(self) -> Iterator[bytes]:
        for when, slot in self._values.items():
            yield from (line(slot, value) for value in when.values if storable(value))

    def matches(  # noqa: PLR0911 - one return per kind of predicate
        self, table: Table, rule: Rule, alias: str
    ) -> Composable:
        """Whether `rule` matches the row `alias`."""
        match rule.when:
            case Always() | Frozen():
                return TRUE
            case HeldSubjects():
                return self.held(table, rule.when, alias)
            case HeldPeople():
                owners, number = self._owners, Literal(self._people[rule.when])
                return owners.owns(table, alias, number) if owners else FALSE
            case HeldRows(name):
                return SQL(
                    "EXISTS (SELECT FROM pg_temp.{} h WHERE h.slot = {} AND h.v = {})"
                ).format(
                    self._held, Literal(self._values[rule.when]), table.place(name).text(alias)
                )
            case Since(name, cutoff):
                return SQL("({clock} >= {cutoff} OR {clock} IS NULL)").format(
                    clock=table.place(name).value(alias), cutoff=_instant(cutoff)
                )
            case Before(name, cutoff):
                return SQL("{} < {}").format(table.place(name).value(alias), _instant(cutoff))
            case NeededByKept(children):
                return self.needed(table, children, alias)

    def needed(self, table: Table, children: Sequence[str], alias: str) -> Composable:
        """Whether a staying row of one of the children refers to the row `alias`."""
        tests: list[Composable] = []
        for name in children:
            child = self.catalogue.table(name)
            below = f"{alias}_{len(tests)}"
            tests.append(
                SQL("EXISTS (SELECT FROM {} {} WHERE {} AND {})").format(
                    child.sql,
                    Identifier(below),
                    refers(child, below, table, alias),
                    self.stays(child, below),
                )
            )
        return any_of([*tests, *self.tied(table, alias)])

    def deciding(self, table: Table, rules: Sequence[Rule], alias: str) -> Composable:
        """The number of the first rule that matches the row `alias`."""
        whens = SQL(" ").join(
            SQL("WHEN {} THEN {}").format(self.matches(table, rule, alias), Literal(n))
            for n, rule in enumerate(rules)
        )
        return SQL("CASE {} END").format(whens)


def any_of(tests: Sequence[Composable]) -> Composable:
    """Whether one of the tests holds; none of none."""
    return SQL("({})").format(SQL(" OR ").join(tests)) if tests else FALSE


def refers(child: Table, below: str, parent: Table, above: str) -> Composable:
    """Whether the child's row refers to the parent's, as the map says."""
    link = child.collection.parent
    if link is None or link.collection != parent.collection.name:
        return FALSE
    return SQL(" AND ").join(
        SQL("{} = {}").format(child.place(ours).value(below), parent.place(theirs).value(above))
        for ours, theirs in link.on.items()
    )


def _instant(at: datetime) -> Composable:
    return SQL("{}::timestamptz").format(Literal(at.isoformat()))


def by_rule(
    rules: Sequence[Rule], value: Callable[[Rule], Composable | None], otherwise: Composable
) -> Composable:
    """An expression that depends on `d.rule`."""
    cases = [
        SQL("WHEN {} THEN {}").format(Literal(n), found)
        for n, rule in enumerate(rules)
        if (found := value(rule)) is not None
    ]
    if not cases:
        return otherwise
    return SQL("CASE d.rule {} ELSE {} END").format(SQL(" ").join(cases), otherwise)


def clock(table: Table, rule: Rule) -> Composable | None:
    """The instant that dates the end of the keeping; of a date beyond all instants the last."""
    if rule.clock is None:
        return None
    place = table.place(rule.clock)
    if place.column.base == "date" and not place.path:
        return SQL(
            "CASE WHEN isfinite({day}) AND {day} > '9999-12-31' THEN {last}::timestamptz"
            " ELSE {day}::timestamptz END"
        ).format(day=place.value("t"), last=Literal(LAST_INSTANT))
    return SQL("{}::timestamptz").format(place.value("t"))


def changed_fields(table: Table, rule: Rule, alias: str = "t") -> Composable | None:
    """How many values the rule's masks change in a row; 0 once they are in place."""
    changes = [
        SQL("({})::int").format(changes_value(table.place(name), mask, alias))
        for name, mask in rule.masks.items()
    ]
    return SQL("({})").format(SQL(" + ").join(changes)) if changes else None


def changes_value(place: Place, mask: Mask, alias: str) -> Composable:
    """Whether the mask is not yet in place. A null stays null."""
    text = place.text(alias)
    if mask.kind is MaskKind.NULL:
        return SQL("{} IS NOT NULL").format(text)
    if mask.kind is MaskKind.CONSTANT:
        kept: Composable = Literal(mask.constant)
        if not place.path:
            kept = SQL("{}::{}::text").format(kept, SQL(place.column.type))
        return SQL("coalesce({} <> {}, false)").format(text, kept)
    return SQL("coalesce({} !~ {}, false)").format(text, Literal(IN_PLACE[mask.kind]))


def is_computed(mask: Mask) -> bool:
    """Whether what the mask puts in place depends on the value it replaces."""
    return mask.kind in IN_PLACE


def assignments(table: Table, rule: Rule) -> Composable:
    """SET clauses that put the masks in place; computed values come from `pg_temp.dsr_mask`."""
    columns: dict[str, Composable] = {}
    for number, (name, mask) in enumerate(rule.masks.items()):
        place = table.place(name)
        before = columns.get(place.column.name, place.document("t"))
        new = _new_value(place, mask, number, before)
        columns[place.column.name] = SQL("CASE WHEN {} THEN {} ELSE {} END").format(
            changes_value(place, mask, "t"), new, before
        )
    return SQL(", ").join(
        SQL("{} = {}").format(Identifier(name), value) for name, value in columns.items()
    )


def _new_value(place: Place, mask: Mask, number: int, before: Composable) -> Composable:
    new: Composable = SQL("NULL")
    if mask.kind is MaskKind.CONSTANT:
        new = Literal(mask.constant)
    elif is_computed(mask):
        new = SQL(
            "(SELECT m.new FROM pg_temp.dsr_mask m WHERE m.f = {} AND m.s = d.s AND m.v = {})"
        )
        new = new.format(Literal(number), place.text("t"))
    if not place.path:
        return SQL("({})::{}").format(new, SQL(place.column.bare))
    path = SQL("ARRAY[{}]::text[]").format(SQL(", ").join(map(Literal, place.path)))
    if mask.kind is MaskKind.NULL:
        document = SQL("({})::jsonb #- {}").format(before, path)
    else:
        document = SQL(
            "jsonb_set(({})::jsonb, {}, coalesce(to_jsonb(({})::text), 'null'), false)"
        ).format(before, path, new)
    return SQL("({})::{}").format(document, SQL(place.column.type))
