"""Measures taken by hand in one process: busy time of a case, statements and commits of a batch.

In: an installation over the warehouse. Out: seconds, and counts that are read from the server, not
from our own code: commits from `pg_stat_database`, statements from the server's log.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import NamedTuple

import psycopg2.extensions

from benchmarks import _warehouse
from benchmarks._installation import Installation, Server
from dsr_worker.bootstrap import Workshop
from dsr_worker.engine.drain import Drainer
from dsr_worker.ledger.batches import Claimed

SETTLE_S = 11.0  # after so long an idle session has handed in its counts (10 s in the server)
_END_S = 20.0
_STATEMENT = re.compile(rb"LOG:  statement: ")


class _Timed(Drainer):
    """A drainer that adds up what it is busy with: claims that found something, work, finishes."""

    busy_s: float = 0.0
    batches: int = 0

    def _claim(
        self, system: str, *, urgent_only: bool, sweeps_first: bool = False
    ) -> Claimed | None:
        started = time.perf_counter()
        claimed = super()._claim(system, urgent_only=urgent_only, sweeps_first=sweeps_first)
        if claimed is not None:
            self.busy_s += time.perf_counter() - started
            self.batches += 1
        return claimed

    def _work(self, claimed: Claimed) -> None:
        started = time.perf_counter()
        super()._work(claimed)
        self.busy_s += time.perf_counter() - started


class Hand:
    """A worker without ticks or waiting: it drains what is ready until nothing is."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        made: Workshop = installation.workshop()
        plain = made.drainer
        self.drainer = _Timed.__new__(_Timed)
        self.drainer.__dict__.update(plain.__dict__)

    def busy_s(self, cases: int) -> float:
        """Busy seconds a case, with so many pending."""
        self.pend(cases)
        self.drainer.busy_s = 0.0
        self.drain()
        return self.drainer.busy_s / cases

    def pend(self, cases: int) -> None:
        """Lay so many cases ready."""
        for number in range(cases):
            self._installation.submit(_warehouse.email(number), ring=False)

    def drain(self) -> None:
        """Work until nothing is ready."""
        while systems := self._installation.everything_ready():
            for system in systems:
                self.drainer(system)


class Counts(NamedTuple):
    """What draining a number of pending cases took."""

    ledger_commits: int
    shop_statements: int
    batches: int


def counted(
    hand: Hand,
    installation: Installation,
    server: Server,
    ledger_dsn: str,
    log: Path,
    cases: int,
) -> Counts:
    """Commits and statements while so many pending cases are drained, all batches together.

    The shop's database must log its statements (`log_everything`) since before it was first used.
    """
    hand.pend(cases)
    hand.drainer.batches = 0
    commits = _commits(server, installation, ledger_dsn)
    begun = log.stat().st_size
    hand.drain()
    commits = _commits(server, installation, ledger_dsn) - commits
    with log.open("rb") as file:
        file.seek(begun)
        statements = len(_STATEMENT.findall(file.read()))
    return Counts(commits, statements, hand.drainer.batches)


def _commits(server: Server, installation: Installation, dsn: str) -> int:
    """Commits so far in a database on which nobody works now.

    A backend hands in its counts when it ends, so the pool is closed first. One session stays: the
    worker's own, on which nothing is run between ticks.
    """
    installation.close()
    name = psycopg2.extensions.parse_dsn(dsn)["dbname"]
    there = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608 - a name of ours
    until = time.monotonic() + _END_S
    while int(server.value(there)) > 1:
        assert time.monotonic() < until, "sessions of the ledger do not end"
        time.sleep(0.05)
    return int(server.value(f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{name}'"))  # noqa: S608 - a name of ours
