"""Packages as they are handed over: opened, and what they say is left out."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from typing import Any

import pyzipper

from dsr_worker.package import Method
from tests.integration.engine_room import EngineRoom

PASSPHRASE = "an invented passphrase of the test"
_NAMES = itertools.count()


def handed_over(room: EngineRoom, ref: str) -> dict[str, Any]:
    """Hand a package over; its members that are JSON, and its first page."""
    to = room.settings.config_dir.parent / f"package-{next(_NAMES)}.zip"
    signed = room.sign("anna", "hand-over", ref)
    room.office.delivery.package(ref, to, Method.AES_ZIP, PASSPHRASE, signed)
    with pyzipper.AESZipFile(to) as outer:
        outer.setpassword(PASSPHRASE.encode())
        members = {name: outer.read(name) for name in outer.namelist()}
    inner = [content for content in members.values() if content.startswith(b"PK")]
    if inner:
        with zipfile.ZipFile(io.BytesIO(inner[0])) as package:
            members = {name: package.read(name) for name in package.namelist()}
    found: dict[str, Any] = {
        name: json.loads(content) for name, content in members.items() if name.endswith(".json")
    }
    return found | {"page": members["index.html"].decode()}


def left_out(package: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What a package says that a store refuses."""
    told = ("system", "collection", "ground", "values", "until_on")
    found = package["withheld.json"]["withheld"]
    return [tuple(w[of] for of in told) for w in found if w["ground"].startswith("store-")]
