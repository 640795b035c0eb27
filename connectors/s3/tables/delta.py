"""Delta tables by deltalake.

In: a prefix. Out: the newest state; rows changed by MERGE, so that values of people are data beside
the statement: the text of a DELETE would hold them, and the table's log keeps that text. History
goes in the order in which a repeat can find it: files that no version needs, then the log before a
checkpoint, whose statistics name the least and the greatest value of each column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import unquote

from connectors.s3.tables.opened import Altered, asked
from connectors.s3.tables.rows import library
from connectors.s3.tables.wire import Lake
from dsr_worker.contract import NeedsHuman

_LOG = "_delta_log/"
_CHANGES = "_change_data/"
_LOGGED = re.compile(r"([0-9]{20})\.(json|crc|checkpoint.*|[0-9]{20}\.compacted\.json)")
_READ = frozenset({"timestampNtz", "vacuumProtocolCheck"})
"""Reader features under which a row of a current file is a row of the table, by its name."""


class DeltaTable:
    """One Delta table under `prefix` of the lake's bucket."""

    def __init__(self, lake: Lake, prefix: str) -> None:
        self._lake = lake
        self._prefix = prefix
        self._delta = library("deltalake")
        with self._asked(), self._none_here():
            self._table = self._delta.DeltaTable(
                f"s3://{lake.bucket.name}/{prefix.rstrip('/')}", storage_options=lake.for_delta()
            )
            self._refuse_features()

    def current(self) -> frozenset[str]:
        """As `Opened.current`."""
        start = f"s3://{self._lake.bucket.name}/"
        return frozenset(unquote(uri.removeprefix(start)) for uri in self._table.file_uris())

    def past(self) -> frozenset[str]:
        """As `Opened.past`."""
        tombs = {self._prefix + path for path in self._vacuum(dry_run=True)}
        return frozenset(tombs.union(self._keys(_CHANGES)))

    def change(self, rows: Sequence[Altered]) -> None:
        """As `Opened.change`."""
        names = list(rows[0].match)
        masked = list(dict.fromkeys(name for row in rows for name in row.masks or {}))
        if any("." in name for name in masked):
            raise NeedsHuman("s3-table-mask", {"fields": [n for n in masked if "." in n]})
        same = " AND ".join(
            f"({_column(name)} IS NOT DISTINCT FROM s.w{n})" for n, name in enumerate(names)
        )
        with self._asked():
            merger = self._table.merge(
                self._source(rows, names, masked), same, source_alias="s", target_alias="t"
            )
            merger = merger.when_matched_delete(predicate="s.gone")
            if masked:
                updates = {_quoted(name): f"s.m{n}" for n, name in enumerate(masked)}
                merger = merger.when_matched_update(updates, predicate="NOT s.gone")
            merger.execute()

    def retire(self) -> Iterator[list[str]]:
        """As `Opened.retire`."""
        with self._asked():
            self._table.update_incremental()
        yield sorted(self.past())
        self._vacuum(dry_run=False)
        with self._asked():
            self._table.update_incremental()
            self._table.create_checkpoint()
        yield list(self._older(self._table.version()))

    def _vacuum(self, *, dry_run: bool) -> list[str]:
        with self._asked():
            paths: list[str] = self._table.vacuum(
                retention_hours=0, dry_run=dry_run, enforce_retention_duration=False
            )
        return [unquote(path) for path in paths]

    def _older(self, version: int) -> Iterator[str]:
        for key in self._keys(_LOG):
            logged = _LOGGED.fullmatch(key.removeprefix(self._prefix + _LOG))
            if logged and int(logged[1]) < version:
                yield key

    def _keys(self, folder: str) -> list[str]:
        objects = self._lake.bucket.objects(self._prefix + folder, self._lake.spend)
        return [versions[0].key for versions in objects]

    def _source(self, rows: Sequence[Altered], names: list[str], masked: list[str]) -> Any:
        arrow = library("pyarrow")
        columns = {
            f"w{n}": _array([row.match[name] for row in rows], self._type(name))
            for n, name in enumerate(names)
        }
        for n, name in enumerate(masked):
            new = arrow.array([(row.masks or {}).get(name) for row in rows], arrow.string())
            try:
                columns[f"m{n}"] = new.cast(self._type(name))
            except arrow.ArrowException:
                raise NeedsHuman("s3-table-mask", {"fields": [name]}) from None
        columns["gone"] = arrow.array([row.masks is None for row in rows], arrow.bool_())
        return arrow.table(columns)

    def _type(self, name: str) -> Any:
        kind = library("pyarrow").schema(self._table.schema().to_arrow())
        first, *rest = [name] if name in kind.names else name.split(".")
        if first not in kind.names:
            raise NeedsHuman("s3-table-unsupported", {"feature": f"no column {first}"})
        found = kind.field(first).type
        for step in rest:
            found = found.field(step).type
        return found

    def _asked(self) -> AbstractContextManager[None]:
        return asked("deltalake", self._delta.exceptions.CommitFailedError)

    @contextmanager
    def _none_here(self) -> Iterator[None]:
        try:
            yield
        except self._delta.exceptions.TableNotFoundError:
            raise NeedsHuman("s3-table-unsupported", {"feature": "no Delta table here"}) from None

    def _refuse_features(self) -> None:
        protocol = self._table.protocol()
        features = set(protocol.reader_features or ()) - _READ
        mapped = self._table.metadata().configuration.get("delta.columnMapping.mode", "none")
        if mapped != "none":
            features.add("columnMapping")
        if features:
            raise NeedsHuman("s3-table-unsupported", {"feature": ", ".join(sorted(features))})


def _array(values: Sequence[Any], kind: Any) -> Any:
    """Values in their column's type; those that stood in a path are texts."""
    arrow = library("pyarrow")
    texts = all(isinstance(value, str | None) for value in values)
    return arrow.array(values, arrow.string()).cast(kind) if texts else arrow.array(values, kind)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _column(name: str) -> str:
    first, *rest = name.split(".")
    column = f"t.{_quoted(first)}"
    for step in rest:
        column = f"get_field({column}, '{step.replace(chr(39), chr(39) * 2)}')"
    return column
