"""The parts of the suite that only read: blocks, contacts, resolving, mentions, people in a leak.

In: an author's adapter. Out: test methods, one class per protocol.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from dsr_worker.contract import (
    Affected,
    AffectedPerson,
    Contacts,
    FindsBlocks,
    LeakScope,
    LeaseLost,
    Mentions,
    Record,
    RecordBlock,
    Residences,
    Resolves,
)
from dsr_worker.testing.conformance.basics import PARTS, Basics
from dsr_worker.testing.conformance.trial import bodies, hostile, made
from dsr_worker.testing.context import TrialContext


class BlocksPart(Basics):
    """Many rows at once."""

    def test_blocks_hold_the_same_records(self) -> None:
        """Line by line a block gives what `find` gives: key, body, and how much was withheld."""
        with made(self) as adapter:
            connector, people = adapter.connector(), adapter.world.people
            assert isinstance(connector, FindsBlocks)
            for batch in (people, *((person,) for person in people)):
                alone = list(connector.find(batch, TrialContext()))
                found = list(connector.find_blocks(batch, TrialContext()))
                assert any(isinstance(one, RecordBlock) for one in found) or not alone
                single = [record for one in found for record in _singly(one)]
                assert sorted(bodies(single)) == sorted(bodies(alone))
                assert _withheld(found) == _withheld(alone)

    def test_blocks_stay_of_a_bounded_size(self) -> None:
        """However much one person has, a block holds a small part of it."""
        with made(self, self.large()) as adapter:
            connector = adapter.connector()
            assert isinstance(connector, FindsBlocks)
            sizes = [
                len(one.bodies if isinstance(one, RecordBlock) else one.body)
                for one in connector.find_blocks(adapter.world.people, TrialContext())
            ]
            assert sum(sizes) > 4 * max(sizes)

    def test_lost_work_stops_blocks_at_once(self) -> None:
        """When the work is taken away, blocks end with LeaseLost."""

        def taken() -> None:
            raise LeaseLost

        with made(self) as adapter:
            connector, stopped = adapter.connector(), False
            assert isinstance(connector, FindsBlocks)
            try:
                list(connector.find_blocks(adapter.world.people, TrialContext(on_check=taken)))
            except LeaseLost:
                stopped = True
            assert stopped, "find_blocks never asked whether it may go on"


class ContactsPart(Basics):
    """Where a verification code may go."""

    def test_contacts_are_the_stored_ones(self) -> None:
        """Each claimed identity gives the contact on file as it is stored, and no one else's."""
        with made(self) as adapter:
            connector, world = adapter.connector(), adapter.world
            assert isinstance(connector, Contacts)
            points = connector.contacts(world.claimed, TrialContext())
            assert {(p.subject_ref, p.kind, p.value) for p in points} == world.contacts

    def test_hostile_claims_reach_nobody(self) -> None:
        """A code never goes out for a wildcard, a look-alike or another spelling of a number."""
        with made(self) as adapter:
            connector = adapter.connector()
            assert isinstance(connector, Contacts)
            assert not list(connector.contacts(hostile(adapter.world), TrialContext()))


class ResolvesPart(Basics):
    """Who is this in the system?"""

    def test_links_follow_from_the_claim(self) -> None:
        """One identity gives exactly the further ones that stand in the same person's row."""
        with made(self) as adapter:
            connector, world = adapter.connector(), adapter.world
            assert isinstance(connector, Resolves)
            links = list(connector.resolve(world.claimed, TrialContext()))
            claimed = {(s.ref, i) for s in world.claimed for i in s.identities}
            sure = {
                (x.subject_ref, x.identity.kind, x.identity.value)
                for x in links
                if not x.owners and (x.subject_ref, x.identity) not in claimed
            }
            assert sure == world.links
            assert {(x.subject_ref, x.identity.kind) for x in links if x.owners} == world.contested

    def test_a_name_of_several_people_is_told_so(self) -> None:
        """Two customers who share even a verified name show, by two rows or by another owner."""
        with made(self) as adapter:
            connector, world = adapter.connector(), adapter.world
            assert isinstance(connector, Resolves)
            known = {s.ref: s.identities for s in (*world.people, *world.sharing)}
            rows = defaultdict[tuple[str, str], set[tuple[str, ...]]](set)
            told: set[tuple[str, str]] = set()
            for link in connector.resolve((*world.people, *world.sharing), TrialContext()):
                place = link.subject_ref, link.collection
                if link.owners and link.identity in known[link.subject_ref]:
                    told.add(place)
                if world.system.collections[link.collection].person:
                    rows[place].add(link.key)
            told |= {place for place, keys in rows.items() if len(keys) > 1}
            assert told == world.shared

    def test_every_row_of_a_person_shows(self) -> None:
        """Whoever is known in full gives a link for their row, so that people can be counted."""
        with made(self) as adapter:
            connector, world = adapter.connector(), adapter.world
            assert isinstance(connector, Resolves)
            mine = {
                (ref, *place)
                for ref, places in world.owned.items()
                for place in places
                if world.system.collections[place[0]].person
            }
            links = list(connector.resolve(world.people, TrialContext()))
            assert {
                (x.subject_ref, x.collection, x.key)
                for x in links
                if world.system.collections[x.collection].person
            } == mine

    def test_hostile_claims_resolve_to_nobody(self) -> None:
        """Nothing follows from a hostile value."""
        with made(self) as adapter:
            connector = adapter.connector()
            assert isinstance(connector, Resolves)
            assert not list(connector.resolve(hostile(adapter.world), TrialContext()))


