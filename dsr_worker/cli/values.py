"""Values on the command line: instants, days, codes, names, and what names a person.

A wrong value is refused without being quoted, since any of them may be a person's. Identities are
canonicalised by the one canonicaliser; from stdin (`--identities -`) they never stand in a shell's
history or in the list of processes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from dsr_worker.cli.faults import usage
from dsr_worker.cli.names import near

if TYPE_CHECKING:
    from dsr_worker.contract import Identity
    from dsr_worker.domain.identity import ClaimRules

_LANGUAGE = re.compile(r"[a-z]{2}")  # ISO 639-1
_Function = TypeVar("_Function", bound=Callable[..., Any])
_CODE = re.compile(r"[a-z][a-z0-9_.:/-]{0,99}")
_REFERENCE = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9_.:/-]{0,99}")
_KEY = re.compile(r"[A-Za-z0-9_.:/+=-]{1,200}")
_INSTANT = "an instant with offset, such as 2026-11-21T10:00+01:00"
_DAY = "a date such as 2027-03-31"
_MOST_STDIN_BYTES = 1024 * 1024
_LONGEST_NUMBER = 10  # digits of what is below 2**31

FIRST_YEAR, LAST_YEAR = 1970, 2099
"""Years that an instant or a day may lie in, both inclusive: from the epoch of the systems that
hold the data to the last year after which every statutory period still ends inside the calendars
(`dsr_worker.domain.calendar.LAST_YEAR`). What lies outside is a slip of the keyboard."""


class Instant(click.ParamType[datetime]):
    """An instant with offset or Z."""

    name = "instant"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it."""
        return value if isinstance(value, datetime) else instant(value, _named(param))

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:
        """What is said where it is left out."""
        return f"Give {_INSTANT}"


class Day(click.ParamType[date]):
    """A civil date."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read it."""
        if isinstance(value, date):
            return value
        try:
            found = date.fromisoformat(value)
        except ValueError:
            raise usage(f"{_named(param)} is {_DAY}") from None
        return _in_window(found, _named(param))

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:
        """What is said where it is left out."""
        return f"Give {_DAY}"


class Word(click.ParamType[str]):
    """One of some words. A wrong one gets the near ones."""

    name = "word"

    def __init__(self, *words: str) -> None:
        self.words = words

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What help shows."""
        return f"[{'|'.join(self.words)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        if value in self.words:
            return str(value)
        raise usage(f"{_named(param)}: {near(str(value), self.words)}")


class Shaped(click.ParamType[str]):
    """A text of one shape, which `read` tells; any other is refused."""

    def __init__(self, name: str, read: Callable[[str, str], str]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        return self._read(str(value), _named(param))


class Number(click.ParamType[int]):
    """A whole number from 1."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        text = str(value)
        plain = text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER
        if not plain or not 0 < int(text) < 2**31:
            raise usage(f"{_named(param)} is a whole number from 1")
        return int(text)


INSTANT, DAY, NUMBER = Instant(), Day(), Number()


def instant(text: str, what: str) -> datetime:
    """An instant from ISO 8601 text. Raises Fault without an offset, or outside the window."""
    remedy = f"{what} is {_INSTANT}"
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise usage(remedy) from None
    if found.tzinfo is None:
        raise usage(remedy)
    return _in_window(found, what)


_When = TypeVar("_When", date, datetime)


def _in_window(found: _When, what: str) -> _When:
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise usage(f"{what} lies in the years {FIRST_YEAR} to {LAST_YEAR}; check the year")
    return found


def code(text: str, what: str) -> str:
    """A code. Raises Fault."""
    if _CODE.fullmatch(text) is None:
        raise usage(f"{what} is a short code such as passport_seen: a-z, 0-9 and _.:/- only")
    return text


def key(text: str, what: str) -> str:
    """An idempotency key. Raises Fault: it stands in the ledger in plain."""
    if _KEY.fullmatch(text) is None:
        raise usage(
            f"{what} is a short code such as web-77 or a UUID, of at most 200 of A-Z, a-z, 0-9 and"
            " _.:/+=-; the ledger keeps it in plain: of what names a person take a digest"
        )
    return text


def reference(text: str, what: str) -> str:
    """An opaque id. Raises Fault: it stands in the ledger in plain."""
    if _REFERENCE.fullmatch(text) is None:
        raise usage(
            f"{what} is a short code such as m-2026-17, with a letter: A-Z, a-z, 0-9 and _.:/-"
            " only; the ledger keeps it in plain: it names nobody"
        )
    return text


