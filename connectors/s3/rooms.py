"""A room for each collection, by its layout.

In: a system and its config. Out: rooms by collection, in the order in which they are asked.
Objects that rows link come before their rows, so that an erasure takes them while the rows still
say whose they are.
"""

from __future__ import annotations

from urllib.parse import urlsplit

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
from connectors.s3.reading.prefix import Prefixes
from connectors.s3.reading.shared import Shared
from connectors.s3.tables.room import TableRoom
from dsr_worker.contract import Collection, Configuration, System

Rooms = dict[str, Prefixes | Shared]


def rooms_of(system: System, config: Config) -> Rooms:
    """Every collection's room. Raises `Configuration` when the map does not fit a bucket."""
    layouts = {c.name: (c, layout_of(c)) for c in system.children_first()}
    shared = {
        name: Shared(collection, layout)
        for name, (collection, layout) in layouts.items()
        if isinstance(layout, SharedLayout)
    }
    whole: Rooms = {}
    for name, (collection, layout) in layouts.items():
        match layout:
            case PrefixLayout():
                whole[name] = Prefixes(
                    collection, Keyed(collection, layout.templates(collection)), layout.before
                )
            case LabelledLayout():
                whole[name] = Prefixes(collection, Labelled(collection, layout), layout.prefix)
            case LinkedLayout():
                linked = _linked(collection, layout, shared, config)
                whole[name] = Prefixes(collection, linked, layout.prefix)
            case TableLayout():
                whole[name] = TableRoom(collection, layout, config)
            case SharedLayout():
                pass
    return whole | shared


def _linked(
    collection: Collection, layout: LinkedLayout, shared: dict[str, Shared], config: Config
) -> Linked:
    rows = shared.get(layout.rows)
    if rows is None:
        known = ", ".join(sorted(shared)) or "none"
        raise Configuration(
            f"collection {collection.name}: `from` names a collection of shared objects; known:"
            f" {known}"
        )
    host = urlsplit(config.endpoint_url).netloc.lower() if config.endpoint_url else ""
    addresses = Addresses(config.bucket, host, layout.prefix, tuple(map(str.lower, layout.hosts)))
    return Linked(collection, layout, rows, addresses)
