"""Who is affected, once each: entries of several systems joined into people.

In: entries (identities, residence, rows) in any order. Out: people, each with a keyed digest, a
contact and a residence. Two entries are one person when they share an identity that names one
person: a kind by which the map finds rows of a `person` collection, phones excepted, since
households share them. Where nothing joins, entries stay apart: too many people are a smaller fault
than one who is not told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dsr_worker.contract import Identity, Mask, MaskKind, System
from dsr_worker.statutes import country_of

SHARED_KINDS = frozenset({"phone"})
_TOMBSTONE = Mask(MaskKind.TOMBSTONE)

Digest = Callable[[str, str], bytes]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody affected. `digest` is the smallest keyed digest among their identities."""

    digest: bytes = field(repr=False)
    email: str | None = field(repr=False)
    residence: str | None


class People:
    """Joins entries by union-find over keyed digests. Memory grows with the number of people."""

    def __init__(self, joins: frozenset[str], digest: Digest) -> None:
        self._joins = joins
        self._digest = digest
        self._ids: dict[bytes, int] = {}
        self._above: list[int] = []
        self._residence: dict[int, str] = {}
        self._email: dict[int, tuple[bool, str]] = {}
        self.entries = 0
        self.rows = 0
        self.erased_rows = 0

    def __len__(self) -> int:
        return sum(1 for number, above in enumerate(self._above) if number == above)

    def add(
        self,
        identities: Sequence[Identity],
        residence: str | None,
        rows: int,
        *,
        place: str,
        preferred: bool = False,
    ) -> None:
        """Add an entry. `preferred`: it comes from a collection of people, whose e-mail goes first.

        `place` names the entry (system and running number) where nothing else does. What an erasure
        left in place of somebody is nobody: its rows are counted apart.
        """
        if any(_TOMBSTONE.holds(i.value) for i in identities):
            self.erased_rows += rows
            return
        self.entries += 1
        self.rows += rows
        names = [self._digest(i.kind, i.value) for i in identities if i.kind in self._joins]
        nodes = [self._node(name) for name in names or [self._digest("entry", place)]]
        root = self._find(nodes[0])
        for node in nodes[1:]:
            root = self._join(root, self._find(node))
        country = country_of(residence)
        if country is not None:
            self._residence.setdefault(root, country)
        mail = next((i.value for i in identities if i.kind == "email"), None)
        if mail is not None:
            self._email[root] = _better(self._email.get(root), (preferred, mail))

    def __iter__(self) -> Iterator[Person]:
        """Everybody once, in the order in which they were first met."""
        smallest: dict[int, bytes] = {}
        for name, node in self._ids.items():
            root = self._find(node)
            if root not in smallest or name < smallest[root]:
                smallest[root] = name
        for root, digest in smallest.items():
            mail = self._email.get(root)
            yield Person(digest, None if mail is None else mail[1], self._residence.get(root))

    def _node(self, name: bytes) -> int:
        node = self._ids.setdefault(name, len(self._above))
        if node == len(self._above):
            self._above.append(node)
        return node

    def _find(self, node: int) -> int:
        while self._above[node] != node:
            self._above[node] = self._above[self._above[node]]
            node = self._above[node]
        return node

    def _join(self, one: int, other: int) -> int:
        """Join two people; what was known first of either stays."""
        root, lost = min(one, other), max(one, other)
        if root == lost:
            return root
        self._above[lost] = root
        residence = self._residence.pop(lost, None)
        if residence is not None:
            self._residence.setdefault(root, residence)
        mail = self._email.pop(lost, None)
        if mail is not None:
            self._email[root] = _better(self._email.get(root), mail)
        return root


def joining_kinds(systems: Mapping[str, System]) -> frozenset[str]:
    """The identity kinds that name one person, by the data map."""
    taken = {
        kind
        for system in systems.values()
        for collection in system.collections.values()
        if collection.person
        for kind in collection.takes
    }
    return frozenset(taken - SHARED_KINDS)


def by_residence(people: Iterable[Person]) -> tuple[dict[str, int], int]:
    """How many live where, and of how many that is not known."""
    known: dict[str, int] = {}
    unknown = 0
    for person in people:
        if person.residence is None:
            unknown += 1
        else:
            known[person.residence] = known.get(person.residence, 0) + 1
    return known, unknown


def _better(have: tuple[bool, str] | None, new: tuple[bool, str]) -> tuple[bool, str]:
    return new if have is None or (new[0] and not have[0]) else have
