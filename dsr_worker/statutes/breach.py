"""The duties of one breach under all the laws of the markets it touches.

Why this module exists: at declaration only markets and awareness are known, and the duties must
stand in that transaction. Markets, awareness and facts enter; one `Duty` per law, jurisdiction
and recipient leaves, soonest first. The same call with counts in the facts re-evaluates them;
nobody's residence is dropped: one that no market named is added, one that no pack covers becomes
a duty to find the law.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dsr_worker.domain.breach import (
    BreachFacts,
    Duty,
    DutyRule,
    Place,
    Recipient,
    assess_duty,
)
from dsr_worker.domain.calendar import local_date
from dsr_worker.domain.clock import ClockRule, Period, StartKind, Unit
from dsr_worker.domain.headcount import DutyState
from dsr_worker.statutes.load import heads_naming, load_pack
from dsr_worker.statutes.model import BreachRow, LawPack
from dsr_worker.statutes.places import (
    applicable,
    canonical_country,
    locality,
    locality_under,
)

_UNCOVERED_HOUSE_HOURS = 72
"""House policy for a residence without a law pack: the shortest common term (GDPR Art 33(1))."""


@dataclass(frozen=True, slots=True)
class Market:
    """One law in one country of its own (None: the law as a whole, body not named)."""

    pack: LawPack
    country: str | None


def market(country: str | None = None, law: str | None = None) -> Market:
    """Return the market for a country, a law, or both.

    Raises:
        UnknownNameError: one of them is not known.
        ValueError: the law does not apply there, or neither is given.

    """
    pack = applicable(country, law)
    if country is None:
        return Market(pack, pack.default_country)
    return Market(pack, canonical_country(country))


def breach_duties(
    markets: Sequence[Market],
    aware_at: datetime,
    facts: BreachFacts | None = None,
    zone: str | None = None,
) -> list[Duty]:
    """Return every duty of a breach, soonest alert first.

    Duties that certain facts turn off stay in the list as `not_due`, with the reason. `zone`
    overrides the zone of each jurisdiction's civil dates.

    Raises:
        ValueError: no market, none whose law was in force then, or an instant without an offset.

    """
    facts = facts or BreachFacts()
    if not markets:
        raise ValueError("declare at least one market")
    found, uncovered = _residences(markets, facts)
    by_place: dict[tuple[str, str], Duty] = {}
    for where in _distinct([*markets, *found]):
        for place, row in _rows(where, aware_at, facts, zone):
            # One lead authority hears once, however many markets it leads.
            by_place.setdefault(
                (row.id, place.jurisdiction),
                assess_duty(where.pack.duty(row), place, aware_at, facts),
            )
    if not by_place:
        laws = ", ".join(sorted({where.pack.name for where in markets}))
        raise ValueError(f"{laws}: no duty was in force on the day of awareness; check the year")
    duties = [
        *by_place.values(),
        *(_uncovered_duty(code, markets[0], aware_at, facts) for code in uncovered),
    ]
    return sorted(
        duties,
        key=lambda duty: (duty.house_due_at, duty.jurisdiction, duty.recipient, duty.rule_id),
    )


def _distinct(markets: Iterable[Market]) -> list[Market]:
    """Keep one market per law and jurisdiction, the first one named."""
    by_jurisdiction: dict[tuple[str, str | None], Market] = {}
    for where in markets:
        jurisdiction = where.country and where.pack.jurisdiction(where.country)
        by_jurisdiction.setdefault((where.pack.name, jurisdiction), where)
    return list(by_jurisdiction.values())


def _residences(markets: Sequence[Market], facts: BreachFacts) -> tuple[list[Market], list[str]]:
    """Return the markets that the counts reveal, and the residences that no pack covers."""
    counts = {} if facts.affected is None else facts.affected.by_residence
    whole = {where.pack.name for where in markets if where.country is None}
    found: list[Market] = []
    uncovered: list[str] = []
    for code in sorted(code for code, count in counts.items() if count):
        laws = [head.name for head in heads_naming(code) if head.concerns(code)]
        found += [Market(load_pack(name), code) for name in laws if name not in whole]
        if not laws:
            uncovered.append(code)
    return found, uncovered


def _rows(
    where: Market, aware_at: datetime, facts: BreachFacts, zone: str | None
) -> Iterator[tuple[Place, BreachRow]]:
    pack = where.pack
    local = locality_under(pack, where.country or pack.countries[0], zone)
    aware_on = local_date(aware_at, local.zone)
    place = Place(
        law=pack.name,
        jurisdiction=pack.name if where.country is None else pack.jurisdiction(where.country),
        counted=pack.countries if where.country is None else (pack.jurisdiction(where.country),),
        body="",
        zone=local.zone,
        calendar=local.calendar,
    )
    for row in pack.breach:
        if not row.in_force(aware_on):
            continue
        if row.recipient is Recipient.AUTHORITY:
            yield _led(place, where, row, facts), row
        else:
            yield replace(place, body=pack.body_of(row, where.country)), row


def _led(place: Place, where: Market, row: BreachRow, facts: BreachFacts) -> Place:
    pack, lead = where.pack, facts.lead_country
    if lead is None or not pack.covers(canonical_country(lead)):
        return replace(place, body=pack.body_of(row, where.country))
    lead = canonical_country(lead)
    return replace(place, jurisdiction=pack.jurisdiction(lead), body=pack.body_of(row, lead))


def _uncovered_duty(code: str, near: Market, aware_at: datetime, facts: BreachFacts) -> Duty:
    rule = DutyRule(
        id="no-law-pack",
        recipient=Recipient.AUTHORITY,
        clock=ClockRule(Period(0, Unit.NONE), house=Period(_UNCOVERED_HOUSE_HOURS, Unit.HOURS)),
        start=StartKind.AWARENESS,
        trigger="affected people live where no law pack reaches",
        condition="find out which law applies there and what it asks",
        contents=(),
        citation="none: no law pack covers this residence",
        verified=False,
        role=facts.role,
    )
    calendar = locality(near.country or near.pack.countries[0]).calendar
    place = Place("", code, (code,), "authority not known", "UTC", calendar)
    duty = assess_duty(rule, place, aware_at, facts)
    return replace(duty, state=DutyState.CONDITIONAL, reason="no_law_pack")
