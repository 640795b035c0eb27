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
    Locality,
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

    @property
    def jurisdiction(self) -> str:
        """Under what its duties and notices are named: the law's part, or the law as a whole."""
        return self.pack.name if self.country is None else self.pack.jurisdiction(self.country)


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
    early = [where for where in _distinct([*markets, *found]) if _is_early(where, aware_at, zone)]
    if not by_place and not early:
        laws = ", ".join(sorted({where.pack.name for where in markets}))
        raise ValueError(f"{laws}: no duty was in force on the day of awareness; check the year")
    duties = [
        *by_place.values(),
        *(_uncovered_duty(code, markets[0], aware_at, facts) for code in uncovered),
        *(_early_duty(where, aware_at, facts, zone) for where in early),
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
    local = _local(where, zone)
    aware_on = local_date(aware_at, local.zone)
    place = Place(
        law=pack.name,
        jurisdiction=where.jurisdiction,
        counted=pack.countries if where.country is None else (where.jurisdiction,),
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


def _is_early(where: Market, aware_at: datetime, zone: str | None) -> bool:
    """Say whether this law asks for nothing yet: all of its duties were still to come when written.

    A day long before its duties is a wrong year and nothing to wait for.
    """
    pack = where.pack
    aware_on = local_date(aware_at, _local(where, zone).zone)
    starts = [row.effective_from for row in pack.breach]
    return bool(starts) and all(
        start is None or (start > aware_on and start > pack.version) for start in starts
    )


def _early_duty(where: Market, aware_at: datetime, facts: BreachFacts, zone: str | None) -> Duty:
    pack = where.pack
    starts = [row.effective_from for row in pack.breach if row.effective_from is not None]
    since = f"in force from {min(starts)} on" if starts else "in force from no day that is set yet"
    local = _local(where, zone)
    rule = _found_out(
        "law-not-in-force",
        f"{pack.name} is {since}",
        f"{pack.name} is {since}: find out which other law applies there and what it asks",
        facts,
    )
    code = where.jurisdiction
    counted = pack.countries if where.country is None else (code,)
    body = pack.authorities.body(where.country)
    place = Place(pack.name, code, counted, body, local.zone, local.calendar)
    duty = assess_duty(rule, place, aware_at, facts)
    return replace(duty, state=DutyState.CONDITIONAL, reason="law_not_in_force")


def _local(where: Market, zone: str | None) -> Locality:
    return locality_under(where.pack, where.country or where.pack.countries[0], zone)


def _found_out(rule_id: str, trigger: str, condition: str, facts: BreachFacts) -> DutyRule:
    """A duty of our own to find out what the law is, by the house's term."""
    return DutyRule(
        id=rule_id,
        recipient=Recipient.AUTHORITY,
        clock=ClockRule(Period(0, Unit.NONE), house=Period(_UNCOVERED_HOUSE_HOURS, Unit.HOURS)),
        start=StartKind.AWARENESS,
        trigger=trigger,
        condition=condition,
        contents=(),
        citation=f"none: {trigger}",
        verified=False,
        role=facts.role,
    )


def _uncovered_duty(code: str, near: Market, aware_at: datetime, facts: BreachFacts) -> Duty:
    rule = _found_out(
        "no-law-pack",
        "no law pack covers this residence",
        "find out which law applies there and what it asks",
        facts,
    )
    calendar = locality(near.country or near.pack.countries[0]).calendar
    place = Place("", code, (code,), "authority not known", "UTC", calendar)
    duty = assess_duty(rule, place, aware_at, facts)
    return replace(duty, state=DutyState.CONDITIONAL, reason="no_law_pack")
