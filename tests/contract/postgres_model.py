"""What an erasure must leave behind, by brute force: every row against every row, in plain Python.

In: a `World`. Out: the tables as they must be afterwards, receipts, what stays; or that the erasure
must be refused, and why. Written from the contract and docs/connectors/postgres.md alone; slow, and
proud of it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dsr_worker.contract import (
    Action,
    Always,
    Frozen,
    HeldRows,
    HeldSubjects,
    Mask,
    MaskKind,
    NeededByKept,
    Outcome,
    Rule,
    Since,
)
from tests.contract.postgres_schemas import Column, Link, Row, Table, World, refers, same

Place = tuple[str, int]  # a table and the number of its row
Count = tuple[Outcome, str]  # outcome and ground


class RefusedError(Exception):
    """The erasure may not take place."""


@dataclass
class Expected:
    """What must be, after an erasure that is not refused."""

    world: World
    owners: dict[Place, list[int]] = field(default_factory=dict)
    rules: dict[Place, Rule] = field(default_factory=dict)
    after: dict[Place, Row | None] = field(default_factory=dict)
    fields: dict[Place, int] = field(default_factory=dict)

    def row(self, place: Place) -> Row:
        """The row as it was."""
        return self.world.tables[place[0]].rows[place[1]]

    def going(self) -> set[Place]:
        """The rows that are erased."""
        return {place for place, rule in self.rules.items() if rule.action is Action.ERASE}

    def counts(self) -> dict[tuple[str, str], dict[Count, list[int]]]:
        """Per subject and collection, rows and fields by outcome and ground."""
        found: dict[tuple[str, str], dict[Count, list[int]]] = defaultdict(
            lambda: defaultdict(lambda: [0, 0])
        )
        for place, rule in self.rules.items():
            for number in self.owners[place]:
                ref = self.world.people[number].ref
                counted = found[ref, place[0]][_outcome(rule), rule.ground]
                counted[0] += 1
                counted[1] += self.fields.get(place, 0)
        return found

    def clocks(self) -> dict[tuple[str, str, str], list[datetime]]:
        """The clock values of kept rows, by subject, collection and ground."""
        found: dict[tuple[str, str, str], list[datetime]] = defaultdict(list)
        for place, rule in self.rules.items():
            told = self.row(place)[rule.clock] if rule.clock else None
            for number in self.owners[place] if told else ():
                ref = self.world.people[number].ref
                found[ref, place[0], rule.ground].append(_instant(told or ""))
        return found


def expected(world: World, pseudonym: Callable[[str, str], str]) -> Expected:
    """What erasing the world's people must leave. Raises RefusedError where it must be refused."""
    result = Expected(world)
    for table in world.mapped:
        for number, _ in enumerate(table.rows):
            owners = _owners(world, (table.name, number))
            if owners:
                result.owners[table.name, number] = owners
    for table in reversed(world.mapped):
        for place in result.owners:
            if place[0] == table.name:
                result.rules[place] = _first(result, place)
    _spare(result)
    _change(result, pseudonym)
    return result


# ---- whose rows


def _owners(world: World, place: Place) -> list[int]:
    return [n for n, _ in enumerate(world.people) if _owns(world, n, place)]


def _owns(world: World, number: int, place: Place) -> bool:
    table, row = world.tables[place[0]], world.tables[place[0]].rows[place[1]]
    for kind, column in table.takes.items():
        stored = row[column]
        if stored is None or not stored.strip() or stored in table.nobody:
            continue
        if stored in world.people[number].values(kind):
            return True
    link = world.parent_of(table)
    if link is None:
        return False
    return any(
        _owns(world, number, (link.target, n))
        for n, above in enumerate(world.tables[link.target].rows)
        if refers(world, link, row, above)
    )


# ---- which rule


def _first(result: Expected, place: Place) -> Rule:
    rules = result.world.decisions[place[0]].rules
    return next(rule for rule in rules if _matches(result, place, rule))


def _matches(result: Expected, place: Place, rule: Rule) -> bool:
    row = result.row(place)
    match rule.when:
        case Always() | Frozen():
            return True
        case HeldSubjects(refs):
            people = result.world.people
            return any(people[n].ref in refs for n in result.owners.get(place, ()))
        case HeldRows(name, values):
            return row[name] in values
        case Since(name, cutoff):
            told = row[name]
            return told is None or _instant(told) >= cutoff
        case NeededByKept(children):
            return any(
                link.source in children and link.target == place[0]
                for link, _ in _pointing(result, place, parents=True)
            )
        case _:
            raise AssertionError(rule)


