"""Mail over one SMTP server, with an outcome that says whether it may have left.

In: an address, a text, an operation id. Out: `Sent`: only UNKNOWN means that the message may or may
not have been taken (the connection broke after the content began to travel); it is then a person's
decision to send it again. The Message-ID follows from the operation id, so that a doubled mail can
be recognised by whoever receives it. Server replies are read for their codes alone: they may quote
addresses, so no text of theirs goes anywhere.

A server that cannot be used as configured (TLS not offered, certificate not trusted, login refused)
is TRANSIENT for every message, is named in the log, and is told neither password nor address.
"""

from __future__ import annotations

import hashlib
import logging
import re
import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from enum import StrEnum

from dsr_worker.notify.texts import MailText, Texts
from dsr_worker.organisation import Mail

_log = logging.getLogger(__name__)

_TIMEOUT_S = 20.0
_MAX_ADDRESS = 320  # RFC 5321, 4.5.3.1: 64 octets, @, 255 octets
_SENDABLE = re.compile(r"[^\s\x00-\x1f\x7f<>,;:\"()\[\]\\@]+@[^\s\x00-\x1f\x7f<>,;:\"()\[\]\\@]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PERIODS = re.compile(rb"(?m)^\.")
_OK = 250
_WILL_FORWARD = 251
_GO_ON = 354
_PERMANENT = 500
_CLOSING = 421  # RFC 5321, 4.2.3: the server closes the channel
_TROUBLES: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLCertVerificationError, "certificate_not_trusted"),
    (ssl.SSLError, "tls_failed"),
    (smtplib.SMTPAuthenticationError, "login_refused"),
    (smtplib.SMTPResponseException, "unreachable"),
    (smtplib.SMTPServerDisconnected, "unreachable"),
    (smtplib.SMTPException, "tls_or_login_not_offered"),  # nothing that both sides know
    (UnicodeError, "login_not_ascii"),
)
_UNREACHABLE = (OSError, smtplib.SMTPException)  # SMTPException is an OSError, told for the reader


class Sent(StrEnum):
    """What became of a message."""

    SENT = "sent"
    """The server took it: accepted, which is not read."""
    REFUSED = "refused"
    """For good: repeating cannot help."""
    TRANSIENT = "transient"
    """Not taken now; it has certainly not left."""
    UNKNOWN = "unknown"
    """The connection was lost while or after the content travelled."""


class MailSession:
    """A connection kept over several messages; made anew when the server has closed it.

    Not thread-safe. Made by `Mailer.session`.
    """

    def __init__(self, settings: Mail) -> None:
        self._settings = settings
        self._smtp: smtplib.SMTP | None = None

    def send(self, message: EmailMessage) -> Sent:
        """Send one message to the one address in its `To`."""
        to = message["To"].addresses[0].addr_spec
        try:
            smtp = self._smtp or self._connect()
        except (*_UNREACHABLE, UnicodeError) as error:
            _log.warning("mail_server_unusable", extra={"code": _trouble(error)})
            return Sent.TRANSIENT
        self._smtp = smtp
        try:
            options = _options(smtp, to)
            refusal = _envelope(smtp, self._settings.sender, to, options)
        except smtplib.SMTPNotSupportedError:
            return Sent.REFUSED
        except _UNREACHABLE:
            self.close()
            return Sent.TRANSIENT
        if refusal is not None:
            self._after_refusal()
            return refusal
        return self._content(smtp, message.as_bytes(policy=SMTPUTF8 if options else SMTP))

    def close(self) -> None:
        """Leave, politely where the server still listens. Safe to repeat."""
        smtp, self._smtp = self._smtp, None
        if smtp is None:
            return
        try:
            smtp.quit()
        except _UNREACHABLE:
            smtp.close()

    def _connect(self) -> smtplib.SMTP:
        own = self._settings
        if own.tls == "implicit":
            context = ssl.create_default_context()
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                own.host, own.port, timeout=_TIMEOUT_S, context=context
            )
        else:
            smtp = smtplib.SMTP(own.host, own.port, timeout=_TIMEOUT_S)
        try:
            if own.tls == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            if own.user is not None and own.password is not None:
                smtp.login(own.user, own.password.read())
            smtp.ehlo_or_helo_if_needed()
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _after_refusal(self) -> None:
        """Begin the next message afresh; a server that answers no more is left."""
        try:
            if self._smtp is not None and self._smtp.rset()[0] != _OK:
                self.close()
        except _UNREACHABLE:
            self.close()

    def _content(self, smtp: smtplib.SMTP, content: bytes) -> Sent:
        # From here on a broken connection leaves it open whether the server keeps the message.
        whole = content if content.endswith(b"\r\n") else content + b"\r\n"
        try:
            smtp.send(_PERIODS.sub(b"..", whole) + b".\r\n")
            code, _ = smtp.getreply()
        except _UNREACHABLE:
            self.close()
            return Sent.UNKNOWN
        if code == _OK:
            return Sent.SENT
        if code == _CLOSING:
            self.close()
        return _judged(code)


