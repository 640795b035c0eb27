"""One row of the law with all that stands behind it: what it says, its sources, its notes.

In: the name of a row, a ground or a retention rule. Out: its parts, each with its own source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from dsr_worker.statutes import wording
from dsr_worker.statutes.load import load_pack, packs, packs_saying, retention_table
from dsr_worker.statutes.model import (
    BreachRow,
    ClockRow,
    ExemptionRow,
    RecordsRow,
    RecurringRow,
    RightsRow,
    SourcedRow,
)
from dsr_worker.statutes.model.rights import AppealRow, FeeRow, RefusalRow
from dsr_worker.statutes.model.rows import PauseRow
from dsr_worker.statutes.model.tables import Nature, RetentionRow
from dsr_worker.statutes.names import UnknownNameError
from dsr_worker.statutes.page import Place, places


@dataclass(frozen=True, slots=True)
class Part:
    """One sourced part of a row."""

    name: str
    says: str
    source: SourcedRow

    def lines(self) -> Iterator[tuple[str, str]]:
        """What to show of it, with a label each."""
        if self.says:
            yield "says", self.says
        yield "source", self.source.citation
        yield "standing", wording.standing(self.source)
        if self.source.note:
            yield "note", self.source.note

    def plain(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "part": self.name,
            "says": self.says,
            "citation": self.source.citation,
            "standing": self.source.standing,
            "verified": self.source.verified,
            "checked_on": self.source.checked_on,
            "note": self.source.note,
        }


@dataclass(frozen=True, slots=True)
class Explained:
    """A row of a law; `law` is empty for a retention rule."""

    law: str
    parts: tuple[Part, ...]


def explained(row: str) -> Explained:
    """Return everything that the packs say of a row, a ground or a retention rule.

    Raises:
        UnknownNameError: there is none of this name; near ones are given.

    """
    rules = {rule.id: rule for rule in retention_table().rules}
    if row in rules:
        return Explained("", (Part("retention", _retention(rules[row]), rules[row]),))
    mine = [place for place in _places(packs_saying(row)) if place.row == row]
    if not mine:
        known = {place.row for place in _places(packs())} | set(rules)
        raise UnknownNameError("row", row, known, "`dsr statutes show LAW` lists a law's rows")
    return Explained(mine[0].law, tuple(_part(place) for place in mine))


def _places(laws: Iterable[str]) -> Iterator[Place]:
    return (place for name in laws for place in places(load_pack(name)))


def _part(place: Place) -> Part:
    return Part(place.part or "the row", _says(place.source), place.source)


@singledispatch
def _says(_source: SourcedRow) -> str:
    """What a part says, beside its source; nothing where the source is all."""
    return ""


@_says.register
def _(source: ClockRow) -> str:
    return wording.clock(source)


@_says.register
def _(source: RightsRow) -> str:
    rights = ", ".join(f"{right} ({where})" for right, where in source.provisions.items())
    return f"{rights}; {wording.in_force(source)}"


@_says.register
def _(source: ExemptionRow) -> str:
    return f"{source.meaning} ({', '.join(source.rights)})"


@_says.register
def _(source: RefusalRow) -> str:
    return f"a refusal holds {', '.join(source.contents)}"


@_says.register
def _(source: FeeRow) -> str:
    return source.rule


@_says.register
def _(source: AppealRow) -> str:
    filed = f"filed within {source.file_within}; " if source.file_within else ""
    none = "" if source.answer else "the law gives no appeal; "
    return f"{filed}{none}elsewhere: {source.channel}"


@_says.register
def _(source: PauseRow) -> str:
    return f"waiting for {source.ground} {source.effect}s the clock"


@_says.register
def _(source: RecurringRow) -> str:
    return f"{source.what}: every {wording.period(source.every)}; {wording.in_force(source)}"


@_says.register
def _(source: RecordsRow) -> str:
    return f"{source.contents}: {source.period or 'no term'}"


@_says.register
def _(source: BreachRow) -> str:
    people = wording.threshold(source)
    parts = [
        f"{source.recipient}{f' ({source.body})' if source.body else ''}, {source.stage}",
        f"when: {source.condition}{f', {people}' if people else ''}",
        *([f"the clock starts with the notice to {source.after}"] if source.after else ()),
        *([f"harm: {source.harm.wording}"] if source.harm else ()),
        *(["not where encrypted and the key is safe"] if source.encryption_exempts else ()),
        f"contents: {', '.join(source.contents)}",
        *([f"then: {', '.join(source.follow_ups)}"] if source.follow_ups else ()),
        wording.in_force(source),
    ]
    return "; ".join(parts)


_NATURES = {
    Nature.STATUTE_MINIMUM: "a law orders it",
    Nature.MAXIMUM: "a law orders it",
    Nature.LIMITATION: "the limitation of claims: it binds only where a policy takes it up",
    Nature.GUIDANCE: "guidance or a standard: it binds only where a policy takes it up",
}


def _retention(row: RetentionRow) -> str:
    sides = (("at least", row.minimum), ("at most", row.maximum))
    periods = ", ".join(f"{side} {period}" for side, period in sides if period)
    told = f"{row.title}: {periods} from {row.anchor.replace('_', ' ')}; {_NATURES[row.nature]}"
    return "; ".join(filter(None, (told, wording.dates(row.effective_from, row.effective_to))))
