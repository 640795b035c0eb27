"""The ready-made policies let go on the days that were worked out by hand, rule by rule."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dsr_worker.contract import Action, Collection, Field
from dsr_worker.domain.decision import Bound
from dsr_worker.policies import Policies, binding, lint, load_policies

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "retention_policies"


@cache
def _policies() -> Policies:
    return load_policies(_FOLDER)


def _written(policy: str) -> list[dict[str, Any]]:
    found: dict[str, Any] = YAML(typ="safe").load((_FOLDER / f"{policy}.yaml").read_text("utf-8"))
    rules: list[dict[str, Any]] = found["rules"]
    return rules


def _vectors() -> list[dict[str, Any]]:
    file: dict[str, Any] = YAML(typ="safe").load(
        (_ROOT / "tests" / "vectors" / "policies.yaml").read_text("utf-8")
    )
    vectors: list[dict[str, Any]] = file["rules"]
    return vectors


def _bound(policy: str, rule: str) -> Bound:
    (record_class,) = (one["class"] for one in _written(policy) if one["id"] == rule)
    rows = Collection("rows", ("id",), {"id": Field("id", "user")}, record_class=record_class)
    return binding(_policies().only([policy]), rows)


@pytest.mark.parametrize("vector", _vectors(), ids=lambda vector: "-".join(vector["rules"]))
def test_a_ready_made_policy_keeps_until_the_day_of_its_vector(vector: dict[str, Any]) -> None:
    """Each rule ends on the day that was worked out for it, in each policy that has it."""
    for policy in vector["policies"]:
        for rule in vector["rules"]:
            bound = _bound(policy, rule)
            (term,) = bound.minimums if vector["side"] == "minimum" else bound.limits
            assert term.ends_on(vector["record_on"]) == vector["expect"], (policy, vector["why"])


def test_every_rule_of_every_ready_made_policy_has_a_vector() -> None:
    """Nobody is handed a rule that was never worked through, on either of its sides."""
    shown = {
        (policy, rule, vector["side"])
        for vector in _vectors()
        for policy in vector["policies"]
        for rule in vector["rules"]
        if vector["why"].strip()
    }
    sides = {"minimum": "keep_at_least", "maximum": "keep_at_most"}
    rules = {
        (policy, rule["id"], side)
        for policy in _policies().by_name
        for rule in _written(policy)
        for side, key in sides.items()
        if key in rule
    }
    assert shown == rules


def test_what_no_law_orders_says_so_in_its_citation() -> None:
    """A period of one's own cites a law that asks for it, or calls itself a house rule."""
    own = [
        rule[side]["citation"]
        for policy in _policies().by_name
        for rule in _written(policy)
        for side in ("keep_at_least", "keep_at_most")
        if side in rule and "citation" in rule[side]
    ]
    assert own
    assert {text for text in own if "house rule" not in text and "IRC" not in text} == set()


def test_customer_service_stands_beside_every_shop() -> None:
    """Its policy contradicts none of the shops', and its suppression list is never let go."""
    for shop in sorted(set(_policies().by_name) - {"customer-service"}):
        assert lint(_policies().only([shop, "customer-service"])) == []
    kept = _bound("customer-service", "suppression-list")
    assert (len(kept.minimums), kept.limits) == (1, ())
    (limit,) = _bound("customer-service", "tickets").limits
    assert (limit.clock, limit.action) == ("record_date", Action.ERASE)
