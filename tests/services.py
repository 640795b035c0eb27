"""Real services for tests, on private sockets or free loopback ports, all ended by the test run.

Enters: nothing. Leaves: a Postgres and a broker of our own (`dsr_worker.embedded`), an S3 API
(moto's server as a process) and an SMTP sink. A service that does not come up is an error, never a
skip.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import boto3
import botocore.loaders
import botocore.session
import psycopg2
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from dsr_worker import documents
from dsr_worker.embedded import Services

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

START_TIMEOUT_S = 120.0
S3_KEY = S3_SECRET = "testing"
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - Linux: memory as a file system
_PLENTY_BYTES: Final = 4 * 1024**3
S3_REGION: Final = "eu-central-1"
_ROOT: Final = Path(__file__).parents[1]


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for one run that the servers' user may pass through (as root that is uid 65534)."""
    folder = Path(tempfile.mkdtemp(prefix="dsr-test-"))
    try:
        folder.chmod(0o711)
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def embedded_services() -> Iterator[Services]:
    """A Postgres and a broker for this run alone."""
    with private_folder() as folder:
        services = Services(folder / "data")
        try:
            services.start()
            yield services
        finally:
            services.remove()


s3_endpoints: Final = set[str]()
"""The addresses of the servers below: moto by itself, with nothing before it."""


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """The address of an S3 API that keeps everything in memory."""
    endpoint = f"http://127.0.0.1:{free_port()}"
    argv = [
        sys.executable,
        "-m",
        "tests.s3_server",
        "-H",
        "127.0.0.1",
        "-p",
        endpoint.rpartition(":")[2],
    ]
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            argv, cwd=_ROOT, stdout=words, stderr=words, stdin=subprocess.DEVNULL
        )
        try:
            _wait_for_http(endpoint + "/moto-api/data.json", process)
            s3_endpoints.add(endpoint)
            yield endpoint
        finally:
            process.terminate()
            process.wait(60)


def _wait_for_http(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - our own loopback address
                return
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None or time.monotonic() > until:
                message = "the S3 server does not start: python -m tests.s3_server shows why"
                raise RuntimeError(message) from None
            time.sleep(0.05)


def s3_client(endpoint: str) -> S3Client:
    """A client of the test's S3 API."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=S3_KEY,
        aws_secret_access_key=S3_SECRET,
        region_name=S3_REGION,
    )


@dataclass(frozen=True)
class Mail:
    """One message as it came over the wire."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)


@dataclass
class SmtpSink:
    """An SMTP server that keeps what it gets; `refuse` answers every recipient with a 550."""

    port: int
    host: str = "127.0.0.1"
    mails: list[Mail] = field(default_factory=list)
    refuse: bool = False

    async def handle_RCPT(  # noqa: N802 - the library's name for the hook
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take or refuse one recipient."""
        del server, session, options
        if self.refuse:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - the library's name for the hook
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep one message."""
        del server, session
        content = envelope.original_content or b""
        self.mails.append(Mail(envelope.mail_from or "", tuple(envelope.rcpt_tos), content))
        return "250 kept"


@contextlib.contextmanager
def smtp_server() -> Iterator[SmtpSink]:
    """An SMTP sink on a free loopback port."""
    sink = SmtpSink(free_port())
    controller = Controller(sink, hostname=sink.host, port=sink.port)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()


class Databases:
    """Makes fresh databases on one cluster, empty or like another, and drops them again."""

    def __init__(self, maintenance_dsn: str, template: str = "template0") -> None:
        self._maintenance_dsn = maintenance_dsn
        self._template = template
        self._made: list[str] = []

    def __call__(self) -> str:
        """The DSN of a new database."""
        name = f"test_{uuid4().hex}"
        # files copied, not logged page by page: half the work
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY FILE_COPY")
        self._made.append(name)
        return self._maintenance_dsn.replace("/postgres?", f"/{name}?")

    def drop_all(self) -> None:
        """Drop what was made, whoever is still connected."""
        while self._made:
            self._execute(f"DROP DATABASE IF EXISTS {self._made.pop()} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        connection = psycopg2.connect(self._maintenance_dsn)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()


def keep_to_this_machine(event: str, args: tuple[object, ...]) -> None:
    """An audit hook: refuse every connection that would leave the machine.

    Raises:
        RuntimeError: something connects to another host.
    """
    if event != "socket.connect":
        return
    address = args[1]
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        message = "a test tried to connect to another machine"
        raise RuntimeError(message)


def keep_files_in_memory() -> None:
    """Have every temporary file, the servers' data too, in memory where there is plenty of it.

    A test's files outlive every kill in it and no power cut, and a database is hundreds of files:
    on a disk, making one takes up to twenty times as long. Whoever sets TMPDIR has their own way.
    """
    if "TMPDIR" in os.environ or not _MEMORY.is_dir() or not os.access(_MEMORY, os.W_OK):
        return
    runs_programs = not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC
    if runs_programs and shutil.disk_usage(_MEMORY).free >= _PLENTY_BYTES:
        os.environ["TMPDIR"] = str(_MEMORY)
        tempfile.tempdir = None


def read_service_models_once() -> None:
    """Have botocore read what it knows of S3 once a process: most of what a client costs."""
    vars(botocore.session)["create_loader"] = functools.cache(botocore.loaders.create_loader)


def compose_texts_once() -> None:
    """Have each YAML text composed once a process: every room and command reads the same few."""
    fresh = documents._yaml

    @functools.lru_cache(256)
    def compose(text: str) -> Any:
        return fresh().compose(text)

    vars(documents)["_yaml"] = lambda: SimpleNamespace(compose=compose)


def isolate_from_the_user() -> None:
    """Leave out what the caller's own settings say about this software and about clouds."""
    for name in [n for n in os.environ if n.startswith(("DSR_", "AWS_", "dramatiq_"))]:
        if name != "DSR_EMBEDDED_BINARIES":
            del os.environ[name]
    nowhere = os.devnull
    os.environ.update(
        AWS_CONFIG_FILE=nowhere,
        AWS_SHARED_CREDENTIALS_FILE=nowhere,
        AWS_EC2_METADATA_DISABLED="true",
    )
