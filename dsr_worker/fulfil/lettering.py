"""Gathers what a letter about a case says: from the ledger, by its laws as of its first day.

In: a case, what the letter is about. Out: the letter. The ledger is read and left as it is: that a
letter left is recorded by the decision it goes with (`pause`, `extend`, `refuse --delivered`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import orjson

from dsr_worker.domain import clock as rules
from dsr_worker.domain.calendar import local_date
from dsr_worker.domain.clock import Clock, ClockRefusedError, PauseGround
from dsr_worker.domain.period import PauseEffect
from dsr_worker.domain.request import State, Verdict
from dsr_worker.engine.materials import Materials
from dsr_worker.fulfil.clocks import EXTENSION_REASONS, clock_of, law_text_of
from dsr_worker.fulfil.remedies import grounds_by, stated_grounds
from dsr_worker.ledger import Ledger, appeals, case_clocks, cases, jobs, reports
from dsr_worker.ledger.appeals import Appeal
from dsr_worker.ledger.cases import ClockRow
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Job
from dsr_worker.letters import About, ByLaw, Facts, Kept, Letter, LetterRefused, Sender, composed
from dsr_worker.letters import languages as written_in
from dsr_worker.organisation import Organisation
from dsr_worker.statutes import LawPack, Right, UnknownNameError, read_pack

_FALLBACK = "en"
_AFTER_REFUSAL = {"refused", "closed", "appealed", "appeal_answered"}
_BEGUN_ANEW = {Verdict.GRANTED.value, Verdict.PARTLY.value}


class Lettering:
    """The letters of cases."""

    def __init__(self, ledger: Ledger, organisation: Organisation, materials: Materials) -> None:
        self._ledger = ledger
        self._organisation = organisation
        self._materials = materials

    def letter(
        self, ref: str, about: About, language: str | None = None, reason: str | None = None
    ) -> Letter:
        """The letter to the person about a case, in its language where letters are written in it.

        Raises LetterRefused, UnknownNameError, ClockRefusedError for an extension out of time.
        """
        with self._ledger.transaction() as cursor:
            job = jobs.lock_ref(cursor, ref)
            if job is None:
                raise LetterRefused(f"there is no case {ref}; `dsr status` lists the open ones")
            facts = self._facts(cursor, job, about, reason)
        return composed(facts, self._language(job, language))

    def _language(self, job: Job, wanted: str | None) -> str:
        if wanted is not None and wanted not in written_in():
            raise UnknownNameError("language of letters", wanted, list(written_in()))
        asked = (wanted, job.facts.get("language"), *self._organisation.languages)
        return next((str(one) for one in asked if one in written_in()), _FALLBACK)

    def _facts(self, cursor: Cursor, job: Job, about: About, reason: str | None) -> Facts:
        appeal = _appeal(cursor, job, about)
        rows = _clocks(cursor, job, appeal)
        if not rows or job.received_at is None:
            message = f"{job.ref} runs by no law that asks for an answer, so for no letter"
            raise LetterRefused(message)
        if about is About.EXTENSION:
            rows = _still_open(cursor, job, rows)
        running = [(row, clock_of(cursor, job, row)) for row in rows]
        events = [orjson.loads(link.event) for link in reports.events(cursor, job.id)]
        told = _Told(job, about, reason, events)
        own = self._organisation.controller
        zone = running[0][1].zone
        return Facts(
            about=about,
            ref=job.ref,
            right=Right(job.kind),
            sender=Sender(own.name, own.address, own.data_protection_officer or str(own.contact)),
            written_on=local_date(job.now, zone),
            received_on=local_date(job.received_at, zone),
            laws=tuple(self._laws(cursor, told, running)),
            kept=self._kept(cursor, job) if about is About.PARTIAL else (),
            appealed_on=None if appeal is None else local_date(appeal.received_at, zone),
        )

    def _laws(
        self, cursor: Cursor, told: _Told, running: Sequence[tuple[ClockRow, Clock]]
    ) -> Iterator[ByLaw]:
        """What each law makes of the case, by its text as it stood on the first day."""
        extended = told.extended([clock for _, clock in running])
        for (row, clock), new_due_on in zip(running, extended, strict=True):
            job, pack = told.job, read_pack(law_text_of(cursor, told.job, row))
            before = replace(clock, extended_at=None) if told.extends else clock
            yield ByLaw(
                pack=pack,
                country=row.facts.get("country", job.country),
                received_on=local_date(job.received_at or job.now, clock.zone),
                due_on=before.due.due_on or before.due.conservative_due_on,
                has_number=before.due.due_on is not None,
                authority=own_authority(self._organisation, job.country, pack),
                effect=_effect(clock, told.about),
                new_due_on=new_due_on,
                reason="" if new_due_on is None else told.reason_of(row.name),
                grounds=grounds_by(pack, job.kind, told.grounds),
            )

    def _kept(self, cursor: Cursor, job: Job) -> tuple[Kept, ...]:
        """What stayed as it is, or was left out of a package, by ground."""
        if job.kind == "access":
            return tuple(map(_left_out, reports.left_out(cursor, job.id)))
        decisions = self._materials.frozen(job.frozen).decisions.values()
        rows: Counter[str] = Counter()
        until: dict[str, date] = {}
        for outcome in reports.outcomes(cursor, job.id):
            if not outcome.ground or not outcome.rows:
                continue
            rows[outcome.ground] += outcome.rows
            if outcome.until_on is not None:
                until[outcome.ground] = max(outcome.until_on, until.get(outcome.ground, date.min))
        return tuple(
            Kept(
                ground,
                count,
                until.get(ground),
                next((c for d in decisions if (c := d.citation(ground)) is not None), None),
            )
            for ground, count in sorted(rows.items())
        )


def own_authority(own: Organisation, country: str | None, pack: LawPack) -> str | None:
    """The authority that the house names (Art. 56 GDPR), for who lives in its own country."""
    home = own.establishment.country.split("-")[0]
    at_home = country is not None and country.split("-")[0] == home
    return own.authority if at_home and pack.covers(home) else None


@dataclass(frozen=True)
class _Told:
    """What was decided of a case so far, as far as a letter about something tells it."""

    job: Job
    about: About
    given: str | None
    """The reason of an extension that is still to be recorded."""
    events: Sequence[dict[str, Any]]

    @property
    def extends(self) -> bool:
        """Whether the letter tells of an extension."""
        return self.about is About.EXTENSION

    @property
    def grounds(self) -> list[str]:
        """The grounds of the refusal that stands, as laws write them; none where none does."""
        refuses = self.about in {About.REFUSAL, About.APPEAL_DISMISSED}
        if not refuses or self.job.state not in _AFTER_REFUSAL:
            return []
        stated: list[str] = []
        for event in self.events:
            body = event["body"]
            if event["kind"] == "closed" and body.get("response") == "refuse":
                stated = stated_grounds(body)
            elif event["kind"] == "appeal_decided" and body["response"] in _BEGUN_ANEW:
                stated = []
        return stated

    def extended(self, clocks: Sequence[Clock]) -> list[date | None]:
        """When each answer is due once extended, recorded or not; None where no law extends it.

        Raises ClockRefusedError where none does.
        """
        if not self.extends:
            return [None] * len(clocks)
        found: list[date | None] = []
        refused: list[ClockRefusedError] = []
        for clock in clocks:
            try:
                found.append(_new_date(clock, self.job))
            except ClockRefusedError as error:
                refused.append(error)
                found.append(None)
        if len(refused) == len(clocks):
            raise refused[0]
        return found

    def reason_of(self, clock: str) -> str:
        """Why the time of a clock is extended. Raises LetterRefused where nobody said why."""
        recorded = [e["body"] for e in self.events if e["kind"] == "clock_extended"]
        of_clock = [body["reason"] for body in recorded if body["clock"] == clock]
        reason = (of_clock[-1] if of_clock else None) or self.given
        if reason is None:
            message = (
                f"say why with --reason {' or '.join(EXTENSION_REASONS)}; once the letter has left,"
                f" `dsr extend {self.job.ref} --reason …` moves the clock"
            )
            raise LetterRefused(message)
        return str(reason)


def _clocks(cursor: Cursor, job: Job, appeal: Appeal | None) -> list[ClockRow]:
    """One clock of each law that a letter goes by: those that gave the appeal, or all."""
    if appeal is None:
        return case_clocks.laws_of(cursor, job.id)
    return case_clocks.appeals_of(cursor, job.id, appeal.number)


def _still_open(cursor: Cursor, job: Job, rows: Sequence[ClockRow]) -> list[ClockRow]:
    """The clocks that wait for the answer. Raises ClockRefusedError where none does."""
    waiting = {row.name for row in cases.unanswered_clocks(cursor, job.id)}
    found = [row for row in rows if row.name in waiting]
    if not found:
        message = f"no clock of {job.ref} runs: it is answered, or its time has passed"
        raise ClockRefusedError(message)
    return found


def _appeal(cursor: Cursor, job: Job, about: About) -> Appeal | None:
    """The appeal that this letter is about: the last one, where it was decided so, or is open."""
    last = appeals.last(cursor, job.id)
    if about in {About.EXTENSION, About.APPEAL_ACKNOWLEDGEMENT}:
        return last if job.state == State.APPEALED else None
    return last if last is not None and about.value == f"appeal_{last.verdict}" else None


def _left_out(part: dict[str, Any]) -> Kept:
    until_on = part["until_on"]
    return Kept(
        part["ground"], part["values"], None if until_on is None else date.fromisoformat(until_on)
    )


def _effect(clock: Clock, about: About) -> PauseEffect | None:
    grounds = {
        About.IDENTITY: PauseGround.IDENTITY,
        About.CLARIFICATION: PauseGround.CLARIFICATION,
    }
    ground = grounds.get(about)
    rule = None if ground is None else clock.rule.pause_for(ground)
    return None if rule is None else rule.effect


def _new_date(clock: Clock, job: Job) -> date:
    """When the answer is due after an extension, whether that is recorded already or not."""
    extended = clock if clock.extended_at is not None else rules.extend(clock, job.now)
    return extended.due.due_on or extended.due.conservative_due_on
