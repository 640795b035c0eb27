"""Where a reviewed map and the bucket have grown apart.

In: the map as it stands, today's draft, a sampler. Out: findings: a place that looks personal and
is neither mapped nor left out on purpose, a mapped one where nothing lies any more, a format that
is another now, a field that looks personal and is not mapped. It names places, fields and counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from connectors.naming.classifying import Weight
from connectors.naming.marks import marked, stale
from connectors.s3.config import AnyLayout, SharedLayout, layout_of
from connectors.s3.formats.content import EACH
from connectors.s3.proposing.drafting import Draft
from connectors.s3.proposing.judging import judged
from connectors.s3.proposing.sampling import Sample
from connectors.s3.server.bucket import Version
from dsr_worker.contract import Collection, Finding, Severity, System

Objects = Callable[[str], Sequence[Version]]
Sampled = Callable[[Sequence[Version]], Sample]


def drift(system: System, draft: Draft, objects: Objects, sampled: Sampled) -> Iterator[Finding]:
    """Every place where they differ; what is missing from the map first."""
    mapped = {name: (c, layout_of(c)) for name, c in system.collections.items()}
    extents = [layout.prefix for _, layout in mapped.values()]
    for collection in draft.collections.values():
        place = layout_of(collection).prefix
        if place not in system.left_out and not any(place.startswith(e) for e in extents):
            why = ", ".join(map(str, draft.grounds[collection.name, ""].evidence))
            message = f"its objects look like people's ({why}), and no collection maps them"
            remedy = f"map it, or name it with the reason: left_out: {{{place}: …}}"
            yield _error(place or "/", message, remedy)
    for collection, layout in mapped.values():
        yield from _changed(system, collection, layout, objects, sampled)
    for left in system.left_out:
        if not objects(left.partition(":")[0]):
            yield stale(left)
    yield from marked(system)


def _changed(
    system: System, collection: Collection, layout: AnyLayout, objects: Objects, sampled: Sampled
) -> Iterator[Finding]:
    place = layout.prefix
    found = objects(place)
    if not found:
        message = f"nothing lies under {place or '/'} any more"
        yield _error(collection.name, message, "map where it went, or take the collection out")
    elif isinstance(layout, SharedLayout):
        yield from _other_records(system, collection, layout, sampled(found))


def _other_records(
    system: System, collection: Collection, layout: SharedLayout, sample: Sample
) -> Iterator[Finding]:
    if layout.records:
        sample = sample.lists.get(layout.records, Sample(code="without_records"))
    if sample.code or sample.format != layout.format:
        now = sample.code or sample.format
        message = f"is mapped as {layout.format}, and its objects are {now}"
        remedy = "map the format that they are in now"
        if layout.records:
            message = f"no list of records stands at {layout.records} any more"
            remedy = "name the list that they stand in now: `records: PATH`"
        yield _error(collection.name, message, remedy)
        return
    mapped = set(map(_plain, collection.fields))
    for name, look in judged(layout.prefix, sample).looks.items():
        left = {f"{layout.prefix}:{each}" for each in (name, _plain(name))}
        if look.weight is Weight.NONE or _plain(name) in mapped or left & system.left_out.keys():
            continue
        why = ", ".join(map(str, look.evidence))
        yield _error(
            f"{collection.name}.{name}",
            f"looks like {look.category} ({why}) and is not mapped",
            f'add the field, or: left_out: {{"{layout.prefix}:{name}": why}}',
        )
    used = [*collection.key, *(taken.field for taken in collection.takes.values())]
    there = {*sample.fields, *(map(_plain, sample.fields) if layout.format == "parquet" else ())}
    for name in dict.fromkeys(used):
        if name not in there:
            message = f"no record of {sample.rows} has it"
            yield Finding(
                Severity.WARNING,
                f"{collection.name}.{name}",
                message,
                "map the field that took its place",
            )


def _plain(name: str) -> str:
    """A field without the signs of lists: only an owner field needs them."""
    return name.replace(EACH, "")


def _error(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.ERROR, subject, message, remedy)
