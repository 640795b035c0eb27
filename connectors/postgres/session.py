"""Connections and transactions: the only place that speaks to the server.

In: a DSN, statements made of catalogue names and numbers, and rows of data. Out: rows, one at a
time, and errors that say what follows from them. Subject values travel as COPY data alone and
never stand in a statement's text; an error leaves here as its class and SQLSTATE, since a
server's DETAIL holds values.

Timeouts are `SET LOCAL`, temporary tables are `ON COMMIT DROP`, nothing outlives a transaction: a
pooler in transaction mode in between does no harm.
"""

from __future__ import annotations

import io
import json
import os
import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a small name
from psycopg2.sql import SQL, Composable, Literal

from dsr_worker.contract import Configuration, ConnectorError, Permanent, Transient

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_PARCEL_BYTES = 256 * 1024
_PARCELS_AHEAD = 2
CELLS = b"\x02"
"""What stands between the cells of a row: no text that JSON or a number can be holds it."""
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_DIGITS = len(str(_LARGEST))
_NULLS = "\\N\t\\N\t\\N"


class Contended(Transient):
    """A deadlock or a serialisation failure: the same transaction may go through at once."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait: for a connection, a statement, a lock, and idle within a transaction.

    Where row security would hide rows, a statement fails, unless policies are to be obeyed.
    """

    connect_s: int
    statement_s: float
    lock_s: float
    idle_s: float
    obey_row_security: bool = False


def consequence(error: psycopg2.Error) -> ConnectorError:
    """What follows from a server's or driver's error, without any of its text."""
    state = error.pgcode or ""
    what = f"{type(error).__name__} {state or 'without SQLSTATE'}"
    if state in {"40001", "40P01"}:
        return Contended(f"Postgres: {what}: another transaction was in the way", retry_after_s=1)
    if state[:2] in {"08", "53", "57"} or state in {"55P03", "25P03", "25P04"}:
        return Transient(f"Postgres: {what}: the server was busy, waited for or stopped")
    if state[:2] in {"28", "3D", "42"} or state == "25006":
        return Configuration(f"Postgres: {what}: grants, map and catalogue disagree; run the check")
    if not state and isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return Transient(f"Postgres: {what}: the connection failed")
    if state[:2] == "23":
        return Permanent(
            f"Postgres: {what}{_constraint(error)}: nothing was changed. Map what refers to the"
            " rows, or give the masked fields masks that the constraint lets through"
        )
    return Permanent(f"Postgres: {what}: nothing was changed")


def _constraint(error: psycopg2.Error) -> str:
    """The violated constraint, where its name can be no subject's value."""
    name = error.diag.constraint_name or error.diag.column_name or ""
    return f" of {name}" if _PLAIN_NAME.fullmatch(name) else ""


@contextmanager
def errors() -> Iterator[None]:
    """Turn the driver's errors into the contract's, dropping their texts and causes."""
    try:
        yield
    except psycopg2.Error as error:
        translated = consequence(error)
        raise translated from None


def storable(value: str) -> bool:
    """Whether a text column could hold `value`."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def sendable(value: str) -> bool:
    """Whether a text column could hold `value` and it names anything at all."""
    return bool(value.strip()) and storable(value)


def typed(value: str) -> tuple[str, str | None, str | None]:
    """`value` as text, whole number and UUID, as far as it is exactly the text of one."""
    whole = _WHOLE_NUMBER.fullmatch(value) and _SMALLEST <= int(value) <= _LARGEST
    number = value if whole else None
    return value, number, value if _UUID.fullmatch(value) else None


def typed_cells(value: str | None) -> str:
    """`typed` as three cells of a row for COPY; None is null in all of them."""
    if value is None:
        return _NULLS
    if value.isascii() and value.isdigit() and len(value) < _DIGITS and value[0] != "0":
        return f"{value}\t{value}\t\\N"
    return "\t".join(map(_cell, typed(value)))


def line(*values: str | int | None) -> bytes:
    """One row in the text format of COPY, exact for every character but NUL."""
    return ("\t".join(map(_cell, values)) + "\n").encode()


def _cell(value: str | int | None) -> str:
    if value is None:
        return r"\N"
    if isinstance(value, int):
        return str(value)
    text = value.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace("\r", "\\r").replace("\t", "\\t")


class _Stopped(Exception):  # noqa: N818 - a signal without text: the driver sends it to the server
    pass


class _Lines:
    """What COPY reads from; a failing source is kept here, its text never reaches the server."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._rest = b""
        self.failure: BaseException | None = None

    def read(self, size: int = 8192, /) -> bytes:
        parts, held = [self._rest], len(self._rest)
        try:
            while held < size:
                part = next(self._lines, b"")
                if not part:
                    break
                parts.append(part)
                held += len(part)
        except BaseException as failure:  # noqa: BLE001 - raised again once COPY has ended
            self.failure = failure
            raise _Stopped from None
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]

    def readline(self, size: int = 8192, /) -> bytes:
        """The driver's type asks for it; COPY reads in blocks."""
        return self.read(size)


