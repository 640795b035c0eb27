"""The proposed map itself: collections with fields, identities, clocks, masks and marks.

In: what belongs to whom and what every column looks like. Out: the contract's `Collection`s and the
grounds of each. Pure. Whatever is unsure carries `review`, and a mask that the column could not
take is not proposed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from connectors.naming.classifying import SURE, Look, Looks, Weight, unknown
from connectors.naming.forms import Seen
from connectors.naming.rows import begins, topic
from connectors.naming.words import singular, worded, words
from connectors.postgres.proposing.inventory import (
    ELEMENTS,
    At,
    Column,
    Inventory,
    Reference,
    Table,
)
from connectors.postgres.proposing.neighbouring import describes_a_thing
from connectors.postgres.proposing.owning import Belonging, How, is_profile
from connectors.postgres.proposing.sampling import Sample
from dsr_worker.contract import (
    Collection,
    Evidence,
    Field,
    Form,
    Ground,
    Mask,
    MaskKind,
    Parent,
    Taken,
)

_NAME = re.compile(r"[^a-z0-9_-]+")
_LONGEST_NAME = 60
_LONGEST_FIELD = 200
_ERASED = "erased"
_DOUBTFUL = 0.5
_OF_THEIR_ROW = frozenset({"user.demographic.language", "user.location.imprecise"})
"""What says something of a person in the person's own row only."""
_TOUCHED = worded("seen login sign visit visited active contact contacted accessed")


