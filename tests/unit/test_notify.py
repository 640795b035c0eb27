"""Mail: what may have left and what certainly has not; texts without gaps; addresses kept quiet."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from dsr_worker.breach.drafts import _WORDS, _category_words, categories
from dsr_worker.breach.people import People, by_residence
from dsr_worker.contract import Identity
from dsr_worker.letters import languages as letters
from dsr_worker.notify import Mailer, MailText, Sent, Texts
from dsr_worker.notify.mail import is_sendable, message_id
from dsr_worker.notify.texts import TextMissing, languages_of
from dsr_worker.organisation import Mail
from tests.services import SmtpSink, free_port

TEXT = MailText("Your code", "Line one\n.hidden dot\nUmlaut ä\n")
TO = "anna.q7@mail.example"


def mailer(port: int) -> Mailer:
    """A mailer to a port of this machine, without TLS."""
    settings = Mail(host="127.0.0.1", port=port, sender="privacy@shop.example", tls="none")
    return Mailer(settings, "Shop & Söhne")


@contextmanager
def scripted(answers: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """An SMTP server that answers each line as told; None hangs up. Its port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as lines:
                connection.sendall(b"220 here\r\n")
                for line in lines:
                    answer = answers(line)
                    if answer is None:
                        return
                    if answer:
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(100)


def conversation(**said: bytes | None) -> Callable[[bytes], bytes | None]:
    """Answers by verb; the end of the content is called `dot`. Everything else is fine."""
    in_content = False

    def answer(line: bytes) -> bytes | None:
        nonlocal in_content
        if in_content:
            if line != b".\r\n":
                return said.get("content", b"")
            in_content = False
            return said.get("dot", b"250 kept\r\n")
        verb = line[:4].decode().strip().lower()
        if verb == "data":
            reply = said.get("data", b"354 go on\r\n")
            in_content = reply is not None and reply.startswith(b"354")
            return reply
        return said.get(verb, b"250 fine\r\n")

    return answer


def test_a_mail_arrives_as_it_was_written(smtp_sink: SmtpSink) -> None:
    """Dots, umlauts and the sender's name survive; the message says that a machine sent it."""
    assert mailer(smtp_sink.port).send(TO, TEXT, "operation-1") is Sent.SENT
    (mail,) = smtp_sink.mails
    message = message_from_bytes(mail.content, policy=default)
    assert mail.recipients == (TO,)
    assert message.get_content().replace("\r\n", "\n") == TEXT.body
    assert message["From"].addresses[0].display_name == "Shop & Söhne"
    assert message["Message-ID"] == message_id("operation-1", "privacy@shop.example")
    assert message["Auto-Submitted"] == "auto-generated"
    assert b"\n" not in mail.content.replace(b"\r\n", b"")