CODE = Shaped("code", code)  # a short word that may stand in an event
KEY = Shaped("key", key)  # an idempotency key
REFERENCE = Shaped("id", reference)  # of something in a register of one's own, as a dispute's


def pair(text: str, what: str) -> tuple[str, str]:
    """Both sides of `KIND=VALUE`. Raises Fault."""
    kind, equals, value = text.partition("=")
    if not equals or not kind:
        raise usage(f"{what} is written KIND=VALUE, such as customer_number=1042")
    return kind.strip().replace("-", "_"), value


# ---- who is meant


def identity_options(function: _Function) -> _Function:
    """Let a command take the options that name a person."""
    for option in (
        click.option(
            "--identities",
            "identity_source",
            metavar="-",
            help="Read identities from stdin as JSON: {kind: value or [values]}. Keeps them out of"
            " the shell's history.",
        ),
        click.option(
            "--identity", "pairs", multiple=True, metavar="KIND=VALUE", help="Any kind of the map."
        ),
        click.option("--phone", multiple=True, help="As written, best with +49 …"),
        click.option("--customer-number", "customer_number", multiple=True),
        click.option("--email", multiple=True),
    ):
        function = option(function)
    return function


def stated(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Kind and value of every identity that the options name, not yet canonical."""
    found = [
        (kind, value)
        for kind in ("email", "customer_number", "phone")
        for value in options.get(kind) or ()
    ]
    found += [pair(text, "--identity") for text in options.get("pairs") or ()]
    source = options.get("identity_source")
    if source is not None:
        if source != "-":
            raise usage("--identities takes - and reads JSON from stdin")
        found += _from_json(stdin_text())
    return found


def language_of(options: Mapping[str, Any]) -> str | None:
    """The language of an answer, as ISO 639-1 has it; None where none is asked for."""
    language: str | None = options.get("language") or None
    if language is not None and _LANGUAGE.fullmatch(language) is None:
        raise usage("--language has two small letters, such as de")
    return language


def stdin_text() -> str:
    """All of stdin as text. Raises Fault where it is no UTF-8, or far too much."""
    return utf8(sys.stdin.buffer, "stdin", _MOST_STDIN_BYTES)


def utf8(source: IO[bytes], what: str, most_bytes: int) -> str:
    """All of a source as text, without a byte-order mark. Raises Fault; quotes nothing of it."""
    raw = source.read(most_bytes + 1)
    if len(raw) > most_bytes:
        raise usage(f"{what} holds more than {most_bytes} bytes: hand it over in parts")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise usage(f"{what} is not UTF-8 text (line {line}): save it as UTF-8; nothing of it was"
                    " taken in") from None  # fmt: skip


def canonical(
    named: Iterable[tuple[str, str]], rules: ClaimRules, known: Iterable[str]
) -> tuple[Identity, ...]:
    """The identities in canonical form, each once. Raises IdentityRefused, Fault."""
    from dsr_worker.domain.identity import claimed  # noqa: PLC0415 - kept out of start-up

    kinds = set(known)
    found: dict[Identity, None] = {}
    for kind, value in named:
        if kind not in kinds:
            raise usage(f"no system of the data map takes this kind; {near(kind, kinds)}")
        found[claimed(kind, value, rules)] = None
    return tuple(found)


def _from_json(text: str) -> Iterator[tuple[str, str]]:
    try:
        plain = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        plain = None
    return identities_of(plain)


def identities_of(plain: Any) -> Iterator[tuple[str, str]]:
    """Kind and value of identities as JSON states them. Raises Fault."""
    if not isinstance(plain, dict):
        raise usage('stdin holds no identities; write {"email": "…", "customer_number": "…"}')
    for kind, values in plain.items():
        for value in values if isinstance(values, list) else [values]:
            yield str(kind).replace("-", "_"), _text(value)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names stand once; of two with one name, neither is guessed at."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise usage(
            "a name stands twice in one JSON object: write it once; several identities of a kind"
            ' are a list, such as {"email": ["…", "…"]}'
        )
    return dict(pairs)


def _text(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise usage('an identity is a number: write it as text, in quotes, such as "1042"')
    if not isinstance(value, str):
        raise usage('an identity is no text: write {"email": "…", "customer_number": ["…", "…"]}')
    return value


def _named(param: click.Parameter | None) -> str:
    if param is None:
        return "the value"
    flags: Sequence[str] = param.opts
    return flags[0] if flags else "the value"
