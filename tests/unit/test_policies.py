"""Retention policies: read strictly, bound by class, and never in contradiction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dsr_worker.contract import Action, Collection, Field, System
from dsr_worker.documents import DocumentError
from dsr_worker.domain.decision import Bound
from dsr_worker.domain.plan import VoidCode
from dsr_worker.policies import (
    Policies,
    binding,
    bindings,
    lint,
    load_policies,
    read_policy,
    schema,
)
from dsr_worker.statutes.retention import retention_minimum

GOOD = """\
policy: de-shop
version: 1.0.0
title: Online shop
owner: privacy-team
jurisdictions: [DE]
zone: Europe/Berlin
schedule: "15 3 * * *"
limits: {rows: 10000, share: 0.05}
rules:
  - id: vouchers
    class: voucher
    keep_at_least: {statute: de-ao-147-voucher}
    clock: record_date
  - id: carts
    class: cart
    keep_at_most: {period: P90D, anchor: record_date, citation: "house rule"}
    clock: record_date
    action: mask
"""

INVOICES = Collection(
    "invoices", ("id",), {"id": Field("id", "user")}, record_class="voucher", clocks={}
)


def _policies(*texts: str) -> Policies:
    read = [read_policy(text) for text in texts]
    return Policies({policy.name: policy for policy in read})


def test_a_statute_brings_its_period_and_source() -> None:
    """A rule that names a statute's row takes period, anchor and citation from it."""
    (term,) = binding(_policies(GOOD), INVOICES).minimums
    law = retention_minimum("de-ao-147-voucher")
    assert (term.ground, term.period, term.citation) == (law.id, law.period, law.citation)
    assert term.anchor.kind is law.anchor
    assert (term.zone, term.clock) == ("Europe/Berlin", "record_date")


def test_a_house_rule_is_grounded_in_its_policy() -> None:
    """A period of one's own is named by policy and rule, and says what it does."""
    cart = replace(INVOICES, record_class="cart")
    (term,) = binding(_policies(GOOD), cart).limits
    assert (term.ground, term.action) == ("de-shop/carts", Action.MASK)
    assert binding(_policies(GOOD), replace(INVOICES, record_class=None)) == Bound()
    assert binding(_policies(GOOD), replace(INVOICES, record_class="review")) == Bound()


def test_two_policies_bind_together_and_a_law_counts_once() -> None:
    """Policies add up; the same statute named by two of them is one term."""
    other = GOOD.replace("policy: de-shop", "policy: de-other")
    assert len(binding(_policies(GOOD, other), INVOICES).minimums) == 1
    austria = GOOD.replace("policy: de-shop", "policy: at-shop").replace(
        "de-ao-147-voucher", "at-bao-132"
    )
    assert len(binding(_policies(GOOD, austria), INVOICES).minimums) == 2


BAD = [
    ("owner: privacy-team\n", "", "owner: missing"),
    ("owner:", "ownr:", "did you mean owner"),
    ("version: 1.0.0", "version: one", "version"),
    ("version: 1.0.0", "version: 1", "put it in quotes"),
    ("version: 1.0.0", "version: 1.0", "put it in quotes"),
    ("jurisdictions: [DE]", "jurisdictions: []", "jurisdictions"),
    ("jurisdictions: [DE]", "jurisdictions: []", "write at least one"),
    ("jurisdictions: [DE]", "jurisdictions: [Germany]", "jurisdictions.0"),
    ("zone: Europe/Berlin", "zone: Berlin", "unknown time zone"),
    ('schedule: "15 3 * * *"', "schedule: daily", "cron"),
    ("share: 0.05", "share: 5", "less than or equal to 1"),
    ("rows: 10000", "rows: -1", "greater than or equal to 0"),
    ("de-ao-147-voucher", "de-ao-147-vouchers", "did you mean de-ao-147-voucher"),
    ("P90D", "90 days", "not a calendar duration"),
    ("P90D", "PT5H", "not a calendar duration"),
    ("anchor: record_date", "anchor: someday", "anchor"),
    (', citation: "house rule"', "", "together"),
    ("{statute: de-ao-147-voucher}", "{statute: de-ao-147-voucher, period: P1Y}", "leave one out"),
    ("    keep_at_least: {statute: de-ao-147-voucher}\n", "", "keep_at_least, keep_at_most"),
    ("action: mask", "action: archive", "action"),
    ("id: carts", "id: vouchers", "stands twice"),
    ("class: cart", "klass: cart", "did you mean class"),
    ("class: cart", "class: voucher", "AO s.147(3)"),
]


