"""YAML files that people write: read strictly, and refused with file and line.

Why this room exists: a data map, a policy and an organisation are reviewed files, and a mistake in
one of them erases the wrong rows. A text and a pydantic model enter; the model's value leaves, or
every fault as `file:line: where: what`. Faults never quote a value, since a file may hold a secret
where a reference belongs.

YAML 1.2 is read (`no` is a word), with unknown and duplicate keys, tags, merge keys and anchors
refused.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 40

Path = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_PLAIN = "tag:yaml.org,2002:"
_SCALARS = frozenset(_PLAIN + name for name in ("str", "int", "float", "bool", "null"))


class Strict(BaseModel):
    """A model for files: unknown keys refused, no silent conversion, immutable."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, frozen=True, populate_by_name=True
    )


class DocumentError(ValueError):
    """One or more faults in files, each with file and line; one fault a line of the text."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


@dataclass(frozen=True)
class Document:
    """A file's plain data, and the line of each place in it."""

    name: str
    data: dict[str, Any] = field(repr=False)
    lines: Mapping[Path, int] = field(repr=False)

    def fault(self, path: Path, message: str) -> str:
        """Return `file:line: place: message`; the line is of the innermost place that exists."""
        known = path
        while known not in self.lines:
            known = known[:-1]
        place = ".".join(map(str, path)) or "document"
        return f"{self.name}:{self.lines[known]}: {place}: {message}"


def read_file(path: FilePath) -> Document:
    """Return the document in the file at `path`.

    Raises:
        DocumentError: it cannot be read or is no such YAML.

    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DocumentError([f"{path}:1: cannot be read ({error.strerror})"]) from error
    try:
        return read(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DocumentError([f"{path}:{line}: not UTF-8; save the file as UTF-8"]) from error


def read(text: str, name: str) -> Document:
    """Return the document written in `text`; `name` names it in faults.

    Raises:
        DocumentError: it is no YAML mapping, or uses what is refused.

    """
    if len(text) > MAX_BYTES:
        raise DocumentError([f"{name}:1: larger than {MAX_BYTES} bytes; split it"])
    try:
        node = _yaml().compose(text)
    except _RefusedError as error:
        raise DocumentError([f"{name}:{error.problem_mark.line + 1}: {error.problem}"]) from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DocumentError([f"{name}:{line}: {error.problem}; mend the YAML"]) from None
    except YAMLError:
        raise DocumentError([f"{name}:1: not YAML; mend the file"]) from None
    if not isinstance(node, MappingNode):
        raise DocumentError([f"{name}:1: a mapping of keys to values is expected"])
    lines: dict[Path, int] = {}
    return Document(name, _Builder(name, lines).build(node, ()), lines)


def parse(document: Document, model: type[Model]) -> Model:
    """Return the document as `model`.

    Raises:
        DocumentError: every fault at once.

    """
    try:
        # As JSON, in which strict models take words for enumerations and lists for tuples.
        return model.model_validate_json(json.dumps(document.data))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        faults = {_described(document, found, model): None for found in details}
        raise DocumentError(faults) from None


def near(name: str, known: Iterable[str]) -> str:
    """Return a hint that names what is close to `name`, or all that is known."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3)
    return (
        f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names) or 'none'}"
    )


class _RefusedError(MarkedYAMLError):
    """YAML that is well formed and not taken; `problem` says what to do."""


class _Composer(Composer):
    """Nodes from events, without aliases and not too deep: neither can grow a small text."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if isinstance(event, AliasEvent):
            raise self._refused(event, "anchors are not taken; write the part out")
        if self._depth > MAX_DEPTH:
            raise self._refused(event, "nested too deeply")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    @staticmethod
    def _refused(event: Any, problem: str) -> _RefusedError:
        return _RefusedError(problem=problem, problem_mark=event.start_mark)


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    return yaml


class _Builder:
    """Plain data from nodes, noting lines on the way."""

    def __init__(self, name: str, lines: dict[Path, int]) -> None:
        self._name = name
        self._lines = lines
        self._constructor = YAML(typ="safe", pure=True).constructor

    def build(self, node: Node, path: Path) -> Any:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode) and node.tag == f"{_PLAIN}map":
            return dict(self._pairs(node, path))
        if isinstance(node, SequenceNode) and node.tag == f"{_PLAIN}seq":
            return [self.build(item, (*path, at)) for at, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and node.tag == f"{_PLAIN}timestamp":
            return node.value
        if isinstance(node, ScalarNode) and node.tag in _SCALARS:
            return self._constructor.construct_object(node)
        raise self._fault(node, "tags are not taken; write a plain value, in quotes if need be")

    def _pairs(self, node: MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or key.tag != f"{_PLAIN}str":
                raise self._fault(key, "a key is a word; write it in quotes")
            if key.value in seen:
                raise self._fault(key, f"duplicate key {key.value}; keep one")
            seen.add(key.value)
            self._lines[*path, key.value] = key.start_mark.line + 1
            yield key.value, self.build(value, (*path, key.value))

    def _fault(self, node: Node, message: str) -> DocumentError:
        return DocumentError([f"{self._name}:{node.start_mark.line + 1}: {message}"])


def _described(document: Document, found: ErrorDetails, model: type[BaseModel]) -> str:
    path = tuple(found["loc"])
    if found["type"] == "extra_forbidden":
        siblings = _keys_at(model, path[:-1])
        hint = f"; {near(str(path[-1]), siblings)}" if siblings else "; take it out"
        return document.fault(path, f"unknown key{hint}")
    if found["type"] == "missing":
        return document.fault(path, "missing; add it")
    return document.fault(path, found["msg"].removeprefix("Value error, "))


def _keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """Return the keys that the model takes at `path`, as far as plain nesting tells."""
    current: type[BaseModel] = model
    for step in path:
        fields = {info.alias or name: info for name, info in current.model_fields.items()}
        info = fields.get(str(step))
        if info is None:
            continue  # an index, or a key of a free mapping
        inner = _models_in(info.annotation)
        if len(inner) != 1:
            return []
        current = inner[0]
    return [info.alias or name for name, info in current.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
