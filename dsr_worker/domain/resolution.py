"""Who is this person in each system: in which order systems are asked, and what their answers mean.

Why this room exists: following names from system to system is how two people become one. The walk
starts from verified identities only, each edge between two systems is walked at most once, and an
identity that somebody else carries as well never leads on. Systems, identity kinds and links enter;
the rounds and the closed set of one person leave, with what a human has to look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from dsr_worker.contract import Collection, Identity, Link, System

MAX_IDENTITIES = 50
"""More names than this for one person are no longer one person."""


# ---- the plan


def rounds(systems: Mapping[str, System], kinds: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return the names of the systems to ask in each round, starting from identities of `kinds`.

    Asked is who yields names, tells people apart, or says where they live.

    Finite whatever the map says: an edge (asked system, yielded kind, system that takes it) is
    walked once. A round asks only systems for which `to_ask` returns something by then.
    """
    plan: list[tuple[str, ...]] = []
    walked: set[tuple[str, str, str]] = set()
    told = {"": frozenset(kinds)}
    while True:
        edges = {
            (source, kind, name)
            for source, yielded in told.items()
            for kind in yielded
            for name, system in systems.items()
            if _tells(system, kind)
        } - walked
        if not edges:
            return tuple(plan)
        walked |= edges
        plan.append(tuple(sorted({name for _, _, name in edges})))
        told = {
            name: _yielded(systems[name], {kind for _, kind, target in edges if target == name})
            for name in plan[-1]
        }


def not_applicable(systems: Mapping[str, System], kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the systems in which no collection takes any of `kinds`: nothing is found there."""
    known = frozenset(kinds)
    return tuple(sorted(name for name, system in systems.items() if not _taken(system) & known))


def reached(system: System, kinds: Iterable[str]) -> tuple[Collection, ...]:
    """Return the collections whose rows can be found by `kinds`, directly or through parents."""
    known = frozenset(kinds)

    def is_reached(collection: Collection) -> bool:
        above = collection.parent
        return bool(collection.identity_kinds & known) or (
            above is not None and is_reached(system.collections[above.collection])
        )

    return tuple(filter(is_reached, system.collections.values()))


def _taken(system: System) -> frozenset[str]:
    return frozenset().union(*(c.identity_kinds for c in system.collections.values()))


def _yielded(system: System, kinds: Iterable[str]) -> frozenset[str]:
    return frozenset(kind for collection in reached(system, kinds) for kind in collection.yields)


def _tells(system: System, kind: str) -> bool:
    return any(c.yields or c.person or c.residence for c in reached(system, {kind}))


# ---- the walk


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A row of a `person` collection that was found for the subject; copies have one key."""

    system: str
    collection: str
    key: tuple[str, ...]

    def __repr__(self) -> str:
        """Return where the row is, without its key."""
        return f"PersonRow({self.system}.{self.collection})"


@dataclass(frozen=True, slots=True)
class Ground:
    """How an identity came to be known; `via` is the kind it was found by."""

    system: str
    collection: str
    via: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """What is known of one person. `known` holds verified identities and those that follow."""

    known: frozenset[Identity]
    grounds: Mapping[Identity, Ground] = field(default_factory=dict)
    contested: frozenset[Identity] = frozenset()
    people: frozenset[PersonRow] = frozenset()
    dropped: int = 0
    """Identities that were left out because there were too many."""

    @property
    def identities(self) -> tuple[Identity, ...]:
        """The closed set, in order of kind and value."""
        return tuple(sorted(self.known))

    @property
    def several_people(self) -> frozenset[tuple[str, str]]:
        """The person collections (system, collection) in which more than one row was found."""
        return _crowded(self.people)


def start(verified: Iterable[Identity]) -> Resolution:
    """Return what is known before any system was asked.

    Raises:
        ValueError: there is no verified identity to start from.

    """
    known = frozenset(verified)
    if not known:
        raise ValueError("resolving starts from at least one verified identity")
    return Resolution(known)


def absorb(
    resolution: Resolution,
    system: System,
    links: Iterable[Link],
    limit: int = MAX_IDENTITIES,
) -> Resolution:
    """Return what is known after `system` answered with `links` of this one person.

    The order of the links does not matter, and absorbing them again changes nothing. An identity
    that others carry too is contested and never becomes known. Where a person collection now holds
    two rows, nothing that it says is believed.

    Raises:
        ValueError: the links are of more than one person.

    """
    found = tuple(links)
    if len({link.subject_ref for link in found}) > 1:
        raise ValueError("absorb takes the links of one subject at a time")
    people = resolution.people | {
        PersonRow(system.name, link.collection, link.person or link.key)
        for link in found
        if system.collections[link.collection].person
    }
    contested = resolution.contested | {link.identity for link in found if link.owners > 0}
    crowded = _crowded(people)
    believed = {
        link.identity: Ground(system.name, link.collection, link.via)
        for link in sorted(found, key=lambda link: (link.collection, link.via))
        if (system.name, link.collection) not in crowded
    }
    fresh = sorted(set(believed) - contested - resolution.known)
    room = max(0, limit - len(resolution.known))
    return replace(
        resolution,
        known=resolution.known.union(fresh[:room]),
        grounds={**{i: believed[i] for i in fresh[:room]}, **resolution.grounds},
        contested=contested,
        people=people,
        dropped=max(resolution.dropped, len(fresh) - room),
    )


def to_ask(
    system: System, known: Iterable[Identity], asked: Iterable[Identity] = ()
) -> tuple[Identity, ...]:
    """Return the identities that `system` takes and was not asked about yet, in order.

    Empty for every system after the last round means that the set is closed; otherwise the walk
    stopped early and a human has to look.
    """
    taken = _taken(system)
    return tuple(sorted(i for i in set(known) - set(asked) if i.kind in taken))


def _crowded(people: Iterable[PersonRow]) -> frozenset[tuple[str, str]]:
    rows: dict[tuple[str, str], int] = {}
    for row in people:
        place = (row.system, row.collection)
        rows[place] = rows.get(place, 0) + 1
    return frozenset(place for place, count in rows.items() if count > 1)
