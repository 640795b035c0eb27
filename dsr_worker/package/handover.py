"""Handing a package over: encrypted for the person, without plaintext on any disk.

In: the package as a seekable reader over its sealed form. Out: a new file, complete or not there.

- `aes-zip`: a ZIP with AES-256 (WinZip AE-2) and a passphrase that goes another way than the file.
  Its key derivation is weak (PBKDF2-HMAC-SHA1, 1,000 rounds), so the passphrase must be long:
  `new_passphrase` makes one of 123 bits. Opens with 7-Zip, WinZip, Keka; not with Windows Explorer.
- `age`: one file for an age recipient (`age1…`), for agents, lawyers and people who have age.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import pyrage  # type: ignore[import-untyped]  # ships no types; used here alone

from dsr_worker.package.archive import MANIFEST
from dsr_worker.package.check import digest_of, manifest_of, verify_package
from dsr_worker.package.contents import PackageRefused

MIN_PASSPHRASE = 12
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike
_GROUPS, _GROUP = 5, 5
_READ_BYTES = 256 * 1024
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})  # as FAT and some FUSE answer


class Method(StrEnum):
    """How a package is encrypted for hand-over."""

    AES_ZIP = "aes-zip"
    AGE = "age"


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The file that was made, for the event."""

    path: Path
    method: Method
    bytes: int
    sha256: str


def new_passphrase() -> str:
    """25 letters and digits in groups of five: 123 bits."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)


def hand_over(package: BinaryIO, to: Path, *, method: Method, secret: str) -> HandedOver:
    """Encrypt the package into the new file `to` (0600), checking every member on the way.

    `secret` is the passphrase (`aes-zip`) or the recipient (`age`). Raises PackageRefused when the
    file exists, the secret does not fit, or a member is not what the manifest says, and passes on a
    broken seal; then there is no file.
    """
    if os.path.lexists(to):
        raise PackageRefused(taken(to))
    with _new_file(to) as out:
        if method is Method.AES_ZIP:
            _write_aes_zip(package, out, secret)
        else:
            _write_age(package, out, secret)
    with to.open("rb") as file:
        size, sha256 = digest_of(file)
    return HandedOver(to, method, size, sha256)


def _write_aes_zip(package: BinaryIO, out: BinaryIO, passphrase: str) -> None:
    import pyzipper  # noqa: PLC0415 - loads slowly, and most processes hand nothing over

    if len(passphrase) < MIN_PASSPHRASE:
        raise PackageRefused(
            f"The passphrase needs at least {MIN_PASSPHRASE} characters: have one made."
        )
    with _opened(package) as source:
        manifest = manifest_of(source)
        if set(source.namelist()) != {*manifest, MANIFEST}:
            raise PackageRefused("The package and its manifest do not name the same members.")
        kwargs = {"nbits": 256, "force_wz_aes_version": 2}
        with pyzipper.AESZipFile(
            out, "w", pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES, encryption_kwargs=kwargs
        ) as target:
            target.setpassword(passphrase.encode())
            for info in source.infolist():
                sha256 = _copy_member(source, info, target)
                if info.filename != MANIFEST and sha256 != manifest[info.filename]["sha256"]:
                    raise PackageRefused(f"{info.filename} is not what the manifest says.")


def _copy_member(source: zipfile.ZipFile, info: zipfile.ZipInfo, target: Any) -> str:
    copy = target.zipinfo_cls(info.filename, info.date_time)
    copy.compress_type = info.compress_type
    copy.external_attr = info.external_attr
    copy.file_size = info.file_size
    digest = hashlib.sha256()
    with source.open(info) as member, target.open(copy, "w") as file:
        while part := member.read(_READ_BYTES):
            digest.update(part)
            file.write(part)
    return digest.hexdigest()


def _write_age(package: BinaryIO, out: BinaryIO, recipient: str) -> None:
    try:
        to = pyrage.x25519.Recipient.from_str(recipient)
    except pyrage.RecipientError:
        raise PackageRefused("The recipient is no age recipient (age1…).") from None
    problems = verify_package(package)
    if problems:
        raise PackageRefused(f"The package is not whole: {problems[0]}")
    package.seek(0)
    pyrage.encrypt_io(package, out, [to])


@contextmanager
def _opened(package: BinaryIO) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(package) as source:
            yield source
    except PackageRefused:
        raise
    except (zipfile.BadZipFile, KeyError, ValueError):
        raise PackageRefused("The package is not whole.") from None


@contextmanager
def _new_file(to: Path) -> Iterator[BinaryIO]:
    """A file that has its name only when it is whole and durable."""
    beside = to.with_name(f".dsr-{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        publish(beside, to)
    finally:
        beside.unlink(missing_ok=True)


# ---- names


def taken(to: Path) -> str:
    """The sentence for a name that is taken."""
    return f"{to} exists and is never overwritten: choose another name."


@dataclass(frozen=True, slots=True)
class Mark:
    """By which a file is known again, whatever its name is then."""

    device: int
    inode: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> Mark:
        """The mark of the file at a path, of a link's own there."""
        found = path.lstat()
        return cls(found.st_dev, found.st_ino, found.st_mtime_ns)


def write_together(files: Mapping[Path, bytes]) -> None:
    """New files with these contents: all of them, whole and durable, or none.

    Raises PackageRefused where a name is taken.
    """
    made: dict[Path, Mark] = {}
    try:
        for to, content in files.items():
            with _new_file(to) as file:
                file.write(content)
            made[to] = Mark.of(to)
    except BaseException:
        for to, mark in made.items():
            withdraw(to, mark)
        raise


def publish(beside: Path, to: Path) -> None:
    """Give a whole, durable file its name in the same folder, durably; `beside` is gone then.

    Raises PackageRefused when the name is taken, however late it was: nothing is ever replaced.
    After any error `to` is not this file.
    """
    mark = Mark.of(beside)
    try:
        _link(beside, to)
        beside.unlink(missing_ok=True)
        _sync_folder(to.parent)
    except FileExistsError:
        raise PackageRefused(taken(to)) from None
    except BaseException:
        withdraw(to, mark)
        raise


def withdraw(to: Path, mark: Mark) -> None:
    """Take the file of this mark away from its name; another that has the name now stays."""
    with suppress(FileNotFoundError):
        if Mark.of(to) == mark:
            to.unlink()


def _link(beside: Path, to: Path) -> None:
    """Name the file, failing with FileExistsError where the name is taken."""
    try:
        os.link(beside, to)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        return
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    claim = Mark.of(to)
    try:
        beside.rename(to)  # over our own empty file
    except BaseException:
        withdraw(to, claim)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
