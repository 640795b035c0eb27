"""The clocks of a complaint: the house's, and those of the law, side by side.

In: a complaint's receipt, where the person lives. Out: clocks to start. The house's are called
`acknowledge`, `resolve`, `refer` and `rest-N`; the law's carry its name, `acknowledge:uk-gdpr`.
Alerts go by each clock's own day, so the strictest is heard of first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from dsr_worker.domain.calendar import Calendar
from dsr_worker.domain.clock import Due
from dsr_worker.domain.complaint import BY_LAW, PROMISED, Stage, Topic
from dsr_worker.ledger.intake import OURSELVES, NewClock
from dsr_worker.organisation import Organisation
from dsr_worker.statutes import (
    ClockSpec,
    LawPack,
    applicable,
    complaint_clocks,
    locality,
    pack_text_and_hash,
)

_BY_ESTABLISHMENT = ("eu-gdpr", "uk-gdpr")  # days are counted where the controller is established
_HOUSE = "the house's timetable (organisation.yaml, complaints)"
REST = f"{Stage.REST}-"
ACKNOWLEDGE, REFER = Stage.ACKNOWLEDGE.value, Stage.REFER.value


@dataclass(frozen=True, slots=True)
class DueClock:
    """A clock to start, with both readings of when it is due."""

    clock: NewClock
    due: Due
    law: str | None
    country: str
    text: str = ""
    """The pack by which a law's clock runs, to be kept under the hash in the clock's facts."""


def house_clocks(own: Organisation, received_at: datetime, country: str) -> list[DueClock]:
    """The promises of the timetable, and the day on which an open complaint is to be referred.

    Raises ValueError for an instant without an offset.
    """
    stages = (Stage.ACKNOWLEDGE, Stage.RESOLVE, Stage.REFER)
    return [_house(own, stage, stage.value, received_at, country) for stage in stages]


def review_on(own: Organisation, now: datetime) -> date:
    """When somebody looks at a dispute's hold again: as long from now as until a referral."""
    place = own.establishment
    due = own.complaints.timetable.due(Stage.REFER, now, place.zone, _calendar(own))
    return due.conservative_due_on


def rest_clock(own: Organisation, number: int, since_at: datetime) -> NewClock:
    """The clock by which an investigation that stands still since `since_at` is warned of."""
    country = own.establishment.country
    return _house(own, Stage.REST, f"{REST}{number}", since_at, country).clock


def law_clocks(
    own: Organisation,
    topic: Topic,
    places: Sequence[tuple[str | None, str | None]],
    received_at: datetime,
    zone: str | None,
) -> list[DueClock]:
    """What the laws of these places (country, law) ask for; none where they set no time.

    A data protection law's clocks run for complaints about personal data (`BY_LAW`); DPA 2018
    s. 164A speaks of infringements of the UK GDPR, so not of a parcel that came late.

    Raises:
        UnknownNameError, ValueError: as `applicable` and `complaint_clocks`.

    """
    found: dict[str, DueClock] = {}
    for country, law in places:
        pack = applicable(country, law)
        counted = zone
        if zone is None and pack.name in _BY_ESTABLISHMENT:
            counted = own.establishment.zone
        for spec in complaint_clocks(pack, country, received_at, counted):
            one = _of_law(spec, received_at)
            known = found.get(one.clock.name)
            if known is None or one.due.conservative_due_at < known.due.conservative_due_at:
                found[one.clock.name] = one
    return list(found.values()) if topic in BY_LAW else []


def _of_law(spec: ClockSpec, received_at: datetime) -> DueClock:
    text, law_hash = pack_text_and_hash(spec.law)
    facts = {"law": spec.law, "law_hash": law_hash, "country": spec.country, "zone": spec.due.zone}
    clock = NewClock.by_law(
        f"{spec.kind}:{spec.law}",
        spec.due,
        received_at,
        citation=spec.citation,
        verified=spec.verified,
    )
    return DueClock(clock._replace(facts=facts), spec.due, spec.law, spec.country, text)


def law_of(country: str | None, law: str | None) -> LawPack:
    """The law under which a complaint is kept. Raises UnknownNameError, ValueError."""
    return applicable(country, law)


def _house(
    own: Organisation, stage: Stage, name: str, since_at: datetime, country: str
) -> DueClock:
    place = own.establishment
    due = own.complaints.timetable.due(stage, since_at, place.zone, _calendar(own))
    clock = NewClock.by_law(name, due, since_at, citation=_HOUSE, verified=True)
    if stage not in PROMISED:  # overdue at its day, and nothing that a person was promised
        clock = clock._replace(recipient=OURSELVES, due_at=None, due_on=None)
    return DueClock(clock, due, None, country)


def _calendar(own: Organisation) -> Calendar:
    return locality(own.establishment.country, own.establishment.zone).calendar


def started_body(one: DueClock) -> Mapping[str, object]:
    """The body of the event by which a clock started."""
    return {
        "clock": one.clock.name,
        "regime": one.law,
        "country": one.country,
        "since_at": one.clock.started_at,
        "due_at": one.clock.due_at,
        "due_on": one.clock.due_on,
    }
