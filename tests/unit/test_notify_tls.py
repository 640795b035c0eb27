"""Mail over TLS with a login: a password goes to the right server, encrypted, or nowhere."""

from __future__ import annotations

import datetime as dt
import ipaddress
import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dsr_worker.notify import Mailer, MailText, Sent
from dsr_worker.organisation import Mail, Reference
from tests.services import SmtpSink, free_port
from tests.unit.test_notify import scripted

TO = "anna.q7@mail.example"
TEXT = MailText("Your code", "Line one\n")
USER, PASSWORD = "mailer", "pass-q7-word"
PASSWORD_IN = "MAIL_PASSWORD"


@dataclass(frozen=True)
class Certificate:
    """A certificate that vouches for itself, and its key."""

    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """What a server shows it with."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.chain, self.key)
        return context


def certificate(folder: Path, name: x509.GeneralName) -> Certificate:
    """A certificate for one name, valid today."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail server of a test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    found = Certificate(folder / "chain.pem", folder / "key.pem")
    found.chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    found.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return found


@pytest.fixture
def own(tmp_path: Path) -> Certificate:
    """The certificate of this machine."""
    return certificate(tmp_path, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


@pytest.fixture
def trusted(own: Certificate, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """The same, trusted as a system trusts its authorities."""
    monkeypatch.setenv("SSL_CERT_FILE", str(own.chain))
    return own


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_IN, PASSWORD)


@dataclass
class Guarded(SmtpSink):
    """A server that takes mail from those who have logged in; `tried` says who tried."""

    tried: list[tuple[str, str, bool]] = field(default_factory=list)  # user, password, STARTTLS

    def login(
        self, _server: SMTP, session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        """Take the one user with the one password."""
        assert isinstance(data, LoginPassword)
        user, password = data.login.decode(), data.password.decode()
        self.tried.append((user, password, session.ssl is not None))
        return AuthResult(success=(user, password) == (USER, PASSWORD), handled=False)


@contextmanager
def server(shown: Certificate, *, implicit: bool = False) -> Iterator[Guarded]:
    """A server on loopback that takes mail over TLS and after a login only."""
    sink = Guarded(free_port())
    how: dict[str, Any] = {"tls_context": shown.context(), "require_starttls": True}
    if implicit:  # the library knows of no encryption but STARTTLS
        how = {"ssl_context": shown.context(), "auth_require_tls": False}
    controller = Controller(
        sink,
        hostname=sink.host,
        port=sink.port,
        authenticator=sink.login,
        auth_required=not implicit,
        **how,
    )
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()


def mailer(port: int, tls: str = "starttls") -> Mailer:
    """A mailer that logs in at a port of this machine."""
    settings = Mail(
        host="127.0.0.1",
        port=port,
        sender="privacy@shop.example",
        tls=tls,
        user=USER,
        password=Reference(env=PASSWORD_IN),
    )
    return Mailer(settings, "Shop")


def told(log: pytest.LogCaptureFixture) -> list[str]:
    """The codes by which a server was found unusable; nothing else may stand in the log."""
    assert TO not in log.text
    assert PASSWORD not in log.text
    return [str(vars(r)["code"]) for r in log.records if r.msg == "mail_server_unusable"]


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_login_over_tls_sends(trusted: Certificate, tls: str) -> None:
    """With a trusted certificate and the right password the mail arrives, after one login."""
    with server(trusted, implicit=tls == "implicit") as sink:
        assert mailer(sink.port, tls).send(TO, TEXT, "x") is Sent.SENT
        assert sink.tried == [(USER, PASSWORD, tls == "starttls")]
        assert [mail.recipients for mail in sink.mails] == [(TO,)]


def test_one_login_serves_a_session(trusted: Certificate) -> None:
    """Several messages share the encrypted connection."""
    with server(trusted) as sink:
        one = mailer(sink.port)
        with one.session() as session:
            for n in range(3):
                message = one.message(TO, TEXT, str(n))
                assert message is not None
                assert session.send(message) is Sent.SENT
        assert len(sink.tried) == 1
        assert len(sink.mails) == 3


def test_a_wrong_password_leaves_the_mail_unsent(
    trusted: Certificate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The login is refused: nobody is told that the address was, and nothing has left."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(PASSWORD_IN, "another")
    with server(trusted) as sink:
        assert mailer(sink.port).send(TO, TEXT, "x") is Sent.TRANSIENT
        assert {password for _, password, _ in sink.tried} == {"another"}
        assert sink.mails == []
    assert told(caplog) == ["login_refused"]


def test_a_password_outside_ascii_stops_before_it_is_sent(
    trusted: Certificate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the login cannot carry is told as such, and the password stays out of the log."""
    monkeypatch.setenv(PASSWORD_IN, "pass-q7-w\u00f6rd")
    with server(trusted) as sink:
        assert mailer(sink.port).send(TO, TEXT, "x") is Sent.TRANSIENT
        assert sink.tried == []
    assert told(caplog) == ["login_not_ascii"]
    assert "q7-w" not in caplog.text


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_certificate_nobody_vouches_for_gets_no_password(
    own: Certificate, caplog: pytest.LogCaptureFixture, tls: str
) -> None:
    """Whoever stands in between with a certificate of their own learns nothing."""
    with server(own, implicit=tls == "implicit") as sink:
        assert mailer(sink.port, tls).send(TO, TEXT, "x") is Sent.TRANSIENT
        assert sink.tried == []
        assert sink.mails == []
    assert told(caplog) == ["certificate_not_trusted"]


def test_a_trusted_certificate_of_another_server_gets_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The name has to be that of the server in the configuration."""
    other = certificate(tmp_path, x509.DNSName("mail.elsewhere.example"))
    monkeypatch.setenv("SSL_CERT_FILE", str(other.chain))
    with server(other) as sink:
        assert mailer(sink.port).send(TO, TEXT, "x") is Sent.TRANSIENT
        assert sink.tried == []
    assert told(caplog) == ["certificate_not_trusted"]


def heard(starttls: bytes) -> tuple[list[bytes], Callable[[bytes], bytes | None]]:
    """A server without encryption that invites a login; what it hears, and its answers."""
    lines: list[bytes] = []

    def answer(line: bytes) -> bytes | None:
        lines.append(line)
        verb = line[:4].upper()
        if verb == b"EHLO":
            return b"250-here\r\n" + starttls + b"250 AUTH PLAIN LOGIN\r\n"
        if verb == b"STAR":
            return b"454 not now\r\n"
        return None if verb == b"QUIT" else b"250 fine\r\n"

    return lines, answer


@pytest.mark.parametrize("offered", [b"", b"250-STARTTLS\r\n"], ids=["not offered", "refused"])
def test_without_tls_nothing_is_said(offered: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Where encryption does not come about, neither login nor address is sent in plain."""
    lines, answer = heard(offered)
    with scripted(answer) as port:
        assert mailer(port).send(TO, TEXT, "x") is Sent.TRANSIENT
    assert {line[:4].upper() for line in lines} <= {b"EHLO", b"STAR", b"QUIT"}
    assert len(told(caplog)) == 1


def test_a_server_without_login_is_not_written_to(
    trusted: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that offers no login is not the one that was configured."""
    sink = SmtpSink(free_port())
    controller = Controller(
        sink,
        hostname=sink.host,
        port=sink.port,
        tls_context=trusted.context(),
        require_starttls=True,
        auth_exclude_mechanism=["LOGIN", "PLAIN"],
    )
    controller.start()
    try:
        assert mailer(sink.port).send(TO, TEXT, "x") is Sent.TRANSIENT
        assert sink.mails == []
    finally:
        controller.stop()
    assert told(caplog) == ["tls_or_login_not_offered"]
