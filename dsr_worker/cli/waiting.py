"""What a job waits for, in words, and the command that takes it further.

In: an open job as the ledger tells it. Out: a sentence for people; a command, or None where it goes
on by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from dsr_worker.cli import awaiting
from dsr_worker.cli import complaint_showing as complaints
from dsr_worker.fulfil.asking import IDENTITY_UNANSWERED
from dsr_worker.ledger.reports import OpenJob

_AWAITED: Mapping[str, str] = {
    "awaiting_approval": "approval by a second person",
    "ready": "hand-over",
    "answered_with_remainders": "what a store refuses for now",
    "refused": "your letter of refusal",
    "appealed": "a decision on the appeal, by somebody else than who answered",
    "appeal_answered": "your letter on the appeal",
    "needs_human": "a person",
    IDENTITY_UNANSWERED: "a person: who it is was asked and not answered in time",
}
_NEXT: Mapping[str, str] = {
    "refused": "dsr refuse {case} --delivered",
    "appealed": "dsr appeal {case} --decide VERDICT",
    "appeal_answered": "dsr appeal {case} --delivered",
}
_CODE_AWAITED: Mapping[str | None, str] = {
    "sent": "the code from the person, or an attestation",
    "expired": "a new code, for the one sent has expired, or an attestation",
    None: "an attestation; no code was sent, for no single contact is on file: once it is,"
    " --send-code",
}
_CODE_NEXT: Mapping[str | None, str] = {
    "sent": "--code N",
    "expired": "--send-code",
    None: "--attest METHOD",
}


def waits_for(row: OpenJob) -> str:
    """What a job waits for, in codes: a person, a system, another case, the workers."""
    return complaints.awaited(row.state) if row.kind == "complaint" else _awaited(row)


def _awaited(row: OpenJob) -> str:
    if row.stuck:
        return "a person: " + ", ".join(row.stuck)
    if row.waiting:
        return ", ".join(row.waiting)
    if row.working:
        return "workers: " + ", ".join(row.working)
    if row.phase == awaiting.AFTER_ACCESS:
        return "access first: " + ", ".join(row.facts.get("waits_for", ()))
    if row.phase == "await_code":
        return _CODE_AWAITED[row.code]
    return _AWAITED.get(row.phase) or _AWAITED.get(row.state, row.phase)


def next_step(row: OpenJob) -> str | None:
    """The command that takes a job further; None while it goes on by itself."""
    if row.kind == "complaint":
        return complaints.next_of(row.ref, row.state)
    return _next_step(row)


def _next_step(row: OpenJob) -> str | None:  # noqa: PLR0911 - a table of cases
    if any(code.endswith(":several_people") for code in row.stuck):
        return f"dsr choose {row.ref} KIND=VALUE"
    if row.stuck:
        return f"dsr retry {row.ref}"
    if row.state == "awaiting_approval":
        verb = {"sweep": "sweep approve", "breach": "breach approve-notices"}.get(row.kind)
        return f"dsr {verb or 'approve'} {row.ref}"
    if row.state == "verifying" and row.phase == "await_code":
        return f"dsr verify {row.ref} {_CODE_NEXT[row.code]}"
    if row.state == "ready":
        return f"dsr {'package' if row.kind == 'access' else 'certificate'} {row.ref} --to FILE"
    if row.state in _NEXT:
        return _NEXT[row.state].format(case=row.ref)
    if row.state == "needs_human" or row.phase == IDENTITY_UNANSWERED:
        return f"dsr status {row.ref}"  # which tells the remedy
    if row.kind == "breach" and row.state == "notified" and row.due_at is None:
        return f"dsr breach close {row.ref}"
    if row.kind == "breach" and row.state == "notified":
        return f"dsr breach told {row.ref} CLOCK --at INSTANT"
    return None
