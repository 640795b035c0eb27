"""How often a proposal says rightly whose the rows of a table are, in the schemas of others.

In: a proposal and the owners that people wrote down. Out: an `Ownership`: of each table whether it
is right, and every other by name. Tables that are nobody's are right when no collection maps them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dsr_worker.contract import Collection, Proposal
from tests.contract.other_schemas import Owners, owners, tables


@dataclass(frozen=True, slots=True)
class Ownership:
    """Tables that are somebody's and those that are nobody's, and which of each are wrong."""

    owned: frozenset[str]
    nobodys: frozenset[str]
    wrong: frozenset[str]

    def row(self) -> str:
        """A row of the published table: right of those owned, right of those that are nobody's."""
        right, out = self.owned - self.wrong, self.nobodys - self.wrong
        every = len(self.owned) + len(self.nobodys)
        told = f"{len(right)} of {len(self.owned)} | {len(out)} of {len(self.nobodys)}"
        return f"{told} | {(len(right) + len(out)) / every:.3f} |"

    @property
    def share(self) -> float:
        """How many tables are right."""
        return 1 - len(self.wrong) / (len(self.owned) + len(self.nobodys))


def compared(name: str, proposal: Proposal) -> Ownership:
    """A proposal and what people wrote down."""
    expected = owners(name)
    owned = expected.people | set(expected.ways) | expected.unclear
    every = frozenset(tables(name))
    assert owned <= every, owned - every
    proposed = {c.source["table"]: c for c in proposal.collections.values()}
    wrong = {table for table in every if not _right(table, expected, proposed, proposal)}
    return Ownership(owned, every - owned, frozenset(wrong))


def together(found: Iterable[tuple[str, Ownership]]) -> Ownership:
    """Several schemas as one."""
    owned: set[str] = set()
    nobodys: set[str] = set()
    wrong: set[str] = set()
    for name, one in found:
        owned |= {f"{name}.{table}" for table in one.owned}
        nobodys |= {f"{name}.{table}" for table in one.nobodys}
        wrong |= {f"{name}.{table}" for table in one.wrong}
    return Ownership(frozenset(owned), frozenset(nobodys), frozenset(wrong))


def _right(
    table: str, expected: Owners, proposed: dict[str, Collection], proposal: Proposal
) -> bool:
    found = proposed.get(table)
    if found is None:
        return table not in expected.people | set(expected.ways) | expected.unclear
    if table in expected.people and found.person and found.parent is None:
        return True
    if table in expected.unclear:
        return found.review
    if found.parent is None:
        return False
    above = proposal.collections[found.parent.collection].source["table"]
    return any((above, column) in expected.ways.get(table, ()) for column in found.parent.on)
