"""Who must hear of a breach, by when, and what no fact but a certain one may turn off."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from dsr_worker.domain.breach import BreachFacts, Duty, Harm, Notice, Recipient, Role
from dsr_worker.domain.calendar import end_of_day
from dsr_worker.domain.clock import StartKind
from dsr_worker.domain.headcount import Affected, DutyState
from dsr_worker.statutes import Market, UnknownNameError, breach_duties, market

AWARE = datetime(2026, 3, 27, 16, 20, tzinfo=UTC)
PACIFIC = "America/Los_Angeles"


def duty(duties: list[Duty], recipient: Recipient, jurisdiction: str) -> Duty:
    """Return the one duty towards a recipient in a jurisdiction."""
    (found,) = [
        duty for duty in duties if duty.recipient is recipient and duty.jurisdiction == jurisdiction
    ]
    return found


def california(facts: BreachFacts, aware_at: datetime = AWARE) -> list[Duty]:
    """Return the duties of a shop that declared California alone."""
    return breach_duties([market("US-CA")], aware_at, facts)


def counted(complete: bool = True, unknown: int = 0, **residents: int) -> BreachFacts:  # noqa: FBT001, FBT002 - reads as a fact in the cases below
    """Return facts with counts; `US_CA=3` means three in US-CA."""
    counts = {code.replace("_", "-"): count for code, count in residents.items()}
    return BreachFacts(affected=Affected(counts, unknown, complete))


def test_authority_hears_in_seventy_two_exact_hours() -> None:
    """H1: the authority's duty is live at declaration, over the change of the clock."""
    found = duty(breach_duties([market("DE")], AWARE), Recipient.AUTHORITY, "DE")
    assert found.due_at == datetime.fromisoformat("2026-03-30T18:20+02:00")
    assert found.house_due_at == found.due_at
    assert found.state is DutyState.LIVE
    assert found.citation == "GDPR Art 33(1)"
    assert "Land" in found.body
    assert "likely_consequences" in found.contents


def test_law_alone_is_enough() -> None:
    """Without a country the law's duties stand, towards the competent authority."""
    found = duty(breach_duties([market(law="eu-gdpr")], AWARE), Recipient.AUTHORITY, "eu-gdpr")
    assert found.due_at == AWARE + timedelta(hours=72)
    assert found.body == "competent supervisory authority (GDPR Arts 55, 56)"


def test_every_declared_market_has_its_duties() -> None:
    """One incident, many independent obligations, soonest alert first."""
    markets = [market(code) for code in ("DE-BY", "FR", "GB-SCT", "US-CA", "DE")]
    duties = breach_duties(markets, AWARE)
    authorities = {d.jurisdiction: d.body for d in duties if d.recipient is Recipient.AUTHORITY}
    assert set(authorities) == {"DE", "FR", "GB"}
    assert "BayLDA" in authorities["DE"]
    assert "CNIL" in authorities["FR"]
    assert "ICO" in authorities["GB"]
    assert duty(duties, Recipient.INDIVIDUALS, "US-CA").due_at is not None
    alerts = [found.house_due_at for found in duties]
    assert alerts == sorted(alerts)
    assert all(found.house_due_at.tzinfo is UTC for found in duties)


def test_lead_authority_hears_once() -> None:
    """With a main establishment the lead authority hears once; people hear in every country."""
    markets = [market("DE"), market("FR"), market("IE")]
    duties = breach_duties(markets, AWARE, BreachFacts(lead_country="IE"))
    (authority,) = [d for d in duties if d.recipient is Recipient.AUTHORITY]
    assert authority.jurisdiction == "IE"
    assert "DPC" in authority.body
    people = {d.jurisdiction for d in duties if d.recipient is Recipient.INDIVIDUALS}
    assert people == {"DE", "FR", "IE"}


def test_people_hear_without_a_number_but_never_without_a_date() -> None:
    """A law without a number leaves no statutory date and always a house date."""
    found = duty(breach_duties([market("DE")], AWARE), Recipient.INDIVIDUALS, "DE")
    assert found.due_at is None
    assert found.house_due_at == AWARE + timedelta(hours=72)
    assert found.state is DutyState.CONDITIONAL
    assert found.reason == "harm_not_judged"


