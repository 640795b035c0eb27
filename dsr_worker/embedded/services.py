"""The embedded services of one data folder as a whole.

Enters: the data folder. Leaves: `Endpoints`. Any number of processes may start, ask and stop at
once: a lock file lets one at a time through, and everybody adopts what already runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dsr_worker.embedded import place as places
from dsr_worker.embedded.binaries import EmbeddedError
from dsr_worker.embedded.broker import Server
from dsr_worker.embedded.place import Place
from dsr_worker.embedded.postgres import Cluster
from dsr_worker.embedded.process import locked


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the services listen. `redis_url` is None while no broker was asked for."""

    ledger_dsn: str
    redis_url: str | None


class Services:
    """Our own Postgres and our own Redis-compatible server, in `data_dir`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.absolute()
        self._servers: tuple[Cluster, Server] | None = None

    def start(self, *, ledger: bool = True, broker: bool = True) -> Endpoints:
        """Start what is asked for and does not run yet, and wait until it answers; idempotent.

        With `ledger=False` the DSN says where the ledger would listen.

        Raises:
            EmbeddedError: something cannot start; the text says what to do.
        """
        place = places.prepare(self._data_dir)
        with locked(self._lock_file):
            cluster, server = self._at(place)
            ran_before = cluster.recorded
            if ledger:
                cluster.start()
            if broker:
                try:
                    server.start()
                except EmbeddedError:
                    if not ran_before:
                        cluster.stop()  # a start that fails leaves nothing running behind
                        places.forget_sockets(place)
                    raise
            return Endpoints(cluster.dsn, server.url if server.recorded else None)

    def running(self) -> Endpoints | None:
        """The services as they answer now; None if one that was started does not, or none was.

        Raises:
            EmbeddedError: Postgres lives and says nothing.

        """
        place = places.known(self._data_dir)
        if place is None:
            return None
        cluster, server = self._at(place)
        if not cluster.answers() or (server.recorded and not server.answers()):
            return None
        return Endpoints(cluster.dsn, server.url if server.recorded else None)

    def stop(self) -> None:
        """Stop whatever runs and wait until it has ended; idempotent.

        Raises:
            EmbeddedError: a server does not end.
        """
        place = places.known(self._data_dir)
        if place is None:
            return
        with locked(self._lock_file):
            cluster, server = self._at(place)
            server.stop()
            cluster.stop()
            places.forget_sockets(place)
            self._servers = None

    def remove(self) -> None:
        """Stop, then take away the data folder with all it holds and what it keeps elsewhere."""
        self.stop()
        places.remove(self._data_dir)

    def log_files(self) -> list[Path]:
        """The logs that exist here: for people, and for tests that look for data in them."""
        return [p for p in sorted(self._data_dir.glob("*.log")) if p.is_file()]

    @property
    def _lock_file(self) -> Path:
        return self._data_dir / "services.lock"

    def _at(self, place: Place) -> tuple[Cluster, Server]:
        """The two servers of a place; kept, since a child that ends wants its parent's notice."""
        if self._servers is None or self._servers[0].place != place:
            self._servers = Cluster(place), Server(place)
        return self._servers
