"""The whole shop beside a plain script that makes the same calls, one case after the other.

In: a server, a folder. Out: cases a second of each, and how much of the processor the fakes took.
The script is what somebody would write without an engine: per case it asks the same connectors in
the same order for one person, seals the same ZIP, and commits twice a step, so that it too knows
after a crash what was done. It works as many cases at once as a worker process has threads.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, cast

import boto3
import psycopg2
import psycopg2.extensions

from benchmarks._installation import THREADS, Installation, Server
from dsr_worker.contract import Connector, Identity, Record, Resolves, Subject
from dsr_worker.domain.identity import claimed
from dsr_worker.domain.resolution import absorb, reached, rounds, start
from dsr_worker.embedded import Endpoints
from dsr_worker.engine.materials import Frozen
from dsr_worker.fulfil.access import PACKAGE
from dsr_worker.fulfil.texts import Texts
from dsr_worker.package import CaseFacts, Contents, Source, write_package
from dsr_worker.spool import Frame, RecordSpool, read_records
from dsr_worker.store import LocalStore, new_name
from dsr_worker.testing.context import TrialContext
from dsr_worker.testing.shop import (
    Places,
    Shop,
    load_postgres,
    load_s3,
    load_zendesk,
    write_configuration,
)
from dsr_worker.vault import CaseKey, SealingWriter

_ORDINARY = 40  # from this number on there are no special customers
_START_S = 60.0
_TICKS_S = os.sysconf("SC_CLK_TCK")
_SECRETS = {
    "SHOP_S3_KEY": "trial",
    "SHOP_S3_SECRET": "trial",
    "SHOP_ZENDESK_TOKEN": "trial-token",
}


class Speed(NamedTuple):
    """Cases a second, and the fakes' part of the processor time that fakes and worker took."""

    cases_per_s: float
    fakes_share: float


