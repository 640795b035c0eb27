"""One Postgres cluster in a folder of ours: make it, start it, ask it, stop it.

Enters: a `Place`. Leaves: a DSN on a private unix socket. Callers hold the services' lock.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psycopg2

from dsr_worker.embedded import binaries
from dsr_worker.embedded.binaries import EmbeddedError
from dsr_worker.embedded.place import Place, can_pass
from dsr_worker.embedded.process import Identity, spawn

USER = DATABASE = "dsr"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
LAUNCHES = 5
ANSWER_TIMEOUT_S = 20  # a machine short of breath is slow to fork a backend, and not down
_EARLY_S = 1.5  # by so much libpq's clock, of whole seconds in some versions, may be early
_POLL_S = 0.02
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C", "LC_ALL": "C", "TZ": "UTC", "HOME": "/"}
_SETTINGS = {
    # Nobody outside this machine and this folder can connect.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    # A commit that was acknowledged survives a power cut; the ledger stands on that.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    # The server's log must never hold a person's data:
    "log_statement": "none",  # no statement texts,
    "log_min_duration_statement": "-1",  # not even of slow ones,
    "log_parameter_max_length": "0",  # no bound values,
    "log_parameter_max_length_on_error": "0",  # nor those of a failed statement,
    "log_min_error_statement": "panic",  # no text of the statement that failed,
    "log_error_verbosity": "terse",  # no DETAIL ("Key (email)=(…) exists"), no CONTEXT,
    "log_min_messages": "log",  # no messages of failed statements: they quote values.
}


class Cluster:
    """The Postgres of one place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._data = place.home / "postgres"
        self._pid_file = place.data_dir / "postgres.pid"
        self._started: subprocess.Popen[bytes] | None = None
        self.log = place.data_dir / "postgres.log"

    @property
    def dsn(self) -> str:
        """Address of the ledger's database, whether the server runs or not."""
        return self._dsn(DATABASE)

    @property
    def recorded(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._pid_file.exists()

    def answers(self) -> bool:
        """Whether the ledger's database takes a connection now.

        Raises:
            EmbeddedError: the server lives and says neither yes nor no.

        """
        began = time.monotonic()
        if self._accepts(DATABASE):
            return True
        waited_s = time.monotonic() - began
        recorded = Identity.read(self._pid_file)
        timed_out = waited_s > ANSWER_TIMEOUT_S - _EARLY_S  # a refusal comes at once
        if timed_out and recorded is not None and recorded.lives():
            raise EmbeddedError(
                f"Postgres (process {recorded.pid}) runs and does not answer within"
                f" {ANSWER_TIMEOUT_S} s: it is halted or stuck; its words are in {self.log}. To"
                " start it anew: `dsr down`, then `dsr up`; what was committed stays."
            )
        return False

    def start(self) -> None:
        """Make the cluster if there is none, start it or adopt the one that runs; idempotent.

        Raises:
            EmbeddedError: no program, or it does not come up; the text names log and remedy.
        """
        if self._comes_up():
            self._adopt()
        else:
            self._end_leftover()
            programs = self._programs()
            if not (self._data / "PG_VERSION").exists():
                self._initialise(programs)
            self._launch(programs)
        self._create_database()

    def stop(self) -> None:
        """Fast shutdown: open transactions roll back, committed ones are on disk; idempotent.

        Raises:
            EmbeddedError: it still runs after a minute.
        """
        if self._accepts("postgres"):
            self._adopt()
        self._end_leftover()
        self._pid_file.unlink(missing_ok=True)

    def _dsn(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={quote(str(self.place.sockets), safe='')}"

    def _accepts(self, database: str) -> bool:
        try:
            psycopg2.connect(self._dsn(database), connect_timeout=ANSWER_TIMEOUT_S).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _postmaster(self) -> Identity | None:
        """The process that Postgres's own lock file names, if it lives.

        https://www.postgresql.org/docs/current/storage-file-layout.html: the first line is the id.
        """
        try:
            return Identity.of(int((self._data / "postmaster.pid").read_text().split("\n", 1)[0]))
        except (OSError, ValueError):
            return None

    def _comes_up(self) -> bool:
        """Whether a server runs here already; one that is still recovering is waited for."""
        recorded = Identity.read(self._pid_file) or self._postmaster()
        until = time.monotonic() + START_TIMEOUT_S
        while not self._accepts("postgres"):
            listens = (self.place.sockets / ".s.PGSQL.5432").exists()
            if recorded is None or not recorded.lives() or not listens:
                return False
            if time.monotonic() > until:
                raise EmbeddedError(self._silent())
            time.sleep(_POLL_S)
        return True

    def _silent(self) -> str:
        return (
            f"Postgres does not answer after {START_TIMEOUT_S:.0f} s; its words are in {self.log}. "
            "It may still be recovering: run the same command again to go on waiting."
        )

    def _adopt(self) -> None:
        """Record who answers on our private socket, if a starter died before it could."""
        recorded = Identity.read(self._pid_file)
        if recorded is None or not recorded.lives():
            postmaster = self._postmaster()
            if postmaster is not None:
                postmaster.write(self._pid_file)

    def _end_leftover(self) -> None:
        recorded = Identity.read(self._pid_file)
        if recorded is None:
            return
        for number in (signal.SIGINT, signal.SIGQUIT):  # fast, then immediate shutdown
            recorded.send(number)
            recorded.send(signal.SIGCONT)  # one that was halted gets the other signal then
            if recorded.wait(STOP_TIMEOUT_S):
                break
        else:
            raise EmbeddedError(f"Postgres (process {recorded.pid}) does not stop; see {self.log}.")
        if self._started is not None and self._started.pid == recorded.pid:
            self._started.wait()
            self._started = None

    def _programs(self) -> Path:
        with contextlib.suppress(OSError):
            return self._reachable(int((self._data / "PG_VERSION").read_text()))
        return self._reachable(None)

    def _reachable(self, major: int | None) -> Path:
        found = binaries.find_postgres(major)
        if can_pass(found.folder, self.place.uid):
            return found.folder
        copy = self.place.home / "programs" / f"postgres-{found.major}"
        inside = copy / found.folder.relative_to(found.folder.parents[1])
        if not (copy / "whole").exists():
            _copy_readable(found.parts or (found.folder.parent,), copy)
            (copy / "whole").touch()
        return inside

    def _initialise(self, programs: Path) -> None:
        fresh = self._data.with_name("postgres.new")
        for locale in ("C.UTF-8", "C"):
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            if self.place.uid is not None:
                shutil.chown(fresh, self.place.uid, self.place.uid)
            argv = [str(programs / "initdb"), "-D", str(fresh), "-U", USER, "--auth=trust"]
            argv += ["--encoding=UTF8", f"--locale={locale}", "--data-checksums"]
            made = spawn(argv, log=self.log, env=_ENVIRONMENT, uid=self.place.uid)
            if made.wait() == 0:
                fresh.rename(self._data)
                return
        raise EmbeddedError(f"Postgres could not make its data folder; see {self.log}.")

    def _launch(self, programs: Path) -> None:
        """Start the server; again if it ends at once, as while a killed one's children go."""
        for _ in range(LAUNCHES):
            if self._launched(programs):
                return
            time.sleep(1)
        raise EmbeddedError(f"Postgres ends while it starts; its words are in {self.log}.")

    def _launched(self, programs: Path) -> bool:
        settings = {**_SETTINGS, "unix_socket_directories": str(self.place.sockets)}
        argv = [str(programs / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        self._started = spawn(argv, log=self.log, env=_ENVIRONMENT, uid=self.place.uid)
        identity = Identity.of(self._started.pid)
        if identity is not None:
            identity.write(self._pid_file)
        until = time.monotonic() + START_TIMEOUT_S
        while not self._accepts("postgres"):
            if self._started.poll() is not None:
                return False
            if time.monotonic() > until:
                raise EmbeddedError(self._silent())
            time.sleep(_POLL_S)
        return True

    def _create_database(self) -> None:
        connection = psycopg2.connect(self._dsn("postgres"), connect_timeout=ANSWER_TIMEOUT_S)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            connection.close()


def _copy_readable(parts: tuple[Path, ...], target: Path) -> None:
    """Copy folders side by side, so that relative library paths hold, readable by everyone."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o755, parents=True)
    for part in parts:
        shutil.copytree(part, target / part.name, ignore=shutil.ignore_patterns("include"))
    for item in (target.parent, target, *target.rglob("*")):
        executable = item.is_dir() or item.stat().st_mode & 0o100
        item.chmod(0o755 if executable else 0o644)
