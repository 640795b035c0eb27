"""Hands an answer over and closes the case: a clock is met by delivery, never by making a file.

In: a ready case, where the file is to go, how it is to be protected. Out: an encrypted package or a
certificate beside its page, a signed event, met clocks, a closed case. Files are written beside
their places before anything is decided and named while the transaction still may fail, so that
there is a file exactly where the ledger says that one was handed over. Only a kill between the two,
or a ledger that breaks off while it commits, leaves a file that is not known to count; it is never
taken away then, and whoever hands over is told.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from dsr_worker.domain.request import State
from dsr_worker.domain.retention import CalendarPeriod
from dsr_worker.evidence import render_certificate
from dsr_worker.fulfil.access import PACKAGE
from dsr_worker.fulfil.certifying import CERTIFICATE
from dsr_worker.fulfil.decided import DecisionRefused, ended
from dsr_worker.fulfil.remaining import Remaining, remaining, remains
from dsr_worker.fulfil.remedies import remedies, stated_grounds
from dsr_worker.ledger import Ledger, answers, cases, jobs, promises, reports
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import UNCHANGED, Event, Job, Move
from dsr_worker.package import Method, PackageRefused, hand_over
from dsr_worker.package.handover import Mark, publish, taken, withdraw
from dsr_worker.people import SignedAction, accept
from dsr_worker.store import Store
from dsr_worker.vault import KeyRing, opening

_LEFT_THE_HOUSE = {State.ANSWERED_WITH_REMAINDERS, State.CLOSED}
_ANSWERS = ("closed", "package_made", "certificate_made")
_HANDED_OVER = "package_handed_over"  # the kind of the event


class HandOverUnknown(PackageRefused):
    """The ledger broke off while it committed: the files stay, and may count or not."""


@dataclass(frozen=True, slots=True)
class HandedBefore:
    """An earlier hand-over of the same answer: when, by which actor, in which way."""

    at: datetime
    actor: str
    method: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """What was handed over, which clocks that ended and how, and every hand-over before it."""

    ref: str
    files: tuple[Path, ...]
    clocks: tuple[tuple[str, str], ...]
    before: tuple[HandedBefore, ...] = ()
    state: str = State.CLOSED


@dataclass(frozen=True, slots=True)
class _Leaving:
    """What leaves the house: the kind of answer, the blob it was made from, how, and its digest."""

    kind: str
    blob: str
    method: str
    sha256: str


class Delivery:
    """Hands answers over."""

    def __init__(
        self, ledger: Ledger, keys: KeyRing, store: Store, appeal_within: CalendarPeriod
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._store = store
        self._appeal_within = appeal_within

    def package(
        self, ref: str, to: Path, method: Method, secret: str, signed: SignedAction
    ) -> Delivered:
        """Write the package of an access case, encrypted for the person, and close the case.

        Where the hand-over is refused, no file stays; HandOverUnknown tells of one that does.
        Handing over again is possible until the package is destroyed; `before` then names the
        earlier times.
        """
        with self._ledger.transaction() as cursor:
            job, answer = self._ready(cursor, ref, PACKAGE)
        with _beside(job, PACKAGE, to) as places:
            with self._opened(job, answer.blob) as package:
                made = hand_over(package, places[to], method=method, secret=secret)
            leaving = _Leaving(PACKAGE, answer.blob, method.value, made.sha256)
            return self._left(ref, leaving, places, signed)

    def certificate(self, ref: str, to: Path, signed: SignedAction) -> Delivered:
        """Write the certificate of an erasure (JSON, and a page beside it), and close the case.

        Where the hand-over is refused, no file stays; HandOverUnknown tells of those that do.
        """
        page = to.with_suffix(".html")
        with self._ledger.transaction() as cursor:
            job, answer = self._ready(cursor, ref, CERTIFICATE)
        with _beside(job, CERTIFICATE, to, page) as places:
            content = self.read_certificate(answer)
            _write(places[to], content)
            _write(places[page], render_certificate(content).encode())
            leaving = _Leaving(CERTIFICATE, answer.blob, CERTIFICATE, answer.sha256)
            return self._left(ref, leaving, places, signed)

    def _left(
        self, ref: str, leaving: _Leaving, places: Mapping[Path, Path], signed: SignedAction
    ) -> Delivered:
        """Accept, close and give the files their names, all or nothing."""
        marks = {to: Mark.of(beside) for to, beside in places.items()}
        delivered = None  # until only the commit is left
        try:
            with self._ledger.transaction() as cursor:
                job, answer = self._ready(cursor, ref, leaving.kind)
                _require_same(ref, leaving, answer)
                accept(cursor, signed, "hand-over", ref)
                closed = self._close(cursor, job, signed, leaving)
                for to, beside in places.items():
                    publish(beside, to)
                delivered = replace(closed, files=tuple(places))
        except BaseException as error:
            if delivered is None or not self._stands(ref, places, signed):
                for to, mark in marks.items():
                    withdraw(to, mark)
                raise
            if not isinstance(error, Exception):
                raise
        return delivered

    def _stands(self, ref: str, places: Mapping[Path, Path], signed: SignedAction) -> bool:
        """Whether the ledger holds a hand-over whose commit was not answered.

        Raises HandOverUnknown where it does not say.
        """
        try:
            with self._ledger.transaction() as cursor:
                job = jobs.lock_ref(cursor, ref)  # waits for a commit that is still under way
                return job is not None and signed.signature_hex in {
                    event["body"]["signature"] for event in _hand_overs(cursor, job)
                }
        except Exception as error:
            files = " and ".join(str(to) for to in places)
            message = (
                f"the ledger broke off and does not say whether it recorded this: {files} stays. "
                f"Once it answers (`dsr status {ref}`), hand {ref} over again under another name "
                "and send only that."
            )
            raise HandOverUnknown(message) from error

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
            closing = _closing(job, settled, signed.actor, "refused")
            told = self._told(cursor, job)
            jobs.change(cursor, [replace(closing, events=(*told, *closing.events))])
        return Delivered(ref, (), tuple((c.name, c.state) for c in settled))

    def _told(self, cursor: Cursor, job: Job) -> list[Event]:
        """What the person was told to do against an answer that is not all that was asked for."""
        is_against, grounds = _against(cursor, job)
        if not is_against:
            return []
        found = remedies(cursor, job, job.now, self._appeal_within)
        return [remedy.event(job.kind, grounds) for remedy in found]

    def _ready(self, cursor: Cursor, ref: str, kind: str) -> tuple[Job, answers.Made]:
        job = jobs.lock_ref(cursor, ref)
        if job is None:
            message = f"there is no case {ref}"
            raise DecisionRefused(message)
        answer = answers.of(cursor, job.id)
        ready = job.state in _LEFT_THE_HOUSE | {State.READY}
        if not ready or answer is None or answer.kind != kind:
            message = (
                f"{ref} is {job.state} and has no {kind} to hand over yet; `dsr status {ref}` says"
                " what it waits for"
            )
            raise DecisionRefused(message)
        if answer.destroyed_at is not None:
            message = f"the {kind} of {ref} was destroyed on {answer.destroyed_at:%Y-%m-%d}"
            again = f"; `dsr retry {ref}` makes one of what is held today"
            message += again if job.state == State.READY else "; a new request gets a new one"
            raise DecisionRefused(message)
        return job, answer

    @contextmanager
    def _opened(self, job: Job, blob: str) -> Iterator[BinaryIO]:
        key = self._keys.unwrap(bytes(job.data_key or b""))
        with self._store.open(blob) as sealed, opening(sealed, key, PACKAGE) as plain:
            yield plain

    def _close(
        self, cursor: Cursor, job: Job, signed: SignedAction, leaving: _Leaving
    ) -> Delivered:
        before = _handed_before(cursor, job)
        settled = cases.settle_clocks(cursor, job.id, "met")
        answers.handed_over(cursor, job.id)
        event = Event(
            _HANDED_OVER,
            {
                "method": leaving.method,
                "file_sha256": leaving.sha256,
                "signature": signed.signature_hex,
            },
            signed.actor,
        )
        if job.state in _LEFT_THE_HOUSE:
            move = Move(job, events=(event,))
        else:
            left = remaining(cursor, [job]).get(job.id)
            owed = promises.still_owed(cursor, job.id)
            answered = _answered(job, settled, signed.actor, owed, left)
            told = self._told(cursor, job)
            move = replace(answered, events=(event, *told, *answered.events))
        jobs.change(cursor, [move])
        state = job.state if move.state is UNCHANGED else move.state
        return Delivered(job.ref, (), tuple((c.name, c.state) for c in settled), before, state)


@contextmanager
def _beside(job: Job, kind: str, *targets: Path) -> Iterator[dict[Path, Path]]:
    """For each new file a place beside it to be written to; what is not named from there goes."""
    for to in targets:
        if os.path.lexists(to):
            raise PackageRefused(_in_the_way(job, kind, to))
    places = {to: to.with_name(f".dsr-{secrets.token_hex(8)}.part") for to in targets}
    try:
        yield places
    finally:
        for beside in places.values():
            beside.unlink(missing_ok=True)


def _in_the_way(job: Job, kind: str, to: Path) -> str:
    if job.state != State.READY:
        return taken(to)
    return (
        f"{taken(to)} {job.ref} was never recorded as handed over, so this may be its {kind} from "
        "a hand-over that was interrupted. Such a file does not count: remove it if it is one, "
        "then hand over."
    )


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _hand_overs(cursor: Cursor, job: Job) -> list[dict[str, Any]]:
    """The events of every hand-over of a job so far."""
    events = (json.loads(link.event) for link in reports.events(cursor, job.id))
    return [event for event in events if event["kind"] == _HANDED_OVER]


def _against(cursor: Cursor, job: Job) -> tuple[bool, list[str]]:
    """Whether a part at least of what was asked for is not granted; the grounds of a refusal."""
    bodies = {
        known.event["kind"]: known.event["body"]
        for known in reports.events_of(cursor, _ANSWERS, ref=job.ref)
    }
    if job.state == State.REFUSED:
        return True, stated_grounds(bodies["closed"])
    package = bodies.get("package_made", {})
    withheld = package.get("counts", {}).get("withheld", 0) or not package.get("complete", True)
    response = bodies.get("certificate_made", {}).get("response", "granted")
    return bool(withheld) or response != "granted", []


def _handed_before(cursor: Cursor, job: Job) -> tuple[HandedBefore, ...]:
    return tuple(
        HandedBefore(datetime.fromisoformat(e["at"]), e["actor"], e["body"]["method"])
        for e in _hand_overs(cursor, job)
    )


def _require_same(ref: str, leaving: _Leaving, answer: answers.Made) -> None:
    if answer.blob != leaving.blob:
        message = f"the {leaving.kind} of {ref} was made anew meanwhile: hand it over again"
        raise DecisionRefused(message)


def _answered(
    job: Job,
    settled: Sequence[Any],
    actor: str,
    owed: promises.StillOwed | None,
    left: Remaining | None,
) -> Move:
    """The move of a case whose answer left: closed, or open for what a store refuses for now."""
    if left is not None:
        return remains(job, left, actor, ended(settled, actor))
    if owed is None:
        return _closing(job, settled, actor, "answered")
    body = {"response": "answered", "rows": owed.rows, "due_on": owed.due_on}
    events = (*ended(settled, actor), Event("remainders_left", body, actor))
    return Move(job, state=State.ANSWERED_WITH_REMAINDERS, phase="remainders", events=events)


def _closing(job: Job, settled: Sequence[Any], actor: str, response: str) -> Move:
    events = [*ended(settled, actor), Event("closed", {"response": response}, actor)]
    return Move(job, state=State.CLOSED, phase="closed", events=tuple(events), closed_at=job.now)