class WholeShop:
    """A small shop in Postgres, an S3 API and a helpdesk API, and two ways to answer from it."""

    def __init__(
        self, stack: ExitStack, server: Server, endpoints: Endpoints, folder: Path, cases: int
    ) -> None:
        self.customers = _ORDINARY + cases
        shop = Shop(1, self.customers, self.customers // 10, datetime.now(UTC).date())
        self.emails = [shop.person(n).email for n in range(_ORDINARY, self.customers)]
        dsn = server.database("whole_shop")
        s3, self._s3_pid = stack.enter_context(_s3())
        desk, self._desk_pid = stack.enter_context(_desk())
        client = boto3.client(
            "s3",
            endpoint_url=s3,
            region_name="eu-central-1",
            aws_access_key_id="trial",
            aws_secret_access_key="trial",  # noqa: S106 - invented
        )
        client.create_bucket(
            Bucket="shop", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        client.put_bucket_versioning(Bucket="shop", VersioningConfiguration={"Status": "Enabled"})
        load_postgres(shop, dsn)
        load_s3(shop, client, "shop")
        load_zendesk(shop, desk)
        config = folder / "config"
        write_configuration(config, Places(s3_endpoint=s3, zendesk_url=desk))
        own = config / "organisation.yaml"
        own.write_text(own.read_text().replace("access: second_actor", "access: automatic"))
        self.installation = Installation(
            folder,
            server.database("ledger_shop"),
            f"{endpoints.redis_url}?db=5",
            config,
            {"SHOP_DSN": dsn, **_SECRETS},
        )
        stack.callback(self.installation.close)
        self._script = Script(self.installation, server.database("script"), folder / "script")

    def engine(self) -> Speed:
        """One worker process, all cases pending."""
        made = self.installation.packages()
        with self.installation.workers(1) as pid:
            self.installation.shut_gate()
            for email in self.emails:
                self.installation.submit(email, ring=False)
            fakes, worker, started = self._fakes_s(), _cpu_s(*_family(pid)), time.perf_counter()
            self.installation.open_gate()
            ended = self.installation.await_packages(made + len(self.emails), limit_s=600)
            fakes, worker = self._fakes_s() - fakes, _cpu_s(*_family(pid)) - worker
        return Speed(len(self.emails) / (ended - started), fakes / (fakes + worker))

    def script(self) -> Speed:
        """The plain script over the same people."""
        fakes, own, started = self._fakes_s(), time.process_time(), time.perf_counter()
        with ThreadPoolExecutor(THREADS) as threads:
            written = sum(threads.map(self._script.answer, self.emails))
        spent_s = time.perf_counter() - started
        assert written > 0, "the script found nobody"
        fakes, own = self._fakes_s() - fakes, time.process_time() - own
        return Speed(len(self.emails) / spent_s, fakes / (fakes + own))

    def _fakes_s(self) -> float:
        return _cpu_s(self._s3_pid, self._desk_pid)


class Script:
    """Answers case by case with the engine's connectors and packages, and without the engine."""

    def __init__(self, installation: Installation, dsn: str, folder: Path) -> None:
        office = installation.office
        self._office = office
        self._frozen: Frozen = office.materials.frozen(
            office.materials.freeze("eu-gdpr", datetime.now(UTC))
        )
        self._texts = Texts(
            office.files.organisation, office.files.policies, office.files.maps.by_name
        )
        self._store = LocalStore(folder)
        self._dsn = dsn
        self._steps = count(1)
        with psycopg2.connect(dsn) as made, made.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE steps"
                " (id bigint PRIMARY KEY, state text NOT NULL, done_at timestamptz)"
            )
        made.close()

    def answer(self, email: str) -> int:
        """Resolve, find, package; how many records there were."""
        connection = psycopg2.connect(self._dsn)
        connection.autocommit = True
        try:
            return self._answer(claimed("email", email), connection)
        finally:
            connection.close()

    def _answer(self, email: Identity, ledger: psycopg2.extensions.connection) -> int:
        key, _ = self._office.keys.new_case_key()
        subject = self._resolved(Subject("C-1", (email,)), ledger)
        kinds = {i.kind for i in subject.identities}
        frames = {}
        for name, system in sorted(self._frozen.systems.items()):
            if reached(system, kinds):
                with _step(ledger, next(self._steps)):
                    found = self._connector(name).find([subject], TrialContext(now=_now()))
                    frames[name] = self._spooled(found, key)
        with _step(ledger, next(self._steps)):
            return self._package(frames, key)

    def _resolved(self, subject: Subject, ledger: psycopg2.extensions.connection) -> Subject:
        able = {
            name: system
            for name, system in self._frozen.systems.items()
            if self._office.materials.can(self._frozen, name, Resolves)
        }
        known = start(subject.identities)
        for names in rounds(able, {i.kind for i in subject.identities}):
            before = known.known
            for name in names:
                with _step(ledger, next(self._steps)):
                    asked = Subject(subject.ref, tuple(sorted(before)))
                    links = self._connector(name).resolve([asked], TrialContext(now=_now()))
                    known = absorb(known, self._frozen.systems[name], list(links))
            if known.known == before:
                break
        return Subject(subject.ref, tuple(sorted(known.known)))

    def _connector(self, name: str) -> _Asked:
        return cast("_Asked", self._office.materials.connector(self._frozen, name))

    def _spooled(self, found: Iterable[Record], key: CaseKey) -> Frame:
        with RecordSpool(self._store, new_name("records", date.today()), {"C-1": key}) as spool:  # noqa: DTZ011 - a folder's name
            for record in found:
                spool.add(record)
            return spool.finish()["C-1"]

    def _package(self, frames: Mapping[str, Frame], key: CaseKey) -> int:
        language = self._texts.language(None)
        contents = Contents(
            case=CaseFacts("C-1", "access", "eu-gdpr", "DE", _now(), _now(), language),
            organisation=self._texts.for_package(language, "eu-gdpr", "DE"),
            sources=[
                Source(
                    system,
                    partial(read_records, self._store, frames[name], key)
                    if name in frames
                    else tuple,
                    _now(),
                    note="" if name in frames else "not-applicable",
                )
                for name, system in sorted(self._frozen.systems.items())
            ],
        )
        with (
            self._store.write(new_name("packages", date.today())) as blob,  # noqa: DTZ011 - a folder's name
            SealingWriter(blob, key, PACKAGE) as sealing,
        ):
            return write_package(cast("BinaryIO", sealing), contents).records


class _Asked(Connector, Resolves, Protocol):
    """A connector that finds and resolves, as far as the script needs to know."""


@contextmanager
def _step(ledger: psycopg2.extensions.connection, number: int) -> Iterator[None]:
    """Two durable commits around some work."""
    with ledger.cursor() as cursor:
        cursor.execute("INSERT INTO steps (id, state) VALUES (%s, 'leased')", (number,))
        yield
        cursor.execute("UPDATE steps SET state = 'done', done_at = now() WHERE id = %s", (number,))


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def _s3() -> Iterator[tuple[str, int]]:
    port = _free_port()
    with _program("moto.server", "-H", "127.0.0.1", "-p", str(port)) as process:
        endpoint = f"http://127.0.0.1:{port}"
        until = time.monotonic() + _START_S
        while True:
            try:
                with urllib.request.urlopen(f"{endpoint}/moto-api/data.json", timeout=5):  # noqa: S310 - our own loopback address
                    break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, "the S3 server does not start"
                assert time.monotonic() < until, "the S3 server does not answer"
                time.sleep(0.05)
        yield endpoint, process.pid


@contextmanager
def _desk() -> Iterator[tuple[str, int]]:
    with _program("dsr_worker.testing.zendesk") as process:
        assert process.stdout is not None, "it prints its address"
        yield process.stdout.readline().decode().strip(), process.pid


@contextmanager
def _program(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: S603 - our own programs
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()  # it has nothing to lose, and its open connections would keep it
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _cpu_s(*pids: int) -> float:
    """Processor seconds that these processes have taken so far."""
    spent = 0
    for pid in pids:
        facts = _facts(Path(f"/proc/{pid}/stat"))
        spent += int(facts[11]) + int(facts[12])  # utime, stime
    return spent / _TICKS_S


def _family(pid: int) -> list[int]:
    """A process and its children."""
    found = [pid]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            if _facts(stat)[1] == str(pid):  # its parent
                found.append(int(stat.parent.name))
    return found


def _facts(stat: Path) -> list[str]:
    """What stands after the name (proc_pid_stat(5)): state, parent and so on."""
    return stat.read_text().rpartition(")")[2].split()