@pytest.mark.parametrize(
    ("harm", "authority", "people"),
    [
        (None, DutyState.LIVE, DutyState.CONDITIONAL),
        (Harm.UNLIKELY, DutyState.NOT_DUE, DutyState.NOT_DUE),
        (Harm.RISK, DutyState.LIVE, DutyState.NOT_DUE),
        (Harm.HIGH, DutyState.LIVE, DutyState.LIVE),
    ],
)
def test_harm_decides(harm: Harm | None, authority: DutyState, people: DutyState) -> None:
    """GDPR 33(1) binds unless risk is unlikely, 34(1) only if it is high; not judged is no."""
    duties = breach_duties([market("DE")], AWARE, BreachFacts(harm=harm))
    assert duty(duties, Recipient.AUTHORITY, "DE").state is authority
    assert duty(duties, Recipient.INDIVIDUALS, "DE").state is people


@pytest.mark.parametrize(
    ("encrypted", "key_taken", "state"),
    [
        (True, False, DutyState.NOT_DUE),
        (True, None, DutyState.LIVE),
        (True, True, DutyState.LIVE),
        (None, False, DutyState.LIVE),
        (False, False, DutyState.LIVE),
    ],
)
def test_encryption_exempts_only_with_the_key_safe(
    encrypted: bool | None,  # noqa: FBT001 - a fact, as in BreachFacts
    key_taken: bool | None,  # noqa: FBT001 - a fact, as in BreachFacts
    state: DutyState,
) -> None:
    """GDPR 34(3)(a): unreadable data spares people the notice, an unknown fact does not."""
    facts = BreachFacts(encrypted=encrypted, key_taken=key_taken, harm=Harm.HIGH)
    duties = breach_duties([market("DE")], AWARE, facts)
    assert duty(duties, Recipient.INDIVIDUALS, "DE").state is state
    assert duty(duties, Recipient.AUTHORITY, "DE").state is DutyState.LIVE


def test_california_people_then_attorney_general() -> None:
    """B2: people in 30 days of discovery, the attorney general 15 days after the letters."""
    aware_at = datetime(2026, 2, 1, 20, tzinfo=UTC)
    told = Notice("us-ca-ccpa", "US-CA", Recipient.INDIVIDUALS)
    facts = BreachFacts(notices_sent={told: datetime(2026, 2, 20, 20, tzinfo=UTC)})
    duties = california(facts, aware_at)
    people = duty(duties, Recipient.INDIVIDUALS, "US-CA")
    general = duty(duties, Recipient.ATTORNEY_GENERAL, "US-CA")
    assert people.due_at == end_of_day(date(2026, 3, 3), PACIFIC)
    assert general.due_at == end_of_day(date(2026, 3, 7), PACIFIC)


def test_a_start_that_has_not_happened_is_never_replaced() -> None:
    """Before the letters go the attorney general has no statutory date, only an early alert."""
    general = duty(california(BreachFacts()), Recipient.ATTORNEY_GENERAL, "US-CA")
    assert general.due_at is None
    assert general.house_due_at == end_of_day(date(2026, 4, 11), PACIFIC)
    assert general.state is DutyState.CONDITIONAL


def test_an_instant_of_discovery_of_its_own_counts() -> None:
    """Where discovery and awareness differ, each duty runs from its own event."""
    discovered = AWARE - timedelta(days=3)
    duties = california(BreachFacts(events={StartKind.DISCOVERY: discovered}))
    assert duty(duties, Recipient.INDIVIDUALS, "US-CA").due_at == end_of_day(
        date(2026, 4, 23), PACIFIC
    )


def test_california_before_its_number() -> None:
    """Before 2026 the law named no number of days; the older row answers for older breaches."""
    people = duty(
        california(BreachFacts(), datetime(2025, 12, 31, 20, tzinfo=UTC)),
        Recipient.INDIVIDUALS,
        "US-CA",
    )
    assert people.due_at is None
    assert people.rule_id == "us-ca-1798-82-individuals-before-2026"


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        (BreachFacts(), DutyState.CONDITIONAL, "residents_not_counted"),
        (counted(US_CA=500), DutyState.NOT_DUE, "below_threshold"),
        (counted(US_CA=501), DutyState.LIVE, "all_conditions_met"),
        (counted(complete=False, US_CA=501), DutyState.LIVE, "all_conditions_met"),
        (counted(complete=False, US_CA=3), DutyState.CONDITIONAL, "count_not_complete"),
        (counted(unknown=1, US_CA=500), DutyState.CONDITIONAL, "unknown_residence_may_count"),
        (counted(US=498, US_CA=3), DutyState.CONDITIONAL, "unknown_residence_may_count"),
        (counted(unknown=500), DutyState.NOT_DUE, "below_threshold"),
        (counted(unknown=501), DutyState.CONDITIONAL, "unknown_residence_may_count"),
    ],
)
def test_more_than_500_residents(facts: BreachFacts, state: DutyState, reason: str) -> None:
    """Unknown residence may be any residence; only a complete count turns a duty off."""
    found = duty(california(facts), Recipient.ATTORNEY_GENERAL, "US-CA")
    assert (found.state, found.reason) == (state, reason)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (counted(complete=False), DutyState.LIVE),
        (counted(), DutyState.NOT_DUE),
        (counted(unknown=1), DutyState.CONDITIONAL),
        (counted(US_CA=1), DutyState.LIVE),
    ],
)
def test_people_hear_where_people_live(facts: BreachFacts, state: DutyState) -> None:
    """No resident, no notice: but only when every system has answered and nobody is unknown."""
    assert duty(california(facts), Recipient.INDIVIDUALS, "US-CA").state is state


