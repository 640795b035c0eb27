"""One Redis-compatible server in a folder of ours: start it, ask it, stop it.

It is a doorbell and holds nothing that matters, so it keeps nothing on disk. Enters: a `Place`.
Leaves: a URL on a private unix socket. Callers hold the services' lock.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

from dsr_worker.embedded import binaries
from dsr_worker.embedded.binaries import EmbeddedError
from dsr_worker.embedded.place import Place, can_pass
from dsr_worker.embedded.process import Identity, spawn

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 20.0  # a machine short of breath is slow, and not down
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C", "TZ": "UTC", "HOME": "/"}


class Server:
    """The broker of one place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._socket = place.sockets / "broker"
        self._pid_file = place.data_dir / "broker.pid"
        self._started: subprocess.Popen[bytes] | None = None
        self.log = place.data_dir / "broker.log"

    @property
    def url(self) -> str:
        """Address of the broker, whether it runs or not."""
        return f"unix://{self._socket}"

    @property
    def recorded(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._pid_file.exists()

    def answers(self) -> bool:
        """Whether it takes a command now."""
        import redis  # noqa: PLC0415 - loads slowly, and few commands ask the broker
        from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
        from redis.retry import Retry  # noqa: PLC0415 - as above

        client = redis.Redis(
            unix_socket_path=str(self._socket),
            socket_timeout=ANSWER_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def start(self) -> None:
        """Start it or leave the one that runs; idempotent.

        Raises:
            EmbeddedError: no program, or it does not come up; the text names log and remedy.
        """
        recorded = Identity.read(self._pid_file)
        if recorded is not None and recorded.lives() and self.answers():
            return
        self._end_leftover()
        self._socket.unlink(missing_ok=True)
        self._launch()

    def stop(self) -> None:
        """End it; what it held is gone, as it should be. Idempotent."""
        self._end_leftover()
        self._pid_file.unlink(missing_ok=True)

    def _end_leftover(self) -> None:
        recorded = Identity.read(self._pid_file)
        if recorded is None:
            return
        recorded.send(signal.SIGTERM)
        if not recorded.wait(STOP_TIMEOUT_S):
            recorded.send(signal.SIGKILL)
            recorded.wait(STOP_TIMEOUT_S)
        if self._started is not None and self._started.pid == recorded.pid:
            self._started.wait()
            self._started = None

    def _program(self) -> Path:
        program = binaries.find_broker().program
        if can_pass(program.parent, self.place.uid):
            return program
        copy = self.place.home / "programs" / "broker" / program.name
        copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        for folder in (copy.parent.parent, copy.parent):
            folder.chmod(0o755)
        shutil.copyfile(program, copy)
        copy.chmod(0o755)
        return copy

    def _launch(self) -> None:
        argv = [str(self._program()), "--port", "0", "--bind", "127.0.0.1"]
        argv += ["--unixsocket", str(self._socket), "--unixsocketperm", "700"]
        argv += ["--save", "", "--appendonly", "no", "--dir", str(self.place.sockets)]
        argv += ["--daemonize", "no", "--logfile", "", "--maxmemory-policy", "noeviction"]
        self._started = spawn(argv, log=self.log, env=_ENVIRONMENT, uid=self.place.uid)
        identity = Identity.of(self._started.pid)
        if identity is not None:
            identity.write(self._pid_file)
        until = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if self._started.poll() is not None or time.monotonic() > until:
                raise EmbeddedError(f"The broker does not start; its words are in {self.log}.")
            time.sleep(0.02)
