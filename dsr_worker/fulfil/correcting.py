"""What may be put right, judged when a request comes in.

In: corrections as stated, the data map. Out: corrections by system and collection, the places they
name and a digest of what they say; or a refusal that names the place and never a value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dsr_worker.contract import Collection, Correction, System
from dsr_worker.domain.decision import canonical_json
from dsr_worker.statutes import UnknownNameError

MOST_CORRECTIONS = 200
_MOST_LETTERS = 10_000


class CorrectionRefused(ValueError):  # noqa: N818 - reads as what happened
    """A correction cannot be carried out as it is stated; the text says what to change."""


class Stated(NamedTuple):
    """A correction and where it applies."""

    system: str
    collection: str
    correction: Correction

    @property
    def place(self) -> str:
        """The field that it is about."""
        return f"{self.system}.{self.collection}.{self.correction.field}"


def by_place(
    stated: Sequence[Stated], systems: Mapping[str, System]
) -> dict[str, dict[str, tuple[Correction, ...]]]:
    """The corrections by system and collection.

    Raises:
        UnknownNameError: the data map has no such place; the text names near ones.
        CorrectionRefused: a place that may not be put right, one that stands twice, or nothing new.

    """
    if len(stated) > MOST_CORRECTIONS:
        raise CorrectionRefused(f"a request has at most {MOST_CORRECTIONS} corrections: split it")
    found: dict[str, dict[str, tuple[Correction, ...]]] = {}
    seen: set[str] = set()
    for each in stated:
        _check(each, systems)
        if each.place in seen:
            raise CorrectionRefused(f"{each.place} stands twice; say once what it is to be")
        seen.add(each.place)
        of_system = found.setdefault(each.system, {})
        of_system[each.collection] = (*of_system.get(each.collection, ()), each.correction)
    return found


def places(stated: Iterable[Stated]) -> dict[str, list[str]]:
    """The fields to be put right, as `collection.field` by system."""
    found: dict[str, list[str]] = {}
    for each in stated:
        place = f"{each.collection}.{each.correction.field}"
        found.setdefault(each.system, []).append(place)
    return {system: sorted(some) for system, some in sorted(found.items())}


def as_text(stated: Iterable[Stated]) -> str:
    """What is to be put right as canonical JSON: what a keyed digest is made of. Personal."""
    return canonical_json(sorted([s, c, x.field, x.value, x.was] for s, c, x in stated))


def digest(stated: Iterable[Stated]) -> str:
    """The SHA-256 (hex) of `as_text`, for the submitter to sign; it is never stored."""
    return hashlib.sha256(as_text(stated).encode()).hexdigest()


def _check(each: Stated, systems: Mapping[str, System]) -> None:
    system = systems.get(each.system)
    if system is None:
        raise UnknownNameError("system", each.system, systems)
    collection = system.collections.get(each.collection)
    if collection is None:
        message = f"collection of {system.name}"
        known = system.collections
        raise UnknownNameError(message, each.collection, known, "the system's file lists them")
    name, value, was = each.correction.field, each.correction.value, each.correction.was
    if name not in collection.fields:
        message = f"field of {system.name}.{collection.name}"
        raise UnknownNameError(message, name, collection.fields, "the system's file lists them")
    why = _untouchable(collection).get(name)
    if why is not None:
        raise CorrectionRefused(f"{each.place} is not put right by a request: {why}")
    if value == was:
        raise CorrectionRefused(f"{each.place} says the same before and after; state what changes")
    if any("\0" in text or len(text) > _MOST_LETTERS for text in (value or "", was or "")):
        message = f"{each.place}: a value has at most {_MOST_LETTERS} letters and no NUL among them"
        raise CorrectionRefused(message)


def _untouchable(collection: Collection) -> dict[str, str]:
    """Fields of which a wrong value would lose the row, its owner, or its restriction."""
    means = collection.restriction
    joined = collection.parent.on if collection.parent is not None else ()
    return {
        **({means.field: "it says whether the row is restricted"} if means and means.field else {}),
        **dict.fromkeys(joined, "it says whose row it is"),
        **dict.fromkeys(collection.key, "the key finds the row again"),
    }