def test_whole_law_counts_all_its_countries() -> None:
    """A law declared without a country counts the residents of every country it covers."""
    facts = replace(counted(FR=2), harm=Harm.HIGH)
    duties = breach_duties([market(law="eu-gdpr")], AWARE, facts)
    assert duty(duties, Recipient.INDIVIDUALS, "eu-gdpr").state is DutyState.LIVE
    assert {found.jurisdiction for found in duties} == {"eu-gdpr"}


def test_residence_that_no_market_named_adds_its_duties() -> None:
    """People turn up where nobody declared a market: their law applies all the same."""
    duties = breach_duties([market("DE")], AWARE, counted(DE=5, FR=1))
    assert duty(duties, Recipient.AUTHORITY, "FR").state is DutyState.LIVE


def test_residence_without_a_law_pack_is_not_dropped() -> None:
    """A residence that no pack covers becomes a duty to find its law, marked unverified."""
    duties = breach_duties([market("DE")], AWARE, counted(DE=5, KZ=1))
    found = duty(duties, Recipient.AUTHORITY, "KZ")
    assert found.state is DutyState.CONDITIONAL
    assert found.reason == "no_law_pack"
    assert not found.verified
    assert found.house_due_at == AWARE + timedelta(hours=72)


def test_processor_tells_the_controller() -> None:
    """GDPR 33(2): a processor owes the controller a notice and nobody else."""
    duties = breach_duties([market("DE")], AWARE, BreachFacts(role=Role.PROCESSOR))
    live = [found.recipient for found in duties if found.state is DutyState.LIVE]
    assert live == [Recipient.CONTROLLER]
    controllers = breach_duties([market("DE")], AWARE)
    assert duty(controllers, Recipient.CONTROLLER, "DE").state is DutyState.NOT_DUE


def test_same_answer_at_declaration_and_after_counts() -> None:
    """New counts change what binds and never when it is due."""
    before = breach_duties([market("DE"), market("US-CA")], AWARE)
    after = breach_duties([market("DE"), market("US-CA")], AWARE, counted(DE=9, US_CA=501))
    dates = [(d.rule_id, d.jurisdiction, d.due_at, d.house_due_at) for d in before]
    assert dates == [(d.rule_id, d.jurisdiction, d.due_at, d.house_due_at) for d in after]


def test_what_has_no_meaning_is_refused() -> None:
    """No market, a wrong name, a window backwards, people below zero, an instant without offset."""
    no_markets: list[Market] = []
    with pytest.raises(ValueError, match="at least one market"):
        breach_duties(no_markets, AWARE)
    with pytest.raises(ValueError, match="a country or a law"):
        market()
    with pytest.raises(UnknownNameError, match="DE"):
        market("DEU")
    with pytest.raises(ValueError, match="window"):
        BreachFacts(window_from_at=AWARE, window_to_at=AWARE - timedelta(hours=1))
    with pytest.raises(ValueError, match="negative"):
        Affected({"DE": -1})
    with pytest.raises(ValueError, match="offset"):
        breach_duties([market("DE")], AWARE.replace(tzinfo=None))


PEOPLE = Recipient.INDIVIDUALS
SENT = datetime(2026, 4, 2, 20, tzinfo=UTC)


@pytest.mark.parametrize("residence", ["DE", "US-TX"])
def test_a_notice_elsewhere_starts_no_duty_that_runs_from_notice_here(residence: str) -> None:
    """California's 15 days run from the letters to Californians, not from those to others."""
    told = BreachFacts(people_told={residence: SENT})
    assert duty(california(told), Recipient.ATTORNEY_GENERAL, "US-CA").due_at is None
    recorded = BreachFacts(notices_sent={Notice("eu-gdpr", residence, PEOPLE): SENT})
    assert duty(california(recorded), Recipient.ATTORNEY_GENERAL, "US-CA").due_at is None


