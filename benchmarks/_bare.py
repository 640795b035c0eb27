"""The baseline of all throughput: steps in a ledger, taken and completed, and nothing else.

In: a DSN on the server that the engine's ledger is on. Out: steps a second. A step is two durable
commits, the least that any engine needs which promises to lose nothing: claim by id, complete.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import psycopg2

_MAKE = """
CREATE TABLE IF NOT EXISTS steps (
    id bigint PRIMARY KEY, state text NOT NULL, attempt int NOT NULL DEFAULT 0,
    lease_until timestamptz, finished_at timestamptz) WITH (fillfactor = 60)
"""
_FILL = "INSERT INTO steps (id, state) SELECT n, 'ready' FROM generate_series(1, %s) AS n"
_CLAIM = """
UPDATE steps SET state = 'leased', attempt = attempt + 1, lease_until = now() + interval '30 s'
WHERE id = %s AND state = 'ready' RETURNING attempt
"""
_COMPLETE = """
UPDATE steps SET state = 'done', finished_at = now(), lease_until = NULL
WHERE id = %s AND attempt = %s AND state = 'leased'
"""


def steps_per_s(dsn: str, *, threads: int, steps: int) -> float:
    """Durable two-commit steps a second by so many threads, a connection each."""
    _provide(dsn, steps)
    shares = [range(first, steps + 1, threads) for first in range(1, threads + 1)]
    ready = threading.Barrier(threads + 1)
    workers = [threading.Thread(target=_work, args=(dsn, share, ready)) for share in shares]
    for worker in workers:
        worker.start()
    ready.wait()
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    spent_s = time.perf_counter() - started
    assert _done(dsn) == steps, "a bare step was not completed"
    return steps / spent_s


def _work(dsn: str, ids: Sequence[int], ready: threading.Barrier) -> None:
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            ready.wait()
            for step in ids:
                cursor.execute(_CLAIM, (step,))
                (attempt,) = cursor.fetchone() or (0,)
                cursor.execute(_COMPLETE, (step, attempt))
    finally:
        connection.close()


def _provide(dsn: str, steps: int) -> None:
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_MAKE)
            cursor.execute("TRUNCATE steps")
            cursor.execute(_FILL, (steps,))
    finally:
        connection.close()


def _done(dsn: str) -> int:
    connection = psycopg2.connect(dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM steps WHERE state = 'done'")
            (count,) = cursor.fetchone() or (0,)
            return int(count)
    finally:
        connection.close()
