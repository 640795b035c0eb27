"""Why a connection does not come about: each cause has its own sentence and consequence."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from connectors.postgres.server.session import Limits, Server
from dsr_worker.contract import Configuration, ConnectorError, Transient
from tests.services import free_port

_LIMITS = Limits(connect_s=2, statement_s=5, lock_s=5, idle_s=5)
_SECRET = "zqsecretzq"


def _refusal(dsn: str) -> ConnectorError:
    """What opening a transaction raises; it gives nothing of the DSN away."""
    with (
        pytest.raises(ConnectorError, match="cannot connect") as caught,
        Server(lambda: dsn, keep=0).transaction(_LIMITS),
    ):
        raise AssertionError
    assert _SECRET not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert caught.value.__suppress_context__
    return caught.value


@contextlib.contextmanager
def _saying(sqlstate: str, message: str) -> Iterator[str]:
    """The DSN of a server that refuses everybody with this error (protocol 3.0, ErrorResponse)."""
    fields = b"".join(
        tag + text.encode() + b"\0"
        for tag, text in ((b"S", "FATAL"), (b"C", sqlstate), (b"M", message))
    )
    body = (len(fields) + 5).to_bytes(4, "big") + fields + b"\0"
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with contextlib.suppress(OSError):
                taken, _ = listening.accept()
                with taken:
                    taken.recv(4096)
                    taken.sendall(b"E" + body)
                    taken.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        port = listening.getsockname()[1]
        yield f"postgresql://{_SECRET}:{_SECRET}@127.0.0.1:{port}/{_SECRET}?sslmode=disable"
        thread.join(100)


def test_a_port_where_nobody_listens() -> None:
    """A server that is away may come back, by TCP and by socket: it is tried again."""
    for where in (f"host=127.0.0.1 port={free_port()}", "host=/zq/nowhere"):
        found = _refusal(f"{where} user={_SECRET} password={_SECRET} dbname={_SECRET}")
        assert isinstance(found, Transient)
        assert "nobody listens" in str(found)


def test_a_server_that_says_nothing() -> None:
    """A server that takes the connection and stays silent is waited for no longer than allowed."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        found = _refusal(f"host=127.0.0.1 port={port} user={_SECRET} dbname={_SECRET}")
    assert isinstance(found, Transient)
    assert "no answer" in str(found)


def test_a_database_that_is_not_there(postgres_dsn: str) -> None:
    """An unknown database is a fault of the configuration."""
    found = _refusal(make_dsn(postgres_dsn, dbname=_SECRET))
    assert isinstance(found, Configuration)
    assert "no such database" in str(found)


def test_a_role_that_may_not_log_in(postgres_dsn: str) -> None:
    """An unknown role and one without LOGIN are refused logins."""
    role = f"{_SECRET}_{uuid4().hex[:8]}"
    admin = psycopg2.connect(postgres_dsn)
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            assert "login was refused" in str(_refusal(make_dsn(postgres_dsn, user=role)))
            cursor.execute(f"CREATE ROLE {role} NOLOGIN")
            found = _refusal(make_dsn(postgres_dsn, user=role))
            cursor.execute(f"DROP ROLE {role}")
    finally:
        admin.close()
    assert isinstance(found, Configuration)
    assert "login was refused" in str(found)


@pytest.mark.parametrize(
    ("sqlstate", "message", "kind", "says"),
    [
        ("28P01", f'password authentication failed for user "{_SECRET}"', Configuration, "login"),
        ("28000", f'no pg_hba.conf entry for host "::1", user "{_SECRET}"', Configuration, "login"),
        ("42501", f'permission denied for database "{_SECRET}"', Configuration, "login"),
        ("53300", "sorry, too many clients already", Transient, "OperationalError"),
        ("57P03", "the database system is starting up", Transient, "OperationalError"),
        ("3D000", f"Datenbank »{_SECRET}« existiert nicht", Transient, "OperationalError"),
    ],
)
def test_what_a_server_refuses(
    sqlstate: str, message: str, kind: type[ConnectorError], says: str
) -> None:
    """A refused login is told as one; what is busy or in another language is tried again."""
    with _saying(sqlstate, message) as dsn:
        found = _refusal(dsn)
    assert isinstance(found, kind)
    assert says in str(found)


@pytest.mark.parametrize(
    "dsn",
    [
        _SECRET,
        f"postgres//{_SECRET}@h/d",
        f"hots=127.0.0.1 password={_SECRET}",
        f"postgresql://{_SECRET}@127.0.0.1:port/d",
        f"host=127.0.0.1 sslmode=sometimes password={_SECRET}",
        "host=127.0.0.1 port=99999999",
    ],
)
def test_a_dsn_that_is_none(dsn: str) -> None:
    """A DSN that cannot be read is told as that, and quoted nowhere."""
    found = _refusal(dsn)
    assert isinstance(found, Configuration)
    assert "the DSN cannot be read" in str(found)


def test_a_host_whose_name_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name service that does not know the host may know it again."""
    text = f'could not translate host name "{_SECRET}" to address: Name or service not known'
    monkeypatch.setattr(psycopg2, "connect", _raising(psycopg2.OperationalError(text)))
    found = _refusal("host=h")
    assert isinstance(found, Transient)
    assert "name leads nowhere" in str(found)


def _raising(error: Exception) -> Callable[..., None]:
    def connect(*_: object, **__: object) -> None:
        raise error

    return connect
