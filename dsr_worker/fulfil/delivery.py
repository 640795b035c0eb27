"""Hands an answer over and closes the case: a clock is met by delivery, never by making a file.

In: a ready case, where the file is to go, how it is to be protected. Out: an encrypted package or a
certificate beside its page, a signed event, met clocks, a closed case.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from dsr_worker.domain.request import State
from dsr_worker.evidence import render_certificate
from dsr_worker.fulfil.access import PACKAGE
from dsr_worker.fulfil.certifying import CERTIFICATE
from dsr_worker.fulfil.decisions import DecisionRefused
from dsr_worker.ledger import Ledger, answers, cases, jobs
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Event, Job, Move
from dsr_worker.package import Method, PackageRefused, hand_over
from dsr_worker.people import SignedAction, accept
from dsr_worker.store import Store
from dsr_worker.vault import KeyRing, opening


@dataclass(frozen=True, slots=True)
class Delivered:
    """What was handed over, and which clocks that ended, with how each ended."""

    ref: str
    files: tuple[Path, ...]
    clocks: tuple[tuple[str, str], ...]


class Delivery:
    """Hands answers over."""

    def __init__(self, ledger: Ledger, keys: KeyRing, store: Store) -> None:
        self._ledger = ledger
        self._keys = keys
        self._store = store

    def package(
        self, ref: str, to: Path, method: Method, secret: str, signed: SignedAction
    ) -> Delivered:
        """Write the package of an access case, encrypted for the person, and close the case.

        It is written beside its place before anything is decided, since that takes as long as the
        package is large. Where the hand-over is refused, no file stays.
        """
        if to.exists():
            message = f"{to} exists and is never overwritten: choose another name."
            raise PackageRefused(message)
        beside = to.with_name(f".{to.name}.{secrets.token_hex(8)}.part")
        try:
            with self._ledger.transaction() as cursor:
                job, answer = self._ready(cursor, ref, PACKAGE)
            with self._opened(job, answer.blob) as package:
                made = hand_over(package, beside, method=method, secret=secret)
            return self._placed(ref, answer, beside, to, (signed, method.value, made.sha256))
        finally:
            beside.unlink(missing_ok=True)

    def _placed(
        self,
        ref: str,
        written: answers.Made,
        beside: Path,
        to: Path,
        how: tuple[SignedAction, str, str],
    ) -> Delivered:
        """Accept, close and give the file its name, all or nothing."""
        signed, method, sha256 = how
        named = False
        try:
            with self._ledger.transaction() as cursor:
                job, answer = self._ready(cursor, ref, PACKAGE)
                _require_same(ref, written, answer)
                accept(cursor, signed, "hand-over", ref)
                delivered = self._close(cursor, job, signed, method, sha256, to)
                beside.rename(to)
                named = True
        except BaseException:
            if named:  # the ledger did not take it
                to.unlink(missing_ok=True)
            raise
        return delivered

    def certificate(self, ref: str, to: Path, signed: SignedAction) -> Delivered:
        """Write the certificate of an erasure (JSON, and a page beside it), and close the case."""
        with self._ledger.transaction() as cursor:
            job, answer = self._ready(cursor, ref, CERTIFICATE)
            accept(cursor, signed, "hand-over", ref)
            content = self.read_certificate(answer)
            page = to.with_suffix(".html")
            to.write_bytes(content)
            page.write_text(render_certificate(content), encoding="utf-8")
            closed = self._close(cursor, job, signed, "certificate", answer.sha256, to)
        return Delivered(ref, (to, page), closed.clocks)

    def read_certificate(self, answer: answers.Made) -> bytes:
        """The signed certificate. Its key is its own, so it opens after the case was shredded."""
        with self._store.open(answer.blob) as blob:
            return self._keys.open_alone(blob.read(), CERTIFICATE)

    def refusal(self, ref: str, signed: SignedAction) -> Delivered:
        """Record that a refusal was delivered by the team's own letter, and close the case."""
        with self._ledger.transaction() as cursor:
            job = jobs.lock_ref(cursor, ref)
            if job is None or job.state != State.REFUSED:
                message = f"{ref} is no refused case"
                raise DecisionRefused(message)
            accept(cursor, signed, "hand-over", ref)
            settled = cases.settle_clocks(cursor, job.id, "met")
            jobs.change(cursor, [_closing(job, settled, signed.actor, "refused")])
        return Delivered(ref, (), tuple((c.name, c.state) for c in settled))

    def _ready(self, cursor: Cursor, ref: str, kind: str) -> tuple[Job, answers.Made]:
        job = jobs.lock_ref(cursor, ref)
        if job is None:
            message = f"there is no case {ref}"
            raise DecisionRefused(message)
        answer = answers.of(cursor, job.id)
        if job.state not in {State.READY, State.CLOSED} or answer is None or answer.kind != kind:
            message = f"{ref} is {job.state} and has no {kind} to hand over yet"
            raise DecisionRefused(message)
        if answer.destroyed_at is not None:
            message = f"the {kind} of {ref} was destroyed on {answer.destroyed_at:%Y-%m-%d}"
            raise DecisionRefused(message)
        return job, answer

    @contextmanager
    def _opened(self, job: Job, blob: str) -> Iterator[BinaryIO]:
        key = self._keys.unwrap(bytes(job.data_key or b""))
        with self._store.open(blob) as sealed, opening(sealed, key, PACKAGE) as plain:
            yield plain

    def _close(
        self, cursor: Cursor, job: Job, signed: SignedAction, method: str, sha256: str, file: Path
    ) -> Delivered:
        settled = cases.settle_clocks(cursor, job.id, "met")
        answers.handed_over(cursor, job.id)
        event = Event(
            "package_handed_over",
            {"method": method, "file_sha256": sha256, "signature": signed.signature_hex},
            signed.actor,
        )
        closing = _closing(job, settled, signed.actor, "answered")
        again = job.state == State.CLOSED
        move = (
            Move(job, events=(event,))
            if again
            else replace(closing, events=(event, *closing.events))
        )
        jobs.change(cursor, [move])
        return Delivered(job.ref, (file,), tuple((c.name, c.state) for c in settled))


def _require_same(ref: str, written: answers.Made, answer: answers.Made) -> None:
    if answer.blob != written.blob:
        message = f"the package of {ref} was made anew meanwhile: hand it over again"
        raise DecisionRefused(message)


def _closing(job: Job, settled: Sequence[Any], actor: str, response: str) -> Move:
    events = [
        Event(f"clock_{c.state}", {"clock": c.name, "due_at": c.due_at}, actor) for c in settled
    ]
    events.append(Event("closed", {"response": response}, actor))
    return Move(job, state=State.CLOSED, phase="closed", events=tuple(events), closed_at=job.now)