class ResidencesPart(Basics):
    """Where do its rows say that people live?"""

    def test_residences_are_what_own_rows_say(self) -> None:
        """Each person's own rows tell, as they are stored, and nobody else's."""
        with made(self) as adapter:
            connector, world = adapter.connector(), adapter.world
            assert isinstance(connector, Residences)
            found = list(connector.residences(world.people, TrialContext()))
            told = [(x.subject_ref, x.collection, x.stated) for x in found]
            assert set(told) == world.residences
            assert len(told) == len(set(told)), "each text comes once"

    def test_hostile_claims_live_nowhere(self) -> None:
        """A value that names nobody tells nothing of where anybody lives."""
        with made(self) as adapter:
            connector = adapter.connector()
            assert isinstance(connector, Residences)
            assert not list(connector.residences(hostile(adapter.world), TrialContext()))


class MentionsPart(Basics):
    """Places in other people's records."""

    def test_mentions_are_found_at_their_exact_places(self) -> None:
        """Every place that names a person in somebody else's record, and none of their own."""
        with made(self) as adapter:
            connector, world = adapter.connector(), adapter.world
            assert isinstance(connector, Mentions)
            found = connector.mentions(world.people, TrialContext())
            places = {(m.subject_ref, m.collection, m.key, m.field) for m in found}
            assert places == world.mentions


class AffectedPart(Basics):
    """Whose data leaked?"""

    def test_everyone_in_the_scope_is_named_once(self) -> None:
        """Each owner of a leaked row comes once, with the rows counted."""
        with made(self) as adapter:
            connector, world = adapter.connector(), adapter.world
            assert isinstance(connector, Affected)
            rows: Counter[str] = Counter()
            found = list(connector.affected((world.leak,), TrialContext()))
            people = [one for one in found if isinstance(one, AffectedPerson)]
            assert people == found, "something of the scope was not looked into"
            for person in people:
                numbers = [i.value for i in person.identities if i.kind == "customer_number"]
                rows[numbers[0]] += person.rows
            assert rows == Counter(world.leaked)
            assert len(people) == len(world.leaked)

    def test_no_scope_concerns_nobody(self) -> None:
        """Without a scope there is no one to notify."""
        with made(self) as adapter:
            connector = adapter.connector()
            assert isinstance(connector, Affected)
            scopes: tuple[LeakScope, ...] = ()
            assert not list(connector.affected(scopes, TrialContext()))


def _singly(found: Record | RecordBlock) -> Iterator[Record]:
    if isinstance(found, Record):
        yield found
        return
    lines = found.lines()
    assert len(lines) == found.rows, "a block counts its rows"
    yield from map(found.record, lines)


def _withheld(found: Iterable[Record | RecordBlock]) -> Counter[tuple[str, str, str, str]]:
    left_out = Counter[tuple[str, str, str, str]]()
    for one in found:
        for part in one.withheld:
            left_out[one.subject_ref, one.collection, part.field, part.ground] += part.values
    return left_out


PARTS.update(
    {
        FindsBlocks: BlocksPart,
        Contacts: ContactsPart,
        Resolves: ResolvesPart,
        Mentions: MentionsPart,
        Residences: ResidencesPart,
        Affected: AffectedPart,
    }
)