class Mailer:
    """Sends mail by the organisation's SMTP server; may be used by many threads.

    `sender_name` stands beside the sender's address; `texts` renders templates.
    """

    def __init__(self, settings: Mail, sender_name: str = "", texts: Texts | None = None) -> None:
        self._settings = settings
        self._sender_name = " ".join(sender_name.split())
        self._texts = texts or Texts({"sender": self._sender_name or settings.sender})

    def __repr__(self) -> str:
        return f"Mailer({self._settings.host}:{self._settings.port})"

    @contextmanager
    def session(self) -> Iterator[MailSession]:
        """A connection for several messages, opened with the first and closed at the end."""
        session = MailSession(self._settings)
        try:
            yield session
        finally:
            session.close()

    def send(self, to: str, text: MailText, operation: str) -> Sent:
        """Send one message over a connection of its own. An address nobody can have is REFUSED."""
        message = self.message(to, text, operation)
        if message is None:
            return Sent.REFUSED
        with self.session() as session:
            return session.send(message)

    def send_template(
        self, name: str, *, to: str, language: str, operation: str, values: Mapping[str, object]
    ) -> Sent:
        """Render a template and send it. Raises TextMissing, jinja2.UndefinedError."""
        return self.send(to, self._texts.render(name, language, values), operation)

    def message(self, to: str, text: MailText, operation: str) -> EmailMessage | None:
        """A message ready to send; None where `to` is no bare address.

        Raises:
            ValueError: the subject holds a line break or another control character.

        """
        recipient = _recipient(to)
        if recipient is None:
            return None
        if _CONTROL.search(text.subject):
            raise ValueError("a subject holds no line breaks or control characters")
        sender = self._settings.sender
        message = EmailMessage(policy=SMTP)
        message["From"] = Address(display_name=self._sender_name, addr_spec=sender)
        message["To"] = recipient
        message["Subject"] = text.subject
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = message_id(operation, sender)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834, 5
        message.set_content(text.body)
        return message


def is_sendable(address: str) -> bool:
    """Whether this is one bare address that a header and an SMTP command can carry."""
    return _recipient(address) is not None


def _recipient(address: str) -> Address | None:
    if len(address) > _MAX_ADDRESS or _SENDABLE.fullmatch(address) is None:
        return None
    local, _, domain = address.rpartition("@")
    if "" in (*local.split("."), *domain.split(".")):
        return None
    try:
        # Not by `addr_spec`, which takes no letters outside ASCII before the @ (RFC 6531 does).
        return Address(username=local, domain=domain)
    except (ValueError, MessageError):  # its text quotes the address: it goes no further
        return None


def message_id(operation: str, sender: str) -> str:
    """The Message-ID of an operation: the same each time it is carried out."""
    digest = hashlib.sha256(operation.encode()).hexdigest()[:32]
    return f"<{digest}@{sender.rpartition('@')[2]}>"


def _trouble(error: Exception) -> str:
    """Why a server cannot be used; its own words stay where they are."""
    return next((code for kind, code in _TROUBLES if isinstance(error, kind)), "unreachable")


def _options(smtp: smtplib.SMTP, to: str) -> tuple[str, ...]:
    if to.isascii():
        return ()
    if not smtp.has_extn("smtputf8"):
        raise smtplib.SMTPNotSupportedError
    smtp.command_encoding = "utf-8"
    return ("SMTPUTF8", "BODY=8BITMIME")


def _envelope(smtp: smtplib.SMTP, sender: str, to: str, options: tuple[str, ...]) -> Sent | None:
    """Go as far as the server's word to begin with the content; else why not."""
    code, _ = smtp.mail(sender, options)
    if code == _OK:
        code, _ = smtp.rcpt(to)
    if code not in {_OK, _WILL_FORWARD}:
        return _judged(code)
    code, _ = smtp.docmd("DATA")
    return None if code == _GO_ON else _judged(code)


def _judged(code: int) -> Sent:
    return Sent.REFUSED if code >= _PERMANENT else Sent.TRANSIENT