def test_a_notice_to_a_resident_starts_what_runs_from_it() -> None:
    """Californians told by mail start the 15 days, wherever else people heard earlier."""
    told = BreachFacts(people_told={"DE": SENT - timedelta(days=5), "US-CA": SENT})
    general = duty(california(told), Recipient.ATTORNEY_GENERAL, "US-CA")
    assert general.due_at == general.house_due_at == end_of_day(date(2026, 4, 17), PACIFIC)


@pytest.mark.parametrize("residence", ["", "US"])
def test_a_notice_that_may_have_gone_to_a_resident_starts_the_alerts_alone(residence: str) -> None:
    """Of people whose residence nobody knows no statutory date follows, an early alert does."""
    told = BreachFacts(people_told={residence: SENT})
    general = duty(california(told), Recipient.ATTORNEY_GENERAL, "US-CA")
    assert general.due_at is None
    assert general.house_due_at == end_of_day(date(2026, 4, 17), PACIFIC)


@pytest.mark.parametrize(
    ("counts", "unknown", "state"),
    [
        ({"US-TX": 499, "US-CA": 499}, 0, DutyState.NOT_DUE),
        ({"US-TX": 500, "US-CA": 1}, 0, DutyState.LIVE),
        ({"US-TX": 400, "US-CA": 450}, 50, DutyState.CONDITIONAL),
        ({"US-TX": 450, "US": 50}, 0, DutyState.CONDITIONAL),
        ({"US-TX": 450, "FR": 5_000}, 0, DutyState.NOT_DUE),
    ],
)
def test_media_hear_where_one_state_has_so_many(
    counts: dict[str, int], unknown: int, state: DutyState
) -> None:
    """45 CFR 164.406 counts the residents of one state, not those of the country together."""
    facts = BreachFacts(affected=Affected(counts, unknown, complete=True))
    duties = breach_duties([market("US", "us-hipaa")], AWARE, facts)
    assert next(d for d in duties if d.recipient is Recipient.MEDIA).state is state


def test_the_department_counts_people_wherever_they_live() -> None:
    """45 CFR 164.408 counts individuals; those who moved abroad are individuals too."""
    facts = counted(US_TX=300, FR=200)
    duties = {d.rule_id: d for d in breach_duties([market("US", "us-hipaa")], AWARE, facts)}
    assert duties["us-hipaa-164-408-authority"].state is DutyState.LIVE
    assert duties["us-hipaa-164-408-authority-annual"].state is DutyState.NOT_DUE


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (counted(US_TX=1, US_CA=10_000), DutyState.LIVE),
        (counted(US_TX=10_000), DutyState.NOT_DUE),
        (counted(US_CA=20_000), DutyState.NOT_DUE),
        (counted(US_CA=20_000, unknown=1), DutyState.CONDITIONAL),
    ],
)
def test_persons_told_at_one_time_are_counted_wherever_they_live(
    facts: BreachFacts, state: DutyState
) -> None:
    """Texas counts the persons notified at one time, once one of its residents is among them."""
    agencies = duty(
        breach_duties([market("US-TX")], AWARE, facts),
        Recipient.CONSUMER_REPORTING_AGENCIES,
        "US-TX",
    )
    assert agencies.state is state


def test_a_law_that_is_still_to_come_is_told_with_its_day_and_watched_by_the_house() -> None:
    """India before 2027-05-13: no statute's date, the house's own, and the law's first day."""
    (found,) = breach_duties([market("IN")], AWARE)
    assert (found.due_at, found.state) == (None, DutyState.CONDITIONAL)
    assert found.house_due_at == AWARE + timedelta(hours=72)
    assert found.reason == "law_not_in_force"
    assert "in-dpdp is in force from 2027-05-13 on" in found.condition
    assert not found.verified


def test_a_market_whose_law_is_still_to_come_is_told_beside_others() -> None:
    """A market whose law asks for nothing yet does not vanish among those that do."""
    reasons = {d.jurisdiction: d.reason for d in breach_duties([market("DE"), market("IN")], AWARE)}
    assert reasons["IN"] == "law_not_in_force"


def test_on_its_first_day_the_law_itself_asks() -> None:
    """From 2027-05-13 on India's own duties stand, and nothing is left to find out."""
    duties = breach_duties([market("IN")], datetime(2027, 5, 13, 6, tzinfo=UTC))
    assert {d.law for d in duties} == {"in-dpdp"}
    assert all(d.reason != "law_not_in_force" for d in duties)
