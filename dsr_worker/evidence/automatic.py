"""Automatic decisions: the closed list of what the engine decides by itself about a person.

In: an event of a chain. Out: the decisions it records, each with its rule and its inputs by
reference (keyed digests, counts, places, hashes). The register is this view and nothing beside the
chain, so that it is as provable as the chain. Every kind of event is either read here or named as
one that decides nothing; a new kind or a new code that is neither fails the tests.

To add a decision: a line in `RULES`, a reader in `READERS`; an adverse one also needs its way to a
human (`cli/decisions.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ENGINE = "engine"  # the actor of events that no person caused
DISPUTE = "dispute"  # the code of a hold that an open dispute placed by itself


class Effect(StrEnum):
    """What an automatic decision does."""

    MATCH = "match"
    APPROVAL = "approval"
    DENIAL = "denial"
    TIME = "time"  # the time to answer stands, or goes on
    STOP = "stop"  # it goes no further without a person


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a rule decides, and why, in plain words."""

    effect: Effect
    reason: str
    adverse: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision that an event records."""

    rule: str
    meaning: Meaning
    inputs: Mapping[str, Any]
    versions: Mapping[str, str]  # map, policy, law, software; empty in events of older releases


def _denial(reason: str) -> Meaning:
    return Meaning(Effect.DENIAL, reason, adverse=True)


def _stop(reason: str) -> Meaning:
    return Meaning(Effect.STOP, reason, adverse=True)


STOPPED = "stopped"  # by a code of a connector that is not ours

RULES: Mapping[str, Meaning] = {
    # who it is
    "contact_on_file": Meaning(
        Effect.MATCH, "the names of the request lead to one address on file: a code went there"
    ),
    "code_right": Meaning(
        Effect.MATCH, "the code that was sent to the contact on file was given back in time"
    ),
    "no_single_contact": _denial(
        "the names of the request do not lead to exactly one address on file: no code was sent"
    ),
    "clock_stopped": Meaning(
        Effect.TIME,
        "the person was asked who they are: the time to answer stands, by the law of the case",
        adverse=True,
    ),
    "clock_goes_on": Meaning(
        Effect.TIME, "the question who the person is was settled: the time to answer goes on"
    ),
    "identity_unanswered": _stop("the person did not show who they are in the time for it"),
    "code_wrong": _denial("the code that was given is not the one that was sent"),
    "code_expired": _denial("the code was given after its time"),
    "code_used_up": _denial("the code was tried more often than the organisation allows"),
    "code_none": _denial("a code was given and none was sent"),
    "resolved": Meaning(
        Effect.MATCH, "these names are one person's in the systems named, by the data map's links"
    ),
    "contested": _denial(
        "a name belongs to other people as well: rows that only it leads to are left out"
    ),
    "affected": Meaning(
        Effect.MATCH, "the people whose rows lie in the leaked collections count as affected"
    ),
    "several_people": _stop("a name of the request leads to several people"),
    "too_many_identities": _stop("more names were found than one person has"),
    "helpdesk_agent": _stop("the person is an agent of the helpdesk, not only its customer"),
    "helpdesk_too_many_matches": _stop("the helpdesk finds more candidates than it lists"),
    # which law
    "law_found": Meaning(
        Effect.MATCH,
        "rows of the person name a country whose law gives the request clocks beside the others",
    ),
    "law_without_right": _denial(
        "rows of the person name a country whose law knows no such right: no clock was added"
    ),
    # what goes ahead
    "approved_by_rule": Meaning(
        Effect.APPROVAL, "the organisation lets requests of this kind go ahead by standing rule"
    ),
    "standing_approval": Meaning(
        Effect.APPROVAL, "the sweep stays inside the standing approval that a person gave"
    ),
    "sweep_stopped": Meaning(Effect.STOP, "the sweep is outside of what it may do by itself"),
    "promise_due": Meaning(
        Effect.APPROVAL, "what had to stay is due: it goes on under the approval of its request"
    ),
    "granted": Meaning(Effect.APPROVAL, "all that was found was changed as the request asks"),
    "answered": Meaning(Effect.APPROVAL, "all that was found is in the answer"),
    "approval_voided": _stop("what would happen is no longer what a person approved"),
    # what does not
    "nothing_found": _denial("the systems asked hold nothing under the person's names"),
    "denied": _denial("all that was found has to stay"),
    "partly_granted": _denial("a part of what was found stays, or was left undone"),
    "withheld": _denial("parts of the records are other people's or kept back by the data map"),
    "incomplete": _denial("a store refuses records for now: they are not in the answer yet"),
    "kept": _denial("rows stay as they are, or in part, on the ground named"),
    "dispute_held": _denial(
        "something is contested in a complaint: nothing of this person goes while it is open"
    ),
    "promise_exceeded": _stop("more rows would change than were promised to go"),
    "access_unfinished": _stop("an access of the same person is not finished, and time is short"),
    "found_again": _stop("rows that were reported done were found again, three times"),
    "kept_without_day": _stop("rows have to stay and nothing says until when"),
    "correction_refused": _stop("the store refuses the value that is to stand there"),
    "corrections_contradict": _stop("two people ask for different values in one row"),
    "correction_not_granted": _stop("the role may not change what is to be put right"),
    "cannot_rectify": _stop("the system's connector cannot put right"),
    "cannot_erase": _stop("the system's connector cannot erase"),
    "package_refused": _stop("what was found cannot be in a package"),
    "attachment_too_large": _stop("a file is larger than a package takes"),
    "unmapped_rows_left": _stop("rows outside the data map still hold the person's key"),
    "not_approved": _stop("the approval of the case is void"),
    STOPPED: _stop("a system's connector asks for a person"),
}

_CODES = frozenset(rule for rule, meaning in RULES.items() if meaning.effect is Effect.STOP)

TECHNICAL = frozenset(
    {
        "assessed_without", "cannot_sweep", "clock_missed", "collection_unmapped", "configuration",
        "helpdesk_user_in_use", "mail_refused", "mail_transient", "mail_unknown",
        "map_unreviewed", "may_have_happened", "not_everybody_told", "not_openable", "permanent",
        "promise_unopenable", "quarantined", "rules_changed", "rules_differ", "s3-access-denied",
        "s3-archived-object", "s3-customer-key", "s3-lifecycle-unreadable", "s3-refused",
        "s3-table-format", "s3-table-mask", "s3-table-refused", "s3-table-unsupported",
        "s3-unreadable-object", "sweep_brake", "system_unmapped",
    }
)  # fmt: skip
"""Codes of stops that judge no person: a fault, a file or a system that somebody has to mend."""

NO_DECISION = frozenset(
    {
        "submitted", "planned", "step_done", "intent", "waiting", "failed", "package_handed_over",
        "package_destroyed", "deferred_promised", "hold_reviewed", "hold_released",
        "lift_ordered", "restriction_lifted", "left_undone", "clock_started", "clock_met",
        "clock_missed", "clock_extended", "identity_asked", "warning_sent",
        "warning_acknowledged", "sweep_done", "rules_proposed", "rules_approved",
        "rules_installed", "rules_verified", "rules_withdrawn", "breach_declared",
        "notices_approved", "notice_sent", "remainders_left", "remedies_told",
        "appealed", "appeal_decided", "closed", "note_added", "shredded",
        "late_result_ignored", "complaint_moved",
    }
)  # fmt: skip
"""Kinds of events that are a person's signed act, or carry out or count what was decided before."""

