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

from dsr_worker.domain.calendar import Calendar, end_of_day, local_date, to_utc
from dsr_worker.domain.clock import ClockRule, Due, StartKind, compute_due


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


class Compare(StrEnum):
    """Whether the threshold's own number already triggers."""

    MORE_THAN = "more_than"
    AT_LEAST = "at_least"
    FEWER_THAN = "fewer_than"


class DutyState(StrEnum):
    """Whether a duty binds, on what is known."""

    LIVE = "live"
    CONDITIONAL = "conditional"
    """Something that decides it is not known yet; its clock runs all the same."""
    NOT_DUE = "not_due"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number of affected residents of the jurisdiction."""

    count: int
    compare: Compare

    def met_by(self, residents: int) -> bool:
        """Say whether so many residents trigger the duty."""
        match self.compare:
            case Compare.AT_LEAST:
                return residents >= self.count
            case Compare.MORE_THAN:
                return residents > self.count
            case Compare.FEWER_THAN:
                return 0 < residents < self.count


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


@dataclass(frozen=True, slots=True)
class Affected:
    """People affected, by residence (ISO 3166 codes), as far as the systems have answered."""

    by_residence: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    unknown: int = 0
    complete: bool = False
    """True once every system has answered; before that no count turns a duty off."""

    def __post_init__(self) -> None:
        """Refuse counts below zero.

        Raises:
            ValueError: a count is negative.

        """
        if self.unknown < 0 or any(count < 0 for count in self.by_residence.values()):
            raise ValueError("a number of people cannot be negative")

    def residents(self, jurisdictions: Collection[str]) -> int:
        """Return those known to live in one of `jurisdictions` or a part of it."""
        return sum(
            count
            for code, count in self.by_residence.items()
            if any(_within(code, jurisdiction) for jurisdiction in jurisdictions)
        )

    def possible(self, jurisdictions: Collection[str]) -> int:
        """Return those who may live there: residents, unknown ones, and "US" for "US-CA"."""
        return self.unknown + sum(
            count
            for code, count in self.by_residence.items()
            if any(
                _within(code, jurisdiction) or _within(jurisdiction, code)
                for jurisdiction in jurisdictions
            )
        )


def _within(code: str, wider: str) -> bool:
    return code == wider or code.startswith(f"{wider}-")


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
    notices_sent: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))
    """When the first notice went out, by recipient and by rule."""
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
    """Where a duty applies, whose residents count for it, and its zone and calendar."""

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
    started_at = _started_at(rule, place.zone, aware_at, facts)
    due = _due(rule, place, aware_at if started_at is None else started_at)
    state, reason = judge(rule, place.counted, facts)
    named = f"{rule.recipient}:{place.jurisdiction}"
    return Duty(
        name=named if rule.alone else f"{named}:{rule.id}",
        rule_id=rule.id,
        recipient=rule.recipient,
        stage=rule.stage,
        body=place.body,
        jurisdiction=place.jurisdiction,
        state=state,
        reason=reason,
        due_at=None if started_at is None else due.due_at,
        house_due_at=due.conservative_due_at,
        citation=rule.citation,
        verified=rule.verified,
        trigger=rule.trigger,
        condition=rule.condition,
        contents=rule.contents,
        calendar_version=due.calendar_version,
    )


def _started_at(
    rule: DutyRule, zone: str, aware_at: datetime, facts: BreachFacts
) -> datetime | None:
    """Return when the period began, None where that event is still to come.

    Awareness stands for discovery unless the facts name an instant of its own; no other event
    is ever replaced by another.
    """
    if rule.start is StartKind.AFTER_OTHER_NOTICE:
        return None if rule.after is None else facts.notices_sent.get(rule.after)
    if rule.start in {StartKind.AWARENESS, StartKind.DISCOVERY}:
        return facts.events.get(rule.start, aware_at)
    if rule.start is StartKind.YEAR_END:
        return _year_end(facts.events.get(StartKind.DISCOVERY, aware_at), zone)
    return facts.events.get(rule.start)


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
        return _by_threshold(rule.threshold, counted, affected)
    if rule.recipient is not Recipient.INDIVIDUALS:
        return DutyState.LIVE, "no_threshold"
    if affected is None or not affected.complete or affected.residents(counted):
        return DutyState.LIVE, "residents_presumed"
    if affected.possible(counted):
        return DutyState.CONDITIONAL, "unknown_residence_may_count"
    return DutyState.NOT_DUE, "no_resident_affected"


def _by_threshold(
    threshold: Threshold, counted: Collection[str], affected: Affected | None
) -> tuple[DutyState, str]:
    if affected is None:
        return DutyState.CONDITIONAL, "residents_not_counted"
    if threshold.compare is Compare.FEWER_THAN:
        return _by_fewer(threshold, counted, affected)
    if threshold.met_by(affected.residents(counted)):
        return DutyState.LIVE, "threshold_met"
    if not affected.complete:
        return DutyState.CONDITIONAL, "count_not_complete"
    if threshold.met_by(affected.possible(counted)):
        return DutyState.CONDITIONAL, "unknown_residence_may_count"
    return DutyState.NOT_DUE, "below_threshold"


def _by_fewer(
    threshold: Threshold, counted: Collection[str], affected: Affected
) -> tuple[DutyState, str]:
    """A duty that a larger number replaces: what is not counted yet may only turn it off."""
    if affected.residents(counted) >= threshold.count:
        return DutyState.NOT_DUE, "above_threshold"
    if not affected.complete:
        return DutyState.CONDITIONAL, "count_not_complete"
    possible = affected.possible(counted)
    if not possible:
        return DutyState.NOT_DUE, "no_resident_affected"
    if possible >= threshold.count or not threshold.met_by(affected.residents(counted)):
        return DutyState.CONDITIONAL, "unknown_residence_may_count"
    return DutyState.LIVE, "threshold_met"
