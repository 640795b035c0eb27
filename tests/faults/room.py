"""An installation for drills: what it changes lies outside the ledger and outlives every process.

In: databases of the test's cluster, a broker's address. Out: an `EngineRoom` whose systems are an
SQLite file (`crm`, `files`) and a second Postgres (`club`), or a tally of effects; real worker
processes under the Supervisor; children that die at a crash point; the rows of everybody.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg2

from dsr_worker.embedded import Supervisor
from dsr_worker.testing.memory import store
from tests.faults import tally
from tests.faults.parts import CONNECTORS
from tests.faults.watch import Watch
from tests.integration.engine_room import CRM, FILES, KEYS, ORGANISATION, EngineRoom

ROOT = Path(__file__).parents[2]
RESUMED_WITHIN_S = 60.0
"""Promised: from a worker's death until another one works."""
PATIENCE_S = 300.0
"""How long a drill may wait for its own end: the machine's business, and no promise."""

TEXTS = """
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""
CLUB = f"""
system: club
connector: postgres
config: {{dsn: {{file: DSN_FILE}}}}
collections:
  members:
    source: {{table: members}}
    key: [id]
    person: true
    takes: {{customer_number: id}}
    class: customer-account
    clocks: {{record_date: joined_at}}
    fields:
      id: user.unique_id
      email: {{category: user.contact.email, mask: tombstone}}
      name: {{category: user.name, mask: {{constant: erased}}}}
      joined_at: user.account
{TEXTS}
  bills:
    source: {{table: bills}}
    key: [id]
    parent: {{collection: members, on: {{member_id: id}}}}
    class: voucher
    keeps: [id, member_id, total, issued_on]
    clocks: {{record_date: issued_on}}
    fields:
      id: user.unique_id
      member_id: user.unique_id
      name: {{category: user.name, mask: {{constant: erased}}}}
      total: user.financial
      issued_on: user.financial
{TEXTS}
  visits:
    source: {{table: visits}}
    key: [id]
    parent: {{collection: members, on: {{member_id: id}}}}
    class: session
    fields:
      id: user.unique_id
      member_id: user.unique_id
      note: {{category: user.content, free_text: true}}
{TEXTS}
"""
CLUB_TABLES = """
CREATE TABLE members (id int PRIMARY KEY, email text, name text, joined_at timestamptz);
CREATE TABLE bills (id int PRIMARY KEY, member_id int NOT NULL REFERENCES members, name text,
                    total numeric, issued_on timestamptz);
CREATE TABLE visits (id int PRIMARY KEY, member_id int NOT NULL REFERENCES members, note text);
CREATE INDEX ON bills (member_id); CREATE INDEX ON visits (member_id);
INSERT INTO members SELECT n, format('p.zq%s@mail.example', n), format('Name zq%s', n),
    '2020-01-01' FROM generate_series(0, {last}) n;
INSERT INTO bills SELECT n * 2 + y, n, format('Name zq%s', n), 10,
    make_timestamptz(2012 + 13 * y, 3, 1, 0, 0, 0) FROM generate_series(0, {last}) n,
    generate_series(0, 1) y;
INSERT INTO visits SELECT n * 3 + v, n, format('tea with zq%s', n)
    FROM generate_series(0, {last}) n, generate_series(0, 2) v;
