"""A Postgres and a broker as others run them: over TCP, each with a password.

In: an empty folder. Out: their addresses on free ports of 127.0.0.1; both end with the block. The
cluster is made by the embedded services and then started anew without their private sockets.
"""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import psycopg2
import redis
from psycopg2.sql import SQL, Literal

from dsr_worker.embedded import Endpoints, Services
from dsr_worker.embedded.place import Place, prepare
from dsr_worker.embedded.process import Identity, spawn
from tests.services import free_port

_PATIENCE_S: Final = 120.0
_HOST: Final = "127.0.0.1"
_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LANG": "C", "TZ": "UTC", "HOME": "/"}


@contextmanager
def servers_over_tcp(folder: Path) -> Iterator[Endpoints]:
    """Addresses with passwords, to servers that take nobody without one."""
    own = Services(folder)
    running: list[subprocess.Popen[bytes]] = []
    try:
        password = secrets.token_urlsafe(16)
        where = prepare(folder)
        programs = _prepared(own, where, password)
        ledger = f"postgresql://dsr:{password}@{_HOST}:{{}}/dsr"
        broker = f"redis://:{password}@{_HOST}:{{}}/0"
        endpoints = Endpoints(ledger.format(free_port()), broker.format(free_port()))
        running.append(_postgres(where, programs["postgres"], _port(endpoints.ledger_dsn)))
        running.append(_broker(where, programs["broker"], _port(endpoints.redis_url), password))
        _wait_for(endpoints)
        _refuses_others(endpoints, password)
        yield endpoints
    finally:
        for server in running:
            server.send_signal(signal.SIGINT)  # Postgres waits for no client then
        for server in running:
            server.wait(_PATIENCE_S)
        own.remove()


def _prepared(own: Services, where: Place, password: str) -> dict[str, Path]:
    """Make the cluster, give its role a password; the programs that were used."""
    endpoints = own.start()
    programs = {}
    for name in ("postgres", "broker"):
        identity = Identity.read(where.data_dir / f"{name}.pid")
        assert identity is not None
        programs[name] = Path(f"/proc/{identity.pid}/exe").resolve()
    with closing(psycopg2.connect(endpoints.ledger_dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(SQL("ALTER ROLE dsr PASSWORD {}").format(Literal(password)))
    own.stop()
    return programs


def _postgres(where: Place, program: Path, port: int) -> subprocess.Popen[bytes]:
    data = where.home / "postgres"
    (data / "pg_hba.conf").write_text(f"host all all {_HOST}/32 scram-sha-256\n", "ascii")
    settings = {
        "listen_addresses": _HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
    }
    argv = [str(program), "-D", str(data)]
    for name, value in settings.items():
        argv += ["-c", f"{name}={value}"]
    return spawn(argv, log=where.data_dir / "tcp-postgres.log", env=_ENVIRONMENT, uid=where.uid)


def _broker(where: Place, program: Path, port: int, password: str) -> subprocess.Popen[bytes]:
    argv = [str(program), "--port", str(port), "--bind", _HOST, "--requirepass", password]
    argv += ["--save", "", "--appendonly", "no", "--dir", str(where.home)]
    return spawn(argv, log=where.data_dir / "tcp-broker.log", env=_ENVIRONMENT, uid=where.uid)


def _port(address: str | None) -> int:
    assert address is not None
    return int(address.rpartition(":")[2].partition("/")[0])


def _wait_for(endpoints: Endpoints) -> None:
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            psycopg2.connect(endpoints.ledger_dsn).close()
            with redis.Redis.from_url(endpoints.redis_url or "") as client:
                client.ping()
        except (psycopg2.OperationalError, redis.RedisError):
            assert time.monotonic() < until, "the servers do not come up"
            time.sleep(0.05)
        else:
            return


def _refuses_others(endpoints: Endpoints, password: str) -> None:
    """Without the password nobody comes in, or this would try less than it says."""
    other = Endpoints(
        endpoints.ledger_dsn.replace(password, "another"),
        (endpoints.redis_url or "").replace(password, "another"),
    )
    refused = 0
    try:
        psycopg2.connect(other.ledger_dsn).close()
    except psycopg2.OperationalError:
        refused += 1
    try:
        with redis.Redis.from_url(other.redis_url or "") as client:
            client.ping()
    except redis.AuthenticationError:
        refused += 1
    assert refused == 2, "a server takes anybody"
