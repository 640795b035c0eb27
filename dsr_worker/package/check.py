"""Checking a package: whether it is whole, unchanged and safe to open.

In: the ZIP as a seekable file. Out: the list of problems in words that name members, never content.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections import Counter
from typing import IO, Any, BinaryIO

import orjson

from dsr_worker.package.archive import MANIFEST, MANIFEST_FORMAT

REQUIRED = ("index.html", "information/art15.html", "information/art15.json", "withheld.json")
_SAFE = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*(/[a-z0-9_-]+(\.[a-z0-9_-]+)*)*")
_READ_BYTES = 256 * 1024


def verify_package(file: BinaryIO) -> list[str]:
    """What is wrong with a package; an empty list when nothing is. Reads every member, streaming.

    Passes on what `file` raises when the seal around it is broken.
    """
    try:
        with zipfile.ZipFile(file) as package:
            return _problems(package)
    except zipfile.BadZipFile:
        return ["The file is not a whole ZIP."]


def manifest_of(package: zipfile.ZipFile) -> dict[str, dict[str, Any]]:
    """The manifest's entries by path. Raises ValueError when there is no readable manifest."""
    try:
        content = orjson.loads(package.read(MANIFEST))
        if content["format"] != MANIFEST_FORMAT:
            raise ValueError("The manifest's format is not known to this version.")
        return {entry["path"]: entry for entry in content["members"]}
    except (KeyError, TypeError, orjson.JSONDecodeError):
        raise ValueError("There is no readable manifest.") from None


def digest_of(member: IO[bytes]) -> tuple[int, str]:
    """Size and SHA-256 of a member."""
    digest, size = hashlib.sha256(), 0
    while part := member.read(_READ_BYTES):
        digest.update(part)
        size += len(part)
    return size, digest.hexdigest()


def _problems(package: zipfile.ZipFile) -> list[str]:
    names = package.namelist()
    problems = [f"{name!r} is no name of ours." for name in names if not _SAFE.fullmatch(name)]
    twice = [name for name, count in Counter(n.casefold() for n in names).items() if count > 1]
    problems += [f"{name!r} is there twice." for name in twice]
    if not names or names[-1] != MANIFEST:
        problems.append("The manifest is not the last member.")
    try:
        manifest = manifest_of(package)
    except ValueError as error:
        return [*problems, str(error)]
    present = set(names) - {MANIFEST}
    problems += [f"{name!r} is not in the manifest." for name in sorted(present - set(manifest))]
    problems += [f"{name!r} is missing." for name in sorted(set(manifest) - present)]
    problems += [f"{name!r} is missing." for name in REQUIRED if name not in manifest]
    for name in sorted(present & set(manifest)):
        problems += _member_problems(package, name, manifest[name])
    return problems


def _member_problems(package: zipfile.ZipFile, name: str, entry: dict[str, Any]) -> list[str]:
    try:
        with package.open(name) as member:
            size, sha256 = digest_of(member)
    except zipfile.BadZipFile:
        return [f"{name!r} is damaged."]
    if (size, sha256) != (entry.get("bytes"), entry.get("sha256")):
        return [f"{name!r} is not what the manifest says."]
    return []
