"""Performs `plan`, `locate` and `apply`: what a case does to a person's rows in one system.

In: batches at systems whose connectors can locate and do what each case asks (`fulfil/verbs.py`).
Out: sealed keys and receipts. `plan` and `locate` change nothing; `apply` works from the keys that
`locate` sealed, so that a repeat after any crash does too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from dsr_worker.contract import Erases, Outcome, Receipt, is_remainder
from dsr_worker.engine.batch import Batch, BoundExceeded, CallDivided, Member, waits_for_units
from dsr_worker.engine.crash import crash_point
from dsr_worker.engine.receipts import ledger_row, with_intents
from dsr_worker.fulfil import receipts as accounts
from dsr_worker.fulfil.inspecting import inspected
from dsr_worker.fulfil.keeping import has_no_day, kept_names, sealed_frames, sealed_keys
from dsr_worker.fulfil.locating import located_keys
from dsr_worker.fulfil.plans import FOUND
from dsr_worker.fulfil.verbs import DEFERRED, DONE_BY, Doing, by_verb
from dsr_worker.ledger.rows import Event, ReceiptRow, Spool, StepResult
from dsr_worker.spool import Frame, KeySpool
from dsr_worker.store import Store, new_name

_Shown = Counter[
    tuple[str, str]
]  # rows by collection, and by the ground on which they are withheld
_WITHOUT_DAY = "kept_without_day"  # rows stay by a minimum and have no date from which it counts


class Changing:
    """The performers of the steps that lead to changed rows."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def plan(self, batch: Batch) -> Sequence[StepResult]:
        """What would happen, by a dry run; for an access case, what would be found.

        A case that asks for what a connector cannot do stops for a human, unless its rows may stay
        as they are there; the rest is counted.
        """
        codes = {m.subject.ref: _stop(batch, m) for m in batch.members}
        told = [
            StepResult(m.claim, state="needs_human", code=code)
            for m in batch.members
            if (code := codes[m.subject.ref])
        ]
        able = [m for m in batch.members if not codes[m.subject.ref]]
        if not isinstance(batch.connector, Erases):
            counted = [m for m in able if m.job.kind not in DONE_BY]
            able = [m for m in able if m not in counted]
            told += _counted_by_find(batch.part(counted)) if counted else []
        return [*told, *self._planned(batch.part(able))] if able else told

    def _planned(self, batch: Batch) -> list[StepResult]:
        frames = self._locate(batch)
        asking = [m for m in batch.members if m.job.kind == "access"]
        doing = [m for m in batch.members if m not in asking]
        try:
            keys = sealed_keys(batch.part(asking), frames, self._store)
            shown: dict[str, _Shown] = defaultdict(Counter)
            for key in keys:
                shown[key.subject_ref][key.collection, key.withheld] += 1
            system = batch.ctx.system.name
            told = [
                m.done(result={"outcomes": _found(system, shown[m.subject.ref])}) for m in asking
            ]

            def dry_run(verb: Doing, part: Batch) -> list[StepResult]:
                return self._dry_run(verb, part, frames, spools=False)

            return [*told, *(by_verb(batch.part(doing), dry_run) if doing else ())]
        finally:
            self._store.destroy(next(iter(frames.values())).segment)

    def locate(self, batch: Batch) -> Sequence[StepResult]:
        """Seal the key of everything that apply will touch, and decide anew by a dry run."""
        frames = self._locate(batch)
        crash_point("after-spool")

        def dry_run(doing: Doing, part: Batch) -> list[StepResult]:
            return self._dry_run(doing, part, frames, spools=True)

        results = by_verb(batch, dry_run)
        crash_point("after-locate")
        return results

    def _locate(self, batch: Batch) -> dict[str, Frame]:
        keys = {m.subject.ref: m.key for m in batch.members}
        with KeySpool(self._store, new_name("keys", batch.ctx.now.date()), keys) as spool:
            for key in located_keys(batch, self._store):
                spool.add(key)
            return spool.finish()

    def _dry_run(
        self, doing: Doing, batch: Batch, frames: dict[str, Frame], *, spools: bool
    ) -> list[StepResult]:
        counted = accounts.count_located(sealed_keys(batch, frames, self._store))
        keys = sealed_keys(batch, frames, self._store)
        found = accounts.by_subject(batch, doing.perform(batch, keys, batch.ctx.trying()))
        results = []
        for member in batch.members:
            ref = member.subject.ref
            accounts.require_sums(counted[ref], found[ref], batch.ctx.system.name)
            outcomes = accounts.planned(batch.ctx.system.name, found[ref], _decisions(batch))
            if member.job.kind == DEFERRED and _stuck(batch, found[ref], outcomes):
                results.append(StepResult(member.claim, state="needs_human", code=_WITHOUT_DAY))
                continue
            kept = (Spool("keys", frames[ref].to_json()),) if spools else ()
            result = {"outcomes": outcomes, "changes": accounts.changes(found[ref])}
            results.append(member.done(result=result, spools=kept))
        return results

    def apply(self, batch: Batch) -> Sequence[StepResult]:
        """Do as decided, and account for every located row.

        An effect that would go beyond the approval is prevented, and the approval is void.
        """
        return by_verb(batch, self._apply_or_void)

    def _apply_or_void(self, doing: Doing, batch: Batch) -> list[StepResult]:
        try:
            return self._apply(doing, batch)
        except CallDivided:
            return [waits_for_units(member) for member in batch.members]
        except BoundExceeded as exceeded:
            if len(batch.members) > 1:
                raise
            return [self._voided(doing, batch, exceeded.reasons)]

    def _voided(self, doing: Doing, batch: Batch, reasons: list[str]) -> StepResult:
        """The approval is void; what was erased before that was seen is accounted for."""
        (member,) = batch.members
        ctx = batch.part(batch.members).ctx
        keys = sealed_keys(batch, sealed_frames(batch), self._store)
        found = doing.perform(batch, keys, ctx.trying())
        receipts = accounts.by_subject(batch, found)[member.subject.ref]
        rows = [
            ledger_row(receipt.collection, part, _decisions(batch), unseen=True)
            for receipt in receipts
            for part, unseen in with_intents(receipt, 0, ctx.earlier(member.claim))
            if part.outcome is Outcome.ERASED and unseen
        ]
        stays = kept_names(batch, member, batch.ctx.system.name)
        stays |= {digest for receipt in receipts for digest in receipt.kept}
        return member.done(receipts=rows, result={"voided": reasons, "kept": sorted(stays)})

    def _apply(self, doing: Doing, batch: Batch) -> list[StepResult]:
        ctx = inspected(batch)
        frames = sealed_frames(batch)
        counted = accounts.count_located(sealed_keys(batch, frames, self._store))
        keys = sealed_keys(batch, frames, self._store)
        found = accounts.by_subject(batch, doing.perform(batch, keys, ctx))
        return [
            self._applied(batch, m, counted[m.subject.ref], found[m.subject.ref])
            for m in batch.members
        ]

    def _applied(
        self, batch: Batch, member: Member, counted: Counter[str], receipts: Sequence[Receipt]
    ) -> StepResult:
        system = batch.ctx.system.name
        accounts.require_sums(counted, receipts, system)
        if _rows_of(receipts, Outcome.PENDING_REMOTE):
            return StepResult(
                member.claim,
                state="waiting",
                code="pending_remote",
                wait_s=5.0,
                charge=-1 if member.claim.batch_size == 1 else 0,
            )
        rows = [
            ledger_row(receipt.collection, part, _decisions(batch), unseen=unseen)
            for receipt in receipts
            for part, unseen in with_intents(receipt, 0, batch.ctx.earlier(member.claim))
            if part.rows
        ]
        kept = sorted(digest for receipt in receipts for digest in receipt.kept)
        gone = _rows_of(receipts, Outcome.ALREADY_GONE)
        proofs = accounts.proofs(receipts)
        body = {
            "system": system,
            "action": "apply",
            "attempt": member.claim.attempt,
            "counts": _counts(rows),
            **({"outcomes": kept_rows} if (kept_rows := _grounded(rows)) else {}),
            **({"proofs_sha256": accounts.digest_of(proofs)} if proofs else {}),
        }
        told = {"proofs": proofs} if proofs else {}
        return member.done(
            receipts=rows,
            result={"kept": kept, "masked": _masked(rows), "gone": gone, **told},
            events=(Event("effect", body),),
        )


