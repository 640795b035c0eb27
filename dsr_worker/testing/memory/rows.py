"""Rows of the in-memory connector: shared by name in a process, by a file between processes.

In: rows as JSON objects per collection. Out: tables with indexes made on demand, and transactions
that apply their changes together or not at all. With a path the rows live in an SQLite file and are
read again only when another connection has changed it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from dsr_worker.contract import Remainder, Transient

Row = dict[str, Any]
RowKey = tuple[str, ...]
Refusal = tuple[Remainder, datetime | None]  # the ground, and until when
Change = tuple[str, RowKey, Row | None]  # collection, key, the row as it is to be; None: gone
_Spelling = Callable[[str], str | None]

_BUSY_TIMEOUT_S: Final = 10
_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS rows (c TEXT, k TEXT, body TEXT, PRIMARY KEY (c, k))"


@dataclass
class Tables:
    """Rows by collection and key, with indexes over the fields that were asked for.

    What stands in `refusals` is not erased or masked until its time has come; what is archived or
    denied is not read either.
    """

    rows: dict[str, dict[RowKey, Row]] = field(default_factory=lambda: defaultdict(dict))
    refusals: dict[tuple[str, RowKey], Refusal] = field(default_factory=dict)
    _indexes: dict[tuple[str, str, str], tuple[_Spelling, dict[str, dict[RowKey, None]]]] = field(
        default_factory=dict
    )

    def keys(
        self, collection: str, name: str, value: str, kind: str, spell: _Spelling
    ) -> list[RowKey]:
        """The keys of rows whose field, spelled by `spell` (named `kind`), is `value`."""
        place = collection, name, kind
        if place not in self._indexes:
            index: dict[str, dict[RowKey, None]] = defaultdict(dict)
            self._indexes[place] = spell, index
            for key, row in self.rows[collection].items():
                _enter(index, spell, key, row.get(name))
        return list(self._indexes[place][1].get(value, ()))

    def refusal(self, collection: str, key: RowKey, now: datetime) -> Refusal | None:
        """Why the store does not let a row go at this time, and until when."""
        found = self.refusals.get((collection, key))
        return None if found is None or (found[1] is not None and found[1] <= now) else found

    def apply(self, changes: Iterable[Change]) -> None:
        """Put or take away rows; indexes follow."""
        for collection, key, row in changes:
            before = self.rows[collection].pop(key, None)
            if row is not None:
                self.rows[collection][key] = row
            for (of, name, _), (spell, index) in self._indexes.items():
                if of == collection:
                    _leave(index, spell, key, (before or {}).get(name))
                    _enter(index, spell, key, (row or {}).get(name))


def _enter(index: dict[str, dict[RowKey, None]], spell: _Spelling, key: RowKey, value: Any) -> None:
    if value is not None and (spelled := spell(str(value))) is not None:
        index[spelled][key] = None


def _leave(index: dict[str, dict[RowKey, None]], spell: _Spelling, key: RowKey, value: Any) -> None:
    if value is not None and (spelled := spell(str(value))) is not None:
        index[spelled].pop(key, None)


@contextmanager
def _reaching() -> Iterator[None]:
    """Turn a file that cannot be used into the contract's own error."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        message = f"the file of the rows cannot be used: {type(error).__name__}"
        raise Transient(message) from None


class Store:
    """Tables under a lock, and a count of the calls that were made on them."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._tables = Tables()
        self._seen = -1
        self._file: sqlite3.Connection | None = None
        self._counts: Counter[str] = Counter()

    def load(self, rows: Mapping[str, Iterable[Row]], keys: Mapping[str, Sequence[str]]) -> None:
        """Put rows in place; `keys` says which fields name a row of each collection."""
        with self.transaction() as (_, changes):
            changes.extend(
                (collection, tuple(str(row[name]) for name in keys[collection]), row)
                for collection, some in rows.items()
                for row in some
            )

    def refuse(
        self, collection: str, key: RowKey, ground: Remainder, until_at: datetime | None = None
    ) -> None:
        """Refuse to erase or mask a row, until an instant or until `allow`."""
        with self._lock:
            self._tables.refusals[collection, key] = (ground, until_at)

    def allow(self, collection: str, key: RowKey) -> None:
        """Refuse a row no longer."""
        with self._lock:
            del self._tables.refusals[collection, key]

    def dump(self) -> dict[str, dict[RowKey, bytes]]:
        """Every row as canonical JSON."""
        with self.reading() as tables:
            return {
                collection: {
                    key: json.dumps(row, sort_keys=True).encode()
                    for key, row in sorted(some.items())
                }
                for collection, some in sorted(tables.rows.items())
            }

    @contextmanager
    def reading(self) -> Iterator[Tables]:
        """The tables as they are now. Keep the block short: writers wait for it."""
        with self._lock:
            if self._path is not None:
                with _reaching():
                    self._refresh(self._open())
            yield self._tables

    @contextmanager
    def transaction(self) -> Iterator[tuple[Tables, list[Change]]]:
        """Tables to decide by and a list to fill; what it holds is applied when the block ends."""
        changes: list[Change] = []
        with self._lock:
            if self._path is None:
                yield self._tables, changes
            else:
                with _reaching():
                    file = self._open()
                    file.execute("BEGIN IMMEDIATE")
                try:
                    self._refresh(file)
                    yield self._tables, changes
                    self._store(file, changes)
                    file.execute("COMMIT")
                except BaseException:  # also a death that a test plays: others wait for the file
                    file.execute("ROLLBACK")
                    raise
            self._tables.apply(changes)

    def count(self, method: str) -> None:
        """Count a call for all processes that share the file."""
        with self._lock:
            self._counts[method] += 1
            if self._path is not None:
                with _reaching():
                    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
                    log = os.open(f"{self._path}.calls", flags, 0o600)
                try:
                    os.write(log, f"{method}\n".encode())
                finally:
                    os.close(log)

    def counts(self) -> Counter[str]:
        """How often each method was called, in all processes that share the file."""
        if self._path is None:
            return Counter(self._counts)
        log = Path(f"{self._path}.calls")
        return (
            Counter(line.strip() for line in log.read_text().splitlines())
            if log.exists()
            else Counter()
        )

    def _open(self) -> sqlite3.Connection:
        if self._file is None:
            file = sqlite3.connect(
                str(self._path),
                timeout=_BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,  # the lock serialises its use
            )
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("PRAGMA synchronous = OFF")  # outlives the process, not the machine
            file.execute(_SCHEMA)
            self._file = file
        return self._file

    def _refresh(self, file: sqlite3.Connection) -> None:
        (version,) = file.execute("PRAGMA data_version").fetchone()
        if version != self._seen:
            tables = Tables(refusals=self._tables.refusals)
            for collection, key, body in file.execute("SELECT c, k, body FROM rows ORDER BY rowid"):
                tables.rows[collection][tuple(json.loads(key))] = json.loads(body)
            self._tables, self._seen = tables, version

    def _store(self, file: sqlite3.Connection, changes: list[Change]) -> None:
        for collection, key, row in changes:
            named = collection, json.dumps(key)
            if row is None:
                file.execute("DELETE FROM rows WHERE c = ? AND k = ?", named)
            else:
                body = json.dumps(row)
                file.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", (*named, body))
