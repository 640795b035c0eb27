"""Everything the demo runs on, in one folder: started together, ended together.

In: a folder. Out: a shop in Postgres, an S3 API, a helpdesk and a mail server, an installation that
is configured for it, its workers. Every process is recorded by its identity, so that the end, in
this process or a later one, reaches exactly those and nobody else's.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import boto3
import psycopg2

from dsr_worker.embedded import Services, Supervisor
from dsr_worker.embedded.process import Identity, spawn
from dsr_worker.testing.shop import (
    Places,
    Shop,
    load_postgres,
    load_s3,
    load_zendesk,
    write_configuration,
)

_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 2.0  # none of the parts that are asked has anything to lose
_POLL_S: Final = 0.05
_BUCKET: Final = "shop"
_REGION: Final = "eu-central-1"
_KEY: Final = "demo-key"  # of an S3 API that asks for none in earnest
_TOKEN: Final = "demo-token"  # noqa: S105 - of the helpdesk fake, which guards nothing


class DemoFailed(Exception):  # noqa: N818 - reads as what happened
    """The demo cannot go on; the text says what to look at."""


def write_privately(file: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    file.touch(mode=0o600)
    file.write_text(text, "utf-8")


class Stage:
    """The parts of one demo in its folder."""

    def __init__(self, folder: Path, customers: int) -> None:
        self.folder = folder
        self.shop = Shop(customers=customers, today=datetime.now(UTC).date())
        self.services = Services(folder / "data")
        self.supervisor = Supervisor(folder / "data")
        self.shop_dsn = ""
        self._ports = dict(zip(("s3", "helpdesk", "mail"), _free_ports(3), strict=True))

    @property
    def results(self) -> Path:
        """Where packages and certificates go."""
        return self.folder / "results"

    @property
    def mails(self) -> Path:
        """Where the mail server puts what it gets."""
        return self.folder / "mails"

    def key_of(self, actor: str) -> Path:
        """Where a person's private key lies."""
        return self.folder / "keys" / f"{actor}.key"

    def make_folders(self) -> None:
        """Make the folders that hold people's data or keys: ours alone."""
        for made in (self.folder / "pids", self.results, self.mails, self.folder / "keys"):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)

    # ---- the outside world

    def start_world(self) -> None:
        """Start S3 API, helpdesk, mail server, Postgres and broker, and fill the shop."""
        self.make_folders()
        s3, helpdesk, mail = (str(self._ports[n]) for n in ("s3", "helpdesk", "mail"))
        python = [sys.executable, "-m"]
        self._spawn("s3", [*python, "moto.server", "-H", "127.0.0.1", "-p", s3])
        self._spawn(
            "helpdesk",
            [*python, "dsr_worker.testing.zendesk", "--port", helpdesk, "--token", _TOKEN],
        )
        self._spawn("mail", [*python, "dsr_worker.testing.demo.sink", mail, str(self.mails)])
        endpoints = self.services.start()
        self.shop_dsn = endpoints.ledger_dsn.replace("/dsr?", "/shop?")
        _make_database(endpoints.ledger_dsn)
        for name in self._ports:
            self._await_port(name)

    def fill(self) -> None:
        """Load the shop into its three systems at once."""
        with ThreadPoolExecutor(3) as loads:
            waiting = [loads.submit(load) for load in (self._database, self._bucket, self._desk)]
            for load in waiting:
                load.result()

    def _database(self) -> None:
        load_postgres(self.shop, self.shop_dsn)

    def _bucket(self) -> None:
        client = boto3.client(
            "s3",
            endpoint_url=self._address("s3"),
            region_name=_REGION,
            aws_access_key_id=_KEY,
            aws_secret_access_key=_KEY,
        )
        client.create_bucket(
            Bucket=_BUCKET, CreateBucketConfiguration={"LocationConstraint": _REGION}
        )
        client.put_bucket_versioning(Bucket=_BUCKET, VersioningConfiguration={"Status": "Enabled"})
        load_s3(self.shop, client, _BUCKET)
        client.close()

    def _desk(self) -> None:
        load_zendesk(self.shop, self._address("helpdesk"))

    # ---- the installation

    def configure(self) -> None:
        """Write the configuration, and make this process's environment the installation's."""
        places = Places(
            s3_endpoint=self._address("s3"),
            s3_bucket=_BUCKET,
            s3_region=_REGION,
            zendesk_url=self._address("helpdesk"),
            smtp_port=self._ports["mail"],
        )
        write_configuration(self.folder / "config", places)
        named = {
            "DSR_CONFIG_DIR": str(self.folder / "config"),
            "DSR_DATA_DIR": str(self.folder / "data"),
            "DSR_ACTOR_KEY": str(self.key_of("anna")),
            "SHOP_DSN": self.shop_dsn,
            "SHOP_S3_KEY": _KEY,
            "SHOP_S3_SECRET": _KEY,
            "SHOP_ZENDESK_TOKEN": _TOKEN,
        }
        for name in [n for n in os.environ if n.startswith(("DSR_", "AWS_"))]:
            if name != "DSR_EMBEDDED_BINARIES":
                del os.environ[name]
        os.environ.update(named)
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in named.items()]
        write_privately(self.folder / "env", "".join(lines))

    # ---- the end

    def close(self) -> None:
        """End every process that this folder started, in this process or an earlier one."""
        self.supervisor.stop()
        for file in sorted((self.folder / "pids").glob("*.pid")):
            process = Identity.read(file)
            if process is not None:
                _end(process)
            file.unlink()
        self.services.stop()

    def remove(self) -> None:
        """Take away the folder and what the servers keep elsewhere; nothing may run any more."""
        self.remove_data()
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_data(self) -> None:
        """Take away the servers' own files and the configuration; results and mails stay."""
        self.services.remove()
        for name in ("config", "keys", "pids"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "env").unlink(missing_ok=True)

    # ---- processes

    def _spawn(self, name: str, argv: list[str]) -> None:
        log = self.folder / f"{name}.log"
        process = spawn(argv, log=log, env=os.environ, cwd=Path.cwd())
        identity = Identity.of(process.pid)
        if identity is None:
            raise DemoFailed(f"the part {name!r} does not start; its words are in {log}")
        identity.write(self.folder / "pids" / f"{name}.pid")

    def _await_port(self, name: str) -> None:
        process = Identity.read(self.folder / "pids" / f"{name}.pid")

        def answers() -> bool:
            if process is None or not process.lives():
                raise DemoFailed(f"{name!r} ended; its words are in {self.folder / name}.log")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self._ports[name])) == 0

        wait_for(answers, f"the part {name!r}", _START_TIMEOUT_S)

    def _address(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"


def wait_for(there: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Wait until something is there. Raises DemoFailed when it does not come in time."""
    until = time.monotonic() + timeout_s
    while not there():
        if time.monotonic() > until:
            raise DemoFailed(f"{what} is not there after {timeout_s:.0f} s")
        time.sleep(_POLL_S)


def _make_database(dsn: str) -> None:
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE shop TEMPLATE template0")
    finally:
        connection.close()


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _end(process: Identity) -> None:
    process.send(signal.SIGTERM)
    if not process.wait(_STOP_TIMEOUT_S):
        process.send(signal.SIGKILL)
        process.wait(_STOP_TIMEOUT_S)
