"""A room for each collection, by its layout.

In: a system and its config. Out: rooms by collection, in the order in which they are asked.
Objects that rows link come before their rows, so that an erasure takes them while the rows still
say whose they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from connectors.s3.config import (
    Config,
    LabelledLayout,
    LinkedLayout,
    PrefixLayout,
    SharedLayout,
    TableLayout,
    layout_of,
)
from connectors.s3.links import Addresses
from connectors.s3.reading.keyed import Keyed
from connectors.s3.reading.labelled import Labelled
from connectors.s3.reading.linked import Linked
from connectors.s3.rooms.objects import ObjectsRoom
from connectors.s3.rooms.room import Room, Rooms
from connectors.s3.rooms.shared import SharedRoom
from connectors.s3.server.probe import Endpoint
from connectors.s3.tables.room import TableRoom
from dsr_worker.contract import Collection, Configuration, System


def rooms_of(system: System, config: Config, first: Config) -> Rooms:
    """Every collection's room. Raises `Configuration` when the map does not fit a bucket.

    `first` is of the bucket that rows mean when they link: in a copy, the one it is a copy of.
    """
    layouts = {c.name: (c, layout_of(c)) for c in system.children_first()}
    endpoint = Endpoint()
    shared = {
        name: SharedRoom(collection, layout, config, endpoint)
        for name, (collection, layout) in layouts.items()
        if isinstance(layout, SharedLayout)
    }
    others: dict[str, Room] = {}
    for name, (collection, layout) in layouts.items():
        match layout:
            case PrefixLayout():
                keyed = Keyed(collection, layout.templates(collection))
                others[name] = ObjectsRoom(collection, keyed, layout.prefix, endpoint)
            case LabelledLayout():
                labelled = Labelled(collection, layout)
                others[name] = ObjectsRoom(collection, labelled, layout.prefix, endpoint)
            case LinkedLayout():
                linked = _linked(collection, layout, shared, first)
                others[name] = ObjectsRoom(collection, linked, layout.prefix, endpoint)
            case TableLayout():
                others[name] = TableRoom(collection, layout, config)
            case SharedLayout():
                pass
    return others | shared


def _linked(
    collection: Collection, layout: LinkedLayout, shared: Mapping[str, SharedRoom], first: Config
) -> Linked:
    rows = shared.get(layout.rows)
    if rows is None:
        known = ", ".join(sorted(shared)) or "none"
        raise Configuration(
            f"collection {collection.name}: `from` names a collection of shared objects; known:"
            f" {known}"
        )
    return Linked(collection, layout, rows, Addresses.of(first, layout.prefix, layout.hosts))
