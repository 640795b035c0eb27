"""Keeps the worker processes alive.

Why: when one child of a Dramatiq master dies, the master ends the others and exits, so something
must start it again. Enters: the worker's command and environment. Leaves: running processes, a pid
file and a log in the data folder. Which work they do is not known here.

The foreground form is `python -m dsr_worker.embedded FOLDER COMMAND …`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from dsr_worker.embedded.binaries import EmbeddedError
from dsr_worker.embedded.process import Identity, spawn

START_TIMEOUT_S = 20.0
GRACE_S = 30.0  # how long workers may finish what they hold before they are killed
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 5.0  # each restart isolates what kills workers further: do not dawdle
STEADY_AFTER_S = 60.0  # a worker that lived this long starts the backoff afresh
LARGEST_LOG_BYTES = 10 * 1024 * 1024
_POLL_S = 0.05
_log = logging.getLogger(__name__)


class Supervisor:
    """The supervisor of one data folder, seen from outside: start it detached, ask it, stop it."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.absolute()
        self._pid_file = self._data_dir / "supervisor.pid"
        self._started: subprocess.Popen[bytes] | None = None
        self.log = self._data_dir / "worker.log"

    def start(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Keep the command `argv` alive from now on, whatever becomes of us; idempotent.

        One that runs already is left alone, with the command it was given. The output of both goes
        to `worker.log`, which becomes `worker.log.1` at a start when it has grown beyond 10 MiB.

        Raises:
            EmbeddedError: the supervisor does not come up.
        """
        if self._started is not None:
            self._started.poll()
        if self.alive():
            return
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > LARGEST_LOG_BYTES:
                self.log.replace(self.log.with_name("worker.log.1"))
        command = [sys.executable, "-m", "dsr_worker.embedded", str(self._data_dir), *argv]
        self._started = spawn(command, log=self.log, env=env, cwd=Path.cwd())
        until = time.monotonic() + START_TIMEOUT_S
        while not self.alive():
            if self._started.poll() not in (None, 0) or time.monotonic() > until:
                raise EmbeddedError(f"The worker's supervisor does not start; see {self.log}.")
            time.sleep(_POLL_S)

    def alive(self) -> bool:
        """Whether the supervisor runs; it starts its worker again by itself, after a pause."""
        recorded = Identity.read(self._pid_file)
        return recorded is not None and recorded.lives()

    def stop(self, timeout_s: float = GRACE_S) -> None:
        """Let the workers finish what they hold, kill them after `timeout_s`; idempotent."""
        recorded = Identity.read(self._pid_file)
        if recorded is not None:
            recorded.send(signal.SIGTERM)
            if not recorded.wait(timeout_s):
                recorded.send(signal.SIGKILL)
                recorded.wait(GRACE_S)
        if self._started is not None:
            self._started.wait()
            self._started = None
        end_orphans(self._data_dir)
        self._pid_file.unlink(missing_ok=True)


def supervise(data_dir: Path, argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Keep the command alive in the foreground until SIGTERM or SIGINT; returns the exit status.

    A second supervisor of the same folder ends at once with status 0. Each worker leads a process
    group of its own, which ends with it: no grandchild is left behind.
    """
    lock = os.open(data_dir / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return 0
    try:
        return _Watch(data_dir, argv, env).run()
    finally:
        os.close(lock)


def end_orphans(data_dir: Path) -> None:
    """Kill what a supervisor that was killed itself has left: only processes recorded as ours."""
    file = data_dir / "worker.pid"
    orphan = Identity.read(file)
    if orphan is not None:
        orphan.send_group(signal.SIGKILL)
        orphan.wait(GRACE_S)
        file.unlink(missing_ok=True)


class _Watch:
    """The loop: start, wait, pause, start again."""

    def __init__(self, data_dir: Path, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._data_dir = data_dir
        self._argv = argv
        self._env = env
        self._told_to_stop = False

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        end_orphans(self._data_dir)
        myself = Identity.of(os.getpid())
        if myself is not None:
            myself.write(self._data_dir / "supervisor.pid")
        pause_s = FIRST_BACKOFF_S
        while not self._stopping():
            began = time.monotonic()
            status = self._run_once()
            if self._stopping():
                break
            lived_s = time.monotonic() - began
            pause_s = FIRST_BACKOFF_S if lived_s > STEADY_AFTER_S else pause_s
            _log.warning("worker ended (status %s); starting again in %.1f s", status, pause_s)
            self._sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_BACKOFF_S)
        return 0

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._told_to_stop = True

    def _stopping(self) -> bool:
        return self._told_to_stop

    def _sleep(self, pause_s: float) -> None:
        until = time.monotonic() + pause_s
        while not self._stopping() and time.monotonic() < until:
            time.sleep(_POLL_S)

    def _run_once(self) -> int:
        worker = subprocess.Popen(  # noqa: S603 - the caller's own command
            list(self._argv),
            env=dict(self._env),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        identity = Identity.of(worker.pid)
        if identity is not None:
            identity.write(self._data_dir / "worker.pid")
        while worker.poll() is None and not self._stopping():
            time.sleep(_POLL_S)
        if worker.poll() is None:
            self._let_finish(worker)
        _end_group(worker.pid)
        (self._data_dir / "worker.pid").unlink(missing_ok=True)
        return worker.wait()

    def _let_finish(self, worker: subprocess.Popen[bytes]) -> None:
        # The master alone is told: a child that gets a second SIGTERM drops what it holds.
        worker.terminate()
        try:
            worker.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            _log.warning("workers still busy after %.0f s; killing them", GRACE_S)


def _end_group(leader: int) -> None:
    """Kill what is left of a worker's group. Its number cannot mean another while members live."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