class _Parcels(io.RawIOBase):
    """The bounded pipe between COPY, which pushes, and a reader, who pulls.

    The driver writes row by row into the buffer before it, which is not Python's own work.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stopped = False
        self.failed = False  # what a failure leaves in the buffer is not wanted
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(_PARCELS_AHEAD)
        self._rest = b""  # a row's beginning

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Take what the buffer gathered, and hand on the whole rows of it."""
        part = bytes(data)
        if self.failed:
            return len(part)
        if self.stopped:
            raise _Stopped
        end = part.rfind(b"\n") + 1
        if end:
            self._send(self._rest + part[: end - 1] if self._rest else part[: end - 1])
            self._rest = b""
        self._rest += part[end:]
        return len(part)

    def finish(self, failure: BaseException | None) -> None:
        """Say that nothing more comes."""
        if not self.stopped:
            self._send(failure)

    def _send(self, parcel: bytes | BaseException | None) -> None:
        while not self.stopped:
            try:
                return self._queue.put(parcel, timeout=0.2)
            except queue.Full:
                continue
        raise _Stopped

    def received(self) -> Iterator[bytes]:
        """The parcels as they come: whole rows, without the last one's line break."""
        while (parcel := self._queue.get()) is not None:
            if isinstance(parcel, BaseException):
                raise parcel
            yield parcel


@dataclass
class Session:
    """One transaction. It rolls back unless `commit` was reached."""

    connection: Connection
    committed: bool = False

    def run(self, statement: Composable) -> int:
        """Execute, and say how many rows it touched."""
        with errors(), self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.rowcount

    def rows(self, statement: Composable) -> list[tuple[Any, ...]]:
        """A result that is small whatever the data: counts, the catalogue, a bounded part."""
        with errors(), self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def fill(self, table: Composable, lines: Iterable[bytes]) -> None:
        """COPY `lines` into a temporary table, pulling them as the server takes them."""
        source = _Lines(lines)
        statement = SQL("COPY pg_temp.{} FROM STDIN").format(table)
        with errors(), self.connection.cursor() as cursor:
            try:
                cursor.copy_expert(statement, source)
            except (psycopg2.Error, _Stopped):
                if source.failure is not None:
                    raise source.failure from None
                raise

    def stream(self, query: Composable) -> Iterator[list[bytes]]:
        """The rows of a query as they come, each a list of cells; see `parcels`."""
        for parcel in self.parcels(query):
            for row in parcel.split(b"\n"):
                yield row.split(CELLS)

    def parcels(self, query: Composable) -> Iterator[bytes]:
        r"""The rows of a query as they come, many at once, one a line; one statement, flat memory.

        No cell may hold a line break, \x01 or \x02: make it JSON or a number.
        """
        statement = SQL(
            r"COPY ({}) TO STDOUT WITH (FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01')"
        ).format(query)
        parcels = _Parcels()
        copying = threading.Thread(target=self._copy, args=(statement, parcels), daemon=True)
        copying.start()
        try:
            yield from parcels.received()
        finally:
            parcels.stopped = True
            if copying.is_alive():
                copying.join(0.05)
            while copying.is_alive():
                self.connection.cancel()
                copying.join(1)

    def _copy(self, statement: Composable, parcels: _Parcels) -> None:
        failure: BaseException | None = None
        try:
            rows = io.BufferedWriter(parcels, _PARCEL_BYTES)
            with errors(), self.connection.cursor() as cursor:
                cursor.copy_expert(statement, rows)
            rows.flush()
        except BaseException as error:  # noqa: BLE001 - raised again where the rows are read
            failure, parcels.failed = error, True
        try:
            parcels.finish(failure)
        except _Stopped:
            return

    def arrays(self, query: Composable) -> Iterator[list[Any]]:
        """The rows of a query whose one column is a JSON array."""
        for (cell,) in self.stream(query):
            yield json.loads(cell)

    def commit(self) -> None:
        """Commit, or raise: a server that rolled back instead says so only in its status."""
        with errors(), self.connection.cursor() as cursor:
            cursor.execute("COMMIT")
            if cursor.statusmessage != "COMMIT":
                raise Transient("Postgres rolled the transaction back instead of committing it")
        self.committed = True


