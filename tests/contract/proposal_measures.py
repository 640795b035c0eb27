"""How much of what is personal a proposal finds in the schemas that others wrote, and what else.

A column is found when one of its fields carries a mask, a mark (`review`, `free_text`,
`third_party`) or a category of a person's own; a mark on a whole collection finds nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dsr_worker.contract import Field, Proposal
from tests.contract.other_schemas import build, labels, tables
from tests.contract.postgres_proposals import proposed, text_of
from tests.contract.proposal_owners import Ownership, compared

PERSONAL = ("contact", "name", "demographic", "authorization", "device", "location", "social")


@dataclass(frozen=True, slots=True)
class Measure:
    """What was labelled, what was proposed as personal, and both."""

    name: str
    labelled: frozenset[tuple[str, str]]
    claimed: frozenset[tuple[str, str]]

    @property
    def found(self) -> frozenset[tuple[str, str]]:
        """Labelled and proposed."""
        return self.labelled & self.claimed

    @property
    def recall(self) -> float:
        """How much of what is labelled was proposed."""
        return len(self.found) / len(self.labelled)

    @property
    def precision(self) -> float:
        """How much of what was proposed is labelled."""
        return len(self.found) / max(len(self.claimed), 1)

    @property
    def missed(self) -> frozenset[tuple[str, str]]:
        """Labelled, and not proposed."""
        return self.labelled - self.claimed

    @property
    def beyond(self) -> frozenset[tuple[str, str]]:
        """Proposed, and not labelled."""
        return self.claimed - self.labelled

    def row(self) -> str:
        """A row of the published table: counts and shares."""
        counts = f"{len(self.labelled)} | {len(self.claimed)} | {len(self.found)}"
        return f"{counts} | {self.recall:.3f} | {self.precision:.3f} |"

    def told(self) -> str:
        """The row, and every difference by name."""
        places = (("missed", self.missed), ("not labelled", self.beyond))
        lines = [f"{what}: {' '.join(map('.'.join, sorted(found)))}" for what, found in places]
        return "\n  ".join([f"{self.name} | {self.row()}", *lines])


def combined(measures: Iterable[Measure]) -> Measure:
    """Several schemas as one."""
    measures = tuple(measures)
    return Measure(
        "together",
        frozenset((f"{m.name}.{table}", column) for m in measures for table, column in m.labelled),
        frozenset((f"{m.name}.{table}", column) for m in measures for table, column in m.claimed),
    )


def claims(field: Field) -> bool:
    """Whether a proposed field says that it is a person's by itself."""
    marked = field.mask or field.review or field.free_text or field.third_party
    return bool(marked) or field.category.split(".")[1:2] in [[topic] for topic in PERSONAL]


def claimed(name: str, proposal: Proposal) -> Iterator[tuple[str, str]]:
    """Table and column of every field that claims; a place in a document counts for its column."""
    columns = {table.name: {c.name for c in table.columns} for table in tables(name).values()}
    for collection in proposal.collections.values():
        table = collection.source["table"]
        for field in collection.fields.values():
            column = field.name.split("->")[0]
            assert column in columns[table], f"no such column: {table}.{field.name}"
            if claims(field):
                yield table, column


def measured(name: str, dsn: str) -> tuple[Measure, Ownership]:
    """A schema built in an empty database, proposed for, compared with its labels and owners."""
    build(name, dsn)
    proposal = proposed(dsn)
    text_of(proposal)
    measure = Measure(name, frozenset(labels(name)), frozenset(claimed(name, proposal)))
    return measure, compared(name, proposal)
