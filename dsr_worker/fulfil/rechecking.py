"""Performs `recheck`: was what was reported done, looked at again by another path.

In: applied batches. Out: how many rows of each case are not as they were reported. After an erasure
whatever is still found beyond the kept rows counts, and every mask that is not in place; after the
other verbs a dry run by the second path over the sealed keys says what is left to change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from dsr_worker.contract import Key, Mentions, Outcome, Rechecks, Record, content_of
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.evidence import DRY_RUN
from dsr_worker.fulfil import receipts as accounts
from dsr_worker.fulfil.keeping import (
    kept_keys,
    kept_names,
    names_of,
    sealed_frames,
    sealed_keys,
    versions_of,
)
from dsr_worker.fulfil.verbs import ERASING, Doing, by_verb
from dsr_worker.ledger.rows import StepResult
from dsr_worker.store import Store

SECOND_PATH = "second-path"  # how a system was looked at again, as the certificate names it
LOCATED_AGAIN = "located-again"  # … by a connector that has no other way

_Place = tuple[str, str]  # subject and collection


class Rechecking:
    """The performer of `recheck` steps."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, batch: Batch) -> Sequence[StepResult]:
        """Look again by the second path, as each member's verb asks."""
        return by_verb(batch, self._recheck)

    def _recheck(self, doing: Doing, batch: Batch) -> Sequence[StepResult]:
        return self._found_again(batch) if doing is ERASING else self._left(doing, batch)

    def _left(self, doing: Doing, batch: Batch) -> list[StepResult]:
        """What a dry run would still change; a row that is gone since was not to go."""
        ctx = batch.ctx.verifying().trying()
        keys = sealed_keys(batch, sealed_frames(batch), self._store)
        found = accounts.by_subject(batch, doing.perform(batch, keys, ctx))
        results = []
        for member in batch.members:
            parts = [o for receipt in found[member.subject.ref] for o in receipt.outcomes]
            left = sum(min(o.rows, o.fields) for o in parts if o.outcome in doing.changed)
            gone = sum(o.rows for o in parts if o.outcome is Outcome.ALREADY_GONE)
            gone_before = self._result(batch, member, "apply").get("gone", 0)
            results.append(_looked(batch, member, left + max(0, gone - gone_before), DRY_RUN))
        return results

    def _found_again(self, batch: Batch) -> list[StepResult]:
        """Look again by the second path; what remains beyond the kept rows was not erased."""
        ctx = batch.ctx.verifying()
        frames = sealed_frames(batch)
        system, ring = batch.ctx.system.name, batch.ctx.bench.keys
        kept = {m.subject.ref: kept_names(batch, m, system) for m in batch.members}
        versions = versions_of(set().union(*kept.values()))
        remaining: Counter[str] = Counter()
        for key in _remaining(batch, sealed_keys(batch, frames, self._store), ctx):
            if kept[key.subject_ref].isdisjoint(names_of(ring, system, key, versions)):
                remaining[key.subject_ref] += 1
        unmasked = self._unmasked(batch)
        mentions = _mentions(batch)
        path = SECOND_PATH if isinstance(batch.connector, Rechecks) else LOCATED_AGAIN
        return [
            _looked(
                batch,
                member,
                remaining[member.subject.ref] + unmasked[member.subject.ref],
                path,
                mentions[member.subject.ref],
            )
            for member in batch.members
        ]

    def _unmasked(self, batch: Batch) -> Counter[str]:
        """Rows that were masked, as their receipts say, and whose masks are not in place.

        Rows that a name still finds are read; of those found by a masked name alone, a dry run says
        what it would change.
        """
        wanted = {
            m.subject.ref: self._result(batch, m, "apply").get("masked", {}) for m in batch.members
        }
        if not any(wanted.values()):
            return Counter()
        ctx = batch.ctx.verifying()
        held: Counter[_Place] = Counter()
        unseen = {
            key
            for m in batch.members
            if wanted[m.subject.ref]
            for key in self._kept_keys(batch, m)
            if key.collection in wanted[m.subject.ref]
        }
        for record in batch.connector.find(batch.subjects, ctx):
            if record.collection in wanted[record.subject_ref]:
                unseen.discard(Key(record.subject_ref, record.collection, record.key))
                if self._shows_mask(batch, record):
                    held[record.subject_ref, record.collection] += 1
        held.update(_masked_by(batch, unseen))
        short: Counter[str] = Counter()
        for ref, collections in wanted.items():
            for name, rows in collections.items():
                short[ref] += max(0, rows - held[ref, name])
        return short

    def _shows_mask(self, batch: Batch, record: Record) -> bool:
        collection = batch.ctx.system.collections[record.collection]
        body = content_of(record.body)
        fields = [f for f in collection.fields.values() if f.mask is not None]
        outside = [f for f in fields if f.name not in (collection.kept_fields or frozenset())]
        return all(
            f.mask is None or body.get(f.name) is None or f.mask.holds(body[f.name])
            for f in outside
        )

    def _kept_keys(self, batch: Batch, member: Member) -> set[Key]:
        return kept_keys(batch, member, batch.ctx.system.name, self._store, batch.ctx.bench.keys)

    def _result(self, batch: Batch, member: Member, action: str) -> dict[str, Any]:
        return batch.results.get((member.job.id, action, batch.ctx.system.name), {})


def _looked(
    batch: Batch,
    member: Member,
    remaining: int,
    path: str,
    mentions: Sequence[Mapping[str, str]] = (),
) -> StepResult:
    at = batch.ctx.now.isoformat()
    result = {"remaining": remaining, "at": at, "path": path, "mentions": list(mentions)}
    return member.done(result=result)


def _remaining(batch: Batch, keys: Iterator[Key], ctx: Any) -> Iterator[Key]:
    connector = batch.connector
    if isinstance(connector, Rechecks):
        return connector.recheck(batch.subjects, keys, ctx)
    found: Iterator[Key] = connector.locate(batch.subjects, ctx)
    return found


def _masked_by(batch: Batch, keys: Collection[Key]) -> Mapping[_Place, int]:
    """How many of these rows have their masks in place already, by a dry run."""
    refs = {key.subject_ref for key in keys}
    if not refs:
        return {}
    part = batch.part([m for m in batch.members if m.subject.ref in refs])
    receipts = ERASING.perform(part, iter(keys), part.ctx.trying())
    return Counter(
        {
            (ref, receipt.collection): sum(
                o.rows - min(o.rows, o.fields)
                for o in receipt.outcomes
                if o.outcome is Outcome.MASKED
            )
            for ref, found in accounts.by_subject(part, receipts).items()
            for receipt in found
        }
    )


def _mentions(batch: Batch) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {m.subject.ref: [] for m in batch.members}
    if isinstance(batch.connector, Mentions):
        for mention in batch.connector.mentions(batch.subjects, batch.ctx):
            digest = batch.ctx.digest(mention.collection, mention.key)
            place = {"collection": mention.collection, "field": mention.field, "row": digest}
            found[mention.subject_ref].append(place)
    return found
