"""Performs `find` and `package`: an access request, from the systems to the sealed ZIP.

In: batches at systems (every connector can find) and at the desk. Out: one sealed segment per batch
with a part for each case; then one sealed package per case, which only `deliver` opens again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from io import BufferedWriter
from threading import BoundedSemaphore
from typing import BinaryIO

from dsr_worker.contract import Connector, FindsBlocks, NeedsHuman, Record, RecordBlock
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.engine.crash import crash_point
from dsr_worker.fulfil.remaining import STORE_REFUSES, Unshown, look_again_on
from dsr_worker.fulfil.texts import Texts
from dsr_worker.fulfil.withholding import block_without_strangers, without_strangers
from dsr_worker.ledger import answers
from dsr_worker.ledger.rows import Event, Spool, StepResult
from dsr_worker.package import (
    CaseFacts,
    Contents,
    PackageMade,
    PackageRefused,
    Source,
    write_package,
)
from dsr_worker.spool import Frame, RecordSpool, Spooled
from dsr_worker.store import Store, StoreError, new_name
from dsr_worker.vault import CHUNK_BYTES, SealingWriter

_AT_ONCE = 4  # packages of a batch waiting for the disk or the bucket while the next is made
NOT_ASKED = "not-applicable"  # why a system has no answer: it knows the person by nothing we know
PACKAGE_REFUSED = "package_refused"  # why a package stops: what was found cannot be in one
PACKAGE = "package"  # the purpose under which packages are sealed


class Accessing:
    """The performers of an access case's steps."""

    def __init__(
        self, store: Store, texts: Texts, expire_after: timedelta, look_again_after: timedelta
    ) -> None:
        self._store = store
        self._texts = texts
        self._expire_after = expire_after
        self._look_again_after = look_again_after

    def find(self, batch: Batch) -> Sequence[StepResult]:
        """Stream every record of every subject into one sealed segment."""
        counts: dict[str, Counter[str]] = {m.subject.ref: Counter() for m in batch.members}
        unshown = {m.subject.ref: Unshown() for m in batch.members}
        keys = {m.subject.ref: m.key for m in batch.members}
        subjects = {m.subject.ref: m.subject for m in batch.members}
        collections = batch.ctx.system.collections
        name = new_name("records", batch.ctx.now.date())
        with RecordSpool(self._store, name, keys) as spool:
            for found in _found(batch):
                collection = collections[found.collection]
                subject = subjects[found.subject_ref]
                if isinstance(found, Record):
                    counts[subject.ref][collection.name] += 1
                    unshown[subject.ref].note(found, batch.ctx)
                    spool.add(without_strangers(found, collection, subject))
                    continue
                counts[subject.ref][collection.name] += found.rows
                for part in block_without_strangers(found, collection, subject):
                    spool.add(part)
            frames = spool.finish()
        crash_point("after-spool")
        found_at = batch.ctx.now.isoformat()
        again_on = look_again_on(batch.ctx.now, self._look_again_after)
        return [
            member.done(
                result={
                    "rows": dict(counts[member.subject.ref]),
                    "at": found_at,
                    **unshown[member.subject.ref].result(again_on),
                },
                spools=(Spool("records", frames[member.subject.ref].to_json()),),
            )
            for member in batch.members
        ]

    def package(self, batch: Batch) -> Sequence[StepResult]:
        """Write each case's package, sealed, and record where it lies and until when."""
        names = [new_name("packages", batch.ctx.now.date()) for _ in batch.members]
        try:
            return self._packages(batch, names)
        except BaseException:  # they are made anew, under other names
            for name in names:
                with suppress(OSError, StoreError):
                    self._store.destroy(name)
            raise

    def _packages(self, batch: Batch, names: Sequence[str]) -> list[StepResult]:
        room = BoundedSemaphore(_AT_ONCE)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            results, published = [], []
            for member, name in zip(batch.members, names, strict=True):
                batch.ctx.check()
                room.acquire()
                with ExitStack() as unpublished:
                    unpublished.callback(room.release)
                    results.append(self._package(batch, member, name, unpublished))
                    published.append(pool.submit(unpublished.pop_all().close))
            for publishing in published:
                publishing.result()
        return results

    def _package(
        self, batch: Batch, member: Member, name: str, unpublished: ExitStack
    ) -> StepResult:
        """Write one package; it is there, durable, once `unpublished` is closed."""
        blob = unpublished.enter_context(self._store.write(name))
        with SealingWriter(blob, member.key, PACKAGE) as sealing:
            out = BufferedWriter(sealing, CHUNK_BYTES)  # a ZIP is written in many small pieces
            made = self._write(out, batch, member)
            out.flush()
            out.detach()
        size_bytes = blob.tell()
        expires_at = batch.ctx.now + self._expire_after
        answer = answers.Answer(
            job_id=member.job.id,
            blob=name,
            kind=PACKAGE,
            size_bytes=size_bytes,
            sha256=made.manifest_sha256,
            expires_at=expires_at,
        )
        event = Event(
            "package_made",
            {
                "records": made.records,
                "bytes": size_bytes,
                "manifest_sha256": made.manifest_sha256,
                "counts": {"withheld": made.withheld},
                "complete": made.complete,
            },
        )
        result = {"records": made.records, "left_out": [part.plain() for part in made.left_out]}
        return member.done(result=result, events=(event,), answer=answer)

    def _write(self, out: BinaryIO, batch: Batch, member: Member) -> PackageMade:
        try:
            return write_package(out, self._contents(batch, member))
        except PackageRefused as refused:
            raise NeedsHuman(PACKAGE_REFUSED, refused.fields) from None

    def _contents(self, batch: Batch, member: Member) -> Contents:
        frames = {f["system"]: Frame.from_json(f) for f in batch.frames(member, "records")}
        plan = member.job.plan or {}
        spooled = {n: Spooled(self._store, frame, member.key) for n, frame in frames.items()}
        sources = []
        for name, system in sorted(batch.frozen.systems.items()):
            found = batch.results.get((member.job.id, "find", name), {})
            partial = STORE_REFUSES if "remainders" in found else ""
            source = Source(
                system=self._texts.worded(system),
                read=spooled[name].all if name in spooled else tuple,
                read_of=spooled[name].of if name in spooled else None,
                searched_at=datetime.fromisoformat(found["at"]) if found else None,
                complete=not partial,
                note=partial if name in frames else NOT_ASKED,
            )
            sources.append(source)
        job = member.job
        facts = CaseFacts(
            case=job.ref,
            kind=job.kind,
            regime=job.law or "",
            country=job.country or "",
            received_at=job.received_at,
            made_at=batch.ctx.now,
            language=self._texts.language(job.facts.get("language")),
            zone=job.zone or "UTC",
            verified=job.facts.get("verified_how") or "",
            known_by=tuple(
                sorted({(i.kind, standing) for i, standing in member.standings.items()})
            ),
        )
        return Contents(
            case=facts,
            organisation=self._texts.for_package(facts.language, job.law, job.country),
            sources=sources,
            limits=[f"contested-{kind.replace('_', '-')}" for kind in plan.get("contested", [])],
        )


def _found(batch: Batch) -> Iterator[Record | RecordBlock]:
    connector: Connector = batch.connector
    if isinstance(connector, FindsBlocks):
        return connector.find_blocks(batch.subjects, batch.ctx)
    return connector.find(batch.subjects, batch.ctx)
