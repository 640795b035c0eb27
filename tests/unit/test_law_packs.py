"""Law packs say their source, name what is wrong with file and line, and know whom they bind."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta

import pytest

from dsr_worker.domain.clock import PauseGround, StartKind
from dsr_worker.domain.retention import CalendarPeriod
from dsr_worker.statutes import (
    PackError,
    Right,
    Standing,
    UnknownNameError,
    appeal_until,
    applicable,
    load_pack,
    locality,
    pack_text_and_hash,
    packs,
    read_pack,
    request_clocks,
    retention_maximum,
    retention_minimum,
    retention_rules,
    rights_row,
)
from dsr_worker.statutes.load import heads
from tests.unit.statutes_asked import day, received, respond


def test_every_clock_carries_its_source() -> None:
    """A date without citation, standing and calendar version is not shown to anybody."""
    for name in packs():
        pack = load_pack(name)
        country = pack.default_country or pack.countries[0]
        in_force = [row for row in pack.rights if row.in_force(day("2026-07-01"))]
        for right in {right for row in in_force for right in row.provisions}:
            for spec in request_clocks(pack, right, country, received("2026-07-01", country)):
                assert spec.citation
                assert spec.verified is (spec.standing is not Standing.UNVERIFIED)
                assert spec.due.calendar_version.startswith("holidays ")
                assert spec.clock.rule.pause_for(PauseGround.FEE) is None or name != "us-ca-ccpa"


def test_eu_pauses_are_marked_unverified() -> None:
    """Nobody has read a text for the pauses of the EU, so no alert may rely on them."""
    row = rights_row(load_pack("eu-gdpr"), Right.ACCESS, day("2026-07-01"))
    assert row.respond.start is StartKind.RECEIPT
    assert {pause.verified for pause in row.respond.pauses} == {False}


def test_zone_can_be_given() -> None:
    """An explicit zone replaces the capital's and decides the civil date."""
    at = datetime.fromisoformat("2026-03-01T06:30+00:00")
    pack = load_pack("us-ca-ccpa")
    assert request_clocks(pack, "access", None, at, "UTC")[0].due.due_on == day("2026-04-15")
    with pytest.raises(ValueError, match="unknown time zone"):
        request_clocks(pack, "access", None, at, "Mars/Base")


def test_law_follows_from_the_country() -> None:
    """Each country has its law, also by its subdivisions and usual aliases."""
    assert applicable("DE-BY").name == "eu-gdpr"
    assert applicable("NO").name == "eu-gdpr"
    assert applicable("uk").name == "uk-gdpr"
    assert applicable("US-CA").name == "us-ca-ccpa"
    assert applicable(None, "eu-gdpr").name == "eu-gdpr"
    with pytest.raises(ValueError, match="does not apply"):
        applicable("FR", "uk-gdpr")
    assert applicable("US-CO").name == "us-co"
    with pytest.raises(UnknownNameError, match="country with a law pack"):
        applicable("US")


def test_a_law_without_rights_says_so() -> None:
    """Where a state has a law on breaches alone, nobody is told that a right was misspelt."""
    bare = [name for name in packs() if not load_pack(name).rights]
    assert bare
    for name in bare:
        with pytest.raises(ValueError, match="gives no rights"):
            rights_row(load_pack(name), Right.ACCESS, day("2026-07-01"))


def test_a_law_is_known_by_its_other_names() -> None:
    """An alias names one law and no other."""
    assert load_pack("us-ca").name == "us-ca-ccpa"
    names = [name for head in heads() for name in (head.name, *head.aliases)]
    assert len(names) == len(set(names))


def test_the_first_paragraph_is_what_the_pack_says() -> None:
    """A pack is chosen by its head alone, so the head is the whole pack's."""
    assert [load_pack(head.name).head for head in heads()] == list(heads())


def test_law_of_several_countries_asks_which() -> None:
    """Where the law does not imply the country, no holiday list is guessed."""
    with pytest.raises(ValueError, match="several countries"):
        request_clocks(load_pack("eu-gdpr"), "access", None, received("2026-07-01", "DE"))