def _pointing(
    result: Expected, place: Place, *, parents: bool = False
) -> Iterator[tuple[Link, Place]]:
    """What is not erased and refers to a row: by a foreign key's rows, or by the map's parents."""
    table, row = result.world.tables[place[0]], result.row(place)
    for link in result.world.links:
        if link.target != table.name or (parents and not link.parent):
            continue
        if not parents and table.in_heir(row):
            continue
        source = result.world.tables[link.source]
        for number, other in enumerate(source.rows):
            rule = result.rules.get((source.name, number))
            if rule is not None and rule.action is Action.ERASE:
                continue
            if not parents and (not link.enforced or source.in_heir(other)):
                continue
            if refers(result.world, link, other, row):
                yield link, (source.name, number)


def _spare(result: Expected) -> None:
    """What a staying row of the people refers to stays as well."""
    changed = True
    while changed:
        changed = False
        for place in sorted(result.going()):
            if any(_needs(result, *found) for found in _all_pointing(result, place)):
                result.rules[place] = _needed(result.world, result.world.tables[place[0]])
                changed = True


def _all_pointing(result: Expected, place: Place) -> Iterator[tuple[Link, Place, bool]]:
    for link, other in _pointing(result, place):
        yield link, other, True
    for link, other in _pointing(result, place, parents=True):
        yield link, other, False


def _needs(result: Expected, link: Link, other: Place, by_key: bool) -> bool:  # noqa: FBT001 - a pair's third
    rule = result.rules.get(other)
    if rule is None or set(rule.masks) & set(link.columns):
        return False
    lets_go = by_key and link.on_delete in {"n", "d"}
    return not lets_go or rule.code in {"hold", "minimum"}


def _needed(world: World, table: Table) -> Rule:
    own = [r for r in world.decisions[table.name].rules if r.code == "needed"]
    if own:
        return own[0]
    masks = {c.name: c.mask for c in table.columns.values() if c.mask is not None}
    action = Action.MASK if masks else Action.KEEP
    return Rule("needed", NeededByKept(()), action, "needed_by_kept", masks)


# ---- what it leaves


def _change(result: Expected, pseudonym: Callable[[str, str], str]) -> None:
    world = result.world
    going = result.going()
    for table in world.tables.values():
        for number, row in enumerate(table.rows):
            place = (table.name, number)
            result.after[place] = None if place in going else dict(row)
    masked = {p: r for p, r in result.rules.items() if r.action is Action.MASK}
    for place, rule in masked.items():
        for name, mask in rule.masks.items():
            before = result.row(place)[name]
            if before is None or _in_place(mask, before):
                continue
            ref = world.people[result.owners[place][0]].ref
            after = _row(result, place)
            after[name] = _masked(mask, before, pseudonym(ref, before))
            result.fields[place] = result.fields.get(place, 0) + 1
    for place in sorted(going):
        _let_go(result, place)
    for place in sorted(masked):
        _renamed(result, place)
    _validate(result)


def _row(result: Expected, place: Place) -> Row:
    found = result.after[place]
    assert found is not None
    return found


def _referring(result: Expected, place: Place) -> Iterator[tuple[Link, Place]]:
    """The rows left that, masked themselves, a foreign key ties to the row as it was."""
    world = result.world
    table, row = world.tables[place[0]], result.row(place)
    for link in world.links:
        if not link.enforced or link.target != table.name or table.in_heir(row):
            continue
        source = world.tables[link.source]
        for number, before in enumerate(source.rows):
            left = result.after[source.name, number]
            if left is None or source.in_heir(before):
                continue
            if refers(world, link, left, row):
                yield link, (source.name, number)


def _protected(result: Expected, place: Place) -> bool:
    table = result.world.tables[place[0]]
    if not table.mapped:
        return False
    rules = result.world.decisions[table.name].rules
    return any(r.code in {"hold", "minimum"} and _matches(result, place, r) for r in rules)


def _let_go(result: Expected, place: Place) -> None:
    """What the schema does when a row goes."""
    for link, other in list(_referring(result, place)):
        if link.on_delete in {"a", "r"}:
            raise RefusedError(f"{link.name} refers to a row that goes")
        if link.on_delete == "c":
            raise RefusedError(f"{link.name} cascades beyond the plan")
        if _protected(result, other):
            raise RefusedError(f"{link.name} would change a protected row")
        _emptied(result, link, other, default=link.on_delete == "d")


def _renamed(result: Expected, place: Place) -> None:
    """What the schema does when a mask replaces what others refer by."""
    now, was = _row(result, place), result.row(place)
    for link, other in list(_referring(result, place)):
        if all(same_text(now[name], was[name]) for name in link.target_columns):
            continue
        if link.on_update in {"a", "r"}:
            raise RefusedError(f"{link.name} refers to what a mask replaces")
        if _protected(result, other):
            raise RefusedError(f"{link.name} would change a protected row")
        if link.on_update == "c":
            new = {c: now[t] for c, t in zip(link.columns, link.target_columns, strict=True)}
            _row(result, other).update(new)
        else:
            _emptied(result, link, other, default=link.on_update == "d")


