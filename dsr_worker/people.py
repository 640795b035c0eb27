"""Who may act: every decision of a person is signed, fresh, used once, and theirs to take.

In: a signed action. Out: nothing, or a refusal that says what to do. The ledger holds public keys
only; the private one never leaves its owner's home.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dsr_worker.actors import ActionToSign, SignatureRefusedError, refuse_stale, verify
from dsr_worker.domain.decision import canonical_json
from dsr_worker.ledger import people
from dsr_worker.ledger.connection import Cursor

_FRESH = timedelta(minutes=10)


class ActorRefused(Exception):  # noqa: N818 - reads as what happened
    """This person may not do this now; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class SignedAction:
    """What a person does, and their signature (base64) over it."""

    action: ActionToSign
    signature: str

    @property
    def actor(self) -> str:
        """Who acts."""
        return self.action.actor

    @property
    def signature_hex(self) -> str:
        """The signature as an event holds it."""
        return base64.b64decode(self.signature).hex()


def digest_of(action: str, case: str, **decided: object) -> str:
    """The SHA-256 (hex) of what is decided in an action on a case: signed in the plan hash's place.

    `decided` are the decision's own words, such as a ground or a method, as JSON takes them.
    """
    stated = canonical_json({"action": action, "case": case, "decided": decided})
    return hashlib.sha256(stated.encode()).hexdigest()


def accept(
    cursor: Cursor, signed: SignedAction, action: str, case: str, plan_hash: str = ""
) -> None:
    """Accept a signed action as this action on this case, once. Raises ActorRefused.

    `plan_hash` is the plan's, or the `digest_of` whatever else the action decides.
    """
    stated = signed.action
    if (stated.action, stated.case, stated.plan_hash) != (action, case, plan_hash):
        message = "the signature is over another action, case, plan or value: sign what you see now"
        raise ActorRefused(message)
    actor = people.find(cursor, stated.actor)
    if actor is None or actor.retired_at is not None:
        message = f"{stated.actor} is not known here: `dsr actor add {stated.actor}`"
        raise ActorRefused(message)
    try:
        verify(base64.b64encode(actor.public_key).decode(), stated, signed.signature)
        refuse_stale(stated, datetime.now(UTC), _FRESH)
    except SignatureRefusedError as error:
        raise ActorRefused(str(error)) from None
    if not people.use_nonce(cursor, stated.nonce):
        message = "this signature was used before: sign again"
        raise ActorRefused(message)
