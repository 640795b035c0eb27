"""Gathers what a letter about a complaint says: from the ledger, the timetable and the law.

In: a complaint, what the letter is about. Out: the letter. The ledger is read and left as it is:
that a letter left is recorded by `dsr complaint acknowledge --delivered` and `deliver`.
"""

from __future__ import annotations

from datetime import date

from dsr_worker.domain.calendar import local_date
from dsr_worker.domain.complaint import BY_LAW, Outcome, Stage, State, Topic
from dsr_worker.fulfil.complaints.desk import complaint_of
from dsr_worker.fulfil.complaints.disputes import HOLD
from dsr_worker.fulfil.lettering import own_authority
from dsr_worker.ledger import Ledger, frozen, notices
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Job
from dsr_worker.letters import Letter, LetterRefused, Sender
from dsr_worker.letters import languages as written_in
from dsr_worker.letters.of_complaints import (
    ComplaintFacts,
    ComplaintLetter,
    composed_of_complaint,
)
from dsr_worker.organisation import Organisation
from dsr_worker.statutes import LawPack, UnknownNameError, read_pack

_FALLBACK = "en"
_ANSWERS = frozenset({Stage.RESOLVE.value, "respond"})


class ComplaintLettering:
    """The letters of complaints."""

    def __init__(self, ledger: Ledger, organisation: Organisation) -> None:
        self._ledger = ledger
        self._organisation = organisation

    def letter(self, ref: str, about: ComplaintLetter, language: str | None = None) -> Letter:
        """The letter to the person, in the complaint's language where letters are written in it.

        Raises DecisionRefused (no complaint), LetterRefused, UnknownNameError for the language.
        """
        if language is not None and language not in written_in():
            raise UnknownNameError("language of letters", language, list(written_in()))
        with self._ledger.transaction() as cursor:
            job = complaint_of(cursor, ref)
            facts = self._facts(cursor, job, about)
        asked = (language, job.facts.get("language"), *self._organisation.languages)
        chosen = next((str(one) for one in asked if one in written_in()), _FALLBACK)
        return composed_of_complaint(facts, chosen)

    def _facts(self, cursor: Cursor, job: Job, about: ComplaintLetter) -> ComplaintFacts:
        own = self._organisation
        zone = own.establishment.zone
        topic, outcome = Topic(job.facts["topic"]), job.facts.get("outcome")
        law = read_pack(frozen.law(cursor, job.frozen)[1])
        controller = own.controller
        country = job.country or own.establishment.country
        if job.received_at is None or job.state == State.WITHDRAWN:
            raise LetterRefused(f"{job.ref} was withdrawn: there is nothing to tell")
        contact = controller.data_protection_officer or str(controller.contact)
        return ComplaintFacts(
            about=about,
            ref=job.ref,
            topic=topic,
            sender=Sender(controller.name, controller.address, contact),
            written_on=local_date(job.now, zone),
            received_on=local_date(job.received_at, zone),
            due_on=_due_on(cursor, job),
            held=job.facts.get(HOLD) is not None,
            outcome=None if outcome is None else Outcome(outcome),
            referred_to=job.facts.get("referred_to") or "",
            body=own.complaints.body(country),
            authority=_authority(own, country, law) if topic in BY_LAW else None,
        )


def _authority(own: Organisation, country: str, law: LawPack) -> str:
    return own_authority(own, country, law) or law.authorities.body(country)


def _due_on(cursor: Cursor, job: Job) -> date:
    """Until when the outcome is told: the sooner of what house and law give."""
    found: list[date] = [
        row.conservative_due_on
        for row in notices.clocks_named(cursor, job.id, _ANSWERS)
        if row.conservative_due_on is not None
    ]
    return min(found)
