"""The data map: what each system holds of whom, read from reviewed files.

Why this room exists: connectors erase what the map says, so a map that contradicts itself must be
refused before anything runs, with file and line. A folder of YAML files enters; systems as the
contract knows them leave, with the canonical text and hash that a job freezes. A frozen text can be
parsed again years later.

Secrets stand in a map only by reference (`{env: NAME}`, `{file: path}`), since texts are kept; they
are resolved when a connector is made and never stored.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from dsr_worker import contract
from dsr_worker.documents import Document, DocumentError, parse, read, read_file
from dsr_worker.map_file import CollectionFile, DraftFile, FieldFile, RestrictFile, SystemFile
from dsr_worker.map_rules import faults_of

_SECRET_KEY = re.compile(
    r"dsn|passw|secret|token|private|credential|api_?key|access_key", re.IGNORECASE
)
_USERINFO = re.compile(r"://[^/@\s]*:[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class MappedSystem:
    """One system of the map: as the contract knows it, its raw config, its frozen form."""

    system: contract.System
    config: Mapping[str, Any] = field(repr=False)
    text: str = field(repr=False)
    hash: str

    @property
    def connector(self) -> str:
        """The connector's entry-point name."""
        return self.system.connector


@dataclass(frozen=True, slots=True)
class Maps:
    """All systems by name; `text` is canonical JSON and `hash` its SHA-256 (hex)."""

    systems: Mapping[str, MappedSystem]
    text: str = field(repr=False)
    hash: str

    @property
    def by_name(self) -> dict[str, contract.System]:
        """The systems as the contract knows them."""
        return {name: mapped.system for name, mapped in self.systems.items()}


def load_systems(folder: Path) -> Maps:
    """Return the map of every `*.yaml` in `folder`.

    Raises:
        DocumentError: every fault of every file at once; also where there is no file at all.

    """
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise DocumentError([f"{folder}:1: no *.yaml here; add one file per system"])
    systems: dict[str, MappedSystem] = {}
    homes: dict[str, Path] = {}
    faults: list[str] = []
    for file in files:
        try:
            document = read_file(file)
            mapped = _mapped(document)
        except DocumentError as error:
            faults += error.faults
            continue
        name = mapped.system.name
        if name in systems:
            message = f"{name} is mapped by {homes[name]} too; keep one of the two files"
            faults.append(document.fault(("system",), message))
        systems[name] = mapped
        homes.setdefault(name, file)
    if faults:
        raise DocumentError(faults)
    return _maps(systems)


def read_system(text: str, name: str = "map") -> MappedSystem:
    """Return the system that `text` (YAML, or a system's frozen text) maps.

    Raises:
        DocumentError: the text is no valid map.

    """
    return _mapped(read(text, name))


def load_draft(folder: Path, name: str) -> MappedSystem | None:
    """Return the system called `name` in `folder`, mapped or not yet; None where none is called so.

    Raises:
        DocumentError: its file is no valid draft of a map. Faults of other files do not matter.

    """
    for file in sorted(folder.glob("*.yaml")):
        try:
            document = read_file(file)
        except DocumentError:
            if file.stem == name:
                raise
            continue
        if document.data.get("system") == name:
            return _mapped(document, DraftFile)
    return None


def draft_names(folder: Path) -> list[str]:
    """The names of the systems that the readable files in `folder` are of, mapped or not yet."""
    found = set()
    for file in folder.glob("*.yaml"):
        try:
            name = read_file(file).data.get("system")
        except DocumentError:
            continue
        if isinstance(name, str):
            found.add(name)
    return sorted(found)


def parse_maps(text: str) -> Maps:
    """Return the maps whose `Maps.text` was frozen.

    Raises:
        DocumentError: the text is no map, or no longer valid.

    """
    try:
        frozen = json.loads(text)
    except ValueError:
        raise DocumentError(["frozen map:1: not the text of a map"]) from None
    systems = {name: read_system(_canonical(data), name) for name, data in frozen.items()}
    return _maps(systems)


def _maps(systems: Mapping[str, MappedSystem]) -> Maps:
    ordered = dict(sorted(systems.items()))
    text = _canonical({name: json.loads(mapped.text) for name, mapped in ordered.items()})
    return Maps(ordered, text, _sha256(text))


def _mapped(document: Document, kind: type[SystemFile] = SystemFile) -> MappedSystem:
    model = parse(document, kind)
    system = _system(model)
    faults = [document.fault(path, message) for path, message in faults_of(system)]
    faults += [document.fault(path, message) for path, message in _inline_secrets(document.data)]
    if faults:
        raise DocumentError(faults)
    text = _canonical(document.data)
    return MappedSystem(system, model.config, text, _sha256(text))


def _canonical(data: object) -> str:
    # Order is kept: it is the order in which people read their data.
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _system(model: SystemFile) -> contract.System:
    collections = {name: _collection(name, part) for name, part in model.collections.items()}
    return contract.System(
        model.system, model.connector, collections, model.parallel, left_out=model.left_out
    )


