"""Identities as the ledger keeps them: named by a keyed digest, sealed under their case's key.

In: an identity in the clear. Out: the row that keeps it. The digest finds it again for as long as
the key ring stands; the value goes with the case's key.
"""

from __future__ import annotations

from dsr_worker.contract import Identity
from dsr_worker.ledger.rows import SealedIdentity
from dsr_worker.vault import CaseKey, KeyRing

IDENTITY = "identity"  # the purpose under which identities are sealed


def seal_identity(
    keys: KeyRing,
    key: CaseKey,
    identity: Identity,
    standing: str,
    *,
    ground: str = "",
    number: int = 0,
) -> SealedIdentity:
    """The row of an identity; `ground` and the round `number` say how it came to its standing."""
    return SealedIdentity(
        kind=identity.kind,
        digest=keys.index_digest(identity.kind, identity.value),
        sealed=key.seal(identity.value.encode(), IDENTITY),
        standing=standing,
        ground=ground,
        round=number,
    )
