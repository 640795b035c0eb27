"""Events: the closed list of what can be said about a job, and in which words.

In: a kind, an actor and fields. Out: canonical JSON bytes, which are stored and hashed as they are.
A body holds codes, counts, versions, digests, ids, instants and nothing else. Free text is refused
by shape: a code has no spaces, no `@`, no upper-case letters. Prose belongs in a sealed note, of
which the event carries id and commitment.

To add a kind: one line in `Kind`, one in `BODIES`; a new field needs a line in `FIELDS` as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from dsr_worker.evidence.automatic import READERS
from dsr_worker.evidence.shapes import (
    Check,
    code,
    count,
    country,
    day,
    digest,
    each,
    flag,
    identifier,
    instant,
    many,
    name,
    shaped,
    version,
)

VERSION = 1


class EventRefused(ValueError):  # noqa: N818 - reads as what happened
    """An event's body holds something its kind does not allow. The text never quotes the value."""


class Kind(StrEnum):
    """What can happen to a job."""

    SUBMITTED = "submitted"
    IDENTITY_VERIFIED = "identity_verified"
    IDENTITY_ASKED = "identity_asked"
    CODE_SENT = "code_sent"
    CODE_NOT_SENT = "code_not_sent"
    CODE_REFUSED = "code_refused"
    RESOLVED = "resolved"
    CONTESTED = "contested"
    PLANNED = "planned"
    APPROVED = "approved"
    APPROVAL_VOIDED = "approval_voided"
    STEP_DONE = "step_done"
    INTENT = "intent"
    EFFECT = "effect"
    WAITING = "waiting"
    NEEDS_HUMAN = "needs_human"
    FAILED = "failed"
    PACKAGE_MADE = "package_made"
    PACKAGE_HANDED_OVER = "package_handed_over"
    PACKAGE_DESTROYED = "package_destroyed"
    CERTIFICATE_MADE = "certificate_made"
    DEFERRED_PROMISED = "deferred_promised"
    DEFERRED_DUE = "deferred_due"
    HOLD_PLACED = "hold_placed"
    HOLD_REVIEWED = "hold_reviewed"
    HOLD_RELEASED = "hold_released"
    LIFT_ORDERED = "lift_ordered"
    RESTRICTION_LIFTED = "restriction_lifted"
    LEFT_UNDONE = "left_undone"
    LAW_ADDED = "law_added"
    CLOCK_STARTED = "clock_started"
    CLOCK_MET = "clock_met"
    CLOCK_MISSED = "clock_missed"
    CLOCK_EXTENDED = "clock_extended"
    CLOCK_PAUSED = "clock_paused"
    CLOCK_RESUMED = "clock_resumed"
    WARNING_SENT = "warning_sent"
    WARNING_ACKNOWLEDGED = "warning_acknowledged"
    SWEEP_PLANNED = "sweep_planned"
    SWEEP_APPROVED = "sweep_approved"
    SWEEP_DONE = "sweep_done"
    RULES_PROPOSED = "rules_proposed"
    RULES_APPROVED = "rules_approved"
    RULES_INSTALLED = "rules_installed"
    RULES_VERIFIED = "rules_verified"
    RULES_WITHDRAWN = "rules_withdrawn"
    BREACH_DECLARED = "breach_declared"
    BREACH_ASSESSED = "breach_assessed"
    NOTICES_APPROVED = "notices_approved"
    NOTICE_SENT = "notice_sent"
    REMAINDERS_LEFT = "remainders_left"
    COMPLAINT_MOVED = "complaint_moved"
    REMEDIES_TOLD = "remedies_told"
    APPEALED = "appealed"
    APPEAL_DECIDED = "appeal_decided"
    CLOSED = "closed"
    NOTE_ADDED = "note_added"
    SHREDDED = "shredded"
    LATE_RESULT_IGNORED = "late_result_ignored"


OUTCOMES = many(
    shaped(
        system=name,
        collection=name,
        outcome=code,
        rows=count,
        fields=count,
        ground=name,
        until_on=day,
    )
)