@dataclass
class Draft:
    """The proposal under way: one collection for each table that belongs to somebody."""

    inventory: Inventory
    looks: Mapping[At, Looks]
    samples: Mapping[At, Sample]
    belonging: Mapping[At, Belonging]
    names: Mapping[At, str] = field(init=False)
    grounds: dict[tuple[str, str], Ground] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.names = names_of(self.belonging)
        self._joined = self._joins()

    def collections(self) -> dict[str, Collection]:
        """Every proposed collection, people first, children after their parents."""
        return {self.names[at]: self._collection(at) for at in _in_order(self.belonging)}

    def _joins(self) -> dict[At, set[str]]:
        """The columns that tie a table to parents and children: they take no mask."""
        joined: dict[At, set[str]] = {at: set() for at in self.belonging}
        for belonging in self.belonging.values():
            if (way := belonging.parent) is not None:
                joined[way.table] |= set(way.columns)
                joined[way.target] |= set(way.target_columns)
        return joined

    def _collection(self, at: At) -> Collection:
        table, belonging, name = self.inventory.tables[at], self.belonging[at], self.names[at]
        key = _key(table)
        fields = {f.name: f for f in self._fields(table)}
        sure, evidence = belonging.sure, belonging.evidence
        if not table.key:
            sure, evidence = min(sure, 0.3), (*evidence, Evidence("no_key"))
        if (code := self.samples[at].code) and code != "empty":
            sure, evidence = min(sure, 0.5), (*evidence, Evidence(code))
        takes = dict(self._takes(table, belonging))
        inside = {taken.field for taken in takes.values()} - set(fields)
        for named in sorted(inside):
            ground = Ground(0.9, (Evidence("key"),))
            fields[named] = self._plain(table, named, "user.unique_id", ground)
        if takes and belonging.parent is not None:
            sure, evidence = min(sure, 0.6), (*evidence, Evidence("taken_beside_parent"))
        if not takes and belonging.parent is None:
            sure, evidence = min(sure, 0.4), (*evidence, Evidence("no_way_to_it"))
        self.grounds[name, ""] = Ground(sure, evidence)
        way = belonging.parent
        on = dict(zip(way.columns, way.target_columns, strict=True)) if way else {}
        person = belonging.how is How.PERSON and bool(takes)
        return Collection(
            name,
            key,
            fields,
            takes=takes,
            yields=self._yields(table) if person else self._lent(table, belonging),
            person=person,
            parent=Parent(self.names[way.target], on) if way else None,
            contact=self._contact(takes),
            residence=self._residence(table) if person else None,
            clocks=_clocks(table),
            review=sure < SURE,
            source={"table": at[1]} | ({} if at[0] == "public" else {"schema": at[0]}),
        )

    # ---- fields

    def _fixed(self, table: Table) -> set[str]:
        """Columns that take no mask: they find a row again, join it, or date it."""
        return {*_key(table), *self._joined[table.at], *_clocks(table).values()}

    def _fields(self, table: Table) -> Iterator[Field]:
        for column in table.columns.values():
            inner = dict(self.looks[table.at].get(column.name, {}))
            whole = inner.pop((), None)
            paths = {path: field_path(column.name, path) for path in inner}
            unreachable = [path for path, named in paths.items() if named is None]
            for path, look in inner.items():
                if (named := paths[path]) is not None and column.json:
                    yield self._personal(table, column, look, named, Mask(MaskKind.NULL))
            if whole is None and (unreachable or (inner and not column.json)):
                evidence = (Evidence("inside"),)
                whole = Look("user.content", 0.5, Weight.ALONE, evidence, inside=True)
            if whole is None and inner and column.json:
                if self.belonging[table.at].how is How.LOOSE:
                    continue  # nothing but these places is anybody's
                ground = Ground(0.5, (Evidence("rest_of_document"),))
                yield self._plain(table, column.name, topic(table.at[1]), ground)
                continue
            yield self._field(table, column, whole)

    def _field(self, table: Table, column: Column, look: Look | None) -> Field:
        """One column as a field; a key or join column keeps its value whatever it looks like."""
        stays = self._fixed(table)
        loose = self.belonging[table.at].how is How.LOOSE
        if look is not None and self._says_nothing(table, column, look):
            look = None
        if look is not None and look.weight is not Weight.NONE:
            if column.name not in stays:
                mask = mask_for(table, column, look.category)
                return self._personal(table, column, look, column.name, mask)
            return self._personal(table, column, look, column.name, None)
        if column.name in stays or self._refers(table, column):
            category = "user" if column.instant else "user.unique_id"
            return self._plain(table, column.name, category, Ground(0.9, (Evidence("key"),)))
        seen = self.samples[table.at].seen.get(column.name, Seen())
        if unknown(column, seen) and not loose and not describes_a_thing(table, column.name):
            ground = Ground(0.5, (Evidence("unknown"),))
            return self._plain(table, column.name, topic(table.at[1]), ground)
        return self._plain(
            table, column.name, topic(table.at[1]), Ground(SURE, (Evidence("owned"),))
        )

    def _says_nothing(self, table: Table, column: Column, look: Look) -> bool:
        """Whether a look does not hold here: a key is no name elsewhere; a text has a language."""
        if describes_a_thing(table, column.name):
            return True
        if self._is_a_key_by_name(table, column, look):
            return True
        if look.category == "user.unique_id":
            referring = self.inventory.referring.get(table.at, ())
            keys = {*_key(table), *(n for r in referring if not r.path for n in r.columns)}
            return column.name in keys
        if look.category not in _OF_THEIR_ROW:
            return False
        belonging = self.belonging[table.at]
        profile = is_profile(table, belonging, self.belonging)
        return belonging.how is not How.PERSON and not profile

    def _is_a_key_by_name(self, table: Table, column: Column, look: Look) -> bool:
        """Whether `address_id` was taken for an address, though it refers to one."""
        named = look.evidence[:1] and look.evidence[0].code.startswith("name.")
        ends = words(column.name)[-1:] == ("id",)
        return bool(named) and ends and self._is_referring(table, column)

    def _is_referring(self, table: Table, column: Column) -> bool:
        referring = self.inventory.referring.get(table.at, ())
        return any(column.name in r.columns and not r.path for r in referring)

    def _refers(self, table: Table, column: Column) -> bool:
        if column.base == "uuid" or words(column.name)[-1:] in {("id",), ("ids",), ("uuid",)}:
            return True
        return self._is_referring(table, column)

    def _personal(
        self, table: Table, column: Column, look: Look, named: str, mask: Mask | None
    ) -> Field:
        name = self.names[table.at]
        evidence, sure = look.evidence, look.sure
        if evidence[:1] == (Evidence("name.name"),) and self._is_person(table):
            evidence, sure = (*evidence, Evidence("table.person")), 0.85
        if not column.readable:
            evidence, sure = (*evidence, Evidence("no_select")), min(sure, 0.5)
        if mask is None and named not in self._fixed(table):
            evidence, sure = (*evidence, Evidence("no_mask_fits")), min(sure, 0.6)
        if mask is not None and mask.kind is not MaskKind.NULL and column.bound:
            evidence, sure = (*evidence, Evidence("constraint")), min(sure, 0.6)
        self.grounds[name, named] = Ground(sure, evidence)
        return Field(
            named,
            look.category,
            mask,
            third_party=look.third_party and not self.belonging[table.at].staff,
            free_text=look.free_text,
            review=sure < SURE,
        )

    def _is_person(self, table: Table) -> bool:
        return self.belonging[table.at].how is How.PERSON

    def _plain(self, table: Table, named: str, category: str, ground: Ground) -> Field:
        self.grounds[self.names[table.at], named] = ground
        return Field(named, category, review=ground.confidence < SURE)

    # ---- identities

    def _identities(self, table: Table, kind: str) -> list[tuple[str, Look]]:
        """The fields that hold identities of a kind, the surest first."""
        found = []
        for column, inner in self.looks[table.at].items():
            for path, look in inner.items():
                named = field_path(column, path)
                if look.form == kind and named and look.sure > _DOUBTFUL and not look.third_party:
                    found.append((not table.unique((column,)), -look.sure, len(named), named, look))
        return [(named, look) for *_, named, look in sorted(found, key=lambda f: f[:4])]

    def _takes(self, table: Table, belonging: Belonging) -> Iterator[tuple[str, Taken]]:
        way = belonging.parent
        always = way is not None and all(table.columns[name].not_null for name in way.columns)
        if always and not self._lent(table, belonging):
            return  # the parent says whose they are
        for kind, form in (("email", Form.ASCII_CASE), ("phone", Form.DIGITS)):
            found = self._identities(table, kind)
            if found and (kind == "email" or belonging.how is not How.PERSON):
                yield kind, Taken(found[0][0], form)
        if belonging.how is How.PERSON and len(table.key) == 1:
            yield self._number(table.at), Taken(table.key[0])
        for reference in belonging.named_by:
            target = self.inventory.tables[reference.target]
            named = field_path(reference.columns[0], reference.path)
            if reference.target_columns == target.key and named and reference.path != ELEMENTS:
                yield self._number(reference.target), Taken(named)

    def _number(self, at: At) -> str:
        """What a person's key is called: `customer_number`, or after its table."""
        persons = [p for p, b in self.belonging.items() if b.how is How.PERSON and not b.staff]
        if not persons or at == persons[0]:
            return "customer_number"
        return f"{_NAME.sub('_', singular(self.names[at])).replace('-', '_')[:32]}_number"

    def _lent(self, table: Table, belonging: Belonging) -> dict[str, str]:
        """What a table yields whose e-mails are those of people that have none: `user_emails`."""
        way = belonging.parent
        if way is None or self.belonging[way.target].how is not How.PERSON:
            return {}
        above = self.inventory.tables[way.target]
        if way.target_columns != above.key or len(way.columns) > 1:
            return {}
        if self._identities(above, "email") or not self._identities(table, "email"):
            return {}
        return {self._number(way.target): way.columns[0]}

    def _yields(self, table: Table) -> dict[str, str]:
        yielded = {self._number(table.at): table.key[0]} if len(table.key) == 1 else {}
        phones = self._identities(table, "phone")
        return yielded | ({"phone": phones[0][0]} if phones else {})

    @staticmethod
    def _contact(takes: Mapping[str, Taken]) -> dict[str, str]:
        return {"email": takes["email"].field} if "email" in takes else {}

    def _residence(self, table: Table) -> str | None:
        for column, inner in self.looks[table.at].items():
            look = inner.get(())
            if look and look.category == "user.contact.address.country" and look.sure >= SURE:
                return column
        return None


