"""A whole installation for benchmarks: ledger, broker, store, systems, and real worker processes.

In: a running server, a folder, the systems' maps. Out: cases submitted by signed actions as people
submit them, workers as they run in earnest, and the moment the last answer was made.

The gate: while it is shut, the benchmark itself holds every slot of every system, so that pending
cases can be laid ready before the clock starts. Opening it is one update and one ring.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import psycopg2.extensions

from dsr_worker.actors import create_key, new_action
from dsr_worker.bootstrap import Office, Workshop
from dsr_worker.domain.identity import claimed
from dsr_worker.domain.request import Kind
from dsr_worker.embedded import Endpoints
from dsr_worker.fulfil.intake import Request
from dsr_worker.installation import Files, set_up
from dsr_worker.ledger import people, slots
from dsr_worker.people import SignedAction
from dsr_worker.settings import Settings

THREADS = 4  # of a worker process, as DSR_WORKER_THREADS has it
_BOOT_S = 60.0
_END_S = 30.0
_POLL_S = 0.01


class Server:
    """The one Postgres that everything of a benchmark is on."""

    def __init__(self, ledger_dsn: str) -> None:
        self.maintenance_dsn = ledger_dsn.replace("/dsr?", "/postgres?")

    def database(self, name: str) -> str:
        """A new, empty database; its DSN."""
        self.run(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.maintenance_dsn.replace("/postgres?", f"/{name}?")

    def run(self, statement: str) -> None:
        """One statement of administration."""
        with connected(self.maintenance_dsn) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def value(self, query: str) -> str:
        """The one value that a query gives."""
        with connected(self.maintenance_dsn) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            (found,) = cursor.fetchone() or ("",)
            return str(found)


@contextmanager
def connected(dsn: str) -> Iterator[psycopg2.extensions.connection]:
    """A connection that commits each statement."""
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        yield connection
    finally:
        connection.close()


class Installation:
    """One ledger with its office; `environment` is what the maps' `{env: …}` refer to."""

    def __init__(
        self,
        folder: Path,
        ledger_dsn: str,
        redis_url: str,
        config: Path,
        environment: Mapping[str, str],
    ) -> None:
        os.environ.update(environment)
        self.folder = folder
        self._redis_url = redis_url
        self._dsn = ledger_dsn
        self._environment = {
            **environment,
            "DSR_CONFIG_DIR": str(config),
            "DSR_DATA_DIR": str(folder / "data"),
            "DSR_STORE": str(folder / "store"),
            "DSR_KEY_RING": str(folder / "key-ring.json"),
            "DSR_LEDGER_DSN": ledger_dsn,
            "DSR_REDIS_URL": redis_url,
            "dramatiq_worker_timeout": "100",
            "dramatiq_queue_prefetch": str(THREADS),
        }
        self.settings = Settings(
            config_dir=config,
            data_dir=folder / "data",
            store=str(folder / "store"),
            key_ring=folder / "key-ring.json",
        )
        endpoints = Endpoints(ledger_dsn, redis_url)
        keys = set_up(self.settings, endpoints, trial=True)
        self.office = Office(self.settings, endpoints, Files.load(config), keys)
        Workshop(self.office).provide_slots()
        self._key = create_key(folder / "clerk.key")
        with self.office.ledger.transaction() as cursor:
            assert people.add(cursor, "clerk", base64.b64decode(self._key.public_key))

    # ---- cases

    def submit(self, email: str, *, ring: bool = True) -> str:
        """Submit one attested access request and, if wanted, ring; its reference."""
        request = Request(
            kind=Kind.ACCESS,
            identities=(claimed("email", email),),
            received_at=datetime.now(UTC) - timedelta(minutes=1),
            channel="mail",
            country="DE",
            verification="attested:benchmark",
        )
        act = new_action("clerk", "submit", "new", datetime.now(UTC), request.digest())
        accepted = self.office.intake.submit(request, SignedAction(act, self._key.sign(act)))
        if ring:
            self.office.ring(accepted.ring)
        return accepted.ref

    def packages(self) -> int:
        """How many answers have been made so far."""
        with self.office.ledger.transaction() as cursor:
            cursor.execute("SELECT count(*) AS made FROM packages")
            return int(cursor.fetchone().made)

    def await_packages(self, count: int, *, limit_s: float) -> float:
        """Wait until so many answers have been made in all; the instant (`perf_counter`) of it."""
        until = time.monotonic() + limit_s
        while self.packages() < count:
            if time.monotonic() > until:
                message = f"{self.packages()} of {count} packages after {limit_s:.0f} s"
                raise RuntimeError(f"{message}; steps: {self._stuck()}")
            time.sleep(_POLL_S)
        return time.perf_counter()

    def _stuck(self) -> Sequence[object]:
        with self.office.ledger.transaction() as cursor:
            cursor.execute(
                "SELECT system, action, state, code, count(*) FROM steps WHERE state <> 'done'"
                " GROUP BY 1, 2, 3, 4"
            )
            return [tuple(row) for row in cursor.fetchall()]

    # ---- the gate

    def shut_gate(self) -> None:
        """Take every slot: whoever is called finds none free."""
        self._slots("infinity")

    def open_gate(self) -> None:
        """Give the slots back and ring everywhere."""
        self._slots("-infinity")
        with self.office.ledger.transaction() as cursor:
            cursor.execute("DELETE FROM rings")
        self.office.ring(self.office.systems)

    def _slots(self, until: str) -> None:
        with self.office.ledger.transaction() as cursor:
            cursor.execute(
                "UPDATE slots SET lease_until = %s, token = token + 1, worker = NULL", (until,)
            )

    # ---- workers

    @contextmanager
    def workers(self, processes: int) -> Iterator[int]:
        """Real worker processes, alive and ticking; the id of their parent."""
        before = self._highest_worker()
        words = (self.folder / "worker.log").open("ab")
        argv = [sys.executable, "-m", "dsr_worker.queue"]
        argv += ["--processes", str(processes), "--threads", str(THREADS)]
        process = subprocess.Popen(  # noqa: S603 - our own program
            argv,
            env={**os.environ, **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
        )
        try:
            until = time.monotonic() + _BOOT_S
            while self._enlisted_since(before) < processes:
                if process.poll() is not None or time.monotonic() > until:
                    log = self.folder / "worker.log"
                    message = f"the workers do not start: {log.read_text()[-2000:]}"
                    raise RuntimeError(message)
                time.sleep(0.05)
            yield process.pid
        finally:
            process.terminate()
            process.wait(_END_S)
            words.close()

    def _highest_worker(self) -> int:
        with self.office.ledger.transaction() as cursor:
            cursor.execute("SELECT coalesce(max(id), 0) AS id FROM workers")
            return int(cursor.fetchone().id)

    def _enlisted_since(self, before: int) -> int:
        with self.office.ledger.transaction() as cursor:
            cursor.execute("SELECT count(*) AS alive FROM workers WHERE id > %s", (before,))
            return int(cursor.fetchone().alive)

    def workshop(self) -> Workshop:
        """A worker's insides in this process, for measures taken by hand: it never ticks."""
        made = Workshop(self.office)
        made.worker.enlist()
        return made

    def everything_ready(self) -> list[str]:
        """Systems with ready steps."""
        return slots.with_ready_steps(self.office.ledger)

    def close(self) -> None:
        """Close connections."""
        self.office.ledger.dispose()


def resident_mib(parent: int) -> float:
    """The most memory that any child of `parent` ever held (VmHWM of proc_pid_status(5))."""
    peaks = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            facts = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:  # it ended meanwhile
            continue
        if int(facts["PPid"]) == parent and "VmHWM" in facts:
            peaks.append(int(facts["VmHWM"].split()[0]) / 1024)
    return max(peaks)