FIELDS: Mapping[str, Check] = {
    "action": code,
    "affected": count,
    "assertion": code,
    "attempt": count,
    "authority": code,
    "bounds": each(count),
    "bytes": count,
    "campaign": identifier,
    "case": identifier,
    "certificate": identifier,
    "channel": code,
    "clock": code,
    "code": code,
    "collection": name,
    "collections": many(name),
    "commitment": digest,
    "complete": flag,
    "connector": name,
    "contact_kind": code,
    "contact_points": count,
    "counts": each(count),
    "country": country,
    "countries": many(country),
    "cutoff_at": instant,
    "deferred": identifier,
    "due_at": instant,
    "due_on": day,
    "duties": each(count),
    "expires_at": instant,
    "fields": many(name),
    "file_sha256": digest,
    "from_at": instant,
    "ground": name,
    "hold": identifier,
    "identities": many(digest),
    "identity_kinds": each(count),
    "informed_on": day,
    "key_version": count,
    "law_pack": version,
    "law_hash": digest,
    "limits": each(count),
    "links": many(shaped(kind=code, via=code, system=name, collection=name, owners=count)),
    "manner": code,
    "manifest_sha256": digest,
    "map_hash": digest,
    "matter": digest,
    "mentions": count,
    "method": code,
    "new_due_at": instant,
    "new_state": code,
    "note": identifier,
    "old_state": code,
    "outcomes": OUTCOMES,
    "package": identifier,
    "people": count,
    "plan_hash": digest,
    "policy": name,
    "policy_hash": digest,
    "policy_version": version,
    "proofs_sha256": digest,
    "reason": code,
    "received_at": instant,
    "recipient": code,
    "recipients": count,
    "records": count,
    "regime": code,
    "remaining": count,
    "grounds": many(code),
    "remedies": many(code),
    "request_kind": code,
    "residences": each(count),
    "response": code,
    "retry_at": instant,
    "round": count,
    "row": name,  # of a law pack
    "rows": count,
    "signature": digest,
    "since_at": instant,
    "sqlstate": version,
    "standing": flag,
    "state": code,
    "step": identifier,
    "subjects": count,
    "sweep": identifier,
    "system": name,
    "systems": many(name),
    "template_hash": digest,
    "threshold_s": count,
    "topic": code,
    "until_at": instant,
    "until_on": day,
    "versions": each(version),
    "warning": identifier,
}

_STATE = "old_state new_state state code"
_STEP = f"step system connector action round attempt {_STATE}"
_FROZEN = "map_hash policy_hash policy_version law_pack law_hash key_version versions"


def _fields(*names: str) -> frozenset[str]:
    return frozenset(" ".join(names).split())