def test_no_clock_before_the_law() -> None:
    """A request before the law was in force is refused, not silently dated."""
    with pytest.raises(ValueError, match="gave no access on 2017-07-01; check the year"):
        respond("eu-gdpr", "DE", "2017-07-01")


@pytest.mark.parametrize(
    ("name", "near"),
    [("eu-gpdr", "eu-gdpr"), ("us-cca", "us-ca"), ("UK-GDPR", "uk-gdpr")],
)
def test_wrong_law_gets_the_near_ones(name: str, near: str) -> None:
    """A mistyped law is answered with what was probably meant."""
    with pytest.raises(UnknownNameError, match=near):
        load_pack(name)


def test_wrong_right_country_and_rule_get_the_near_ones() -> None:
    """The same for rights, countries and retention rules."""
    at = received("2026-07-01", "DE")
    with pytest.raises(UnknownNameError, match="erasure"):
        request_clocks(load_pack("eu-gdpr"), "erasur", "DE", at)
    with pytest.raises(UnknownNameError, match="opt-out"):
        request_clocks(load_pack("us-ca-ccpa"), "objection", None, at)
    with pytest.raises(UnknownNameError, match="GB-ENG"):
        locality("GB-EN")
    with pytest.raises(UnknownNameError, match="de-ao-147-voucher"):
        retention_minimum("de-ao-147-vouchers")


def test_frozen_text_reads_back_as_the_same_pack() -> None:
    """A job keeps the text by hash, and the text alone gives the pack again."""
    for name in packs():
        text, digest = pack_text_and_hash(name)
        assert hashlib.sha256(text.encode()).hexdigest() == digest
        assert read_pack(text) == load_pack(name)
    with pytest.raises(UnknownNameError):
        pack_text_and_hash("eu-gpdr")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "name: eu-gdpr", "name: eu-gdpr\nname: eu-gdpr", r"p\.yaml:4: .*name", id="dup"
        ),
        pytest.param("    trigger:", "    tigger: x\n    trigger:", "tigger: Extra", id="unknown"),
        pytest.param("{amount: 72,", "{amount: '72',", "amount: Input should be", id="text"),
        pytest.param("unit: months", "unit: fortnights", "unit", id="unit"),
        pytest.param("amount: 2, unit: months", "amount: 60, unit: hours", "cannot", id="mixed"),
        pytest.param("standing: secondary", "standing: sure", "standing", id="standing"),
        pytest.param("version: 2026-", "version: soon-", "version", id="date"),
        pytest.param(
            "    effective_from: 2018-05-25\n    clock:",
            "    effective_from: 2018-05-25\n    effective_to: 2018-01-01\n    clock:",
            "effective_to must lie after",
            id="backwards",
        ),
        pytest.param("name: eu-gdpr", "name: !!python/name:os.system ''", "p.yaml:3", id="object"),
        pytest.param("ER_LEGAL_CLAIMS", "ER_EXPRESSION", "given twice", id="code twice"),
        pytest.param("    body: the people affected\n", "", "`body` names", id="nameless"),
    ],
)
def test_wrong_pack_is_refused_with_its_line(old: str, new: str, message: str) -> None:
    """Unknown and repeated keys, silent conversions and impossible rows are errors with a line."""
    text, _ = pack_text_and_hash("eu-gdpr")
    assert old in text
    with pytest.raises(PackError, match=message) as refused:
        read_pack(text.replace(old, new, 1), "p.yaml")
    assert str(refused.value).startswith("p.yaml:")


def test_error_names_the_line_of_the_wrong_value() -> None:
    """The line in an error is the one to edit."""
    text, _ = pack_text_and_hash("eu-gdpr")
    line = next(i for i, row in enumerate(text.splitlines(), 1) if "{amount: 72" in row)
    with pytest.raises(PackError, match=rf"^p\.yaml:{line}: "):
        read_pack(text.replace("{amount: 72,", "{amount: -72,"), "p.yaml")


