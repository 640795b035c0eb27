"""Performs `contact` and `send_code`: a code to the contact on file, and to no other.

In: cases whose person is not verified. Out: a sealed contact point, then one mail. A case of
somebody we do not know goes the same way and ends the same way, without a mail.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from dsr_worker.contract import Contacts, Subject
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.ledger import codes
from dsr_worker.ledger.connection import Ledger
from dsr_worker.ledger.rows import Event, StepResult
from dsr_worker.notify.mail import Mailer, Sent
from dsr_worker.organisation import Verification
from dsr_worker.vault import CaseKey, KeyRing

_CONTACT = "contact"
_CODE_DIGITS = 6


class Verifying:
    """The performers of the verification of a person by code."""

    def __init__(
        self, ledger: Ledger, keys: KeyRing, mailer: Mailer, settings: Verification
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._mailer = mailer
        self._settings = settings

    def contact(self, batch: Batch) -> Sequence[StepResult]:
        """Read the contact points on file of the claimed identities, and nothing else."""
        connector: Contacts = batch.connector  # only those that declare it are asked
        claimed = {
            f"{m.subject.ref}/{n}": (m, identity)
            for m in batch.members
            for n, identity in enumerate(sorted(m.known("claimed")))
        }
        subjects = [Subject(ref, (identity,)) for ref, (_, identity) in claimed.items()]
        leads: dict[str, dict[str, set[str]]] = {m.subject.ref: {} for m in batch.members}
        for point in connector.contacts(subjects, batch.ctx):
            if point.kind == "email":
                member, identity = claimed[point.subject_ref]
                name = self._keys.index_digest(identity.kind, identity.value).hex()
                leads[member.subject.ref].setdefault(point.value, set()).add(name)
        return [self._contact(member, leads[member.subject.ref]) for member in batch.members]

    def _contact(self, member: Member, leads: Mapping[str, set[str]]) -> StepResult:
        content = {address: sorted(names) for address, names in leads.items()}
        sealed = member.key.seal(json.dumps(content).encode(), _CONTACT)
        return member.done(result={"sealed": sealed.hex()})

    def send_code(self, batch: Batch) -> Sequence[StepResult]:
        """Make a code, keep its digest, send it once. A mail that may have left is not repeated."""
        return [self._send(batch, member) for member in batch.members]

    def _send(self, batch: Batch, member: Member) -> StepResult:
        asked = (member.job.id, "contact")
        found = [r for (job, action, _), r in batch.results.items() if (job, action) == asked]
        addresses = sorted(contact_points(member.key, found))
        if len(addresses) != 1:
            points = {"contact_kind": "email", "contact_points": len(addresses)}
            event = Event("code_not_sent", points)
            return member.done(result={"contact_points": len(addresses)}, events=(event,))
        code = "".join(secrets.choice("0123456789") for _ in range(_CODE_DIGITS))
        expires_at = batch.ctx.now + timedelta(seconds=self._settings.code_valid_s)
        digest = self._keys.index_digest(f"code:{member.job.ref}", code)
        batch.ctx.intend([member.claim], {member.claim.id: []})
        with self._ledger.transaction() as cursor:
            codes.put(cursor, member.job.id, digest, expires_at)
        sent = self._mailer.send_template(
            "verification_code",
            to=addresses[0],
            language=str(member.job.facts.get("language", "en")),
            operation=f"{member.job.ref}-{member.claim.id}-{member.claim.attempt}",
            values={
                "code": code,
                "case": member.job.ref,
                "minutes": self._settings.code_valid_s // 60,
            },
        )
        if sent is not Sent.SENT:
            return StepResult(member.claim, state="needs_human", code=f"mail_{sent.value}")
        event = Event(
            "code_sent", {"contact_kind": "email", "contact_points": 1, "expires_at": expires_at}
        )
        return member.done(result={"contact_points": 1}, events=(event,))


def contact_points(key: CaseKey, found: Iterable[Mapping[str, str]]) -> dict[str, set[str]]:
    """Addresses on file -> digests (hex) of the claimed identities that led to them.

    `found` are the results of `contact` steps. A code sent to the one address proves these
    identities and no other that the same request names.
    """
    leads: dict[str, set[str]] = defaultdict(set)
    for result in found:
        opened = json.loads(key.open(bytes.fromhex(result["sealed"]), _CONTACT))
        for address, digests in opened.items():
            leads[address].update(digests)
    return dict(leads)
