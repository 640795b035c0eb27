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
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson
import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a small name
from psycopg2.sql import SQL, Composable, Literal

from connectors.postgres.server.copying import PARCEL_BYTES, Lines, Parcels, Stopped
from dsr_worker.contract import Configuration, ConnectorError, Permanent, Transient

ARRAYS_BYTES = 32 * 1024  # small, so that the reader parses while the server still works
CELLS = b"\x02"
"""What stands between the cells of a row: no text that JSON or a number can be holds it."""
_COPY_OF = SQL("COPY (")
_AS_CELLS = SQL(r") TO STDOUT WITH (FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01')")
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_DIGITS = len(str(_LARGEST))
_NULLS = "\\N\t\\N\t\\N"

_REFUSALS: Sequence[tuple[re.Pattern[str], type[Configuration | Transient], str]] = (
    (
        re.compile(r"^invalid |invalid port number|invalid .*value|socket path .* is too long"),
        Configuration,
        "the DSN cannot be read; write postgresql://USER@HOST:PORT/DATABASE or host=… dbname=…",
    ),
    (
        re.compile(r'FATAL: +database ".*" does not exist'),
        Configuration,
        "the server has no such database; look at the DSN's name of it",
    ),
    (
        re.compile(
            r"authentication failed|FATAL: +role .* does not exist|not permitted to log in"
            r"|no password supplied|pg_hba\.conf|permission denied for database"
        ),
        Configuration,
        "the login was refused; look at the DSN's user and password, and at pg_hba.conf",
    ),
    (re.compile("does not exist"), Configuration, "what the DSN names does not exist"),
    (
        re.compile("Connection refused|No such file or directory"),
        Transient,
        "nobody listens there; does the server run, and are the DSN's host and port right?",
    ),
    (
        re.compile("translate host name"),
        Transient,
        "the host's name leads nowhere; look at the DSN's host, or at the name service",
    ),
    (
        re.compile("timeout expired|timed out|No route to host|Network is unreachable"),
        Transient,
        "no answer came; look at the DSN's host and port, at the network and its filters",
    ),
)
"""What libpq and the server say where no connection comes about, what follows, and why it is so;
the first that fits. https://www.postgresql.org/docs/current/client-authentication-problems.html"""


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
    if not state and isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return Transient(f"Postgres: {what}: the connection failed")
    return refused(state, what, error.diag.constraint_name or error.diag.column_name or "")


def refused(state: str, what: str, name: str) -> ConnectorError:
    """What follows where a statement was refused, by a constraint or column of this name."""
    if state[:2] in {"28", "3D", "42"} or state == "25006":
        return Configuration(f"Postgres: {what}: grants, map and catalogue disagree; run the check")
    if state[:2] == "23":
        named = f" of {name}" if _PLAIN_NAME.fullmatch(name) else ""  # never a subject's value
        return Permanent(
            f"Postgres: {what}{named}: nothing was changed. Map what refers to the"
            " rows, or give the masked fields masks that the constraint lets through"
        )
    return Permanent(f"Postgres: {what}: nothing was changed")


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


def arrays(parcel: bytes) -> list[list[Any]]:
    """The rows of a parcel, each a JSON array: read at once, which takes a third of the time."""
    rows: list[list[Any]] = orjson.loads(b"[%s]" % parcel.replace(b"\n", b","))
    return rows


def _cell(value: str | int | None) -> str:
    if value is None:
        return r"\N"
    if isinstance(value, int):
        return str(value)
    text = value.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace("\r", "\\r").replace("\t", "\\t")


