"""Where the lists of records lie in JSON documents: `{"meta": …, "orders": [{…}, …]}`.

In: the beginning of an object's plain text, which may end anywhere. Out: the dotted paths to lists
of objects, as the map writes them in `records`, and what else the first document says. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from connectors.s3.formats.content import EACH

_BLANK = re.compile(r"[ \t\r\n]*+")
_LIST_OF_OBJECTS = re.compile(r"\[[ \t\r\n]*+\{")
_DOCUMENTS, _DEEPEST, _MOST_LISTS = 20, 6, 8
_DECODER = json.JSONDecoder()


@dataclass
class Outline:
    """The lists of objects in some documents, and the texts of the first outside of any list."""

    lists: dict[str, None] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict, repr=False)


def outline(text: str) -> Outline:
    """What the first documents of a text are made of, as far as it goes."""
    found, at = Outline(), _after_blanks(text, 0)
    try:
        for number in range(_DOCUMENTS):
            if text[at : at + 1] != "{":
                break
            beside: dict[str, str] = found.beside if number == 0 else {}
            at = _after_blanks(text, _object(text, at, (), found.lists, beside))
    except (ValueError, RecursionError):  # the text ends, or what follows is none of JSON
        pass
    found.lists = dict.fromkeys(list(found.lists)[:_MOST_LISTS])
    return found


def _object(
    text: str, at: int, above: tuple[str, ...], lists: dict[str, None], beside: dict[str, str]
) -> int:
    """Note what an object holds; returns where it ends. Raises ValueError where it does not."""
    at = _after_blanks(text, at + 1)
    while text[at : at + 1] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _after_blanks(text, _over(text, at, ":"))
        path = (*above, str(name))
        reachable = all(step and "." not in step and EACH not in step for step in path)
        if text[at : at + 1] == "{" and len(path) < _DEEPEST:
            at = _object(text, at, path, lists, beside)
        else:
            if reachable and _LIST_OF_OBJECTS.match(text, at):
                lists.setdefault(".".join(path))
            value, at = _DECODER.raw_decode(text, at)
            beside.update(texts_of(value, ".".join(path)))
        at = _after_blanks(text, at)
        if text[at : at + 1] != "}":
            at = _after_blanks(text, _over(text, at, ","))
    return at + 1


def texts_of(value: Any, path: str = "") -> dict[str, str]:
    """The first text or number of each field, by the path that finds it: lists are `name[]`."""
    found: dict[str, str] = {}
    for name, leaf in _leaves(value, path):
        found.setdefault(name, leaf)
    return found


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, f"{path}{EACH}")
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield path, str(value)


def _after_blanks(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _over(text: str, at: int, sign: str) -> int:
    at = _after_blanks(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(sign)
    return at + 1
