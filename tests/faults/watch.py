"""How long work lies still after a worker's death, as the ledger itself shows it.

In: a ledger's DSN. Out: for every death the seconds until another worker had claimed work, or
until nothing was left to claim. What a whole drill takes is the machine's; this is promised.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final, Self

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - the class, named as one

_EVERY_S: Final = 0.1
_LAST_LOOKS: Final = 2
_LOOK: Final = """
SELECT extract(epoch FROM clock_timestamp())::float8,
       array(SELECT w.id FROM workers w WHERE NOT EXISTS (
           SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = %s
           AND l.objid = (w.id %% 2147483648)::int AND l.granted)),
       coalesce((SELECT sum(attempt) FROM steps), 0)::int,
       EXISTS (SELECT FROM steps WHERE state IN ('ready', 'leased'))
"""
_WORKER_LOCKS: Final = 0x647372  # as in dsr_worker/ledger/slots.py


@dataclass
class Watch:
    """Looks ten times a second while it is entered. `resumed_s` has one entry per death."""

    dsn: str
    resumed_s: list[float] = field(default_factory=list)
    _suspected: dict[int, tuple[float, int]] = field(default_factory=dict)  # when, claims by then
    _dead: set[int] = field(default_factory=set)
    _still: list[tuple[float, int]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(120)

    def _look_on(self) -> None:
        connection = psycopg2.connect(self.dsn)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not self._over.wait(_EVERY_S):
                    self._look(cursor)
                for _ in range(_LAST_LOOKS):
                    self._look(cursor)
        finally:
            connection.close()

    def _look(self, cursor: Cursor) -> None:
        cursor.execute(_LOOK, (_WORKER_LOCKS,))
        row = cursor.fetchone()
        assert row is not None
        now_at, gone, claims, work_left = row
        # Seen twice: a worker is written down a moment before it holds its lock.
        for worker in set(gone) - self._dead:
            if worker in self._suspected:
                self._dead.add(worker)
                self._still.append(self._suspected[worker])
            self._suspected.setdefault(worker, (now_at, claims))
        for death in list(self._still):
            if claims > death[1] or not work_left:
                self._still.remove(death)
                self.resumed_s.append(now_at - death[0])