@dataclass
class Session:
    """One transaction. It rolls back unless `commit` was reached."""

    explains: ClassVar = False  # whether statements are explained in place of being executed
    connection: Connection
    committed: bool = False

    def run(self, statement: Composable) -> int:
        """Execute, and say how many rows it touched."""
        with errors(), self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.rowcount

    def run_together(self, statements: Sequence[Composable]) -> None:
        """Execute one after the other, sent at once."""
        self.run(SQL("; ").join(statements))

    def rows(self, statement: Composable) -> list[tuple[Any, ...]]:
        """A result that is small whatever the data: counts, the catalogue, a bounded part."""
        with errors(), self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def few(self, query: Composable) -> list[tuple[Any, ...]]:
        """The rows of a query on mapped tables that gives a few for each name of a batch."""
        return self.rows(query)

    def fill(self, table: Composable, lines: Iterable[bytes]) -> None:
        """COPY `lines` into a temporary table, pulling them as the server takes them."""
        source = Lines(lines)
        statement = SQL("COPY pg_temp.{} FROM STDIN").format(table)
        with errors(), self.connection.cursor() as cursor:
            try:
                cursor.copy_expert(statement, source)
            except (psycopg2.Error, Stopped):
                if source.failure is not None:
                    raise source.failure from None
                raise

    def stream(self, query: Composable) -> Iterator[list[bytes]]:
        """The rows of a query as they come, each a list of cells; see `parcels`."""
        for _, parcel in self.parcels([query]):
            for row in parcel.split(b"\n"):
                yield row.split(CELLS)

    def parcels(
        self, queries: Sequence[Composable], *, size_bytes: int = PARCEL_BYTES
    ) -> Iterator[tuple[int, bytes]]:
        r"""The rows of queries as they come, one query after the other, in flat memory.

        Each parcel is a query's number and many of its rows, one a line. No cell may hold a line
        break, \x01 or \x02: make it JSON or a number. Nothing else may use the session meanwhile.
        """
        parcels = Parcels(size_bytes)
        copying = threading.Thread(target=self._copy, args=(queries, parcels), daemon=True)
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

    def _copy(self, queries: Sequence[Composable], parcels: Parcels) -> None:
        failure: BaseException | None = None
        rows = io.BufferedWriter(parcels, parcels.size_bytes)
        try:
            for parcels.number, query in enumerate(queries):
                if not parcels.stopped:
                    self._copy_one(query, rows)
        except BaseException as error:  # noqa: BLE001 - raised again where the rows are read
            failure, parcels.failed = error, True
        try:
            parcels.finish(failure)
        except Stopped:
            return

    def _copy_one(self, query: Composable, rows: io.BufferedWriter[Parcels]) -> None:
        with errors(), self.connection.cursor() as cursor:
            cursor.copy_expert(_COPY_OF + query + _AS_CELLS, rows)
        rows.flush()

    def written(self, statement: Composable) -> Composable:
        """The same as one text, so that it need not be put together again."""
        return SQL(statement.as_string(self.connection))

    def arrays(self, query: Composable) -> Iterator[list[Any]]:
        """The rows of a query whose one column is a JSON array."""
        for _, parcel in self.parcels([query], size_bytes=ARRAYS_BYTES):
            yield from arrays(parcel)

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
        except BaseException:  # also Ctrl-C: nobody knows in which state it is, so it is not kept
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
            raise _not_connected(error) from None
        connection.autocommit = True
        if connection.info.parameter_status("server_encoding") != "UTF8":
            connection.close()
            raise Configuration("Postgres: the database's encoding is not UTF8; exactness needs it")
        return connection


def _not_connected(error: psycopg2.Error) -> ConnectorError:
    """Why there is no connection, without host, user or password.

    No SQLSTATE reaches us of it: the text alone tells. Libpq's own is English, since nothing here
    sets LC_MESSAGES; a server's may be in another language, and is then told by its class alone.
    """
    text = str(error)
    unread = isinstance(error, psycopg2.ProgrammingError)
    for words, kind, why in _REFUSALS:
        if unread or words.search(text):
            return kind(f"Postgres: cannot connect: {why}")
    return Transient(f"Postgres: cannot connect ({type(error).__name__})")


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
