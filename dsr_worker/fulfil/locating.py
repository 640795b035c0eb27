"""Which rows a case is about: what the connector locates, and what belongs to it without a name.

In: a batch. Out: the key of every row, each once. A rectification is about the collections with
corrections. A restriction names moved rows by where they were, and leaves its own lists alone. Its
lifting is about what it had restricted, and about what an earlier lifting left to the last. What
an earlier round kept, a promise named, or a restriction had restricted is found by no name any more
and belongs to its case all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dsr_worker.contract import Erases, Key, NeedsHuman
from dsr_worker.domain import rights
from dsr_worker.domain.rights import Verb
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.fulfil.keeping import kept_keys
from dsr_worker.fulfil.promised import rows_of
from dsr_worker.fulfil.unrestricted import found_keys
from dsr_worker.fulfil.verbs import DONE_BY, ERASING
from dsr_worker.spool import Frame, read_keys
from dsr_worker.store import Store

RESTRICTED_KEYS = "restricted_keys"  # the fact of a lifting: frames of what was restricted
KEPT_BEFORE = "kept_before"  # the fact of a lifting: an earlier one left rows to the last
_COLLECTION_UNMAPPED = "collection_unmapped"  # a row or correction lies where the map names nothing


def located_keys(batch: Batch, store: Store) -> Iterator[Key]:
    """Every row of every member, each once.

    Raises NeedsHuman where the connector cannot locate, or the map has no such place any more.
    Streams but for rows that are known already, and those that a restriction may have moved.
    """
    members = batch.by_ref
    origins = rights.moved_from(batch.ctx.system)
    known = {key for m in batch.members for key in _known(batch, m, store)}
    told: set[Key] = set()  # of collections whose rows may have been moved: few are
    for located in _located(batch):
        key = _named(batch, members[located.subject_ref], located)
        if key is None or key in told:
            continue
        if key.collection in origins.values():
            told.add(key)
        known.discard(key)
        yield key
    yield from sorted(known, key=lambda k: (k.subject_ref, k.collection, k.key))


def _located(batch: Batch) -> Iterator[Key]:
    """What the connector locates. One that only finds serves where its rows stay as they are."""
    if isinstance(batch.connector, Erases):
        return batch.connector.locate(batch.subjects, batch.ctx)
    stops = {DONE_BY.get(m.job.kind, ERASING).cannot for m in batch.members} - {None}
    if stops:
        raise NeedsHuman(min(filter(None, stops)))
    return found_keys(batch)


def _named(batch: Batch, member: Member, key: Key) -> Key | None:
    """A located row as the member's case names it; None where the case is not about it."""
    doing = DONE_BY.get(member.job.kind, ERASING)
    if doing.verb is Verb.RECTIFY:
        return key if key.collection in member.subject.corrections else None
    if doing.verb is Verb.LIFT and not member.job.facts.get(KEPT_BEFORE):
        return None
    if doing.verb in {Verb.RESTRICT, Verb.LIFT}:
        if key.collection in rights.lists(batch.ctx.system):
            return None
        origin = rights.moved_from(batch.ctx.system).get(key.collection)
        return key if origin is None else replace(key, collection=origin)
    return key


def _known(batch: Batch, member: Member, store: Store) -> set[Key]:
    """Rows that belong to this job whether or not a name still finds them."""
    system = batch.ctx.system
    promised = {Key(member.subject.ref, *row) for row in rows_of(member)}
    places = {key.collection for key in promised} | set(member.subject.corrections)
    unmapped = places - set(system.collections)
    unmapped |= {
        name
        for name, some in member.subject.corrections.items()
        if name not in unmapped and {c.field for c in some} - set(system.collections[name].fields)
    }
    if unmapped:
        raise NeedsHuman(_COLLECTION_UNMAPPED, {"collection": min(unmapped)})
    kept = kept_keys(batch, member, system.name, store, batch.ctx.bench.keys)
    return promised | kept | _restricted(batch, member, store)


def _restricted(batch: Batch, member: Member, store: Store) -> set[Key]:
    """What the restriction had restricted that this job lifts: both have one key."""
    frame = member.job.facts.get(RESTRICTED_KEYS, {}).get(batch.ctx.system.name)
    if frame is None:
        return set()
    return set(read_keys(store, Frame.from_json(frame), member.key, member.subject.ref))