def same_text(one: str | None, other: str | None) -> bool:
    """Whether nothing has changed."""
    return one == other


def _emptied(result: Expected, link: Link, other: Place, *, default: bool) -> None:
    columns = result.world.tables[link.source].columns
    for name in link.columns:
        _row(result, other)[name] = columns[name].default if default else None


def _validate(result: Expected) -> None:
    """Whether the server may accept what is left."""
    for table in result.world.tables.values():
        for number, before in enumerate(table.rows):
            left = result.after[table.name, number]
            if left is not None and left != before:
                _fits(result, table, before, left)
    for link in result.world.links:
        if link.enforced:
            _resolve(result, link)


def _fits(result: Expected, table: Table, before: Row, left: Row) -> None:
    for column in table.columns.values():
        value = left[column.name]
        if column.made_of is not None:
            made_of = left[column.made_of]
            left[column.name] = None if made_of is None else f"{made_of}!"
        elif value is None:
            if column.not_null or column.name in table.key:
                raise RefusedError(f"{column.name} may not be null")
        else:
            _fits_column(result, table, column, before, left)


def _fits_column(result: Expected, table: Table, column: Column, before: Row, left: Row) -> None:
    value = left[column.name] or ""
    if column.longer_than is not None and len(value) <= column.longer_than:
        raise RefusedError(f"{column.name} is too short")
    length = re.fullmatch(r"varchar\((\d+)\)", column.type)
    if length is not None and len(value) > int(length[1]):
        raise RefusedError(f"{column.name} is too long")
    if not column.unique or table.in_heir(before) or value == before[column.name]:
        return
    twins = [
        n
        for n, other in enumerate(table.rows)
        if (kept := result.after[table.name, n]) is not None
        and not table.in_heir(other)
        and same(column.type, kept[column.name], value)
    ]
    if len(twins) > 1:
        raise RefusedError(f"{column.name} is unique")


def _resolve(result: Expected, link: Link) -> None:
    source, target = result.world.tables[link.source], result.world.tables[link.target]
    there = [
        left
        for n, row in enumerate(target.rows)
        if (left := result.after[target.name, n]) is not None and not target.in_heir(row)
    ]
    for n, row in enumerate(source.rows):
        left = result.after[source.name, n]
        if left is None or source.in_heir(row) or None in [left[c] for c in link.columns]:
            continue
        if not any(refers(result.world, link, left, other) for other in there):
            raise RefusedError(f"{link.name} would lead nowhere")


# ---- masks


def _in_place(mask: Mask, value: str) -> bool:
    match mask.kind:
        case MaskKind.NULL:
            return False
        case MaskKind.CONSTANT:
            return value == mask.constant
        case MaskKind.PSEUDONYM:
            return re.fullmatch("erased-[0-9a-f]{16}", value) is not None
        case MaskKind.TOMBSTONE:
            return re.fullmatch("erased-[0-9a-f]{16}@erased.invalid", value) is not None
        case MaskKind.YEAR | MaskKind.NETWORK:
            return _masked(mask, value, "") == value


def _masked(mask: Mask, value: str, pseudonym: str) -> str | None:
    match mask.kind:
        case MaskKind.NULL:
            return None
        case MaskKind.CONSTANT:
            return mask.constant
        case MaskKind.PSEUDONYM:
            return pseudonym
        case MaskKind.TOMBSTONE:
            return f"{pseudonym}@erased.invalid"
        case MaskKind.YEAR:
            return _GENERAL_YEAR.get(value)
        case MaskKind.NETWORK:
            return _GENERAL_NETWORK.get(value)


_GENERAL_YEAR = {
    "1987-05-12": "1987-01-01",
    "2000-01-01": "2000-01-01",
    "1987-05-12 10:11:12.5+00": "1987-01-01 00:00:00+00",
    "2001-01-01 00:00:00+00": "2001-01-01 00:00:00+00",
    "1987-05-12T10:11:12+02:00": "1987-01-01T00:00:00+02:00",
}
_GENERAL_NETWORK = {
    "203.0.113.7": "203.0.113.0/24",
    "203.0.113.0/24": "203.0.113.0/24",
    "2001:db8:1:2::5": "2001:db8:1::/48",
    "2001:DB8::1": "2001:db8::/48",
}


def _outcome(rule: Rule) -> Outcome:
    if rule.action is Action.ERASE:
        return Outcome.ERASED
    return Outcome.MASKED if rule.action is Action.MASK else Outcome.RETAINED


def _instant(told: str) -> datetime:
    return datetime.fromisoformat(told).astimezone(UTC)
