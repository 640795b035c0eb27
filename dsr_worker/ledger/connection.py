"""Connections to the ledger: one pool per process, one transaction per `with`.

In: a DSN. Out: psycopg2 cursors inside a transaction, with timeouts on every connection. Values are
passed as parameters; the ledger itself holds no personal data in the clear, so its statements may
carry them. A pool is never shared over a fork: it is made anew when the process id changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple, Protocol

import orjson
import psycopg2
import psycopg2.extensions
import psycopg2.extras
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dsr_worker.ledger.migrations import HEAD


class Cursor(Protocol):
    """A cursor of a ledger transaction; rows are named tuples."""

    @property
    def rowcount(self) -> int:
        """Rows that the last statement touched."""
        ...

    def execute(self, query: str, vars: object = None) -> None:  # noqa: A002 - psycopg2's name
        """Run a statement."""
        ...

    def fetchone(self) -> Any:
        """The next row; None where there is none."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows left."""
        ...


def values(
    cursor: Cursor, sql: str, rows: Sequence[Sequence[Any]], template: str | None = None
) -> list[Any]:
    """Run one statement over many rows (`VALUES %s`); what it returns, if anything.

    One statement whatever the number of rows.
    """
    raw: Any = cursor
    raw.execute(_filled(raw, Rows(sql, rows, template)))
    return list(raw.fetchall()) if raw.description else []


class Rows(NamedTuple):
    """One statement over many rows (`VALUES %s`), which returns nothing."""

    sql: str
    rows: Sequence[Sequence[Any]]
    template: str | None = None


def together(cursor: Cursor, *parts: Rows) -> None:
    """Run the parts that have rows, one after the other, in a single round trip."""
    raw: Any = cursor
    statements = [_filled(raw, part) for part in parts if part.rows]
    if statements:
        raw.execute(b";".join(statements))


def _filled(raw: Any, part: Rows) -> bytes:
    """The statement with its rows in place: made in one go, for a call a row costs more."""
    row = part.template or f"({','.join(['%s'] * len(part.rows[0]))})"
    before, _, after = part.sql.partition("%s")
    all_rows = ",".join([row] * len(part.rows))
    filled: bytes = raw.mogrify(all_rows, list(chain.from_iterable(part.rows)))
    return before.encode() + filled + after.encode()


class Json(psycopg2.extras.Json):
    """A value as a JSON parameter; numbers must fit 64 bits."""

    def dumps(self, obj: Any) -> str:
        """The value as JSON text."""
        return orjson.dumps(obj, option=orjson.OPT_NON_STR_KEYS).decode()


_OPTIONS = (
    "-c statement_timeout=60000 -c lock_timeout=15000 "
    "-c idle_in_transaction_session_timeout=20000 -c timezone=UTC"
)


class LedgerUnreachable(Exception):  # noqa: N818 - reads as what it says
    """The ledger does not answer."""


class SchemaOutdated(Exception):  # noqa: N818 - reads as what it says
    """The ledger's schema is not the one this version works with."""


class Ledger:
    """A pool of connections to one ledger."""

    def __init__(self, dsn: str, *, pool_size: int = 20) -> None:
        self._dsn = dsn
        self._pool_size = pool_size
        self._engine: Engine | None = None
        self._engine_pid = 0

    def __repr__(self) -> str:
        return "Ledger(…)"

    @property
    def engine(self) -> Engine:
        """The pool of this process."""
        if self._engine is None or self._engine_pid != os.getpid():
            if self._engine is not None:
                self._engine.dispose(close=False)
            self._engine = create_engine(
                "postgresql+psycopg2://",
                creator=self.connect,
                pool_size=self._pool_size,
                max_overflow=self._pool_size,
                pool_recycle=1800,
                pool_timeout=30,
            )
            self._engine_pid = os.getpid()
        return self._engine

    def connect(self) -> psycopg2.extensions.connection:
        """A connection outside the pool, with the same timeouts. The caller closes it."""
        connection: psycopg2.extensions.connection = psycopg2.connect(
            self._dsn,
            connect_timeout=5,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30000,
            application_name="dsr",
            options=_OPTIONS,
        )
        for register in (
            psycopg2.extras.register_default_json,
            psycopg2.extras.register_default_jsonb,
        ):
            register(connection, loads=orjson.loads)
        return connection

    @contextmanager
    def transaction(self, *, at_once: bool = False) -> Iterator[Cursor]:
        """A cursor inside one transaction: committed at the end, rolled back on any exception.

        Rows come as named tuples. With `at_once` each `execute` is a transaction by itself, begun
        and committed in its one round trip. Raises LedgerUnreachable when no connection can be had;
        a connection that broke is not put back into the pool.
        """
        try:
            pooled = self.engine.raw_connection()
        except (OperationalError, psycopg2.OperationalError, PoolTimeout) as error:
            message = "the ledger does not answer; is Postgres running, and DSR_LEDGER_DSN right?"
            raise LedgerUnreachable(message) from error
        raw: Any = pooled.driver_connection
        try:
            raw.autocommit = at_once
            with raw.cursor(cursor_factory=psycopg2.extras.NamedTupleCursor) as cursor:
                yield cursor
            raw.commit()
        except BaseException:
            if raw.closed or raw.info.transaction_status == _UNKNOWN:
                pooled.invalidate()
            else:
                raw.rollback()
            raise
        finally:
            if not raw.closed:
                raw.autocommit = False
            pooled.close()

    def dispose(self) -> None:
        """Close the pool's connections."""
        if self._engine is not None and self._engine_pid == os.getpid():
            self._engine.dispose()
        self._engine = None

    def migrate(self) -> None:
        """Bring the schema up to date. Safe to call from many processes at once; idempotent."""
        from dsr_worker.ledger import migrating  # noqa: PLC0415 - Alembic loads slowly, and few migrate

        with self.engine.connect() as connection:
            migrating.upgrade(connection)
            connection.invalidate()

    def require_schema(self) -> None:
        """Raise SchemaOutdated when the schema is older or newer than this version's."""
        with self.transaction() as cursor:
            cursor.execute("SELECT to_regclass('alembic_version') IS NOT NULL AS there")
            have = None
            if cursor.fetchone().there:
                cursor.execute("SELECT max(version_num) AS revision FROM alembic_version")
                have = cursor.fetchone().revision
        if have != HEAD:
            message = f"the ledger's schema is {have or 'empty'}, not {HEAD}; run `dsr migrate`"
            raise SchemaOutdated(message)


_UNKNOWN = psycopg2.extensions.TRANSACTION_STATUS_UNKNOWN