_Body = Mapping[str, Any]
_Read = Iterator[tuple[str, _Body]]
_NOT_INPUTS = frozenset({"versions", "signature", "outcomes"})


def _always(rule: str) -> Callable[[str, _Body], _Read]:
    """An event of the engine is this decision; the same by a person is theirs."""

    def read(actor: str, _body: _Body) -> _Read:
        if actor == ENGINE:
            yield rule, {}

    return read


def _code_right(_actor: str, body: _Body) -> _Read:
    if body.get("method") == "code":  # a person typed it; whether it is right is not theirs to say
        yield "code_right", {}


def _code_refused(_actor: str, body: _Body) -> _Read:
    yield f"code_{body['reason']}", {}


def _by_standing(rule: str) -> Callable[[str, _Body], _Read]:
    def read(_actor: str, body: _Body) -> _Read:
        if body.get("standing") and "signature" not in body:
            yield rule, {}

    return read


def _stops(actor: str, body: _Body) -> _Read:
    code = body.get("code", "")
    if actor == ENGINE and code not in TECHNICAL:
        yield (code if code in _CODES else STOPPED), {}


def _package(_actor: str, body: _Body) -> _Read:
    withheld = body.get("counts", {}).get("withheld", 0)
    if withheld:
        yield "withheld", {}
    if not body.get("complete", True):
        yield "incomplete", {}
    elif not body.get("records"):
        yield "nothing_found", {}
    elif not withheld:
        yield "answered", {}


