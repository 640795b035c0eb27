"""The key ring: one file, outside the data folder, readable by its owner alone.

In: a path. Out: case keys and their wrapped form, keyed digests by which people and rows are found
again without being named, signatures. Versions are only ever added: old ones stay, so that what was
wrapped, indexed or signed under them still opens and verifies.

File format (JSON): `{"format": 1, "current": V, "keys": {"1": {"created_at", "wrap", "index",
"digest", "sign"}, …}}`, every key 32 random bytes in base64.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dsr_worker.vault.seal import CaseKey, SealBroken

_FORMAT = 1
_KEY_BYTES = 32
_WRAP_LABEL = b"dsr case key"
_NONCE_BYTES = 12
_HEAD_BYTES = 2  # the version before a wrapped key
WRAPPED_BYTES = _HEAD_BYTES + _NONCE_BYTES + _KEY_BYTES + 16  # as `new_case_key` wraps a key


class KeyRingRefused(Exception):  # noqa: N818 - reads as what happened
    """The key ring is missing, unreadable, too widely readable, or would be overwritten."""


@dataclass(frozen=True)
class _Version:
    number: int
    created_at: str
    wrap: bytes = field(repr=False)
    index: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    sign: bytes = field(repr=False)

    @classmethod
    def fresh(cls, number: int) -> Self:
        keys = (secrets.token_bytes(_KEY_BYTES) for _ in range(4))
        return cls(number, datetime.now(UTC).isoformat(timespec="seconds"), *keys)

    @property
    def fingerprint(self) -> str:
        material = self.wrap + self.index + self.digest + self.sign
        return hashlib.sha256(b"dsr key ring\0" + material).hexdigest()[:32]


class KeyRing:
    """All versions of this installation's keys, by `create` or `load`. Safe for many threads."""

    def __init__(self, path: Path, versions: Mapping[int, _Version], current: int) -> None:
        self.path = path
        self.version = current
        self._versions = dict(versions)
        self._newest = self._versions[current]
        self._wrapper = AESGCM(self._newest.wrap)
        self._signer = Ed25519PrivateKey.from_private_bytes(self._newest.sign)

    def __repr__(self) -> str:
        return f"KeyRing(version {self.version}, {self.fingerprint})"

    # ---- the file

    @classmethod
    def create(cls, path: Path | str) -> KeyRing:
        """A new ring in a new file (0600). Raises KeyRingRefused rather than overwrite one."""
        ring = cls(Path(path), {1: _Version.fresh(1)}, 1)
        _write_new(ring.path, ring._encoded())
        return ring

    @classmethod
    def load(cls, path: Path | str) -> KeyRing:
        """The ring in `path`. Raises KeyRingRefused, saying what to do."""
        path = Path(path)
        text = _read_private(path)
        try:
            content: dict[str, Any] = json.loads(text)
            if content["format"] != _FORMAT:
                raise KeyRingRefused(f"{path} has a format this version does not know: upgrade.")
            versions = {int(n): _decoded(int(n), keys) for n, keys in content["keys"].items()}
            return cls(path, versions, int(content["current"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            # The parser's own text could quote key material: it is not chained.
            raise KeyRingRefused(f"{path} is no whole key ring: put a backup in place.") from None

    def backup(self, to: Path | str) -> Path:
        """Copy the ring to a new file (0600). Raises KeyRingRefused rather than overwrite one."""
        _write_new(Path(to), self._encoded())
        return Path(to)

    def rotate(self) -> KeyRing:
        """Add a version, replace the file, and return the new ring.

        Old versions stay for what was made under them. Back the new file up before using it.
        """
        number = max(self._versions) + 1
        ring = KeyRing(self.path, self._versions | {number: _Version.fresh(number)}, number)
        beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        _write_new(beside, ring._encoded())
        beside.replace(self.path)
        _sync_folder(self.path.parent)
        return ring

    @property
    def fingerprint(self) -> str:
        """32 hex digits that name the newest version and give nothing of it away."""
        return self._newest.fingerprint

    def knows(self, fingerprint: str) -> bool:
        """Whether any version has this fingerprint: an old backup lacks the newest one's."""
        return any(hmac.compare_digest(v.fingerprint, fingerprint) for v in self._versions.values())

    # ---- case keys

    def new_case_key(self) -> tuple[CaseKey, bytes]:
        """A fresh case key, and its wrapped form for the ledger (62 bytes)."""
        key = secrets.token_bytes(_KEY_BYTES)
        head = self.version.to_bytes(_HEAD_BYTES, "big")
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return CaseKey(key), head + nonce + self._wrapper.encrypt(nonce, key, head + _WRAP_LABEL)

    def unwrap(self, wrapped: bytes) -> CaseKey:
        """The case key wrapped by any version. Raises SealBroken."""
        head, nonce = wrapped[:_HEAD_BYTES], wrapped[_HEAD_BYTES : _HEAD_BYTES + _NONCE_BYTES]
        number = int.from_bytes(head, "big")
        if number not in self._versions:
            raise SealBroken(
                f"The wrapped case key is of version {number}, which {self.path} does not hold: "
                "put the newest backup of the key ring in place."
            )
        wrapper = self._wrapper
        if number != self.version:
            wrapper = AESGCM(self._versions[number].wrap)
        try:
            key = wrapper.decrypt(nonce, wrapped[_HEAD_BYTES + _NONCE_BYTES :], head + _WRAP_LABEL)
        except (InvalidTag, ValueError):
            raise SealBroken("The wrapped case key does not open with this key ring.") from None
        return CaseKey(key)

    def seal_alone(self, content: bytes, purpose: str) -> bytes:
        """Seal under a key of its own, wrapped in front: it opens without any case's key."""
        key, wrapped = self.new_case_key()
        return wrapped + key.seal(content, purpose)

    def open_alone(self, sealed: bytes, purpose: str) -> bytes:
        """What `seal_alone` sealed. Raises SealBroken."""
        return self.unwrap(sealed[:WRAPPED_BYTES]).open(sealed[WRAPPED_BYTES:], purpose)

    # ---- digests

    def index_digest(self, kind: str, canonical: str, version: int | None = None) -> bytes:
        """The keyed index of an identity: a version byte and HMAC-SHA256 (33 bytes)."""
        number = version or self.version
        return bytes([number % 256]) + _keyed(self._versions[number].index, (kind, canonical))

    def index_digests(self, kind: str, canonical: str) -> tuple[bytes, ...]:
        """The index under every version, newest first: look a person up by all of them."""
        return tuple(self.index_digest(kind, canonical, number) for number in self.versions)

    def row_digest(
        self, system: str, collection: str, key: Sequence[str], version: int | None = None
    ) -> str:
        """The keyed name of a row: `version.hex`. A job keeps to the version it began with."""
        number = version or self.version
        parts = (system, collection, *key)
        return f"{number}.{_keyed(self._versions[number].digest, parts).hex()}"

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version held, newest first."""
        return tuple(sorted(self._versions, reverse=True))

    # ---- signatures

    def sign(self, message: bytes) -> bytes:
        """The newest version's Ed25519 signature (64 bytes)."""
        return self._signer.sign(message)

    @property
    def public_key(self) -> bytes:
        """The newest version's Ed25519 public key (32 bytes)."""
        return self._signer.public_key().public_bytes_raw()

    @property
    def public_keys(self) -> tuple[bytes, ...]:
        """The public keys of every version, newest first."""
        keys = (Ed25519PrivateKey.from_private_bytes(self._versions[n].sign) for n in self.versions)
        return tuple(key.public_key().public_bytes_raw() for key in keys)

    def _encoded(self) -> bytes:
        keys = {
            str(v.number): {
                "created_at": v.created_at,
                "wrap": _text(v.wrap),
                "index": _text(v.index),
                "digest": _text(v.digest),
                "sign": _text(v.sign),
            }
            for v in self._versions.values()
        }
        content = {"format": _FORMAT, "current": self.version, "keys": keys}
        return json.dumps(content, indent=1).encode() + b"\n"


def _keyed(key: bytes, parts: Sequence[str]) -> bytes:
    """HMAC-SHA256 over the parts, each after its length, so that no two lists collide."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    message = b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
    return hmac.digest(key, message, "sha256")


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _decoded(number: int, keys: Mapping[str, str]) -> _Version:
    parts = [base64.b64decode(keys[n], validate=True) for n in ("wrap", "index", "digest", "sign")]
    if any(len(part) != _KEY_BYTES for part in parts):
        raise ValueError("a key of another length")
    return _Version(number, keys["created_at"], *parts)


def _read_private(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise KeyRingRefused(
            f"There is no key ring at {path}. Put a backup there (`dsr keys backup` made it); "
            "without it nothing sealed opens. A new one is only made beside an empty ledger."
        ) from None
    except OSError as error:
        raise KeyRingRefused(f"{path} cannot be read: {error.strerror}.") from None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise KeyRingRefused(f"{path} is not a file.")
        if about.st_mode & 0o077:
            raise KeyRingRefused(
                f"{path} is open to others than its owner: chmod 600 {path}, and ask who read it."
            )
        if about.st_uid != os.geteuid():
            raise KeyRingRefused(f"{path} belongs to another user than runs this: chown it.")
        return file.read()


def _write_new(path: Path, content: bytes) -> None:
    """A whole, durable new file (0600); never one that was there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise KeyRingRefused(f"{path} exists and is never overwritten: name another.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
