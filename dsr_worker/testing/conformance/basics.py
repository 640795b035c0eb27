"""What the smallest connector has to do, and what every connector has to leave undone.

In: an author's adapter. Out: test methods. The other parts build on these.
"""

from __future__ import annotations

import json
import logging
import traceback
import tracemalloc
from typing import TYPE_CHECKING, Final

from dsr_worker.contract import ConnectorError, LeaseLost, Severity
from dsr_worker.testing.conformance.trial import (
    Adapter,
    bodies,
    calls,
    hostile,
    made,
    named_in,
    named_like,
)
from dsr_worker.testing.conformance.world import Where, World, large_world, standard_world
from dsr_worker.testing.context import TrialContext

if TYPE_CHECKING:
    import pytest

_LARGE_ROWS: Final = 2000
_LARGE_ROW_BYTES: Final = 4000
#: Protocol of the contract -> the part of the suite that tries it; parts enter themselves.
PARTS: dict[type, type] = {}


class Basics:
    """What every connector has to do: check and find. Subclass and write `make`."""

    def make(self, world: World) -> Adapter:
        """Put a world into a fresh system."""
        raise NotImplementedError("write make(world) for your connector")

    def world(self) -> World:
        """The world to try on; override it where the system holds no tables."""
        return standard_world()

    def large(self) -> World:
        """A world in which one person has much."""
        return large_world(_LARGE_ROWS, _LARGE_ROW_BYTES)

    def test_every_capability_is_tried(self) -> None:
        """A protocol that the connector implements has its part of the suite among the bases."""
        with made(self) as adapter:
            connector = adapter.connector()
            for protocol, part in PARTS.items():
                assert isinstance(connector, protocol) == isinstance(self, part), protocol.__name__

    def test_check_finds_no_error_and_changes_nothing(self) -> None:
        """A system that fits its map passes its check, which only reads."""
        with made(self) as adapter:
            before = adapter.dump()
            findings = list(adapter.connector().check())
            assert not [f for f in findings if f.severity is Severity.ERROR]
            assert adapter.dump() == before

    def test_nothing_is_found_for_nobody(self) -> None:
        """An empty batch and an unknown person find nothing."""
        with made(self) as adapter:
            connector, stranger = adapter.connector(), named_like(adapter.world, ("nobody-7",))
            assert not list(connector.find((), TrialContext()))
            assert not list(connector.find(stranger, TrialContext()))

    def test_each_finds_exactly_their_own(self) -> None:
        """In a batch every person gets all of their records and none of anybody else's."""
        with made(self) as adapter:
            world, found = adapter.world, {ref: list[Where]() for ref in adapter.world.owned}
            for record in adapter.connector().find(world.people, TrialContext()):
                found[record.subject_ref].append((record.collection, record.key))
                body = record.body.decode()
                assert isinstance(json.loads(body), dict)
                assert "\n" not in body
                assert world.withheld not in body
                others = {world.markers[n] for n in world.markers if n != record.subject_ref}
                assert not any(mark in body for mark in others), record.collection
            assert {ref: sorted(places) for ref, places in found.items()} == {
                ref: sorted(places) for ref, places in world.owned.items()
            }

    def test_withheld_fields_are_named(self) -> None:
        """What is left out since it is about others is counted, so that the answer can say so."""
        with made(self) as adapter:
            named = {
                (held.field, held.ground)
                for record in adapter.connector().find(adapter.world.people, TrialContext())
                for held in record.withheld
            }
            assert {ground for _, ground in named} == {"AC_RIGHTS_OF_OTHERS"}

    def test_a_batch_gives_what_each_would_get_alone(self) -> None:
        """Sharing a pass over the data changes nobody's records, not by a byte."""
        with made(self) as adapter:
            connector, people = adapter.connector(), adapter.world.people
            together = sorted(bodies(connector.find(people, TrialContext())))
            alone = [bodies(connector.find((person,), TrialContext())) for person in people]
            assert together == sorted(each for some in alone for each in some)

    def test_hostile_identities_find_nobody(self) -> None:
        """Wildcards, quotes, look-alikes and other spellings of a number are no one's names."""
        with made(self) as adapter:
            connector, people = adapter.connector(), hostile(adapter.world)
            assert not list(connector.find(people, TrialContext()))

    def test_memory_does_not_grow_with_the_records(self) -> None:
        """Records come as a stream: a fraction of what is read is held at once."""
        with made(self, self.large()) as adapter:
            read_bytes, connector = 0, adapter.connector()
            for _ in connector.find(adapter.world.people, TrialContext()):
                pass  # what a process makes once, as modules and clients, is no part of a stream
            tracemalloc.start()
            try:
                for record in connector.find(adapter.world.people, TrialContext()):
                    read_bytes += len(record.body)
                peak_bytes = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert read_bytes > _LARGE_ROWS * _LARGE_ROW_BYTES
            assert peak_bytes < read_bytes / 4

    def test_logs_and_errors_name_nobody(self, caplog: pytest.LogCaptureFixture) -> None:
        """Neither a log line at any level nor an error's whole chain holds a personal value."""
        caplog.set_level(logging.DEBUG)
        with made(self) as adapter:
            world = adapter.world
            for call in calls(adapter.connector(), world):
                call()
            broken = calls(adapter.unreachable(), world)
            shown = []
            for call in broken:
                try:
                    call()
                except ConnectorError as error:
                    shown.append("".join(traceback.format_exception(error)))
            assert len(shown) == len(broken), (
                "an unreachable system is a ConnectorError in each call"
            )
            assert not named_in(world, "".join(shown))
            assert not named_in(world, caplog.text)

    def test_lost_work_stops_at_once(self) -> None:
        """When the work is taken away, find ends with LeaseLost instead of running to its end."""

        def taken() -> None:
            raise LeaseLost

        with made(self) as adapter:
            stopped = False
            try:
                list(adapter.connector().find(adapter.world.people, TrialContext(on_check=taken)))
            except LeaseLost:
                stopped = True
            assert stopped, "find never asked whether it may go on"
