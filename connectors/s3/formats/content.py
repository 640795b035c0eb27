"""The content of a record as nested objects, lists and values: what formats ask of it alike.

In: a record as JSON has it, field names. Out: its values with their places, or the record less
some fields. A field is a name, or a dotted path into objects; a name that itself has dots
comes first. `[]` behind a part says that a list is meant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

EACH: Final = "[]"  # each element of a list


class Pairs(list[tuple[str, Any]]):
    """An object as it is written: a name may stand in it twice."""


def scalars_in(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every text and number with the path of its place; of a list, that of the list."""
    if isinstance(value, dict | Pairs):
        for name, inner in value.items() if isinstance(value, dict) else value:
            yield from scalars_in(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from scalars_in(inner, path)
    elif value is not None:
        yield path, value


def is_deep(value: Any, levels: int) -> bool:
    """Whether objects and lists lie in each other in more levels than these."""
    level = [value]
    for _ in range(levels + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(inner, dict | list) for inner in level)


def value_at(document: dict[str, Any], name: str) -> Any:
    """A field; None where it is null or missing."""
    if name in document:
        return document[name]
    at: Any = document
    for step in name.split("."):
        at = at.get(step) if isinstance(at, dict) else None
    return at


def without(document: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The record without these fields; a path goes into every element of lists on its way."""
    left = {name: value for name, value in document.items() if name not in names}
    paths = [name.replace(EACH, "").split(".") for name in names if name not in document]
    kept: dict[str, Any] = _without(left, paths)
    return kept


def _without(value: Any, paths: Sequence[Sequence[str]]) -> Any:
    if isinstance(value, list):
        return [_without(inner, paths) for inner in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, inner in value.items():
        below = [path[1:] for path in paths if path[0] == name]
        if [] not in below:
            kept[name] = _without(inner, below) if below else inner
    return kept
