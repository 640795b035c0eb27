"""Processes that outlive us: who they are, how they start, and how they end.

A process id alone names nobody: ids are reused. An `Identity` adds the instant the process began,
so a signal never reaches a stranger who got the number later. Enters: argument lists; leaves:
identities, also as small JSON files. Nothing here knows which program it runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Identity:
    """One process for all time: its id and when it began (in the kernel's own words)."""

    pid: int
    began: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The process that has this id now, or None if there is none or it has ended unreaped."""
        began = _began(pid)
        return cls(pid, began) if began else None

    @classmethod
    def read(cls, file: Path) -> Identity | None:
        """The process a file names, whether it lives or not; None if there is no (whole) file."""
        try:
            held = json.loads(file.read_text())
            return cls(int(held["pid"]), str(held["began"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, file: Path) -> None:
        """Record this process in `file` (0600), whole or not at all."""
        fresh = file.with_name(file.name + ".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(file)

    def lives(self) -> bool:
        """Whether this very process is still there."""
        return _began(self.pid) == self.began

    def send(self, number: signal.Signals) -> None:
        """Signal this process if it is still there."""
        if self.lives():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def send_group(self, number: signal.Signals) -> None:
        """Signal the whole group this process leads, if it lives and leads one."""
        if self.lives():
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(self.pid) == self.pid:
                    os.killpg(self.pid, number)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended; False if it still lives after `timeout_s`."""
        until = time.monotonic() + timeout_s
        while self.lives():
            if time.monotonic() > until:
                return False
            time.sleep(_POLL_S)
        return True


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path = Path("/"),
    uid: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output appended to `log` (0600).

    With `uid` it runs as that user and group and no other group. Raises OSError if it cannot start.
    """
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - the caller's own programs
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold `file` against every other process that does the same; ends with us, however we end."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _began(pid: int) -> str | None:
    if Path("/proc/self/stat").exists():
        return _began_by_proc(pid)
    ps = shutil.which("ps") or "/bin/ps"
    told = subprocess.run(  # noqa: S603 - fixed program
        [ps, "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(None, 1)
    return None if len(told) != 2 or told[0].startswith("Z") else told[1].strip()  # noqa: PLR2004 - state, start


def _began_by_proc(pid: int) -> str | None:
    """State and start time: fields 3 and 22 of proc(5) `stat`, counted after the name's bracket."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"
