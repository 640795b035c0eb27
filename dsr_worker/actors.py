"""People's signatures: who submitted, verified, approved or held, shown without the ledger.

Why this room exists: an approval is only worth something if the person who runs the database could
not have written it. Each person has an Ed25519 key in their own home; an action enters as a value
and leaves as a signature over its canonical JSON. The ledger holds public keys, sees to it that a
nonce is used once, and that nobody approves what they submitted.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

DEFAULT_KEY_FILE = Path("~/.config/dsr/actor.key")
_DOMAIN = b"dsr-worker action v1\n"
_ACTOR = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FORBIDDEN_MODE = 0o077
_PEM = b"-----BEGIN"
_MOST_BYTES = 64 * 1024
_CLOCK_SKEW = timedelta(minutes=1)


class ActorKeyError(Exception):
    """A key file or public key cannot be used; the text says what to do, never the key."""


class SignatureRefusedError(Exception):
    """The signature is not the actor's over exactly this action, or the action is not fresh."""


@dataclass(frozen=True, slots=True)
class ActionToSign:
    """What a person does: `action` such as `approve`, on `case`, with the plan's hash if any.

    `at` is an aware instant. `nonce` makes each signature one of its kind: the ledger refuses one
    that it has seen.
    """

    actor: str
    action: str
    case: str
    at: datetime
    nonce: str
    plan_hash: str = ""

    def __post_init__(self) -> None:
        """Refuse what could be read in two ways.

        Raises:
            ValueError: the actor is no name of ours, the instant has no offset, a part is empty.

        """
        if _ACTOR.fullmatch(self.actor) is None:
            raise ValueError("an actor is called in small letters, digits, dot, dash, underscore")
        if self.at.tzinfo is None:
            raise ValueError("an action's instant needs an offset")
        if not (self.action and self.case and self.nonce):
            raise ValueError("an action names what is done, the case and a nonce")

    @property
    def text(self) -> str:
        """The canonical JSON that is signed."""
        plain = asdict(self) | {"at": self.at.astimezone(UTC).isoformat(timespec="microseconds")}
        return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def new_action(
    actor: str, action: str, case: str, at: datetime, plan_hash: str = ""
) -> ActionToSign:
    """Return an action with a fresh random nonce of 128 bits."""
    return ActionToSign(actor, action, case, at, token_hex(16), plan_hash)


@dataclass(frozen=True)
class ActorKey:
    """A person's private key, in memory."""

    _private: Ed25519PrivateKey

    def __repr__(self) -> str:
        """Return nothing of the key."""
        return "ActorKey(…)"

    @property
    def public_key(self) -> str:
        """The public key, base64 of its 32 raw bytes: what the ledger registers."""
        return _encoded(self._private.public_key().public_bytes_raw())

    def sign(self, action: ActionToSign) -> str:
        """Return the signature, base64 of 64 bytes. The same action gives the same signature."""
        return _encoded(self._private.sign(_DOMAIN + action.text.encode()))


def create_key(path: Path = DEFAULT_KEY_FILE) -> ActorKey:
    """Make a key in a file that only its owner can read, and return it. Never overwrites.

    Raises:
        ActorKeyError: there is a file already, or it cannot be written.

    """
    file = path.expanduser()
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            target.write(text)
            target.flush()
            os.fsync(target.fileno())
    except FileExistsError:
        raise ActorKeyError(f"{file} is there already; use it, or move it away first") from None
    except OSError as error:
        raise ActorKeyError(f"{file} cannot be written ({error.strerror})") from error
    return ActorKey(key)


def load_key(path: Path = DEFAULT_KEY_FILE) -> ActorKey:
    """Return the key in the file at `path`.

    Raises:
        ActorKeyError: no file, one that others may read, or no Ed25519 key in it.

    """
    file = path.expanduser()
    try:
        with file.open("rb") as source:
            status = os.fstat(source.fileno())
            text = source.read(_MOST_BYTES)
    except FileNotFoundError:
        raise ActorKeyError(f"no key at {file}; make one with: dsr actor add NAME") from None
    except OSError as error:
        raise ActorKeyError(f"{file} cannot be read ({error.strerror})") from error
    if _PEM not in text:
        raise ActorKeyError(f"{file} is not a key of ours; `dsr actor add NAME` makes one")
    if stat.S_IMODE(status.st_mode) & _FORBIDDEN_MODE or status.st_uid != os.geteuid():
        raise ActorKeyError(f"{file} must be yours alone; chmod 600 it, or make a new key")
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except (ValueError, TypeError):
        raise ActorKeyError(f"{file} holds no key that can be read; make a new one") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ActorKeyError(f"{file} holds another sort of key; make a new one")
    return ActorKey(key)


def verify(public_key: str, action: ActionToSign, signature: str) -> None:
    """Return if `signature` is that of `public_key` over exactly this action.

    Raises:
        ActorKeyError: the registered key is no Ed25519 public key.
        SignatureRefusedError: it is not.

    """
    try:
        public = Ed25519PublicKey.from_public_bytes(_decoded(public_key))
    except ValueError:
        raise ActorKeyError("the registered public key is none; register it anew") from None
    try:
        public.verify(_decoded(signature), _DOMAIN + action.text.encode())
    except (InvalidSignature, ValueError):
        raise SignatureRefusedError(
            f"the signature is not that of {action.actor} over this {action.action}"
        ) from None


def refuse_stale(action: ActionToSign, now: datetime, max_age: timedelta) -> None:
    """Return if the action was signed within `max_age` before `now` (a minute's skew allowed).

    Raises:
        SignatureRefusedError: it is older, or from the future.

    """
    if not -_CLOCK_SKEW <= now - action.at <= max_age:
        raise SignatureRefusedError("the signature is not fresh; sign anew")


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
