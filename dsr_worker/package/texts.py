"""The frame texts of a package, by language: one file in `languages/` each.

In: a language tag. Out: texts by key. A language is complete or absent (a test compares the keys),
so adding one is adding a file, here and among the words for codes (`dsr_worker.evidence.wording`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

import orjson

_FALLBACK = "en"


@cache
def languages() -> Mapping[str, Mapping[str, str]]:
    """Every language there is, by its two-letter tag."""
    folder = resources.files("dsr_worker.package") / "languages"
    return MappingProxyType(
        {
            file.name.removesuffix(".json"): MappingProxyType(orjson.loads(file.read_bytes()))
            for file in folder.iterdir()
            if file.name.endswith(".json")
        }
    )


def texts(language: str) -> tuple[str, Mapping[str, str]]:
    """The language really used (`de` for `de-AT`, English where there is none), and its texts."""
    base = language.lower().partition("-")[0]
    used = base if base in languages() else _FALLBACK
    return used, languages()[used]
