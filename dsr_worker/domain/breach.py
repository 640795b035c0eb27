"""One incident, many duties: who must hear of a breach, by when, and whether it is live.

Why this room exists: a breach starts as many independent obligations as there are laws in the
markets touched, and at declaration nobody knows the numbers. Rules (data of the law packs), the
declared facts and, later, counts per residence enter; duties with due instants leave. The same
function answers at declaration and after every new fact. What is not known keeps a duty alive:
a fact may turn a duty off only when it is certain, and people of unknown residence count as
possible residents of every jurisdiction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from dsr_worker.domain.calendar import Calendar, end_of_day, local_date, to_utc
from dsr_worker.domain.clock import ClockRule, Due, StartKind, compute_due
from dsr_worker.domain.headcount import Affected, DutyState, Threshold, by_threshold, within


class Recipient(StrEnum):
    """Who must be told."""

    AUTHORITY = "authority"
    INDIVIDUALS = "individuals"
    ATTORNEY_GENERAL = "attorney-general"
    CONSUMER_REPORTING_AGENCIES = "consumer-reporting-agencies"
    MEDIA = "media"
    CONTROLLER = "controller"
    STATE_AGENCY = "state-agency"
    LAW_ENFORCEMENT = "law-enforcement"
    REGULATOR = "regulator"
    INVESTORS = "investors"


class Stage(StrEnum):
    """Which of several notices to one recipient it is."""

    EARLY_WARNING = "early-warning"
    NOTICE = "notice"
    INTERIM = "interim"
    FINAL = "final"
    ANNUAL = "annual"


class Role(StrEnum):
    """In which role we hold the data that leaked."""

    CONTROLLER = "controller"
    PROCESSOR = "processor"


class Harm(StrEnum):
    """How bad it is for the people, as a person judged and signed it."""

    UNLIKELY = "unlikely"
    RISK = "risk"
    HIGH = "high"


_HARM_ORDER = (Harm.UNLIKELY, Harm.RISK, Harm.HIGH)


@dataclass(frozen=True, slots=True)
class HarmTest:
    """The least harm at which a duty binds; `presumed` where the law makes us disprove it."""

    level: Harm
    presumed: bool
    wording: str


@dataclass(frozen=True, slots=True)
class DutyRule:
    """One obligation of one law as data."""

    id: str
    recipient: Recipient
    clock: ClockRule
    start: StartKind
    trigger: str
    condition: str
    contents: tuple[str, ...]
    citation: str
    verified: bool
    stage: Stage = Stage.NOTICE
    after: str | None = None
    """The recipient, or the rule, whose notice starts the period `after_other_notice`."""
    role: Role = Role.CONTROLLER
    threshold: Threshold | None = None
    harm: HarmTest | None = None
    encryption_exempts: bool = False
    alone: bool = True
    """No other duty of its jurisdiction goes to such a recipient: its name needs no more."""


class Notice(NamedTuple):
    """A notice that was given: under which law, where, and to whom (a recipient or a rule)."""

    law: str
    jurisdiction: str
    told: str


@dataclass(frozen=True, slots=True)
class BreachFacts:
    """What is known of a breach. None means not known, which never lightens a duty."""

    systems: frozenset[str] = frozenset()
    collections: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    """Data categories (Fideslang keys) of the fields that leaked."""
    window_from_at: datetime | None = None
    window_to_at: datetime | None = None
    encrypted: bool | None = None
    key_taken: bool | None = None
    harm: Harm | None = None
    role: Role = Role.CONTROLLER
    lead_country: str | None = None
    """Country of the main establishment in the EU (GDPR Art 56), where there is one."""
    events: Mapping[StartKind, datetime] = field(default_factory=lambda: MappingProxyType({}))
    """Instants of events other than awareness, such as a determination."""
    notices_sent: Mapping[Notice, datetime] = field(default_factory=lambda: MappingProxyType({}))
    """When the first notice that a person recorded went out."""
    people_told: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))
    """When the first notice was sent to somebody of each residence; "" where it is not known."""
    affected: Affected | None = None

    def __post_init__(self) -> None:
        """Refuse a window that ends before it begins.

        Raises:
            ValueError: see above, or an instant without an offset.

        """
        if (
            self.window_from_at is not None
            and self.window_to_at is not None
            and to_utc(self.window_to_at) < to_utc(self.window_from_at)
        ):
            raise ValueError("the window of a breach cannot end before it begins")

    @property
    def unreadable(self) -> bool:
        """True only where it is certain that the data was encrypted and the key is safe."""
        return self.encrypted is True and self.key_taken is False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a duty applies under which law, whose residents count for it, zone and calendar."""

    law: str
    jurisdiction: str
    counted: tuple[str, ...]
    body: str
    zone: str
    calendar: Calendar


@dataclass(frozen=True, slots=True)
class Duty:
    """One recipient who must hear of the breach.

    `due_at` (UTC, exclusive end) is None where the law names no number or its starting event has
    not happened; `house_due_at` always stands, never later, and is what alerts go by.
    """

    name: str
    """Recipient and jurisdiction, and the rule where these are not its alone."""
    law: str
    rule_id: str
    recipient: Recipient
    stage: Stage
    body: str
    jurisdiction: str
    state: DutyState
    reason: str
    due_at: datetime | None
    house_due_at: datetime
    citation: str
    verified: bool
    trigger: str
    condition: str
    contents: tuple[str, ...]
    calendar_version: str


