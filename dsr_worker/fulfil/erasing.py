"""Performs `plan`, `locate`, `apply` and `recheck`: an erasure in one system.

In: batches at systems that declare `Erases`. Out: sealed keys, receipts, and whether anything was
found again by another path. `plan` and `locate` change nothing; `apply` works from the keys that
`locate` sealed, so that a repeat after any crash does too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import orjson

from dsr_worker.contract import (
    Erases,
    Key,
    Mentions,
    NeedsHuman,
    Outcome,
    Receipt,
    Rechecks,
    Record,
)
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.engine.crash import crash_point
from dsr_worker.engine.receipts import with_intents
from dsr_worker.fulfil import receipts as accounts
from dsr_worker.fulfil.inspecting import ApprovalExceeded, inspected
from dsr_worker.fulfil.keeping import (
    has_no_day,
    kept_keys,
    kept_names,
    located,
    names_of,
    versions_of,
)
from dsr_worker.fulfil.planning import FOUND
from dsr_worker.fulfil.promised import rows_of
from dsr_worker.ledger.rows import Event, Spool, StepResult
from dsr_worker.spool import Frame, KeySpool, read_keys
from dsr_worker.store import Store, new_name

SECOND_PATH = "second-path"  # how a system was looked at again, as the certificate names it
LOCATED_AGAIN = "located-again"  # … by a connector that has no other way
_CANNOT_ERASE = "cannot_erase"
_WITHOUT_DAY = "kept_without_day"  # rows stay by a minimum and have no date from which it counts
_COLLECTION_UNMAPPED = "collection_unmapped"  # a promised row lies where the map names nothing

_Place = tuple[str, str]  # subject and collection


class Erasing:
    """The performers of an erasure's steps."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def plan(self, batch: Batch) -> Sequence[StepResult]:
        """What would happen, by a dry run; for an access case, what would be found.

        Where a connector cannot erase, an erasure stops for a human and the rest is counted.
        """
        if not isinstance(batch.connector, Erases):
            return _counted_by_find(batch)
        frames = self._locate(batch)
        asking = [m for m in batch.members if m.job.kind == "access"]
        erasing = [m for m in batch.members if m not in asking]
        try:
            counted = accounts.count_located(self._keys(batch.part(asking), frames))
            system = batch.ctx.system.name
            told = [
                m.done(result={"outcomes": _found(system, counted[m.subject.ref])}) for m in asking
            ]
            dry = self._dry_run(batch.part(erasing), frames, spools=False) if erasing else []
            return [*told, *dry]
        finally:
            self._store.destroy(next(iter(frames.values())).segment)

    def locate(self, batch: Batch) -> Sequence[StepResult]:
        """Seal the key of everything that apply will touch, and decide anew by a dry run."""
        frames = self._locate(batch)
        crash_point("after-spool")
        results = self._dry_run(batch, frames, spools=True)
        crash_point("after-locate")
        return results

    def _locate(self, batch: Batch) -> dict[str, Frame]:
        connector = _eraser(batch)
        keys = {m.subject.ref: m.key for m in batch.members}
        known = {key for m in batch.members for key in self._known(batch, m)}
        with KeySpool(self._store, new_name("keys", batch.ctx.now.date()), keys) as spool:
            for key in connector.locate(batch.subjects, batch.ctx):
                known.discard(key)
                spool.add(key)
            for key in sorted(known, key=lambda k: (k.subject_ref, k.collection, k.key)):
                spool.add(key)
            return spool.finish()

    def _known(self, batch: Batch, member: Member) -> set[Key]:
        """Rows that belong to this job whether or not a name still finds them.

        What an earlier round kept, and what the promise named that this job carries out. Raises
        NeedsHuman where the map no longer has a collection of theirs.
        """
        system = batch.ctx.system
        promised = {Key(member.subject.ref, *row) for row in rows_of(member)}
        gone = {key.collection for key in promised} - set(system.collections)
        if gone:
            raise NeedsHuman(_COLLECTION_UNMAPPED, {"collection": min(gone)})
        return promised | self._kept_keys(batch, member)

    def _dry_run(self, batch: Batch, frames: dict[str, Frame], *, spools: bool) -> list[StepResult]:
        connector = _eraser(batch)
        counted = accounts.count_located(self._keys(batch, frames))
        found = accounts.by_subject(
            batch,
            connector.erase(batch.subjects, self._keys(batch, frames), batch.ctx.trying()),
        )
        results = []
        for member in batch.members:
            ref = member.subject.ref
            accounts.require_sums(counted[ref], found[ref], batch.ctx.system.name)
            outcomes = accounts.planned(batch.ctx.system.name, found[ref], _decisions(batch))
            if member.job.kind == "deferred" and _stuck(batch, found[ref], outcomes):
                results.append(StepResult(member.claim, state="needs_human", code=_WITHOUT_DAY))
                continue
            kept = (Spool("keys", frames[ref].to_json()),) if spools else ()
            result = {"outcomes": outcomes, "changes": accounts.changes(found[ref])}
            results.append(member.done(result=result, spools=kept))
        return results

    def apply(self, batch: Batch) -> Sequence[StepResult]:
        """Erase, mask and keep as decided, and account for every located row.

        An effect that would go beyond the approval is prevented, and the approval is void.
        """
        try:
            return self._apply(batch)
        except ApprovalExceeded as exceeded:
            if len(batch.members) > 1:
                raise
            return [self._voided(batch, exceeded.reasons)]

    def _voided(self, batch: Batch, reasons: list[str]) -> StepResult:
        """The approval is void; what was erased before that was seen is accounted for."""
        (member,) = batch.members
        frames = self._frames(batch)
        ctx = batch.part(batch.members).ctx
        found = _eraser(batch).erase(batch.subjects, self._keys(batch, frames), ctx.trying())
        receipts = accounts.by_subject(batch, found)[member.subject.ref]
        rows = [
            accounts.row(receipt.collection, part, _decisions(batch), unseen=True)
            for receipt in receipts
            for part, unseen in with_intents(receipt, 0, ctx.earlier(member.claim))
            if part.outcome is Outcome.ERASED and unseen
        ]
        stays = kept_names(batch, member, batch.ctx.system.name)
        stays |= {digest for receipt in receipts for digest in receipt.kept}
        return member.done(receipts=rows, result={"voided": reasons, "kept": sorted(stays)})

    def _apply(self, batch: Batch) -> Sequence[StepResult]:
        connector = _eraser(batch)
        ctx = inspected(batch)
        frames = self._frames(batch)
        counted = accounts.count_located(self._keys(batch, frames))
        found = accounts.by_subject(
            batch, connector.erase(batch.subjects, self._keys(batch, frames), ctx)
        )
        return [
            self._applied(batch, m, counted[m.subject.ref], found[m.subject.ref])
            for m in batch.members
        ]

    def _applied(
        self, batch: Batch, member: Member, counted: Counter[str], receipts: Sequence[Receipt]
    ) -> StepResult:
        system = batch.ctx.system.name
        accounts.require_sums(counted, receipts, system)
        pending = sum(
            o.rows for r in receipts for o in r.outcomes if o.outcome is Outcome.PENDING_REMOTE
        )
        if pending:
            return StepResult(
                member.claim,
                state="waiting",
                code="pending_remote",
                wait_s=5.0,
                charge=-1 if member.claim.batch_size == 1 else 0,
            )
        rows = [
            accounts.row(receipt.collection, part, _decisions(batch), unseen=unseen)
            for receipt in receipts
            for part, unseen in with_intents(receipt, 0, batch.ctx.earlier(member.claim))
            if part.rows
        ]
        kept = sorted(digest for receipt in receipts for digest in receipt.kept)
        body = {
            "system": system,
            "action": "apply",
            "attempt": member.claim.attempt,
            "counts": _counts(rows),
        }
        return member.done(
            receipts=rows,
            result={"kept": kept, "masked": _masked(rows)},
            events=(Event("effect", body),),
        )

    def recheck(self, batch: Batch) -> Sequence[StepResult]:
        """Look again by the second path; what remains beyond the kept rows was not erased."""
        ctx = batch.ctx.verifying()
        frames = self._frames(batch)
        system, ring = batch.ctx.system.name, batch.ctx.bench.keys
        kept = {m.subject.ref: kept_names(batch, m, system) for m in batch.members}
        versions = versions_of(set().union(*kept.values()))
        remaining: Counter[str] = Counter()
        for key in _remaining(batch, self._keys(batch, frames), ctx):
            if kept[key.subject_ref].isdisjoint(names_of(ring, system, key, versions)):
                remaining[key.subject_ref] += 1
        unmasked = self._unmasked(batch)
        mentions = _mentions(batch)
        path = SECOND_PATH if isinstance(batch.connector, Rechecks) else LOCATED_AGAIN
        return [
            member.done(
                result={
                    "remaining": remaining[member.subject.ref] + unmasked[member.subject.ref],
                    "at": batch.ctx.now.isoformat(),
                    "path": path,
                    "mentions": mentions[member.subject.ref],
                },
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
        body = orjson.loads(record.body)
        fields = [f for f in collection.fields.values() if f.mask is not None]
        outside = [f for f in fields if f.name not in (collection.kept_fields or frozenset())]
        return all(
            f.mask is None or body.get(f.name) is None or f.mask.holds(body[f.name])
            for f in outside
        )

    def _keys(self, batch: Batch, frames: dict[str, Frame]) -> Iterator[Key]:
        for member in batch.members:
            ref = member.subject.ref
            yield from read_keys(self._store, frames[ref], member.key, ref)

    def _frames(self, batch: Batch) -> dict[str, Frame]:
        frames = {m.subject.ref: located(batch, m, batch.ctx.system.name) for m in batch.members}
        return {ref: frame for ref, frame in frames.items() if frame is not None}

    def _kept_keys(self, batch: Batch, member: Member) -> set[Key]:
        return kept_keys(batch, member, batch.ctx.system.name, self._store, batch.ctx.bench.keys)

    def _result(self, batch: Batch, member: Member, action: str) -> dict[str, Any]:
        return batch.results.get((member.job.id, action, batch.ctx.system.name), {})


def _eraser(batch: Batch) -> Erases:
    connector = batch.connector
    if not isinstance(connector, Erases):
        raise NeedsHuman(_CANNOT_ERASE)
    return connector


def _counted_by_find(batch: Batch) -> list[StepResult]:
    asking = [m for m in batch.members if m.job.kind == "access"]
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    if asking:
        part = batch.part(asking)
        for record in batch.connector.find(part.subjects, part.ctx):
            rows[record.subject_ref][record.collection] += 1
    return [
        member.done(result={"outcomes": _found(batch.ctx.system.name, rows[member.subject.ref])})
        if member in asking
        else StepResult(member.claim, state="needs_human", code=_CANNOT_ERASE)
        for member in batch.members
    ]


def _found(system: str, rows: Counter[str]) -> list[dict[str, Any]]:
    return [
        {
            "system": system,
            "collection": collection,
            "outcome": FOUND,
            "ground": "",
            "rows": count,
            "until": None,
        }
        for collection, count in sorted(rows.items())
    ]


def _stuck(batch: Batch, receipts: Sequence[Receipt], outcomes: Sequence[dict[str, Any]]) -> bool:
    """Whether nothing goes and something stays of which nobody knows until when."""
    return not accounts.changes(receipts) and any(
        has_no_day(_decisions(batch), o["outcome"], o["ground"], o["until"]) for o in outcomes
    )


def _decisions(batch: Batch) -> Any:
    return batch.ctx.decisions


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
    receipts = _eraser(batch).erase(part.subjects, iter(keys), part.ctx.trying())
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


def _counts(rows: Sequence[Any]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.outcome] += row.rows
    return dict(counts)


def _masked(rows: Sequence[Any]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for row in rows:
        if row.outcome == Outcome.MASKED.value:
            counts[row.collection] += row.rows
    return dict(counts)
