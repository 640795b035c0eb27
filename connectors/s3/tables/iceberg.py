"""Iceberg tables by pyiceberg.

In: a table of a catalogue. Out: the newest state; rows changed by typed expressions in one
transaction. History goes in the order in which a repeat can find it: data files that only old
snapshots name, then their manifests, whose bounds name the least and the greatest value of each
column, then the lists of those; the snapshots last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from connectors.s3.tables.opened import Altered, asked
from connectors.s3.tables.rows import Rows, library
from connectors.s3.tables.wire import Lake
from dsr_worker.contract import Configuration, NeedsHuman

_ROWS_AN_EXPRESSION = 200
_MAIN = "main"
_DELETED = 2  # status of a manifest's entry (Iceberg specification, "Manifests")


class IcebergTable:
    """One Iceberg table whose files lie under `prefix` of the lake's bucket."""

    def __init__(self, lake: Lake, prefix: str, catalog: str, name: str) -> None:
        self._bucket = lake.bucket.name
        self._start = f"{lake.bucket.name}/{prefix}"
        properties = lake.config.catalogs.get(catalog)
        if properties is None:
            raise Configuration(f"the system's config has no `catalogs` entry {catalog}")
        plain = {key: value.get_secret_value() for key, value in properties.items()}
        self._errors = library("pyiceberg.exceptions")
        with self._asked(), self._none_here():
            loaded = library("pyiceberg.catalog").load_catalog(
                catalog, **{**lake.for_iceberg(), **plain}
            )
            self._table = loaded.load_table(name)
            self._refuse_features()

    def current(self) -> frozenset[str]:
        """As `Opened.current`."""
        with self._asked():
            return frozenset(self._files(self._table.current_snapshot()))

    def past(self) -> frozenset[str]:
        """As `Opened.past`."""
        newest = self._table.current_snapshot()
        with self._asked():
            old = {key for s in self._table.snapshots() if s != newest for key in self._files(s)}
            return frozenset(old - set(self._files(newest)))

    def change(self, rows: Sequence[Altered]) -> None:
        """As `Opened.change`."""
        with self._asked(), self._table.transaction() as transaction:
            for start in range(0, len(rows), _ROWS_AN_EXPRESSION):
                part = rows[start : start + _ROWS_AN_EXPRESSION]
                masked = self._masked([row for row in part if row.masks is not None])
                transaction.delete(self._any_of(part))
                if masked is not None:
                    transaction.append(masked)

    def retire(self) -> Iterator[list[str]]:
        """As `Opened.retire`."""
        with self._asked():
            self._forget_deleted()
            newest = self._table.current_snapshot()
            old = [s for s in self._table.snapshots() if s != newest]
            manifests = {key for snapshot in old for key in self._manifests(snapshot)}
            manifests.difference_update(self._manifests(newest))
        yield sorted(self.past())
        yield sorted(manifests)
        yield [self._key(snapshot.manifest_list) for snapshot in old]
        if old:
            with self._asked():
                expiry = self._table.maintenance.expire_snapshots()
                expiry.by_ids([snapshot.snapshot_id for snapshot in old]).commit()

    def _forget_deleted(self) -> None:
        """One more snapshot, if need be, that names no file which went, nor the bounds of it."""
        self._table.refresh()
        newest = self._table.current_snapshot()
        if any(entry.status == _DELETED for entry in self._entries(newest)):
            self._table.append(self._table.schema().as_arrow().empty_table())
            self._table.refresh()

    # ---- files

    def _files(self, snapshot: Any) -> Iterator[str]:
        for entry in self._entries(snapshot):
            if entry.status != _DELETED:
                yield self._key(entry.data_file.file_path)

    def _manifests(self, snapshot: Any) -> Iterator[str]:
        try:
            for manifest in snapshot.manifests(self._table.io) if snapshot else ():
                yield self._key(manifest.manifest_path)
        except FileNotFoundError:
            return  # as below

    def _entries(self, snapshot: Any) -> Iterator[Any]:
        try:
            manifests = snapshot.manifests(self._table.io) if snapshot else []
        except FileNotFoundError:
            return  # an earlier run took it, and what it named before it
        for manifest in manifests:
            try:
                yield from manifest.fetch_manifest_entry(self._table.io, discard_deleted=False)
            except FileNotFoundError:
                continue  # as above

    def _key(self, uri: str) -> str:
        _, _, place = uri.partition("://")  # some write s3a: or s3n:
        if not place.startswith(self._start):
            raise NeedsHuman(
                "s3-table-unsupported", {"feature": "files outside of the table's prefix"}
            )
        return place.removeprefix(f"{self._bucket}/")

    # ---- rows

    def _any_of(self, rows: Sequence[Altered]) -> Any:
        terms = library("pyiceberg.expressions")
        return _joined(terms.Or, [self._all_of(row) for row in rows])

    def _all_of(self, row: Altered) -> Any:
        terms = library("pyiceberg.expressions")
        return _joined(
            terms.And,
            [
                terms.IsNull(name) if value is None else terms.EqualTo(name, value)
                for name, value in row.match.items()
            ],
        )

    def _masked(self, rows: Sequence[Altered]) -> Any:
        """The rows that stay, with their masks; None where there are none."""
        if not rows:
            return None
        found = self._table.scan(row_filter=self._any_of(rows)).to_arrow()
        masks = {repr(list(row.match.values())): dict(row.masks or {}) for row in rows}
        names = list(rows[0].match)
        stored = (row for batch in found.to_batches() for row in Rows(batch, {}))
        of_row = [masks[repr([row.stored(name) for name in names])] for row in stored]
        for name in dict.fromkeys(name for new in of_row for name in new):
            found = self._with_masks(found, name, of_row)
        return found

    def _with_masks(self, found: Any, name: str, of_row: Sequence[dict[str, str | None]]) -> Any:
        arrow = library("pyarrow")
        at = found.schema.get_field_index(name)
        if at < 0:
            raise NeedsHuman("s3-table-mask", {"fields": [name]})
        kind = found.schema.field(at)
        try:
            texts = arrow.array([new.get(name) for new in of_row], arrow.string()).cast(kind.type)
        except arrow.ArrowException:
            raise NeedsHuman("s3-table-mask", {"fields": [name]}) from None
        masked = arrow.array([name in new for new in of_row])
        old = found.column(at).combine_chunks()
        new = library("pyarrow.compute").if_else(masked, texts, old)
        return found.set_column(at, kind, new)

    # ---- what cannot be done

    def _asked(self) -> AbstractContextManager[None]:
        return asked("pyiceberg", self._errors.CommitFailedException)

    @contextmanager
    def _none_here(self) -> Iterator[None]:
        try:
            yield
        except self._errors.NoSuchTableError:
            raise NeedsHuman("s3-table-unsupported", {"feature": "no table of that name"}) from None

    def _refuse_features(self) -> None:
        features = set()
        if self._table.refs().keys() - {_MAIN}:
            features.add("branches or tags, which hold on to old snapshots")
        names: dict[int, set[str]] = {}
        for schema in self._table.metadata.schemas:
            for field_id in schema.field_ids:
                names.setdefault(field_id, set()).add(schema.find_column_name(field_id))
        if any(len(called) > 1 for called in names.values()):
            features.add("renamed columns")
        snapshot = self._table.current_snapshot()
        if any(entry.data_file.content.value for entry in self._entries(snapshot)):
            features.add("delete files: compact the table first")
        if features:
            raise NeedsHuman("s3-table-unsupported", {"feature": ", ".join(sorted(features))})


def _joined(both: Any, terms: Sequence[Any]) -> Any:
    return terms[0] if len(terms) == 1 else both(*terms)
