"""Evidence: what happened, provable without keeping whose data it was.

Why: a regulator should be able to check the log and the certificates without trusting us. In:
codes, counts, versions, digests. Out: event bytes, hash chains, Merkle checkpoints, signed
certificates, the checks of all of them, and what their codes mean in words. No personal data
enters, so nothing here ever has to be erased.
"""

from dsr_worker.evidence.automatic import ENGINE, Decision, decisions
from dsr_worker.evidence.certificate import (
    Certificate,
    CertificateKind,
    CertificateRefused,
    CollectionResult,
    Deferred,
    Ground,
    Kept,
    Left,
    MentionsLeft,
    Recipients,
    Requery,
    SystemResult,
    build_certificate,
)
from dsr_worker.evidence.certificate_check import verify_certificate
from dsr_worker.evidence.certificate_page import render_certificate
from dsr_worker.evidence.chain import (
    GENESIS,
    ChainedEvent,
    Checkpoint,
    Signer,
    chain_hash,
    commit,
    commitment,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    sign_checkpoint,
    verify_chain,
    verify_checkpoint,
    verify_inclusion,
)
from dsr_worker.evidence.event import BODIES, Event, EventRefused, Kind
from dsr_worker.evidence.statements import DRY_RUN
from dsr_worker.evidence.wording import Words, words

__all__ = [
    "BODIES",
    "DRY_RUN",
    "ENGINE",
    "GENESIS",
    "Certificate",
    "CertificateKind",
    "CertificateRefused",
    "ChainedEvent",
    "Checkpoint",
    "CollectionResult",
    "Decision",
    "Deferred",
    "Event",
    "EventRefused",
    "Ground",
    "Kept",
    "Kind",
    "Left",
    "MentionsLeft",
    "Recipients",
    "Requery",
    "Signer",
    "SystemResult",
    "Words",
    "build_certificate",
    "chain_hash",
    "commit",
    "commitment",
    "decisions",
    "inclusion_proof",
    "leaf_hash",
    "merkle_root",
    "render_certificate",
    "sign_checkpoint",
    "verify_certificate",
    "verify_chain",
    "verify_checkpoint",
    "verify_inclusion",
    "words",
]
