"""Reads law packs: YAML by region, refused with file and line where it is wrong.

Why this module exists: a job keeps the text of its pack by hash, so a text must be readable
again years later exactly as the file was on the day. A file or a frozen text enters; a `LawPack`
leaves. Packs are immutable and read once per process.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from dsr_worker.statutes.model import CountryTable, LawPack, PackHead, RetentionTable
from dsr_worker.statutes.names import UnknownNameError

_ROOT = files("dsr_worker.statutes")
_HEAD = re.compile(r"(?:#[^\n]*\n)*\n*(name: .*?\n)(?:\n|\Z)", re.DOTALL)
"""The first paragraph behind the comments. Only it is read of a law that nobody asks about."""

_Model = TypeVar("_Model", bound=BaseModel)


class PackError(ValueError):
    """A law pack is wrong; the text names file and line."""


def packs() -> list[str]:
    """Return the names of all law packs, sorted."""
    return sorted(_texts())


def load_pack(name: str) -> LawPack:
    """Return the pack called `name`.

    Raises:
        UnknownNameError: there is none; near names are given.
        PackError: its file is wrong.

    """
    return _loaded(_official(name))


def pack_text_and_hash(name: str) -> tuple[str, str]:
    """Return the pack's text and its SHA-256 (hex), to be frozen on a job.

    Raises:
        UnknownNameError: there is no such pack.

    """
    text = _texts()[_official(name)][1]
    return text, hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=64)
def read_pack(text: str, source: str = "frozen pack") -> LawPack:
    """Return the pack written in `text`; `source` names it in errors.

    Raises:
        PackError: the text is no valid pack.

    """
    return _read(text, source, LawPack)


@cache
def countries() -> CountryTable:
    """Return the table of countries and zones."""
    return _read(_file("countries.yaml"), "countries.yaml", CountryTable)


@cache
def retention_table() -> RetentionTable:
    """Return the table of retention rules."""
    return _read(_file("retention.yaml"), "retention.yaml", RetentionTable)


def _file(name: str) -> str:
    return _ROOT.joinpath(name).read_text(encoding="utf-8")


@cache
def _loaded(name: str) -> LawPack:
    source, text = _texts()[name]
    return read_pack(text, source)


def _official(name: str) -> str:
    if name in _texts():
        return name
    aliases = {alias: head.name for head in heads() for alias in head.aliases}
    if name not in aliases:
        raise UnknownNameError("law", name, [*_texts(), *aliases])
    return aliases[name]


def heads() -> tuple[PackHead, ...]:
    """Return what chooses each law pack, by name, without reading the packs."""
    return tuple(_head_of(name) for name in packs())


def heads_naming(code: str) -> tuple[PackHead, ...]:
    """Return the same of those that name a country, or the one that this is a part of."""
    named = re.compile(rf"\b(?:{re.escape(code)}|{re.escape(code.partition('-')[0])})\b(?!-)")
    texts = _texts()
    return tuple(
        _head_of(name)
        for name in packs()
        if named.search(_first_paragraph(texts[name][1], texts[name][0]))
    )


def packs_saying(word: str) -> list[str]:
    """Return the laws in whose text a word stands: no other has a row or a ground of this name."""
    return [name for name in packs() if word in _texts()[name][1]]


@cache
def _head_of(name: str) -> PackHead:
    source, text = _texts()[name]
    return _read(_first_paragraph(text, source), source, PackHead)


def _first_paragraph(text: str, source: str) -> str:
    found = _HEAD.match(text)
    if found is None:
        raise PackError(f"{source}:1: a paragraph that begins with `name: ...` is expected")
    return found[1]


@cache
def _texts() -> dict[str, tuple[str, str]]:
    """Return source and text by pack name; the name is read from the file, not from its path."""
    found: dict[str, tuple[str, str]] = {}
    for region in sorted(entry.name for entry in _ROOT.iterdir() if _is_region(entry)):
        for entry in _yaml_files(_ROOT.joinpath(region)):
            source, text = f"{region}/{entry.name}", entry.read_text(encoding="utf-8")
            name = _first_paragraph(text, source).split(maxsplit=2)[1]
            if name in found:
                raise PackError(f"{source}: the name {name} is taken by {found[name][0]}")
            found[name] = (source, text)
    return found


def _is_region(entry: Traversable) -> bool:
    return entry.is_dir() and bool(_yaml_files(entry))


def _yaml_files(folder: Traversable) -> list[Traversable]:
    return sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".yaml")),
        key=lambda entry: entry.name,
    )


def _yaml() -> YAML:
    # YAML 1.2, so that `no` and `NO` are words; safe, so that a text can build no objects.
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = False
    return yaml


def _plain(text: str, source: str) -> dict[str, Any]:
    try:
        plain = _yaml().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = source if mark is None else f"{source}:{mark.line + 1}"
        raise PackError(f"{where}: {error.problem}") from error
    if not isinstance(plain, dict):
        raise PackError(f"{source}:1: a mapping is expected")
    return plain


def _read(text: str, source: str, model: type[_Model]) -> _Model:
    plain = _plain(text, source)
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        node = _yaml().compose(text)
        lines = [
            f"{source}:{_line(node, found['loc'])}: "
            f"{'.'.join(map(str, found['loc'])) or 'document'}: {found['msg']}"
            for found in error.errors(include_url=False, include_input=False)
        ]
        raise PackError("\n".join(lines)) from error


def _line(node: Node, path: tuple[int | str, ...]) -> int:
    """Return the line of the innermost node on `path`, or of the mapping that lacks it."""
    line = int(node.start_mark.line) + 1
    for step in path:
        if isinstance(node, SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = int(node.start_mark.line) + 1
            continue
        if not isinstance(node, MappingNode):
            break
        inner = next(((key, value) for key, value in node.value if key.value == step), None)
        if inner is None:
            break
        line, node = int(inner[0].start_mark.line) + 1, inner[1]
    return line