def _certificate(_actor: str, body: _Body) -> _Read:
    if body.get("response") in {"granted", "partly_granted", "denied", "nothing_found"}:
        yield body["response"], {}


def _kept(_actor: str, body: _Body) -> _Read:
    """Once for each ground by which rows of an erasure, correction or restriction stay."""
    if body.get("action") != "apply":
        return
    outcomes = [part for part in body.get("outcomes", ()) if part.get("ground")]
    for ground in sorted({part["ground"] for part in outcomes}):
        mine = [part for part in outcomes if part["ground"] == ground]
        places = sorted({part["collection"] for part in mine})
        rows = sum(part["rows"] for part in mine)
        yield "kept", {"ground": ground, "collections": places, "rows": rows}


def _held(actor: str, body: _Body) -> _Read:
    if actor == ENGINE and body.get("code") == DISPUTE:
        yield "dispute_held", {}


def _sweep_stopped(actor: str, body: _Body) -> _Read:
    waits = body.get("new_state") == "awaiting_approval"
    if actor == ENGINE and waits and body.get("code") != "by_hand":
        yield "sweep_stopped", {}


def _affected(actor: str, body: _Body) -> _Read:
    if actor == ENGINE and "affected" in body:
        yield "affected", {}


def _law(actor: str, body: _Body) -> _Read:
    if actor == ENGINE:
        yield ("law_without_right" if body.get("reason") == "right_unknown" else "law_found"), {}


READERS: Mapping[str, Callable[[str, _Body], _Read]] = {
    "identity_verified": _code_right,
    "code_sent": _always("contact_on_file"),
    "code_not_sent": _always("no_single_contact"),
    "code_refused": _code_refused,
    "clock_paused": _always("clock_stopped"),
    "clock_resumed": _always("clock_goes_on"),
    "resolved": _always("resolved"),
    "contested": _always("contested"),
    "law_added": _law,
    "approved": _by_standing("approved_by_rule"),
    "approval_voided": _always("approval_voided"),
    "effect": _kept,
    "needs_human": _stops,
    "package_made": _package,
    "certificate_made": _certificate,
    "deferred_due": _always("promise_due"),
    "hold_placed": _held,
    "sweep_planned": _sweep_stopped,
    "sweep_approved": _by_standing("standing_approval"),
    "breach_assessed": _affected,
}
"""How the decisions of an event are read, by its kind."""


ADVERSE_KINDS = frozenset(
    {
        "approval_voided", "certificate_made", "clock_paused", "code_not_sent", "code_refused",
        "contested", "effect", "hold_placed", "law_added", "needs_human", "package_made",
    }
)  # fmt: skip
"""Kinds of events that may record a decision against the person; the others never do."""


def decisions(kind: str, actor: str, body: Mapping[str, Any]) -> list[Decision]:
    """The automatic decisions that an event records; none for most.

    Raises KeyError for a decision that `RULES` does not name.
    """
    read = READERS.get(kind)
    if read is None:
        return []
    given = {key: value for key, value in body.items() if key not in _NOT_INPUTS}
    versions = body.get("versions", {})
    return [
        Decision(rule, RULES[rule], {**given, **inputs}, versions)
        for rule, inputs in read(actor, body)
    ]