def _stop(batch: Batch, member: Member) -> str | None:
    """The code by which a case stops at a connector that cannot do what it asks for."""
    doing = DONE_BY.get(member.job.kind)
    return None if doing is None or doing.able(batch.connector) else doing.cannot


def _counted_by_find(batch: Batch) -> list[StepResult]:
    """What access cases would find, where no connector can locate it."""
    rows: dict[str, _Shown] = defaultdict(Counter)
    for record in batch.connector.find(batch.subjects, batch.ctx):
        refused = next((p.ground for p in record.withheld if is_remainder(p.ground)), "")
        rows[record.subject_ref][record.collection, refused] += 1
    system = batch.ctx.system.name
    return [m.done(result={"outcomes": _found(system, rows[m.subject.ref])}) for m in batch.members]


def _found(system: str, rows: _Shown) -> list[dict[str, Any]]:
    """What an access would find; what a store refuses for now by itself, with its ground."""
    return [
        {
            "system": system,
            "collection": collection,
            "outcome": FOUND,
            "ground": refused,
            "rows": count,
            "until": None,
        }
        for (collection, refused), count in sorted(rows.items())
    ]


def _stuck(batch: Batch, receipts: Sequence[Receipt], outcomes: Sequence[dict[str, Any]]) -> bool:
    """Whether nothing goes and something stays of which nobody knows until when."""
    return not accounts.changes(receipts) and any(
        has_no_day(_decisions(batch), o["outcome"], o["ground"], o["until"]) for o in outcomes
    )


def _decisions(batch: Batch) -> Any:
    return batch.ctx.decisions


def _rows_of(receipts: Sequence[Receipt], outcome: Outcome) -> int:
    return sum(o.rows for r in receipts for o in r.outcomes if o.outcome is outcome)


def _counts(rows: Sequence[Any]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.outcome] += row.rows
    return dict(counts)


def _grounded(rows: Sequence[ReceiptRow]) -> list[dict[str, Any]]:
    """What stays, wholly or in part, with the ground of each."""
    return [
        {"collection": r.collection, "outcome": r.outcome, "rows": r.rows, "ground": r.ground}
        for r in rows
        if r.ground and r.rows
    ]


def _masked(rows: Sequence[Any]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for row in rows:
        if row.outcome == Outcome.MASKED.value:
            counts[row.collection] += row.rows
    return dict(counts)
