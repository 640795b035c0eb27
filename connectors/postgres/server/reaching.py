"""Where to read and where to change: the servers of one system, and whether they can be relied on.

In: the DSNs of a system. Out: a server for each purpose, and findings on encryption and replicas.
Changes and located keys always come from the primary. Whole records and verification may be read
from a replica, but only once it has everything that the primary had when the reading began.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a small name
from psycopg2.sql import SQL, Literal

from connectors.postgres.server.session import Limits, Server
from dsr_worker.contract import ConnectorError, Finding, Severity

_log = logging.getLogger("dsr_worker.connectors.postgres")
_BETWEEN_LOOKS_S = 0.05
_VERIFIED = frozenset({"verify-ca", "verify-full"})

_POSITION = SQL(
    "SELECT pg_is_in_recovery(),"
    " CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn()::text END"
)
# A subscription's apply worker reports a position once everything before it is applied.
_APPLIED = SQL("""
SELECT count(*), coalesce(bool_and(coalesce(s.latest_end_lsn >= {}::pg_lsn, false)), false)
FROM pg_subscription p LEFT JOIN pg_stat_subscription s ON s.subid = p.oid AND s.relid IS NULL
WHERE p.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
""")

STANDBY = "it is a hot standby, which has no temporary tables"
UNKNOWN = "it has no subscription by which to tell how far behind it is"


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of a system. `reader` connects by a role that can change nothing."""

    system: str
    primary: Server
    reader: Server | None
    replica: Server | None
    most_lag_s: float

    @property
    def reading(self) -> Server:
        """Where keys, names and contacts are read: the primary, by the lesser role if there is."""
        return self.reader or self.primary

    def copy(self, limits: Limits) -> Server:
        """Where records and verification are read: a replica that has caught up, or the primary."""
        if self.replica is None:
            return self.reading
        reason = self.behind(limits)
        if reason is None:
            return self.replica
        _log.warning("replica_not_read", extra={"system": self.system})
        return self.reading

    def behind(self, limits: Limits) -> str | None:
        """Why the replica cannot be read now; None once it has what the primary has."""
        if self.replica is None:
            return None
        try:
            return self._waited(self.replica, limits)
        except ConnectorError as error:
            return str(error)

    def _waited(self, replica: Server, limits: Limits) -> str | None:
        with self.reading.transaction(limits) as session:
            ((_, position),) = session.rows(_POSITION)
        if position is None:
            return "`dsn` is a standby itself"
        until = time.monotonic() + self.most_lag_s
        while True:
            with replica.transaction(limits) as session:
                ((standby, _),) = session.rows(_POSITION)
                ((subscriptions, applied),) = session.rows(_APPLIED.format(Literal(position)))
            if standby:
                return STANDBY
            if applied:
                return None
            if not subscriptions:
                return UNKNOWN
            if time.monotonic() >= until:
                return f"it is more than {self.most_lag_s:g} s behind"
            time.sleep(_BETWEEN_LOOKS_S)


def replica_findings(servers: Servers, limits: Limits) -> Iterator[Finding]:
    """Whether the replica is read, and if not, why."""
    if servers.replica is None:
        return
    reason = servers.behind(limits)
    if reason is None:
        message = f"the replica has caught up within {servers.most_lag_s:g} s"
        yield Finding(Severity.OK, servers.system, message)
        return
    remedy = "name a logical replica that keeps up, raise `max_replica_lag_s`, or leave"
    yield Finding(
        Severity.WARNING,
        servers.system,
        f"`replica_dsn` is not read: {reason}; everything is read from the primary",
        f"{remedy} `replica_dsn` out",
    )


def encryption(connection: Connection, system: str, which: str) -> Iterator[Finding]:
    """What travels in the clear, as the connection itself says."""
    info = connection.info
    given = info.dsn_parameters
    host = given.get("hostaddr") or info.host or ""
    yield from judged(system, which, host, given.get("sslmode", ""), encrypted=info.ssl_in_use)


def judged(
    system: str, which: str, host: str, sslmode: str, *, encrypted: bool
) -> Iterator[Finding]:
    """The finding on one way to a server; none where nothing leaves this machine."""
    if _is_here(host):
        return
    if not encrypted:
        yield Finding(
            Severity.WARNING,
            system,
            f"`{which}` is not encrypted: people's data and the password travel in the clear",
            "add sslmode=verify-full and sslrootcert=FILE to it, and let the server take TLS only",
        )
    elif sslmode not in _VERIFIED:
        yield Finding(
            Severity.WARNING,
            system,
            f"`{which}` is encrypted and nobody checks to whom (sslmode={sslmode}): another machine"
            " may pose as the server",
            "add sslmode=verify-full and sslrootcert=FILE to it",
        )


def _is_here(host: str) -> bool:
    """Whether a host is this machine: a socket's folder, or a loopback address."""
    if host in {"", "localhost"} or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
