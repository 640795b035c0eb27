"""What a data map must agree on with itself, beyond its shape.

Why this room exists: each rule here is a way in which a plausible map would reach the wrong rows,
lose a row's owner, or break a reference. A system enters; each fault leaves with its place in the
file and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator

from dsr_worker.contract import Collection, MaskKind, Restriction, RestrictionKind, System

Fault = tuple[tuple[str | int, ...], str]


def faults_of(system: System) -> Iterator[Fault]:
    """Yield every fault of `system`, in the order of its file."""
    for collection in system.collections.values():
        for path, message in _collection_faults(system, collection):
            yield ("collections", collection.name, *path), message


def _collection_faults(system: System, collection: Collection) -> Iterator[Fault]:
    yield from _field_faults(collection)
    yield from _kind_faults(collection)
    yield from _keep_faults(collection)
    parents = list(_parent_faults(system, collection))
    yield from parents
    if not parents:
        yield from _mask_faults(system, collection)
    if collection.restriction is not None:
        yield from _restriction_faults(system, collection, collection.restriction)
        yield from _sharing_faults(system, collection, collection.restriction)


def _field_faults(collection: Collection) -> Iterator[Fault]:
    named: list[tuple[tuple[str | int, ...], str]] = [
        *((("key", at), name) for at, name in enumerate(collection.key)),
        *((("takes", kind), taken.field) for kind, taken in collection.takes.items()),
        *((("yields", kind), name) for kind, name in collection.yields.items()),
        *((("contact", kind), name) for kind, name in collection.contact.items()),
        *((("clocks", event), name) for event, name in collection.clocks.items()),
        *((("keeps",), name) for name in sorted(collection.kept_fields or ())),
        *((("residence",), name) for name in (collection.residence,) if name is not None),
    ]
    for path, name in named:
        if name not in collection.fields:
            yield path, f"{name} is not among the fields; add it there"
    if len(set(collection.key)) != len(collection.key):
        yield ("key",), "a field stands twice; name each once"


def _kind_faults(collection: Collection) -> Iterator[Fault]:
    for kind in collection.contact:
        if kind not in {"email", "phone"}:
            yield ("contact", kind), "a contact is an email or a phone; take it out"
    if collection.contact and not collection.takes:
        yield ("contact",), "nobody can be found here by a claimed identity; add takes"
    if collection.person and not collection.takes:
        yield ("person",), "a person is found by an identity; add takes"


def _keep_faults(collection: Collection) -> Iterator[Fault]:
    missing = (
        []
        if collection.kept_fields is None
        else [name for name in collection.key if name not in collection.kept_fields]
    )
    if missing:
        yield ("keeps",), f"a row that stays keeps its key; add {', '.join(missing)}"


def _parent_faults(system: System, collection: Collection) -> Iterator[Fault]:
    parent = collection.parent
    if parent is None:
        return
    above = system.collections.get(parent.collection)
    if above is None:
        known = ", ".join(sorted(set(system.collections) - {collection.name})) or "none"
        yield ("parent", "collection"), f"no collection {parent.collection}; known: {known}"
        return
    for ours, theirs in parent.on.items():
        if ours not in collection.fields:
            yield ("parent", "on", ours), f"{ours} is not among the fields; add it there"
        if theirs not in above.fields:
            yield ("parent", "on", ours), f"{theirs} is not among the fields of {above.name}"
    if _in_cycle(system, collection):
        yield ("parent",), "the parents lead back here; break the circle"


def _in_cycle(system: System, collection: Collection) -> bool:
    seen = set()
    current: Collection | None = collection
    while current is not None and current.name not in seen:
        seen.add(current.name)
        above = current.parent
        current = None if above is None else system.collections.get(above.collection)
    return current is not None and current.name == collection.name


def _mask_faults(system: System, collection: Collection) -> Iterator[Fault]:
    joined = set(collection.parent.on) if collection.parent else set()
    for child in system.collections.values():
        if child.parent is not None and child.parent.collection == collection.name:
            joined |= set(child.parent.on.values())
    reasons = (
        (set(collection.key), "the key finds the row again"),
        (joined, "parent and child are joined by it"),
        (set(collection.clocks.values()), "periods are counted from it"),
    )
    for name, field in collection.fields.items():
        if field.mask is None:
            continue
        path = ("fields", name, "mask")
        for names, reason in reasons:
            if name in names:
                yield path, f"{reason}; take the mask out"
        is_mail = "email" in field.category.split(".")
        if field.mask.kind is MaskKind.TOMBSTONE and not is_mail:
            yield path, "a tombstone is an e-mail address; use it for user.contact.email alone"
        if (field.mask.kind is MaskKind.CONSTANT) != (field.mask.constant is not None):
            yield path, "a constant mask is written {constant: text}"


def _restriction_faults(
    system: System, collection: Collection, means: Restriction
) -> Iterator[Fault]:
    if means.kind is RestrictionKind.FLAG:
        yield from _flag_faults(collection, means)
        return
    path = ("restrict", means.kind.value)
    target = system.collections.get(means.collection)
    if target is None or target.name == collection.name:
        known = ", ".join(sorted(set(system.collections) - {collection.name})) or "none"
        yield path, f"no other collection {means.collection}; known: {known}"
    elif target.restriction is not None:
        yield path, f"{target.name} is restricted by means of its own; take those out"
    elif means.kind is RestrictionKind.MOVE:
        for message in _move_faults(system, collection, target):
            yield path, message
    elif target.parent is None or target.parent.collection != collection.name:
        yield path, f"the parent of {target.name} is not {collection.name}; say by which fields"


def _sharing_faults(system: System, collection: Collection, means: Restriction) -> Iterator[Fault]:
    others = [
        other.name
        for other in system.collections.values()
        if other.name != collection.name
        and other.restriction is not None
        and other.restriction.collection == means.collection != ""
    ]
    if others:
        message = f"{means.collection} is for {', '.join(sorted(others))} too; give each its own"
        yield ("restrict", means.kind.value), message


def _move_faults(system: System, collection: Collection, target: Collection) -> Iterator[str]:
    children = sorted(
        c.name
        for c in system.collections.values()
        if c.parent is not None and c.parent.collection == collection.name
    )
    if children:
        message = "would lose their owner where these rows go; use flag or list"
        yield f"rows of {', '.join(children)} {message}"
    if target.key != collection.key:
        yield f"the key of {target.name} is not {', '.join(collection.key)}; make it so"
    if missing := sorted(set(collection.fields) ^ set(target.fields)):
        yield f"{target.name} has not the same fields; see {', '.join(missing)}"
    for key, name in _SAME.items():
        if getattr(target, name) != getattr(collection, name):
            message = "rows there would not be found and kept as here"
            yield f"{message}: give {target.name} the {key} of {collection.name}"


_SAME = {
    "takes": "takes",
    "parent": "parent",
    "class": "record_class",
    "clocks": "clocks",
    "keeps": "kept_fields",
}
"""What a collection of moved rows has in common with theirs, beside key and fields."""


def _flag_faults(collection: Collection, means: Restriction) -> Iterator[Fault]:
    if means.field not in collection.fields:
        yield ("restrict", "flag"), f"{means.field} is not among the fields; add it there"
        return
    if means.value == means.free:
        yield ("restrict", "value"), "restricted and free read the same; let value and free differ"
    if means.field in collection.key:
        yield ("restrict", "flag"), "the key finds the row again; name another field"
    if collection.fields[means.field].mask is not None:
        yield ("fields", means.field, "mask"), "it says what is restricted; take the mask out"
