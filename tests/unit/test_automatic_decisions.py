"""Nothing is decided without a person and without an entry in the register."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from dsr_worker.cli.decisions import WAYS
from dsr_worker.cli.root import _COMMANDS
from dsr_worker.evidence import BODIES, ENGINE, Event, Kind, decisions
from dsr_worker.evidence.automatic import (
    ADVERSE_KINDS,
    NO_DECISION,
    READERS,
    RULES,
    STOPPED,
    TECHNICAL,
    Effect,
)
from tests.unit.test_stop_remedies import _CODES, _modules, _phases

_AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
_GOES_ON = frozenset({"transient", "fault", "in_units", "pending_remote"})  # no person is needed
_VERSIONS = {"map": "a" * 64, "software": "0.1.0"}


def _rules(kind: str, actor: str = ENGINE, **body: Any) -> list[str]:
    """The rules of an event, read from the bytes that a chain would hold."""
    written = orjson.loads(Event("7", 1, _AT, Kind(kind), actor, body).canonical())
    return [d.rule for d in decisions(written["kind"], written["actor"], written["body"])]


def _event_codes() -> set[str]:
    """Codes of `needs_human` events that are written where the event is made."""
    found = set()
    for _, tree in _modules():
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "Event":
                continue
            if ast.unparse(call.args[0]) == "'needs_human'":
                found |= _constant_codes(call.args[1])
    return found


def _every_code() -> set[str]:
    return (set(_CODES) | _phases() | _event_codes()) - _GOES_ON


def _constant_codes(body: ast.expr) -> set[str]:
    if not isinstance(body, ast.Dict):
        return set()
    pairs = zip(body.keys, body.values, strict=True)
    return {
        str(value.value)
        for key, value in pairs
        if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant)
    }


def test_every_kind_of_event_is_read_or_decides_nothing() -> None:
    """A new kind of event is in the register or is said to decide nothing: one, and not both."""
    assert set(READERS) | NO_DECISION == {kind.value for kind in Kind}
    assert not set(READERS) & NO_DECISION


def test_every_code_of_a_stop_is_a_rule_or_technical() -> None:
    """A new code by which work stops judges a person, by a rule of its own, or says that not."""
    codes = _every_code()
    assert {"several_people", "found_again", "quarantined", "not_everybody_told"} <= codes
    for code in sorted(codes):
        assert (code in RULES) != (code in TECHNICAL), code
    assert codes >= TECHNICAL - {"clock_missed"}  # made where it is a variable


def test_no_decision_against_a_person_hides_in_a_kind_that_is_not_looked_at() -> None:
    """`--adverse` reads the kinds that may record one; the others never do, whatever they say."""
    bodies: list[dict[str, Any]] = [
        {},
        {"method": "code", "standing": "rule", "affected": 3, "new_state": "awaiting_approval"},
        {"response": "denied", "code": "several_people", "action": "apply", "complete": False},
        {"reason": "wrong", "counts": {"withheld": 1}, "outcomes": [{"ground": "hold"}]},
        {"reason": "right_unknown"},
    ]
    for kind in set(READERS) - ADVERSE_KINDS:
        found = [d for body in bodies for d in decisions(kind, ENGINE, body)]
        assert not any(decision.meaning.adverse for decision in found), kind


def test_every_adverse_decision_has_a_way_to_a_human() -> None:
    """Each decision against a person names commands that exist, for that case; no other has any."""
    assert set(WAYS) == {rule for rule, meaning in RULES.items() if meaning.adverse}
    for rule, way in WAYS.items():
        told = way.format(case="C-1")
        assert not {"{", "}"} & set(told), rule
        named = {part.split()[0].strip("`") for part in told.split("`dsr ")[1:]}
        assert named <= set(_COMMANDS), rule
        assert named or rule == "withheld", rule


def test_no_rule_is_out_of_reach() -> None:
    """Each rule is what some event of a chain records, and each has its reason."""
    reached = {rule for _, _, rules in _SAMPLES for rule in rules}
    stops = {rule for rule in RULES if _rules("needs_human", code=rule) == [rule]}
    assert stops <= {rule for rule, meaning in RULES.items() if meaning.effect is Effect.STOP}
    assert reached | (stops & set(_every_code())) == set(RULES)
    assert all(meaning.reason for meaning in RULES.values())


_STANDING = {"plan_hash": "b" * 64, "standing": True}
_STAYS = {"collection": "orders", "outcome": "retained", "rows": 3, "ground": "ER_TAX"}
_SAMPLES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("code_sent", {"contact_points": 1}, ["contact_on_file"]),
    ("code_not_sent", {"contact_points": 0}, ["no_single_contact"]),
    ("clock_paused", {"clock": "respond", "reason": "identity"}, ["clock_stopped"]),
    ("clock_resumed", {"clock": "respond", "reason": "identity"}, ["clock_goes_on"]),
    ("code_refused", {"reason": "wrong", "signature": "c" * 64}, ["code_wrong"]),
    ("code_refused", {"reason": "expired", "signature": "c" * 64}, ["code_expired"]),
    ("code_refused", {"reason": "used_up", "signature": "c" * 64}, ["code_used_up"]),
    ("code_refused", {"reason": "none", "signature": "c" * 64}, ["code_none"]),
    ("identity_verified", {"method": "code", "signature": "c" * 64}, ["code_right"]),
    ("resolved", {"identity_kinds": {"email": 1}}, ["resolved"]),
    ("contested", {"identity_kinds": {"phone": 1}}, ["contested"]),
    ("approved", _STANDING, ["approved_by_rule"]),
    ("law_added", {"regime": "us-ca-ccpa", "country": "US-CA", "reason": "found"}, ["law_found"]),
    ("law_added", {"regime": "us-va", "country": "US-VA", "reason": "right_unknown"},
     ["law_without_right"]),
    ("sweep_approved", _STANDING, ["standing_approval"]),
    ("sweep_planned", {"new_state": "awaiting_approval", "code": "over_rows"},
     ["sweep_stopped"]),
    ("hold_placed", {"hold": 7, "code": "dispute"}, ["dispute_held"]),
    ("deferred_due", {"system": "shop"}, ["promise_due"]),
    ("approval_voided", {"reason": "new_identity"}, ["approval_voided"]),
    ("effect", {"action": "apply", "outcomes": [_STAYS, {**_STAYS, "ground": "HOLD"}]},
     ["kept", "kept"]),
    ("package_made", {"records": 3, "counts": {"withheld": 0}}, ["answered"]),
    ("package_made", {"records": 3, "counts": {"withheld": 2}}, ["withheld"]),
    ("package_made", {"records": 0}, ["nothing_found"]),
    ("package_made", {"records": 0, "complete": False}, ["incomplete"]),
    ("certificate_made", {"response": "granted"}, ["granted"]),
    ("certificate_made", {"response": "denied"}, ["denied"]),
    ("certificate_made", {"response": "partly_granted"}, ["partly_granted"]),
    ("certificate_made", {"response": "nothing_found"}, ["nothing_found"]),
    ("breach_assessed", {"affected": 4}, ["affected"]),
    ("needs_human", {"code": "another-connectors"}, [STOPPED]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "rules"), _SAMPLES)
def test_what_the_engine_decides_is_read(kind: str, body: dict[str, Any], rules: list[str]) -> None:
    """Each way in which the engine decides by itself is an entry, and may name its versions."""
    assert _rules(kind, "anna" if "signature" in body else ENGINE, **body) == rules
    assert "versions" in BODIES[Kind(kind)]
    assert _rules(kind, **body, versions=_VERSIONS) == rules


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("identity_verified", {"method": "passport_seen", "signature": "c" * 64}),
        ("approved", {"plan_hash": "b" * 64, "signature": "c" * 64}),
        ("sweep_approved", {**_STANDING, "signature": "c" * 64}),  # the granting itself
        ("sweep_planned", {"new_state": "awaiting_approval", "code": "by_hand"}),
        ("approval_voided", {"reason": "planned_again"}),
        ("breach_assessed", {"affected": 4}),
        ("needs_human", {"code": "several_people"}),
    ],
)
def test_what_a_person_decides_is_not(kind: str, body: dict[str, Any]) -> None:
    """What somebody signed, or set going by hand, is theirs and no automatic decision."""
    assert _rules(kind, "anna", **body) == []
