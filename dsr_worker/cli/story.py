"""Events as sentences, from their codes alone.

In: an event as the chain holds it. Out: the same with a sentence. Digests are cut short, instants
told to the second, signatures mentioned; whatever else a sentence does not name is listed behind
it, but for counts of nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dsr_worker.evidence.automatic import DISPUTE

_SENTENCES: Mapping[str, str] = {
    "submitted": "a request for {request_kind} came in",
    "identity_verified": "the person was verified ({method})",
    "identity_asked": "the person was asked who they are",
    "code_sent": "a code was sent to the contact on file",
    "code_not_sent": "no code was sent: not exactly one address is on file",
    "code_refused": "a code was not accepted ({reason})",
    "resolved": "the person's identities are known in each system",
    "contested": "an identity belongs to several people and is not used",
    "planned": "a plan was made",
    "approved": "the plan was approved",
    "approval_voided": "the approval no longer covers what would happen ({reason})",
    "step_done": "{action} was done",
    "intent": "{action} was about to change rows, counted beforehand",
    "effect": "rows were changed",
    "waiting": "{action} waits ({code})",
    "needs_human": "a person is needed ({code})",
    "failed": "{action} failed ({code})",
    "package_made": "the package was made",
    "package_handed_over": "the answer was handed over ({method})",
    "package_destroyed": "the package was destroyed ({reason})",
    "certificate_made": "the certificate was made",
    "deferred_promised": "rows that must stay for now go when their time is over",
    "deferred_due": "the time of rows that had to stay is over",
    "hold_placed": "a legal hold was placed",
    "hold_reviewed": "a person looked at the hold again, and it stands",
    "hold_released": "a legal hold was released",
    "lift_ordered": "the end of the restriction was ordered, the person told on {informed_on}",
    "restriction_lifted": "the restriction has ended",
    "left_undone": "what could not be carried out was left undone",
    "law_added": "the law {regime} was added for {country} ({reason})",
    "clock_started": "the clock {clock} started, due {due_at}",
    "clock_met": "the clock {clock} was met",
    "clock_missed": "the clock {clock} was ended after it was due",
    "clock_paused": "the clock {clock} stands since {since_at}: the person was asked ({reason})",
    "clock_resumed": "the question ({reason}) was settled at {since_at}; the clock {clock} goes on",
    "clock_extended": "the clock {clock} was extended ({reason}) to {new_due_at}",
    "warning_sent": "a warning of the clock {clock} went out",
    "warning_acknowledged": "a warning of the clock {clock} was acknowledged",
    "sweep_planned": "the sweep of {policy} was planned",
    "sweep_approved": "the sweep of {policy} was approved",
    "sweep_done": "the sweep of {policy} was done",
    "rules_proposed": "rules of the store of {system} were proposed",
    "rules_approved": "the rules of the store of {system} were approved",
    "rules_installed": "the store of {system} has the rules; they were read back",
    "rules_verified": "the store of {system} was listed: {remaining} row(s) past their rule",
    "rules_withdrawn": "rules are no longer in the store of {system} ({reason})",
    "breach_declared": "a breach was declared",
    "breach_assessed": "the breach was assessed",
    "notices_approved": "the notices were approved",
    "notice_sent": "notices were sent",
    "remainders_left": "answered; what a store refuses for now is tried again from {due_on} on",
    "complaint_moved": "the complaint was {action}",
    "remedies_told": "the person was told what can be done against the answer, by {row}",
    "appealed": "the person appealed against the answer on {received_at}",
    "appeal_decided": "the appeal was decided: {response}",
    "closed": "closed",
    "note_added": "a note was added",
    "shredded": "the identities were shredded",
    "late_result_ignored": "a result that came too late was ignored",
}

_SWEEP_STARTED = "a {request_kind} was started"  # nobody asked for it
_COMPLAINED = "a {request_kind} about {topic} came in"
_HELD = "the dispute is open: a legal hold was placed by itself"
_BY_RULE = "the plan was approved by the organisation's standing rule"
_NO_SUCH_RIGHT = "the law {regime} of {country} knows no such right: it adds no clock"
_NO_NUMBER = "the clock {clock} started; no number in the law"
_NOT_COUNTED = "{action} was about to change rows"
_NOTHING_CHANGED = "there were no rows to change"

_SPECIAL: Mapping[str, tuple[Callable[[Mapping[str, Any]], bool], str]] = {
    "submitted": (lambda body: body.get("request_kind") == "sweep", _SWEEP_STARTED),
    "approved": (lambda body: bool(body.get("standing")) and "signature" not in body, _BY_RULE),
    "hold_placed": (lambda body: body.get("code") == DISPUTE, _HELD),
    "law_added": (lambda body: body.get("reason") == "right_unknown", _NO_SUCH_RIGHT),
    "clock_started": (lambda body: "due_at" not in body, _NO_NUMBER),
    "intent": (lambda body: not body.get("counts"), _NOT_COUNTED),
    "effect": (lambda body: body.get("counts") == {}, _NOTHING_CHANGED),
}
"""Events of a kind that are told otherwise: when, and how."""

_QUIET = frozenset({"signature", "versions"})  # `dsr decisions` tells the versions
_MOST_SHOWN = 6
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d{6}Z")


def told(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event with its sentence."""
    return {
        "seq": event["seq"],
        "at": event["at"],
        "actor": event["actor"],
        "kind": event["kind"],
        "body": event["body"],
        "text": _sentence(event["kind"], event["body"]),
    }


def _sentence(kind: str, body: Mapping[str, Any]) -> str:
    template = _template(kind, body)
    named = {key for key in body if f"{{{key}}}" in template}
    said = template.format_map(_Lenient({key: _short(body[key]) for key in named}))
    rest = list(_rest({k: v for k, v in body.items() if k not in named | _QUIET}))
    signed = "; signed" if "signature" in body else ""
    return f"{said}{': ' if rest else ''}{', '.join(rest)}{signed}"


def _template(kind: str, body: Mapping[str, Any]) -> str:
    if "topic" in body:
        return _COMPLAINED
    special = _SPECIAL.get(kind)
    if special is not None and special[0](body):
        return special[1]
    return _SENTENCES.get(kind, kind)


def _rest(body: Mapping[str, Any]) -> Iterator[str]:
    for key, value in body.items():
        if isinstance(value, list) and key == "identities":
            yield f"{len(value)} {key}"
        elif key == "outcomes":
            yield "; ".join(_outcome(part) for part in value) or "outcomes none"
        elif value != {}:
            yield f"{key} {_short(value)}"


def _outcome(part: Mapping[str, Any]) -> str:
    place = ".".join(part[key] for key in ("system", "collection") if key in part)
    ground = f" ({part['ground']})" if part.get("ground") else ""
    return f"{place} {part.get('outcome', '')} {part.get('rows', 0)}{ground}".strip()


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_short(part)}" for key, part in value.items()) or "none"
    if isinstance(value, list):
        shown = " ".join(_short(part) for part in value[:_MOST_SHOWN]) or "none"
        return shown + (f" … ({len(value)})" if len(value) > _MOST_SHOWN else "")
    text = _INSTANT.sub(r"\1 \2 UTC", str(value))
    is_digest = len(text) >= 32 and all(letter in "0123456789abcdef" for letter in text)  # noqa: PLR2004 - digests are longer
    return f"{text[:12]}…" if is_digest else text


class _Lenient(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"
