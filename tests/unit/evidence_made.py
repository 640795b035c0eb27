"""Events, chains and certificates for the tests of evidence, and keys to sign them with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dsr_worker.evidence import GENESIS, ChainedEvent, Event, Kind, chain_hash, leaf_hash

JOB = "6f0c1d0a-0000-4000-8000-000000000001"
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIGEST = "ab" * 32


class Keys:
    """A signer with a fixed key."""

    def __init__(self, seed: int = 1) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)

    @property
    def public_key(self) -> bytes:
        """The public key."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The signature."""
        return self._key.sign(message)


def event(seq: int = 1, kind: Kind = Kind.STEP_DONE, **fields: Any) -> Event:
    """An event of the job."""
    return Event(JOB, seq, AT, kind, "system", fields)


def chained(count: int) -> list[ChainedEvent]:
    """A chain of events as stored."""
    events, head = [], GENESIS
    for seq in range(1, count + 1):
        data = event(seq, records=seq).canonical()
        leaf = leaf_hash(data)
        head = chain_hash(head, leaf)
        events.append(ChainedEvent(seq, data, leaf, head))
    return events
