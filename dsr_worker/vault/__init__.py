"""The vault: the keys of this installation, and the sealing of everything personal that it keeps.

Why: personal data lives in the vault and in packages, nowhere else. In: the path of the key ring
file, plain bytes. Out: sealed values and streams, keyed digests, Ed25519 signatures. Nothing here
knows the ledger, the store or a connector.
"""

from dsr_worker.vault.keyring import WRAPPED_BYTES, KeyRing, KeyRingRefused
from dsr_worker.vault.seal import (
    CHUNK_BYTES,
    CaseKey,
    OpeningReader,
    SealBroken,
    SealingWriter,
    StreamSealer,
    opening,
)

__all__ = [
    "CHUNK_BYTES",
    "WRAPPED_BYTES",
    "CaseKey",
    "KeyRing",
    "KeyRingRefused",
    "OpeningReader",
    "SealBroken",
    "SealingWriter",
    "StreamSealer",
    "opening",
]
