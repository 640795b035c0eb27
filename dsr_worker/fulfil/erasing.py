"""Performs `plan`, `locate`, `apply` and `recheck`: an erasure in one system.

In: batches at systems that declare `Erases`. Out: sealed keys, receipts, and whether anything was
found again by another path. `plan` and `locate` change nothing; `apply` works from the keys that
`locate` sealed, so that a repeat after any crash does too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
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
from dsr_worker.fulfil.planning import FOUND
from dsr_worker.ledger.rows import Event, Spool, StepResult
from dsr_worker.spool import Frame, KeySpool, read_keys
from dsr_worker.store import Store, new_name

SECOND_PATH = "second-path"  # how a system was looked at again, as the certificate names it
LOCATED_AGAIN = "located-again"  # … by a connector that has no other way
_CANNOT_ERASE = "cannot_erase"


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
        frames, _ = self._locate(batch)
        asking = [m for m in batch.members if m.job.kind == "access"]
        erasing = [m for m in batch.members if m not in asking]
        try:
            located = accounts.count_located(self._keys(batch.part(asking), frames))
            system = batch.ctx.system.name
            counted = [
                m.done(result={"outcomes": _found(system, located[m.subject.ref])}) for m in asking
            ]
            dry = self._dry_run(batch.part(erasing), frames, spools=False) if erasing else []
            return [*counted, *dry]
        finally:
            self._store.destroy(next(iter(frames.values())).segment)

    def locate(self, batch: Batch) -> Sequence[StepResult]:
        """Seal the key of everything that apply will touch, and decide anew by a dry run."""
        frames, _ = self._locate(batch)
        crash_point("after-spool")
        results = self._dry_run(batch, frames, spools=True)
        crash_point("after-locate")
        return results

    def _locate(self, batch: Batch) -> tuple[dict[str, Frame], int]:
        connector = _eraser(batch)
        keys = {m.subject.ref: m.key for m in batch.members}
        written = 0
        with KeySpool(self._store, new_name("keys", batch.ctx.now.date()), keys) as spool:
            for key in connector.locate(batch.subjects, batch.ctx):
                spool.add(key)
                written += 1
            return spool.finish(), written

    def _dry_run(self, batch: Batch, frames: dict[str, Frame], *, spools: bool) -> list[StepResult]:
        connector = _eraser(batch)
        located = accounts.count_located(self._keys(batch, frames))
        found = accounts.by_subject(
            batch,
            connector.erase(batch.subjects, self._keys(batch, frames), batch.ctx.trying()),
        )
        results = []
        for member in batch.members:
            ref = member.subject.ref
            accounts.require_sums(located[ref], found[ref], batch.ctx.system.name)
            outcomes = accounts.planned(batch.ctx.system.name, found[ref], _decisions(batch))
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
        frames = {member.subject.ref: Frame.from_json(self._latest(batch, member, "keys"))}
        ctx = batch.part(batch.members).ctx
        receipts = _eraser(batch).erase(batch.subjects, self._keys(batch, frames), ctx.trying())
        rows = [
            accounts.row(receipt.collection, part, _decisions(batch), unseen=True)
            for receipt in accounts.by_subject(batch, receipts)[member.subject.ref]
            for part, unseen in with_intents(receipt, 0, ctx.earlier(member.claim))
            if part.outcome is Outcome.ERASED and unseen
        ]
        return member.done(receipts=rows, result={"voided": reasons})

    def _apply(self, batch: Batch) -> Sequence[StepResult]:
        connector = _eraser(batch)
        ctx = inspected(batch)
        frames = {
            m.subject.ref: Frame.from_json(self._latest(batch, m, "keys")) for m in batch.members
        }
        located = accounts.count_located(self._keys(batch, frames))
        found = accounts.by_subject(
            batch, connector.erase(batch.subjects, self._keys(batch, frames), ctx)
        )
        return [
            self._applied(batch, m, located[m.subject.ref], found[m.subject.ref])
            for m in batch.members
        ]

    def _applied(
        self, batch: Batch, member: Member, located: Counter[str], receipts: Sequence[Receipt]
    ) -> StepResult:
        system = batch.ctx.system.name
        accounts.require_sums(located, receipts, system)
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
        frames = {
            m.subject.ref: Frame.from_json(self._latest(batch, m, "keys")) for m in batch.members
        }
        kept = {m.subject.ref: self._kept(batch, m) for m in batch.members}
        versions = {int(name.partition(".")[0]) for names in kept.values() for name in names}
        remaining: Counter[str] = Counter()
        for key in _remaining(batch, self._keys(batch, frames), ctx):
            if kept[key.subject_ref].isdisjoint(_names(batch, key, versions)):
                remaining[key.subject_ref] += 1
        unmasked = self._unmasked(batch, kept)
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

    def _unmasked(self, batch: Batch, kept: dict[str, set[str]]) -> Counter[str]:
        """Rows that stay and still show an identity of their subject in a field that was masked."""
        wanted = {
            m.subject.ref: self._result(batch, m, "apply").get("masked", {}) for m in batch.members
        }
        if not any(wanted.values()):
            return Counter()
        ctx = batch.ctx.verifying()
        held: dict[tuple[str, str], int] = Counter()
        for record in batch.connector.find(batch.subjects, ctx):
            if record.collection in wanted[record.subject_ref] and self._shows_mask(batch, record):
                held[record.subject_ref, record.collection] += 1
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

    def _latest(self, batch: Batch, member: Member, name: str) -> dict[str, Any]:
        frames = [f for f in batch.frames(member, name) if f["system"] == batch.ctx.system.name]
        return frames[-1]

    def _kept(self, batch: Batch, member: Member) -> set[str]:
        return set(self._result(batch, member, "apply").get("kept", ()))

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


def _decisions(batch: Batch) -> Any:
    return batch.ctx.decisions


def _remaining(batch: Batch, keys: Iterator[Key], ctx: Any) -> Iterator[Key]:
    connector = batch.connector
    if isinstance(connector, Rechecks):
        return connector.recheck(batch.subjects, keys, ctx)
    found: Iterator[Key] = connector.locate(batch.subjects, ctx)
    return found


def _names(batch: Batch, key: Key, versions: Iterable[int]) -> list[str]:
    """What a row is called under these versions of the key ring: of the apply, and of today."""
    keys, system = batch.ctx.bench.keys, batch.ctx.system.name
    return [keys.row_digest(system, key.collection, key.key, version) for version in versions]


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