def test_a_fault_brings_no_second_one_with_it() -> None:
    """Where the only rule or jurisdiction is wrong, that is told and not that there is none."""
    head = GOOD.partition("rules:")[0].replace("[DE]", "[Germany]")
    rule = "rules:\n  - {id: a, class: b, clock: c, keep_at_least: {statute: x, period: P1Y}}\n"
    with pytest.raises(DocumentError) as caught:
        read_policy(head + rule)
    assert len(caught.value.faults) == 2, caught.value.faults
    assert all("at least" not in fault for fault in caught.value.faults)


@pytest.mark.parametrize(("old", "new", "says"), BAD)
def test_a_wrong_policy_is_refused_with_file_and_line(old: str, new: str, says: str) -> None:
    """Every mistake names file and line and what is wrong."""
    assert old in GOOD
    with pytest.raises(DocumentError, match=r"^p\.yaml:\d+: ") as error:
        read_policy(GOOD.replace(old, new, 1), "p.yaml")
    assert says in str(error.value)
    if new:
        line = GOOD[: GOOD.index(old)].count("\n") + 1
        assert any(f"p.yaml:{near}: " in str(error.value) for near in range(line - 2, line + 2))


def test_an_action_without_a_limit_is_refused() -> None:
    """A minimum only keeps: it has no action."""
    text = GOOD.replace(
        "    clock: record_date\n  - id", "    clock: record_date\n    action: mask\n  - id", 1
    )
    with pytest.raises(DocumentError, match="action belongs"):
        read_policy(text)


def test_a_limit_under_a_minimum_names_both_sources() -> None:
    """Across policies in force a shorter limit is a fault with both citations (R7)."""
    short = (
        GOOD.replace("policy: de-shop", "policy: de-short")
        .replace("class: cart", "class: voucher")
        .replace(
            "    keep_at_least: {statute: de-ao-147-voucher}",
            "    keep_at_most: {period: P9Y, anchor: record_date, citation: other}",
        )
    )
    (fault,) = lint(_policies(GOOD, short))
    assert "house rule" in fault
    assert "AO s.147(3)" in fault
    assert lint(_policies(GOOD)) == []


@pytest.mark.parametrize(("period", "faulty"), [("P8Y", True), ("P8Y11M", True), ("P9Y", False)])
def test_year_ends_count_in_the_comparison(period: str, *, faulty: bool) -> None:
    """Eight years from a record's date end before eight years from its year's end."""
    limit = (
        GOOD.replace("policy: de-shop", "policy: de-limit")
        .replace("class: cart", "class: voucher")
        .replace("P90D", period)
        .replace(
            "class: voucher\n    keep_at_least: {statute: de-ao-147-voucher}",
            "class: other\n    keep_at_least: {statute: de-ao-147-voucher}",
        )
    )
    assert bool(lint(_policies(GOOD, limit))) is faulty


def test_a_limit_may_end_with_a_minimum() -> None:
    """Keeping exactly as long as one must is no contradiction."""
    same = GOOD.replace("policy: de-shop", "policy: de-same").replace(
        "keep_at_least: {statute: de-ao-147-voucher}",
        "keep_at_most: {period: P8Y, anchor: calendar_year_end, citation: as the law}",
    )
    assert lint(_policies(GOOD, same)) == []


def test_clocks_that_the_map_lacks_are_found() -> None:
    """A policy whose clock is not mapped would bind nothing in silence; lint names it."""
    system = System("shop", "memory", {"invoices": INVOICES})
    (fault,) = lint(_policies(GOOD), [system])
    assert "shop.invoices: de-ao-147-voucher counts from record_date" in fault
    mapped = replace(INVOICES, clocks={"record_date": "id"})
    fits = System("shop", "memory", {"invoices": mapped})
    assert lint(_policies(GOOD), [fits]) == []
    assert set(bindings(_policies(GOOD), fits)) == {"invoices"}