def test_two_rows_for_one_day_are_refused() -> None:
    """A request has one law on the day of its receipt."""
    text, _ = pack_text_and_hash("uk-gdpr")
    with pytest.raises(PackError, match="both in force"):
        read_pack(text.replace("    effective_to: 2026-02-05\n", ""), "p.yaml")


def test_exemption_codes_of_the_three_regimes() -> None:
    """The grounds of GDPR Art 17(3) and Civ. Code 1798.105(d) are there as codes."""
    eu = {row.code: row.citation for row in load_pack("eu-gdpr").exemptions}
    assert [
        eu[f"ER_{name}"]
        for name in (
            "EXPRESSION",
            "LEGAL_OBLIGATION",
            "PUBLIC_HEALTH",
            "ARCHIVE_RESEARCH",
            "LEGAL_CLAIMS",
        )
    ] == [f"GDPR Art 17(3)({letter})" for letter in "abcde"]
    california = {row.citation for row in load_pack("us-ca-ccpa").exemptions}
    assert {f"Cal. Civ. Code 1798.105(d)({n})" for n in range(1, 9)} <= california


def test_retention_limits_carry_their_source() -> None:
    """Each limit is a period with an anchor, a citation and an honest standing."""
    voucher = retention_minimum("de-ao-147-voucher")
    assert (str(voucher.period), voucher.anchor) == ("P8Y", "calendar_year_end")
    assert voucher.verified
    assert not retention_minimum("za-ca-24").verified
    assert str(retention_maximum("pci-dss-3-3-1").period) == "P0D"
    with pytest.raises(UnknownNameError, match="retention minimum"):
        retention_minimum("pci-dss-3-3-1")
    for row in retention_rules():
        assert row.citation


def test_the_packs_cover_what_they_promise() -> None:
    """Regimes for requests, duty sets of breaches, all states, retention rules: none got lost."""
    found = [load_pack(name) for name in packs()]
    assert sum(bool(pack.rights) for pack in found) >= 45
    assert sum(bool(pack.breach) for pack in found) >= 75
    assert len(retention_rules()) >= 40
    states = {own for pack in found if pack.breach for own in pack.countries if "US-" in own}
    assert len(states) == 52  # fifty states, the District of Columbia, Puerto Rico


def test_every_right_says_what_becomes_of_a_refusal() -> None:
    """Each row tells of an appeal, or that the law gives none, and who hears complaints."""
    silent = [row.id for name in packs() for row in load_pack(name).rights if row.appeal is None]
    assert silent == []


def test_every_time_for_an_appeal_to_us_gives_a_last_day_or_none() -> None:
    """A row that gives an appeal to whoever answered says until when in words that are computed."""
    house = CalendarPeriod.parse("P60D")
    rows = [r for n in packs() for r in load_pack(n).rights if r.appeal and r.appeal.answer]
    days = {row.id: appeal_until(row, date(2026, 1, 31), house) for row in rows}
    assert set(days.values()) == {None, date(2026, 4, 1)}
    assert days["us-hipaa-164-524"] is None
    others = load_pack("eu-gdpr").rights[0]
    with pytest.raises(ValueError, match="gives no appeal"):
        appeal_until(others, date(2026, 1, 31), house)


def test_a_law_that_is_still_to_come_is_told_with_its_day_and_what_to_do() -> None:
    """India's law of 2027-05-13 gives nobody a deadline before, and the refusal says so."""
    before = datetime(2027, 5, 12, 18, 29, tzinfo=UTC)
    with pytest.raises(ValueError, match=r"from 2027-05-13 on .* answer by hand"):
        request_clocks(load_pack("in-dpdp"), "access", "IN", before)
    (answer, *_) = request_clocks(
        load_pack("in-dpdp"), "access", "IN", before + timedelta(minutes=1)
    )
    assert answer.due.started_on == date(2027, 5, 13)
