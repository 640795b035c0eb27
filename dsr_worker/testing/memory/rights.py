"""Putting right, restricting and lifting in memory, one located row at a time.

In: tables, decision tables as of this moment, located keys, the subjects' corrections. Out:
receipts, and the changes that make them true; nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dsr_worker.contract import (
    STATED_OTHERWISE,
    Action,
    Collection,
    Correction,
    DecisionTable,
    Key,
    NeedsHuman,
    Outcome,
    Receipt,
    Restriction,
    RestrictionKind,
    Rule,
    Subject,
)
from dsr_worker.testing.memory import owners
from dsr_worker.testing.memory.decide import Judge, Tally
from dsr_worker.testing.memory.rows import Change, Row, RowKey


@dataclass
class RightsJudge(Judge):
    """One decision over many rows; `changes` collects what follows."""

    _corrections: Mapping[str, Mapping[str, Sequence[Correction]]] = field(default_factory=dict)

    def rectify(self, subjects: Sequence[Subject], keys: Iterable[Key]) -> tuple[Receipt, ...]:
        """Put the subjects' corrections into their rows."""
        self._corrections = {subject.ref: subject.corrections for subject in subjects}
        return self.each_located(subjects, keys, self._rectify_row)

    def restrict(self, subjects: Sequence[Subject], keys: Iterable[Key]) -> tuple[Receipt, ...]:
        """Restrict rows or free them, as their tables say."""
        return self.each_located(subjects, keys, self._restrict_row)

    # ---- rectification

    def _rectify_row(
        self,
        collection: Collection,
        table: DecisionTable,
        key: RowKey,
        tallies: list[Tally],
        refs: list[str],
    ) -> None:
        row = self.tables.rows[collection.name].get(key)
        if row is None:
            for tally in tallies:
                tally.add(Outcome.ALREADY_GONE)
            return
        rule = self.rule(collection, table, key, row, frozenset(refs))
        for tally, ref in zip(tallies, refs, strict=True):
            if rule.action is Action.KEEP:
                self.note(tally, collection, key, row, rule, 0)
                continue
            asked = self._corrections[ref].get(collection.name, ())
            row = self._corrected(collection, key, row, rule, asked, tally)

    def _corrected(
        self,
        collection: Collection,
        key: RowKey,
        row: Row,
        rule: Rule,
        asked: Sequence[Correction],
        tally: Tally,
    ) -> Row:
        """The row with what applies to it put right."""
        allowed = [c for c in asked if c.field not in rule.kept_fields]
        applying = [c for c in allowed if _applies(c, row)]
        tally.kept.add(self.ctx.digest(collection.name, key))
        if not applying:
            ground = STATED_OTHERWISE if allowed or not asked else rule.ground
            tally.add(Outcome.RETAINED, ground, at=self.kept_by(rule, row))
            return row
        right = {
            c.field: _stored(c.value, row.get(c.field), collection, c.field)
            for c in applying
            if _text(row.get(c.field)) != c.value
        }
        if right:
            self.changes.append((collection.name, key, row | right))
        held_back = len(allowed) < len(asked)
        at = self.kept_by(rule, row) if held_back else None
        tally.add(Outcome.RECTIFIED, rule.ground if held_back else "", len(right), at)
        return row | right

    # ---- restriction

    def _restrict_row(
        self,
        collection: Collection,
        table: DecisionTable,
        key: RowKey,
        tallies: list[Tally],
        refs: list[str],
    ) -> None:
        means = collection.restriction
        row = self.tables.rows[collection.name].get(key)
        if row is None and means is not None and means.kind is RestrictionKind.MOVE:
            row = self.tables.rows[means.collection].get(key)
        if row is None:
            for tally in tallies:
                tally.add(Outcome.ALREADY_GONE)
            return
        rule = self.rule(collection, table, key, row, frozenset(refs))
        if rule.action is Action.KEEP or means is None:
            for tally in tallies:
                self.note(tally, collection, key, row, rule, 0)
            return
        lifts = rule.action is Action.LIFT
        changes = list(self._by_means(collection, means, key, row, lifts=lifts))
        self.changes.extend(changes)
        for tally in tallies:
            tally.add(Outcome.LIFTED if lifts else Outcome.RESTRICTED, "", min(1, len(changes)))
            tally.kept.add(self.ctx.digest(collection.name, key))

    def _by_means(
        self, collection: Collection, means: Restriction, key: RowKey, row: Row, *, lifts: bool
    ) -> Iterator[Change]:
        match means.kind:
            case RestrictionKind.FLAG:
                says = means.free if lifts else means.value
                if _text(row.get(means.field)) != says:
                    stored = _stored(says, row.get(means.field), collection, means.field)
                    yield collection.name, key, row | {means.field: stored}
            case RestrictionKind.MOVE:
                free, restricted = collection.name, means.collection
                there, here = (restricted, free) if lifts else (free, restricted)
                if key in self.tables.rows[there]:
                    yield there, key, None
                    yield here, key, row
            case RestrictionKind.LIST:
                yield from self._listed(means, row, lifts=lifts)

    def _listed(self, means: Restriction, row: Row, *, lifts: bool) -> Iterator[Change]:
        listing = self.system.collections[means.collection]
        stands = owners.children(self.tables, listing, row)
        if lifts:
            yield from ((listing.name, key, None) for key in stands)
            return
        if stands or listing.parent is None:
            return
        entry = {ours: row.get(theirs) for ours, theirs in listing.parent.on.items()}
        if not set(listing.key) <= set(entry):
            raise NeedsHuman("means_unusable", {"collection": listing.name})
        yield listing.name, tuple(str(entry[name]) for name in listing.key), entry


def _applies(correction: Correction, row: Row) -> bool:
    says = _text(row.get(correction.field))
    return correction.was is None or says in {correction.was, correction.value}


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _stored(text: str | None, like: object, collection: Collection, name: str) -> object:
    """A text as the value that the store would hold, of the kind that stands there now."""
    if text is None:
        return None
    try:
        if isinstance(like, bool):
            return {"true": True, "false": False}[text]
        if isinstance(like, int):
            return int(text)
    except (KeyError, ValueError):
        places = {"collection": collection.name, "field": name}
        raise NeedsHuman("correction_refused", places) from None
    return text