_OWN: Mapping[Kind, frozenset[str]] = {
    Kind.SUBMITTED: _fields(
        "request_kind regime country channel received_at identities identity_kinds signature case",
        "topic",
        _FROZEN,
        _STATE,
    ),
    Kind.IDENTITY_VERIFIED: _fields(
        "method manner assertion identities identity_kinds note commitment signature", _STATE
    ),
    Kind.IDENTITY_ASKED: _fields("since_at signature", _STATE),
    Kind.CODE_SENT: _fields("contact_kind contact_points attempt expires_at system", _STATE),
    Kind.CODE_NOT_SENT: _fields("contact_kind contact_points attempt system", _STATE),
    Kind.CODE_REFUSED: _fields("reason counts signature", _STATE),
    Kind.RESOLVED: _fields("identities identity_kinds links systems complete", _STATE),
    Kind.CONTESTED: _fields("identities links identity_kinds reason counts", _STEP),
    Kind.PLANNED: _fields(
        "plan_hash identities collections systems outcomes bounds counts cutoff_at", _FROZEN, _STATE
    ),
    Kind.APPROVED: _fields("plan_hash bounds standing signature note commitment", _STATE),
    Kind.APPROVAL_VOIDED: _fields("plan_hash reason counts outcomes collections", _STEP),
    Kind.STEP_DONE: _fields(
        "outcomes records rows counts remaining mentions bytes subjects", _STEP
    ),
    Kind.INTENT: _fields("outcomes counts rows recipient subjects", _STEP),
    Kind.EFFECT: _fields("outcomes counts rows recipient subjects remaining proofs_sha256", _STEP),
    Kind.WAITING: _fields("until_at retry_at reason", _STEP),
    Kind.NEEDS_HUMAN: _fields("reason fields collections counts", _STEP),
    Kind.FAILED: _fields("reason sqlstate counts", _STEP),
    Kind.PACKAGE_MADE: _fields(
        "package records bytes file_sha256 manifest_sha256 expires_at systems complete counts",
        _STATE,
    ),
    Kind.PACKAGE_HANDED_OVER: _fields("package method manner file_sha256 signature", _STATE),
    Kind.PACKAGE_DESTROYED: _fields("package reason case", _STATE),
    Kind.CERTIFICATE_MADE: _fields("certificate file_sha256 response counts", _STATE),
    Kind.DEFERRED_PROMISED: _fields(
        "deferred system collection ground rows due_on due_at until_on", _STATE
    ),
    Kind.DEFERRED_DUE: _fields("deferred case system collection ground due_on due_at", _STATE),
    Kind.HOLD_PLACED: _fields("hold matter system collection note commitment signature", _STATE),
    Kind.HOLD_REVIEWED: _fields("hold due_on signature", _STATE),
    Kind.HOLD_RELEASED: _fields("hold matter note commitment signature", _STATE),
    Kind.LIFT_ORDERED: _fields("case informed_on signature", _STATE),
    Kind.RESTRICTION_LIFTED: _fields("case", _STATE),
    Kind.LEFT_UNDONE: _fields("systems signature", _STATE),
    Kind.LAW_ADDED: _fields("regime country collections reason counts signature"),
    Kind.CLOCK_STARTED: _fields("clock regime country since_at due_at due_on ground law_pack"),
    Kind.CLOCK_MET: _fields("clock due_at since_at manner"),
    Kind.CLOCK_MISSED: _fields("clock due_at since_at manner"),
    Kind.CLOCK_PAUSED: _fields("clock reason since_at due_at new_due_at"),
    Kind.CLOCK_RESUMED: _fields("clock reason since_at due_at new_due_at"),
    Kind.CLOCK_EXTENDED: _fields("clock due_at new_due_at ground reason note commitment signature"),
    Kind.WARNING_SENT: _fields("warning clock threshold_s due_at recipient channel attempt"),
    Kind.WARNING_ACKNOWLEDGED: _fields("warning clock threshold_s signature"),
    Kind.SWEEP_PLANNED: _fields(
        "sweep policy plan_hash outcomes limits counts systems cutoff_at", _FROZEN, _STATE
    ),
    Kind.SWEEP_APPROVED: _fields(
        "sweep policy plan_hash limits standing signature", _FROZEN, _STATE
    ),
    Kind.SWEEP_DONE: _fields("sweep policy outcomes counts certificate remaining", _STATE),
    Kind.RULES_PROPOSED: _fields("system plan_hash collections signature", _FROZEN, _STATE),
    Kind.RULES_APPROVED: _fields("system plan_hash collections signature", _FROZEN, _STATE),
    Kind.RULES_INSTALLED: _fields("system plan_hash collections counts", _STATE),
    Kind.RULES_VERIFIED: _fields("system collections counts remaining", _STATE),
    Kind.RULES_WITHDRAWN: _fields("system collections reason", _STATE),
    Kind.BREACH_DECLARED: _fields(
        "systems collections fields from_at until_at since_at countries duties law_pack note",
        "commitment signature",
        _STATE,
    ),
    Kind.BREACH_ASSESSED: _fields("affected people residences systems complete duties", _STATE),
    Kind.NOTICES_APPROVED: _fields("campaign recipients template_hash signature countries", _STATE),
    Kind.NOTICE_SENT: _fields("campaign authority recipient recipients channel attempt", _STATE),
    Kind.REMAINDERS_LEFT: _fields("response rows due_on", _STATE),
    Kind.COMPLAINT_MOVED: _fields("action response recipient signature", _STATE),
    Kind.REMEDIES_TOLD: _fields("row regime remedies until_on ground grounds"),
    Kind.APPEALED: _fields("received_at reason signature", _STATE),
    Kind.APPEAL_DECIDED: _fields("response signature", _STATE),
    Kind.CLOSED: _fields("response reason grounds outcomes counts", _STATE),
    Kind.NOTE_ADDED: _fields("note commitment reason signature"),
    Kind.SHREDDED: _fields("reason counts key_version"),
    Kind.LATE_RESULT_IGNORED: _fields("reason outcomes counts", _STEP),
}

BODIES: Mapping[Kind, frozenset[str]] = {
    kind: fields | {"versions"} if kind in READERS else fields for kind, fields in _OWN.items()
}
"""The fields of each kind; what may record an automatic decision names the versions it went by."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one job, checked when made. `fields` that are None are left out.

    Raises EventRefused for an unknown field, or a value that is not of the field's shape.
    """

    job: str
    seq: int  # from 1, without gaps
    at: datetime
    kind: Kind
    actor: str  # an actor's id (a code, "system" for the engine)
    fields: Mapping[str, Any]

    def canonical(self) -> bytes:
        """The event as canonical JSON: keys sorted, no blanks, UTF-8. Store these very bytes."""
        try:
            head = {
                "v": VERSION,
                "job": identifier(self.job),
                "seq": count(self.seq),
                "at": instant(self.at),
                "kind": Kind(self.kind),
                "actor": code(self.actor),
            }
        except ValueError:
            raise EventRefused(f"The head of a {self.kind} event is not well formed.") from None
        return orjson.dumps(head | {"body": self._body()}, option=orjson.OPT_SORT_KEYS)

    def _body(self) -> dict[str, Any]:
        allowed = BODIES[self.kind]
        body: dict[str, Any] = {}
        for key, value in self.fields.items():
            if key not in allowed:
                raise EventRefused(f"A {self.kind} event has no field {key!r}: see BODIES.")
            if value is None:
                continue
            try:
                body[key] = FIELDS[key](value)
            except (ValueError, KeyError, TypeError):
                raise EventRefused(
                    f"{self.kind}.{key} is not of its shape (see FIELDS); prose goes in a note."
                ) from None
        return body