def _collection(name: str, part: CollectionFile) -> contract.Collection:
    parent = part.parent
    return contract.Collection(
        name=name,
        key=part.key,
        fields={field: _field(field, item) for field, item in part.fields.items()},
        takes={kind: contract.Taken(item.field, item.form) for kind, item in part.takes.items()},
        yields=part.yields,
        person=part.person,
        parent=None if parent is None else contract.Parent(parent.collection, parent.on),
        contact=part.contact,
        residence=part.residence,
        clocks=part.clocks,
        record_class=part.record_class,
        kept_fields=None if part.keeps is None else frozenset(part.keeps),
        purpose=part.purpose,
        legal_basis=part.legal_basis,
        recipients=part.recipients,
        origin=part.origin,
        restriction=None if part.restrict is None else _restriction(part.restrict),
        review=part.review,
        source=part.source,
    )


def _restriction(part: RestrictFile) -> contract.Restriction:
    kinds = contract.RestrictionKind
    if part.flag is not None:
        return contract.Restriction(kinds.FLAG, part.flag, part.value, part.free)
    if part.move is not None:
        return contract.Restriction(kinds.MOVE, collection=part.move)
    return contract.Restriction(kinds.LIST, collection=part.listed_in or "")


def _field(name: str, part: FieldFile) -> contract.Field:
    mask = None if part.mask is None else contract.Mask(part.mask.kind, part.mask.constant)
    nulls = frozenset(part.null_values)
    return contract.Field(
        name, part.category, mask, part.third_party, part.free_text, nulls, part.review
    )


# ---- secrets by reference


class SecretMissing(ValueError):  # noqa: N818 - reads as what it is
    """A reference to a secret leads nowhere; the text names the reference, never a value."""


_Config = TypeVar("_Config", bound=BaseModel)


def connector_config(
    mapped: MappedSystem,
    model: type[_Config],
    environment: Mapping[str, str] = os.environ,
    base: Path | None = None,
    *,
    needed_alone: bool = False,
) -> _Config:
    """Return the connector's own config with every reference resolved, for making it now.

    `base` is the folder that relative `{file: …}` references start from. Call it anew for every
    connector that is made, so that rotated secrets are seen. With `needed_alone` a reference that
    leads nowhere is as if it were not written, where the connector can do without.

    Raises:
        SecretMissing: a variable is not set, or a file cannot be read.
        DocumentError: the config does not fit the connector, or writes a secret out.

    """
    name = mapped.system.name
    written_out = [
        f"{name}: config.{key}: a secret is written out; write {{env: NAME}} or {{file: path}}"
        for key, info in model.model_fields.items()
        if _is_secret(info.annotation) and isinstance(mapped.config.get(key), str)
    ]
    if written_out:
        raise DocumentError(written_out)
    config = mapped.config
    if needed_alone:
        config = dict(_there(config, model, environment, base or Path()))
    try:
        return model.model_validate(_resolved(config, environment, base or Path()))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        raise DocumentError(
            f"{name}: config.{'.'.join(map(str, found['loc']))}: {found['msg']}"
            for found in details
        ) from None


def _there(
    config: Mapping[str, Any],
    model: type[BaseModel],
    environment: Mapping[str, str],
    base: Path,
) -> Iterator[tuple[str, Any]]:
    """The parts of a config without the references to nothing that its model does not require."""
    for key, value in config.items():
        reference, info = _reference(value), model.model_fields.get(key)
        if reference is not None and info is not None and not info.is_required():
            try:
                _secret(*reference, environment, base)
            except SecretMissing:
                continue
        yield key, value


def _is_secret(annotation: Any) -> bool:
    parts = getattr(annotation, "__args__", ())
    return annotation is SecretStr or any(_is_secret(part) for part in parts)


def _reference(value: object) -> tuple[str, str] | None:
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, target),) = value.items()
        if kind in {"env", "file"} and isinstance(target, str):
            return kind, target
    return None


def _resolved(value: Any, environment: Mapping[str, str], base: Path) -> Any:
    reference = _reference(value)
    if reference is not None:
        return _secret(*reference, environment, base)
    if isinstance(value, Mapping):
        return {key: _resolved(part, environment, base) for key, part in value.items()}
    if isinstance(value, list):
        return [_resolved(part, environment, base) for part in value]
    return value


def _secret(kind: str, target: str, environment: Mapping[str, str], base: Path) -> str:
    if kind == "env":
        if not environment.get(target):
            raise SecretMissing(f"environment variable {target} is not set; set it")
        return environment[target]
    try:
        return (base / target).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretMissing(f"the file {target} cannot be read; check path and rights") from error


def _inline_secrets(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    def walk(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
        if _reference(value) is not None:
            return
        if isinstance(value, Mapping):
            for key, part in value.items():
                yield from walk(part, (*path, key))
        elif isinstance(value, list):
            for at, part in enumerate(value):
                yield from walk(part, (*path, at))
        elif isinstance(value, str) and _looks_secret(str(path[-1]), value):
            yield path

    for place in walk(data.get("config", {}), ("config",)):
        yield place, "a secret is written out; write {env: NAME} or {file: path}"


def _looks_secret(key: str, value: str) -> bool:
    return bool(_SECRET_KEY.search(key) or _USERINFO.search(value))