def assess_duty(rule: DutyRule, place: Place, aware_at: datetime, facts: BreachFacts) -> Duty:
    """Decide one duty on what is known and compute when it is due.

    Raises:
        ValueError: an instant without an offset.

    """
    started_at = _started_at(rule, place, aware_at, facts)
    due = _due(rule, place, aware_at if started_at is None else started_at)
    house = _due(rule, place, _alarmed_at(rule, place, aware_at, facts, started_at))
    state, reason = judge(rule, place.counted, facts)
    named = f"{rule.recipient}:{place.jurisdiction}"
    return Duty(
        name=named if rule.alone else f"{named}:{rule.id}",
        law=place.law,
        rule_id=rule.id,
        recipient=rule.recipient,
        stage=rule.stage,
        body=place.body,
        jurisdiction=place.jurisdiction,
        state=state,
        reason=reason,
        due_at=None if started_at is None else due.due_at,
        house_due_at=house.conservative_due_at,
        citation=rule.citation,
        verified=rule.verified,
        trigger=rule.trigger,
        condition=rule.condition,
        contents=rule.contents,
        calendar_version=due.calendar_version,
    )


def _started_at(
    rule: DutyRule, place: Place, aware_at: datetime, facts: BreachFacts
) -> datetime | None:
    """Return when the period began, None where that event is still to come.

    Awareness stands for discovery unless the facts name an instant of its own; no other event
    is ever replaced by another, nor a notice by one under another law or in another place.
    """
    if rule.start is StartKind.AFTER_OTHER_NOTICE:
        return min(_given(rule, place, facts), default=None)
    if rule.start in {StartKind.AWARENESS, StartKind.DISCOVERY}:
        return facts.events.get(rule.start, aware_at)
    if rule.start is StartKind.YEAR_END:
        return _year_end(facts.events.get(StartKind.DISCOVERY, aware_at), place.zone)
    return facts.events.get(rule.start)


def _given(rule: DutyRule, place: Place, facts: BreachFacts) -> list[datetime]:
    """When the notice that starts a period was given under this law, to people who live there."""
    recorded = facts.notices_sent.get(Notice(place.law, place.jurisdiction, rule.after or ""))
    given = [] if recorded is None else [recorded]
    if rule.after == Recipient.INDIVIDUALS:
        given += [
            at
            for residence, at in facts.people_told.items()
            if any(within(residence, where) for where in place.counted)
        ]
    return given


def _alarmed_at(
    rule: DutyRule,
    place: Place,
    aware_at: datetime,
    facts: BreachFacts,
    started_at: datetime | None,
) -> datetime:
    """Return from when alerts count: the earliest notice that may have been given to a resident."""
    possible = [] if started_at is None else [started_at]
    if rule.start is StartKind.AFTER_OTHER_NOTICE and rule.after == Recipient.INDIVIDUALS:
        possible += [
            at
            for residence, at in facts.people_told.items()
            if not residence or any(within(where, residence) for where in place.counted)
        ]
        possible += [
            at
            for notice, at in facts.notices_sent.items()
            if notice.told == Recipient.INDIVIDUALS
            and any(within(notice.jurisdiction, where) for where in place.counted)
        ]
    return min(possible, default=aware_at)


def _year_end(at: datetime, zone: str) -> datetime:
    """The last instant of the civil year in which `at` lies."""
    last_on = date(local_date(at, zone).year, 12, 31)
    return end_of_day(last_on, zone) - timedelta(microseconds=1)


def _due(rule: DutyRule, place: Place, started_at: datetime) -> Due:
    return compute_due(rule.clock, started_at, place.zone, place.calendar)


def judge(rule: DutyRule, counted: Collection[str], facts: BreachFacts) -> tuple[DutyState, str]:
    """Say whether a duty binds, and the reason as a code.

    Only certain facts turn a duty off, and the first one that does gives the reason; else the
    first fact that is still missing does.
    """
    if rule.role is not facts.role:
        return DutyState.NOT_DUE, "other_role"
    if rule.encryption_exempts and facts.unreadable:
        return DutyState.NOT_DUE, "encrypted_key_safe"
    verdicts = [_by_harm(rule.harm, facts.harm), _by_count(rule, counted, facts.affected)]
    for state in (DutyState.NOT_DUE, DutyState.CONDITIONAL):
        for verdict, reason in verdicts:
            if verdict is state:
                return verdict, reason
    return DutyState.LIVE, "all_conditions_met"


def _by_harm(test: HarmTest | None, harm: Harm | None) -> tuple[DutyState, str]:
    if test is None:
        return DutyState.LIVE, "no_harm_test"
    if harm is None:
        if test.presumed:
            return DutyState.LIVE, "harm_presumed"
        return DutyState.CONDITIONAL, "harm_not_judged"
    if _HARM_ORDER.index(harm) >= _HARM_ORDER.index(test.level):
        return DutyState.LIVE, "harm_test_met"
    return DutyState.NOT_DUE, "harm_below_test"


def _by_count(
    rule: DutyRule, counted: Collection[str], affected: Affected | None
) -> tuple[DutyState, str]:
    if rule.threshold is not None:
        return by_threshold(rule.threshold, counted, affected)
    if rule.recipient is not Recipient.INDIVIDUALS:
        return DutyState.LIVE, "no_threshold"
    if affected is None or not affected.complete or affected.residents(counted):
        return DutyState.LIVE, "residents_presumed"
    if affected.possible(counted):
        return DutyState.CONDITIONAL, "unknown_residence_may_count"
    return DutyState.NOT_DUE, "no_resident_affected"
