"""The letters' sentences by language: one file each in `languages/`, all with the same keys.

The words for codes, laws and months are those of the evidence (`dsr_worker.evidence.wording`), in
the same languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import orjson

from dsr_worker.evidence import Words, words


@cache
def languages() -> Mapping[str, Mapping[str, Any]]:
    """Every language there is, by its two-letter tag."""
    folder = resources.files("dsr_worker.letters") / "languages"
    return MappingProxyType(
        {
            file.name.removesuffix(".json"): MappingProxyType(orjson.loads(file.read_bytes()))
            for file in sorted(folder.iterdir(), key=lambda entry: entry.name)
            if file.name.endswith(".json")
        }
    )


def words_of(language: str) -> Words:
    """The words for codes of a language that letters are written in."""
    return words(language)