def names_of(tables: Iterable[At]) -> dict[At, str]:
    """A collection name for each table: its own where it is free, else with its schema."""
    tables = list(tables)
    times: dict[str, int] = {}
    for _, table in tables:
        times[_slug(table)] = times.get(_slug(table), 0) + 1
    taken: set[str] = set()
    names = {}
    for at in sorted(tables, key=lambda t: (t[0] != "public", t)):
        schema, table = at
        plain = _slug(table)
        name = plain if times[plain] == 1 or schema == "public" else _slug(f"{schema}_{table}")
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}_{number}", number + 1
        taken.add(unique)
        names[at] = unique
    return names


def _slug(name: str) -> str:
    slug = _NAME.sub("_", "_".join(words(name)) or name.lower()).strip("_-")[:_LONGEST_NAME]
    return slug if slug and slug[0].isalpha() else f"t_{slug}".rstrip("_")


def field_path(column: str, path: tuple[str, ...]) -> str | None:
    """A field's name as the connector reads it; None where a key cannot be written so."""
    if any("->" in part or part != part.strip().strip("'") or not part for part in path):
        return None
    if path and ("->" in column or column != column.strip().strip("'")):
        return None
    steps = [column, *path]
    named = "->".join(steps[:-1]) + "->>" + steps[-1] if path else column
    return named if len(named) <= _LONGEST_FIELD else None


def mask_for(table: Table, column: Column, category: str) -> Mask | None:
    """A mask that the column can take, the plainest first; None where there is none."""
    if column.generated:
        return None
    if not column.not_null:
        return Mask(MaskKind.NULL)
    if column.base not in {"text", "varchar", "citext"}:
        return None
    mask = Mask(MaskKind.CONSTANT, _ERASED)
    if category == "user.contact.email":
        mask = Mask(MaskKind.TOMBSTONE)
    elif any(column.name in unique for unique in (table.primary, *table.uniques)):
        mask = Mask(MaskKind.PSEUDONYM)
    needed = mask.kind.characters or len(_ERASED)
    return mask if column.length is None or column.length >= needed else None


def _key(table: Table) -> tuple[str, ...]:
    """A table's key; all of its columns where it has none, which a person has to settle."""
    return table.key or tuple(table.columns)


def _clocks(table: Table) -> dict[str, str]:
    """When a row's time begins, and when somebody was last seen."""
    instants = [c for c in table.columns.values() if c.instant and "birth" not in c.name.lower()]
    clocks = {}
    begun = [(rank, c.name) for c in instants for rank in (begins(c.name),) if rank is not None]
    if begun:
        clocks["record_date"] = min(begun)[1]
    touched = [c.name for c in instants if "last" in words(c.name) and _TOUCHED & {*words(c.name)}]
    if touched:
        clocks["last_contact"] = touched[0]
    return clocks


def _in_order(belonging: Mapping[At, Belonging]) -> list[At]:
    def depth(at: At) -> int:
        way: Reference | None = belonging[at].parent
        return 0 if way is None else 1 + depth(way.target)

    rank = {How.PERSON: 0, How.CHILD: 1, How.LOOSE: 2}
    return sorted(belonging, key=lambda at: (rank[belonging[at].how], depth(at), at))