def test_policies_in_force_are_chosen_by_name(tmp_path: Path) -> None:
    """Only the policies that are named are in force, and a wrong name gets a near one."""
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD.replace("policy: de-shop", "policy: de-other"))
    policies = load_policies(tmp_path)
    assert set(policies.only(["de-shop"]).by_name) == {"de-shop"}
    assert policies.only(["de-shop"]).hash != policies.hash
    with pytest.raises(KeyError, match="did you mean de-shop"):
        policies.only(["de-shp"])


def test_a_policy_stands_in_one_file(tmp_path: Path) -> None:
    """Two files of one name are refused."""
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(GOOD)
    with pytest.raises(DocumentError, match=r"de-shop is in .*/a\.yaml too"):
        load_policies(tmp_path)


def test_the_hash_is_of_the_meaning() -> None:
    """Comments change no hash; a period does."""
    assert read_policy("# note\n" + GOOD).hash == read_policy(GOOD).hash
    assert read_policy(GOOD.replace("P90D", "P91D")).hash != read_policy(GOOD).hash


def test_the_schema_is_of_the_model() -> None:
    """The schema that editors use is made from what reads the file, keys as they are written."""
    made = schema()
    assert made["additionalProperties"] is False
    assert {"policy", "version", "owner", "rules"} <= set(made["required"])
    assert "class" in made["$defs"]["RuleFile"]["properties"]
    assert made["properties"]["rules"]["minItems"] == 1


def test_the_shipped_policies_are_sound() -> None:
    """Each ready-made policy reads, and contradicts nothing by itself."""
    policies = load_policies(Path(__file__).parents[2] / "retention_policies")
    assert "de-shop" in policies.by_name
    for name in policies.by_name:
        assert lint(policies.only([name])) == []


def test_the_documented_policy_is_valid() -> None:
    """The documented example reads, and every code that voids an approval is explained."""
    text = (Path(__file__).parents[2] / "docs" / "policies.md").read_text("utf-8")
    example = text.split("```yaml\n")[1].split("```")[0]
    assert read_policy(example).name == "de-shop"
    for code in VoidCode:
        assert f"`{code}`" in text


@pytest.mark.parametrize(
    ("rule", "nature"),
    [
        ("fr-ccom-l110-4", "limitation"),
        ("es-lgt-66", "limitation"),
        ("us-tcpa-consent-proof", "limitation"),
        ("fr-cnil-logs", "guidance"),
    ],
)
def test_what_no_law_orders_binds_only_under_its_own_name(rule: str, nature: str) -> None:
    """Limitation and guidance keep nothing as a statute, and do as a rule of the house."""
    as_statute = GOOD.replace("de-ao-147-voucher", rule)
    with pytest.raises(DocumentError, match=rf"says so, \{{{nature}: {rule}\}}"):
        read_policy(as_statute)
    taken_up = as_statute.replace(f"{{statute: {rule}}}", f"{{{nature}: {rule}}}")
    (term,) = binding(_policies(taken_up), INVOICES).minimums
    assert term.ground == rule


def test_a_law_is_not_taken_up_as_guidance() -> None:
    """What a law orders is named as a statute: answers must not call it a choice of the house."""
    with pytest.raises(DocumentError, match=r"\{statute: de-ao-147-voucher\}"):
        read_policy(GOOD.replace("{statute: de-ao", "{guidance: de-ao"))


def test_laws_that_follow_each_other_contradict_nothing() -> None:
    """A limit of a law that has ended is never set against a minimum that follows it."""
    both = GOOD.replace(
        "    keep_at_least: {statute: de-ao-147-voucher}",
        """\
    keep_at_least: {statute: eu-amlr-77}
    keep_at_most: {statute: eu-aml-40}""",
    )
    assert read_policy(both).name == "de-shop"