def test_one_operation_has_one_message_id() -> None:
    """A doubled mail can be recognised, and another one is never taken for it."""
    ids = {message_id(f"operation-{n % 7}", "a@b.example") for n in range(70)}
    assert len(ids) == 7


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({"mail": b"550 no\r\n"}, Sent.REFUSED),
        ({"mail": b"451 later\r\n"}, Sent.TRANSIENT),
        ({"rcpt": b"550 no such mailbox\r\n"}, Sent.REFUSED),
        ({"rcpt": b"450 grey\r\n"}, Sent.TRANSIENT),
        ({"rcpt": None}, Sent.TRANSIENT),
        ({"data": b"554 no\r\n"}, Sent.REFUSED),
        ({"data": None}, Sent.TRANSIENT),
        ({"content": None}, Sent.UNKNOWN),
        ({"dot": None}, Sent.UNKNOWN),
        ({"dot": b"552 too large\r\n"}, Sent.REFUSED),
        ({"dot": b"452 full\r\n"}, Sent.TRANSIENT),
        ({"dot": b"421 closing\r\n"}, Sent.TRANSIENT),
        ({}, Sent.SENT),
    ],
)
def test_only_a_loss_after_data_leaves_it_open(
    said: dict[str, bytes | None], outcome: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the server does, only a connection lost in the content leaves it open."""
    caplog.set_level(logging.DEBUG)
    with scripted(conversation(**said)) as port:
        assert mailer(port).send(TO, TEXT, "x") is outcome
    assert TO not in caplog.text


def test_a_server_that_is_not_there_is_transient() -> None:
    """Nothing listens: the mail has certainly not left."""
    assert mailer(free_port()).send(TO, TEXT, "x") is Sent.TRANSIENT


def test_a_session_goes_on_after_a_refusal(smtp_sink: SmtpSink) -> None:
    """One refused recipient does not spoil the connection for the next."""
    own = mailer(smtp_sink.port)
    with own.session() as session:
        first, second = own.message(TO, TEXT, "1"), own.message(TO, TEXT, "2")
        assert first is not None
        assert second is not None
        smtp_sink.refuse = True
        assert session.send(first) is Sent.REFUSED
        smtp_sink.refuse = False
        assert session.send(second) is Sent.SENT
    assert len(smtp_sink.mails) == 1


def test_an_address_outside_ascii_needs_a_server_that_takes_it(smtp_sink: SmtpSink) -> None:
    """With SMTPUTF8 it arrives as written; without, it is refused and never made another one."""
    address = "jürgen@mail.example"
    assert mailer(smtp_sink.port).send(address, TEXT, "x") is Sent.SENT
    assert [mail.recipients for mail in smtp_sink.mails] == [(address,)]
    with scripted(conversation()) as port:
        assert mailer(port).send(address, TEXT, "x") is Sent.REFUSED


@pytest.mark.parametrize(
    "address",
    [
        "",
        "anna",
        "a@b@c.example",
        "a b@c.example",
        "a@c.example\r\nBcc: other@c.example",
        "a@c.example\n",
        "a@c.example,b@c.example",
        "Anna <a@c.example>",
        "a\x00@c.example",
        "a" * 400 + "@c.example",
        "a..b@c.example",
    ],
)
def test_what_is_no_bare_address_is_refused(smtp_sink: SmtpSink, address: str) -> None:
    """An address that would need quoting, name two people or carry a header is never sent to."""
    assert mailer(smtp_sink.port).send(address, TEXT, "x") is Sent.REFUSED
    assert smtp_sink.mails == []


@given(st.text(max_size=40))
def test_no_text_makes_a_second_header(address: str) -> None:
    """Whatever stands on file either cannot be sent to or is exactly the one address in `To`."""
    message = mailer(9).message(address, TEXT, "x")
    if message is not None:
        (only,) = message["To"].addresses
        assert only.addr_spec == address
        assert is_sendable(address)


def test_line_breaks_in_a_subject_are_refused() -> None:
    """A subject cannot smuggle a header in, and the error quotes nothing."""
    with pytest.raises(ValueError, match="line breaks") as caught:
        mailer(9).message(TO, MailText("Hi\r\nBcc: x@y.example", "text"), "x")
    assert "y.example" not in str(caught.value)


def test_nothing_shows_an_address() -> None:
    """Neither a mailer nor a text shows what it holds."""
    assert "sec-ret" not in repr(MailText("sec-ret", "sec-ret"))
    assert "@" not in repr(mailer(9))


def test_templates_are_strict_and_there_in_every_language() -> None:
    """Every template is in every language of letters; a missing value is an error, not a gap."""
    names = ("verification_code", "warning", "breach_individuals", "breach_authority")
    assert {languages_of(name) for name in names} == {tuple(sorted(letters()))}
    texts = Texts({"sender": "Shop & Söhne"})
    values = {"code": "123456", "case": "C-1", "minutes": 15}
    text = texts.render("verification_code", "de", values)
    assert "Ihr Code lautet: 123456" in text.body
    assert "Shop & Söhne" in text.body  # not escaped: this is plain text
    assert texts.render("verification_code", "nl", values).subject.startswith("Your code")
    for language, said in (("fr", "Votre code\u00a0: 123456"), ("es", "Su código es: 123456")):
        assert said in texts.render("verification_code", language, values).body
    with pytest.raises(UndefinedError):
        texts.render("verification_code", "en", {"code": "1"})
    with pytest.raises(TextMissing, match="warning"):
        texts.render("nothing", "en", {})


def test_what_a_breach_tells_has_words_in_every_language() -> None:
    """Each language that notices are written in names whatever the others name."""
    for language in languages_of("breach_individuals"):
        for key in _category_words()["en"]:
            assert _category_words()[language][key].strip(), (language, key)
        assert _WORDS[language].keys() == _WORDS["en"].keys()
    assert len({tuple(categories(["user.xyz"], one)) for one in ("en", "de", "fr", "es")}) == 4


def test_data_categories_in_words() -> None:
    """A category without a word of its own is told by the next wider one, each once."""
    keys = ["user.contact.email", "user.contact.address.street", "user.contact.address", "user.xyz"]
    assert categories(keys, "en") == ["postal address", "e-mail address", "other data about you"]


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from("abcdefgh"), max_size=3),
            st.sampled_from([None, "DE", "GB"]),
        ),
        max_size=12,
    )
)
def test_joining_agrees_with_connected_parts(
    entries: list[tuple[list[str], str | None]],
) -> None:
    """People are the connected parts of the graph of shared identities, whatever the order."""
    people = People(frozenset({"email"}), lambda kind, value: f"{kind}:{value}".encode())
    for number, (values, residence) in enumerate(entries):
        identities = [Identity("email", value) for value in values]
        people.add([*identities, Identity("phone", "1")], residence, 1, place=str(number))
    parts: list[set[str]] = []
    for number, (values, _) in enumerate(entries):
        merged = set(values) or {f"entry {number}"}
        for part in [part for part in parts if part & merged]:
            merged |= part
            parts.remove(part)
        parts.append(merged)
    assert len(people) == len(list(people)) == len(parts)
    assert len({person.digest for person in people}) == len(parts)
    known, unknown = by_residence(people)
    assert sum(known.values()) + unknown == len(parts)
    assert (unknown == len(parts)) == all(residence is None for _, residence in entries)