"""
TALLY = f"""
system: tally
connector: tally
parallel: 2
config: {{dsn: {{file: DSN_FILE}}, OPTIONS}}
collections:
  cards:
    source: {{}}
    key: [id]
    takes: {{customer_number: id}}
    class: loyalty
    fields:
      id: user.unique_id
{TEXTS}
"""


class WithBrood(EngineRoom):
    """An installation whose work can be done by children that die."""

    dsn: str
    folder: Path
    redis_url: str | None = None
    brood_pid: int = 0

    def environment(self, **more: str) -> dict[str, str]:
        """What a worker process of this installation is started with."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(("DSR_", "DRILL_"))},
            "PYTHONPATH": str(ROOT),
            "DSR_CONFIG_DIR": str(self.settings.config_dir),
            "DSR_DATA_DIR": str(self.settings.data_dir),
            "DSR_STORE": str(self.settings.store),
            "DSR_LEDGER_DSN": self.dsn,
            "DSR_REDIS_URL": self.redis_url or "",
            "DSR_TICK_S": "0.3",
            "dramatiq_worker_timeout": "100",
            "dramatiq_queue_prefetch": "4",
            **more,
        }

    @contextlib.contextmanager
    def brood(self) -> Iterator[Callable[[str], int]]:
        """Call it with `point:n`: a child works and is killed there; the signal, or 0."""
        argv = [sys.executable, "-m", "tests.faults.brood"]
        log = (self.folder / "brood.log").open("wb")
        with (
            log,
            subprocess.Popen(
                argv,
                env=self.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            self.brood_pid = process.pid
            entering, leaving = process.stdin, process.stdout

            def crash(spec: str) -> int:
                entering.write(spec + "\n")
                entering.flush()
                return int(leaving.readline())

            try:
                assert leaving.readline() == "ready\n", (self.folder / "brood.log").read_text()
                yield crash
            finally:
                entering.close()
                process.wait(PATIENCE_S)

    def watch(self) -> Watch:
        """Enter it around deaths: it tells how soon each was made good."""
        return Watch(self.dsn)

    def end_child(self) -> None:
        """SIGKILL the child that works now."""
        listed = Path(f"/proc/{self.brood_pid}/task/{self.brood_pid}/children").read_text()
        for pid in listed.split():
            os.kill(int(pid), signal.SIGKILL)


class DrillRoom(WithBrood):
    """An installation that worker processes share with the test."""

    def __init__(
        self,
        folder: Path,
        database: Callable[[], str],
        systems: Mapping[str, str],
        *,
        redis_url: str | None = None,
        organisation: str = ORGANISATION,
    ) -> None:
        self.folder = folder
        self.target_dsn = database()
        (folder / "target.dsn").write_text(self.target_dsn, "utf-8")
        self.dsn = database()
        self.redis_url = redis_url
        texts = {
            name: text.replace("name: NAME-", f"path: {folder}/").replace(
                "DSN_FILE", str(folder / "target.dsn")
            )
            for name, text in systems.items()
        }
        super().__init__(
            folder,
            self.dsn,
            systems=texts,
            organisation=organisation,
            connectors=CONNECTORS,
            redis_url=redis_url,
        )

    def system(self, name: str) -> Any:
        """The rows of a system in an SQLite file."""
        return store(path=self.folder / name)

    def load_club(self, count: int) -> None:
        """Members 0 … count-1 of the second database, each with two bills and three visits."""
        self.ask_target(CLUB_TABLES.format(last=count - 1))

    def ask_target(self, sql: str) -> list[tuple[Any, ...]]:
        """Run statements in the second database; the rows of the last, if any."""
        connection = psycopg2.connect(self.target_dsn)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    # ---- processes

    @contextlib.contextmanager
    def workers(
        self, *points: str, processes: int = 1, threads: int = 4, **more: str
    ) -> Iterator[Supervisor]:
        """Supervised Dramatiq processes; each start is armed with the next crash point."""
        (self.folder / "points").write_text("\n".join(points), "utf-8")
        supervisor = Supervisor(self.folder / "supervised")
        argv = [sys.executable, "-m", "tests.faults.launch", str(self.folder / "points")]
        supervisor.start([*argv, str(processes), str(threads)], self.environment(**more))
        try:
            yield supervisor
        finally:
            supervisor.stop()

    def children(self) -> list[int]:
        """The worker processes under the supervised Dramatiq master, by their parent's id."""
        recorded = self.folder / "supervised" / "worker.pid"
        master = int(json.loads(recorded.read_text("utf-8"))["pid"])
        listed = Path(f"/proc/{master}/task/{master}/children").read_text()
        return [int(pid) for pid in listed.split()]

    # ---- looking

    def wait(self, what: Callable[[], bool], within_s: float = PATIENCE_S) -> float:
        """Wait until something is so; the seconds it took."""
        began = time.monotonic()
        while not what():
            waited_s = time.monotonic() - began
            assert waited_s < within_s, f"not within {within_s} s: {self.stuck()}"
            time.sleep(0.05)
        return time.monotonic() - began

    def stuck(self) -> str:
        """What the open work looks like, for a failing drill's message."""
        steps = self.rows(
            "SELECT action, system, state, code, count(*) FROM steps WHERE state <> 'done'"
            " GROUP BY 1, 2, 3, 4"
        )
        jobs = self.rows("SELECT state, phase, count(*) FROM jobs GROUP BY 1, 2")
        log = self.folder / "supervised" / "worker.log"
        words = log.read_text("utf-8", "replace")[-3000:] if log.exists() else ""
        return f"{[tuple(s) for s in steps]} {[tuple(j) for j in jobs]}\n{words}"

    def in_state(self, state: str) -> int:
        """How many cases are in a state."""
        (row,) = self.rows("SELECT count(*) AS n FROM jobs WHERE state = %s", state)
        return int(row.n)

    def account(self, ref: str) -> list[tuple[Any, ...]]:
        """A case's receipts, whether counted before their commit or not."""
        return sorted(
            (
                tuple(row)
                for row in self.rows(
                    "SELECT r.system, r.collection, r.outcome, sum(row_count)::int AS n,"
                    " sum(fields)::int AS fields,"
                    " ground, until_on FROM receipts r JOIN jobs j ON j.id = r.job_id"
                    " WHERE j.ref = %s AND row_count > 0 GROUP BY 1, 2, 3, 6, 7",
                    ref,
                )
            ),
            key=str,
        )

    def world(self) -> dict[tuple[str, ...], bytes]:
        """Every row of every system, by system, collection and key."""
        found = {
            (name, collection, *key): body
            for name in ("crm", "files")
            for collection, rows in self.system(name).dump().items()
            for key, body in rows.items()
        }
        for table in ("members", "bills", "visits"):
            for key, body in self.ask_target(f"SELECT id::text, t::text FROM {table} t"):  # noqa: S608 - fixed
                found["club", table, key] = body.encode()
        return found

    def effects(self) -> dict[str, int]:
        """How often the tally's effect happened to each subject."""
        rows = self.ask_target("SELECT ref, count(*) FROM effects GROUP BY ref")
        return {ref: int(count) for ref, count in rows}


def customers_room(
    folder: Path, database: Callable[[], str], people: int, *, redis_url: str | None = None
) -> DrillRoom:
    """People in an SQLite file and in a second Postgres."""
    systems = {"crm": CRM, "files": FILES, "club": CLUB}
    room = DrillRoom(folder, database, systems, redis_url=redis_url)
    room.load_people(people)
    room.load_club(people)
    return room


def tally_room(
    folder: Path, database: Callable[[], str], options: str, *, redis_url: str | None = None
) -> DrillRoom:
    """One system whose effect shows when it happened twice."""
    systems = {"tally": TALLY.replace("OPTIONS", options)}
    room = DrillRoom(folder, database, systems, redis_url=redis_url)
    room.ask_target(tally.TABLES)
    return room


def email(number: int) -> str:
    """The address of person `number`."""
    return f"p.zq{number:04x}zq@mail.example"


def kill(pid: int) -> None:
    """SIGKILL one of our own processes."""
    os.kill(pid, signal.SIGKILL)


__all__ = ["KEYS", "DrillRoom", "customers_room", "email", "kill", "tally_room"]
