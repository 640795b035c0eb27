"""Gathers what a letter about a case says: from the ledger, by the law of the case's first day.

In: a case, what the letter is about. Out: the letter. The ledger is read and left as it is: that a
letter left is recorded by the decision it goes with (`pause`, `extend`, `refuse --delivered`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from typing import Any

import orjson

from dsr_worker.domain import clock as rules
from dsr_worker.domain.calendar import local_date
from dsr_worker.domain.clock import Clock, PauseGround
from dsr_worker.domain.period import PauseEffect
from dsr_worker.domain.request import State
from dsr_worker.engine.materials import Materials
from dsr_worker.fulfil.clocks import EXTENSION_REASONS, clock_of, law_text_of
from dsr_worker.ledger import Ledger, appeals, case_clocks, cases, jobs, reports
from dsr_worker.ledger.appeals import Appeal
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Job
from dsr_worker.letters import About, Facts, Kept, Letter, LetterRefused, Sender, composed
from dsr_worker.letters import languages as written_in
from dsr_worker.organisation import Organisation
from dsr_worker.statutes import LawPack, Right, UnknownNameError, read_pack

_FALLBACK = "en"
_AFTER_REFUSAL = {"refused", "closed", "appealed", "appeal_answered"}


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
        row = cases.own_answer_clock(cursor, job.id)
        if row is None or job.received_at is None:
            message = f"{job.ref} runs by no law that asks for an answer, so for no letter"
            raise LetterRefused(message)
        if appeal is not None:  # its letter goes by the law that gives one
            row = case_clocks.last_appeal(cursor, job.id) or row
        clock = clock_of(cursor, job, row)
        pack = read_pack(law_text_of(cursor, job, row))
        events = [orjson.loads(link.event) for link in reports.events(cursor, job.id)]
        first = replace(clock, extended_at=None)
        due = first.due if about is About.EXTENSION else clock.due
        own = self._organisation.controller
        refused = about in {About.REFUSAL, About.APPEAL_DISMISSED}
        extends = about is About.EXTENSION
        return Facts(
            about=about,
            ref=job.ref,
            right=Right(job.kind),
            pack=pack,
            country=row.facts.get("country", job.country),
            sender=Sender(own.name, own.address, own.data_protection_officer or str(own.contact)),
            written_on=local_date(job.now, clock.zone),
            received_on=local_date(job.received_at, clock.zone),
            due_on=due.due_on or due.conservative_due_on,
            authority=self._own_authority(job, pack),
            has_number=due.due_on is not None,
            effect=_effect(clock, about),
            new_due_on=_new_date(clock, job) if extends else None,
            reason=_reason(events, reason, job.ref) if extends else "",
            ground=_refused_on(events, job) if refused else "",
            kept=self._kept(cursor, job) if about is About.PARTIAL else (),
            appealed_on=None if appeal is None else local_date(appeal.received_at, clock.zone),
        )

    def _own_authority(self, job: Job, pack: LawPack) -> str | None:
        """The authority that the house names (Art. 56 GDPR), for who lives in its own country."""
        home = self._organisation.establishment.country.split("-")[0]
        at_home = job.country is not None and job.country.split("-")[0] == home
        return self._organisation.authority if at_home and pack.covers(home) else None

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


def _appeal(cursor: Cursor, job: Job, about: About) -> Appeal | None:
    """The appeal that this letter is about: the last one, where it was decided so, or is open."""
    last = appeals.last(cursor, job.id)
    if about is About.EXTENSION and job.state == State.APPEALED:
        return last
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


def _reason(events: list[dict[str, Any]], given: str | None, ref: str) -> str:
    recorded = [e["body"]["reason"] for e in events if e["kind"] == "clock_extended"]
    reason = given or (recorded[-1] if recorded else None)
    if reason is None:
        message = (
            f"say why with --reason {' or '.join(EXTENSION_REASONS)}; once the letter has left,"
            f" `dsr extend {ref} --reason …` moves the clock"
        )
        raise LetterRefused(message)
    return str(reason)


def _refused_on(events: list[dict[str, Any]], job: Job) -> str:
    """The ground, as the law writes its code; empty where the case is not refused."""
    ends = [e["body"] for e in events if e["kind"] == "closed"]
    found = [body["reason"] for body in ends if body.get("response") == "refuse"]
    return str(found[0]).upper() if found and job.state in _AFTER_REFUSAL else ""