@dataclass
class Server:
    """A database to connect to. Idle connections are kept for the next call, per process."""

    dsn: Callable[[], str]
    keep: int
    _idle: list[Connection] = field(default_factory=list)
    _pid: int = field(default_factory=os.getpid)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def transaction(
        self, limits: Limits, *, snapshot: bool = False, fresh: bool = False
    ) -> Iterator[Session]:
        """A transaction: `snapshot` gives repeatable reads; `fresh` a connection of its own."""
        session = Session(self._begun(limits, snapshot=snapshot, fresh=fresh))
        try:
            yield session
            if not session.committed:
                session.run(SQL("ROLLBACK"))
        except BaseException:
            session.connection.close()
            raise
        self._keep(session.connection, fresh=fresh)

    def close(self) -> None:
        """Close what lies idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _begun(self, limits: Limits, *, snapshot: bool, fresh: bool) -> Connection:
        opening = _opening(limits, snapshot=snapshot)
        kept = None if fresh else self._take()
        if kept is not None:
            try:
                with kept.cursor() as cursor:
                    cursor.execute(opening)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                kept.close()
            else:
                return kept
        connection = self._open(limits)
        with errors(), connection.cursor() as cursor:
            cursor.execute(opening)
        return connection

    def _take(self) -> Connection | None:
        with self._lock:
            if self._pid != os.getpid():  # after a fork the parent's connections are not ours
                self._idle, self._pid = [], os.getpid()
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: Connection, *, fresh: bool) -> None:
        with self._lock:
            if not fresh and len(self._idle) < self.keep and self._pid == os.getpid():
                self._idle.append(connection)
                return
        connection.close()

    def _open(self, limits: Limits) -> Connection:
        try:
            connection = psycopg2.connect(
                self.dsn(),
                connect_timeout=limits.connect_s,
                keepalives=1,
                keepalives_idle=30,
                keepalives_interval=10,
                keepalives_count=3,
                tcp_user_timeout=60_000,
                client_encoding="UTF8",
                application_name="dsr_worker",
            )
        except psycopg2.Error as error:
            refused = "authentication failed" in str(error) or "does not exist" in str(error)
            kind = Configuration if refused else Transient
            raise kind(f"Postgres: cannot connect ({type(error).__name__})") from None
        connection.autocommit = True
        if connection.info.parameter_status("server_encoding") != "UTF8":
            connection.close()
            raise Configuration("Postgres: the database's encoding is not UTF8; exactness needs it")
        return connection


def _opening(limits: Limits, *, snapshot: bool) -> Composable:
    return SQL(
        "BEGIN ISOLATION LEVEL {level}; SET LOCAL statement_timeout = {statement};"
        " SET LOCAL lock_timeout = {lock}; SET LOCAL idle_in_transaction_session_timeout = {idle};"
        " SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL bytea_output = 'hex';"
        " SET LOCAL standard_conforming_strings = on; SET LOCAL jit = off;"
        " SET LOCAL row_security = {policies}"
    ).format(
        level=SQL("REPEATABLE READ" if snapshot else "READ COMMITTED"),
        statement=Literal(int(limits.statement_s * 1000)),
        lock=Literal(int(limits.lock_s * 1000)),
        idle=Literal(int(limits.idle_s * 1000)),
        policies=SQL("on" if limits.obey_row_security else "off"),
    )
