"""Chains and trees: how a changed, missing, swapped or added event shows.

In: event bytes and hashes. Out: leaf and chain hashes, Merkle roots and proofs (RFC 6962, section
2.1), signed checkpoints for a place that the database's owner cannot write.

    leaf  = SHA-256(0x00 ‖ event bytes)         also the tree's leaf
    chain = SHA-256(chain of the event before ‖ leaf)     32 zero bytes before the first
    node  = SHA-256(0x01 ‖ left ‖ right)
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

GENESIS = bytes(32)
_SALT_BYTES = 16


class Signer(Protocol):
    """What signs: the key ring is one."""

    @property
    def public_key(self) -> bytes:
        """The Ed25519 public key, 32 bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature, 64 bytes."""
        ...


def leaf_hash(event: bytes) -> bytes:
    """The leaf of an event's canonical bytes."""
    return hashlib.sha256(b"\0" + event).digest()


def chain_hash(previous: bytes, leaf: bytes) -> bytes:
    """The chain's head after `leaf`; `previous` is `GENESIS` before the first event."""
    return hashlib.sha256(previous + leaf).digest()


@dataclass(frozen=True, slots=True)
class ChainedEvent:
    """An event as stored: its number, its bytes, and the two hashes beside them."""

    seq: int
    event: bytes
    leaf: bytes
    chain: bytes


def verify_chain(
    events: Iterable[ChainedEvent], *, job: str | None = None, head: bytes | None = None
) -> int | None:
    """The first bad sequence number of one job's events in order, or None when all hold.

    With `job`, events of another job show; with `head` (kept on the job's row), a missing end shows
    as the number after the last one present.
    """
    previous, expected = GENESIS, 1
    for stored in events:
        leaf = leaf_hash(stored.event)
        chain = chain_hash(previous, leaf)
        if (
            stored.seq != expected
            or stored.leaf != leaf
            or stored.chain != chain
            or not _belongs(stored.event, expected, job)
        ):
            return expected
        previous, expected = chain, expected + 1
    if head is not None and not hmac.compare_digest(previous, head):
        return expected
    return None


def commit(value: bytes) -> tuple[bytes, bytes]:
    """A fresh salt and the commitment to `value`: keep salt and value apart, both may go later."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return salt, commitment(salt, value)


def commitment(salt: bytes, value: bytes) -> bytes:
    """SHA-256(salt ‖ value): proves the value while the salt exists, says nothing afterwards."""
    return hashlib.sha256(salt + value).digest()


# ---- trees


def merkle_root(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes, in memory that grows with the logarithm of their number."""
    peaks: list[tuple[int, bytes]] = []  # (leaves below, hash), largest first
    for leaf in leaves:
        width, node = 1, leaf
        while peaks and peaks[-1][0] == width:
            node = _node(peaks.pop()[1], node)
            width *= 2
        peaks.append((width, node))
    if not peaks:
        return hashlib.sha256(b"").digest()
    _, root = peaks.pop()
    while peaks:
        root = _node(peaks.pop()[1], root)
    return root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of the leaf at `index`, from the leaf upwards."""
    if len(leaves) <= 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), merkle_root(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), merkle_root(leaves[:split])]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether `leaf` is the one at `index` of the `size` leaves under `root`."""
    if not 0 <= index < size:
        return False
    try:
        found = _climb(leaf, index, size, list(proof))
    except IndexError:
        return False
    return found is not None and hmac.compare_digest(found, root)


def _climb(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes | None:
    if size == 1:
        return leaf if not proof else None
    sibling, split = proof.pop(), _split(size)
    if index < split:
        left = _climb(leaf, index, split, proof)
        return None if left is None else _node(left, sibling)
    right = _climb(leaf, index - split, size - split, proof)
    return None if right is None else _node(sibling, right)


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


# ---- checkpoints


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement: these leaves, in this order, stood in the log at `at`.

    `previous` is the digest of the checkpoint before (64 zeros for the first), so that checkpoints
    form a chain of their own; `first` numbers the first leaf over the whole log.
    """

    number: int
    at: datetime
    first: int
    size: int
    root: str
    previous: str
    public_key: str
    signature: str

    def to_json(self) -> dict[str, Any]:
        """The checkpoint as JSON values."""
        return {**self._statement(), "signature": self.signature}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Checkpoint:
        """The checkpoint that `to_json` wrote."""
        return cls(
            number=int(value["number"]),
            at=datetime.fromisoformat(value["at"]),
            first=int(value["first"]),
            size=int(value["size"]),
            root=value["root"],
            previous=value["previous"],
            public_key=value["public_key"],
            signature=value["signature"],
        )

    @property
    def digest(self) -> str:
        """What the next checkpoint calls `previous`."""
        return hashlib.sha256(canonical_json(self.to_json())).hexdigest()

    def message(self) -> bytes:
        """The bytes that are signed."""
        return b"dsr checkpoint\0" + canonical_json(self._statement())

    def _statement(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "at": self.at.astimezone(UTC).isoformat(),
            "first": self.first,
            "size": self.size,
            "root": self.root,
            "previous": self.previous,
            "public_key": self.public_key,
        }


def sign_checkpoint(
    signer: Signer, leaves: Iterable[bytes], *, at: datetime, after: Checkpoint | None = None
) -> Checkpoint:
    """A checkpoint over the leaves that came after the checkpoint `after`."""
    counted = _Counted(leaves)
    root = merkle_root(counted).hex()
    unsigned = Checkpoint(
        number=after.number + 1 if after else 1,
        at=at,
        first=after.first + after.size if after else 0,
        size=counted.count,
        root=root,
        previous=after.digest if after else GENESIS.hex(),
        public_key=signer.public_key.hex(),
        signature="",
    )
    signature = signer.sign(unsigned.message()).hex()
    return Checkpoint.from_json({**unsigned.to_json(), "signature": signature})


def verify_checkpoint(checkpoint: Checkpoint, public_key: bytes) -> bool:
    """Whether the checkpoint is signed by this key."""
    return checkpoint.public_key == public_key.hex() and is_signed(
        public_key, checkpoint.message(), checkpoint.signature
    )


def is_signed(public_key: bytes, message: bytes, signature: str) -> bool:
    """Whether `signature` (hex) is the key's Ed25519 signature of `message`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def canonical_json(value: Any) -> bytes:
    """One JSON form per value: keys sorted, no blanks, UTF-8, whole numbers only by agreement."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


class _Counted:
    def __init__(self, leaves: Iterable[bytes]) -> None:
        self._leaves = leaves
        self.count = 0

    def __iter__(self) -> Any:
        for leaf in self._leaves:
            self.count += 1
            yield leaf


def _belongs(event: bytes, seq: int, job: str | None) -> bool:
    """Whether the bytes themselves name this number and job."""
    try:
        content = orjson.loads(event)
    except orjson.JSONDecodeError:
        return False
    return (
        isinstance(content, dict)
        and content.get("seq") == seq
        and (job is None or content.get("job") == job)
    )
