"""Values on the command line: instants, days, codes, names, and what names a person.

A wrong value is refused without being quoted, since any of them may be a person's. Identities are
canonicalised by the one canonicaliser; from stdin (`--identities -`) they never stand in a shell's
history or in the list of processes.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dsr_worker.cli.faults import usage

if TYPE_CHECKING:
    from dsr_worker.contract import Identity
    from dsr_worker.domain.identity import ClaimRules

_Function = TypeVar("_Function", bound=Callable[..., Any])
_CODE = re.compile(r"[a-z][a-z0-9_.:/-]{0,99}")
_MOST_STDIN_BYTES = 1024 * 1024


class Instant(click.ParamType[datetime]):
    """An instant with offset or Z."""

    name = "instant"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it."""
        return value if isinstance(value, datetime) else instant(value, _named(param))


class Day(click.ParamType[date]):
    """A civil date."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read it."""
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise usage(f"{_named(param)} is a date such as 2027-03-31") from None


class Code(click.ParamType[str]):
    """A short word that may stand in an event: small letters, digits and `_.:/-`, no blanks."""

    name = "code"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        return code(str(value), _named(param))


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
        near = difflib.get_close_matches(str(value), self.words, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(self.words)}"
        raise usage(f"{_named(param)}: {hint}")


class Number(click.ParamType[int]):
    """A whole number from 1."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        text = str(value)
        if not text.isascii() or not text.isdigit() or not 0 < int(text[:10]) < 2**31:
            raise usage(f"{_named(param)} is a whole number from 1")
        return int(text)


INSTANT, DAY, CODE, NUMBER = Instant(), Day(), Code(), Number()


def instant(text: str, what: str) -> datetime:
    """An instant from ISO 8601 text. Raises Fault without an offset."""
    remedy = f"{what} is an instant with offset, such as 2026-11-21T10:00+01:00"
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise usage(remedy) from None
    if found.tzinfo is None:
        raise usage(remedy)
    return found


def code(text: str, what: str) -> str:
    """A code. Raises Fault."""
    if _CODE.fullmatch(text) is None:
        raise usage(f"{what} is a short code such as passport_seen: a-z, 0-9 and _.:/- only")
    return text


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
        found += _from_json(sys.stdin.read(_MOST_STDIN_BYTES))
    return found


def canonical(
    named: Iterable[tuple[str, str]], rules: ClaimRules, known: Iterable[str]
) -> tuple[Identity, ...]:
    """The identities in canonical form, each once. Raises IdentityRefused, Fault."""
    from dsr_worker.domain.identity import claimed  # noqa: PLC0415 - kept out of start-up

    kinds = sorted(known)
    found: dict[Identity, None] = {}
    for kind, value in named:
        identity = claimed(kind, value, rules)
        if kind not in kinds:
            raise usage(f"no system of the data map takes this kind; it takes {', '.join(kinds)}")
        found[identity] = None
    return tuple(found)


def _from_json(text: str) -> Iterator[tuple[str, str]]:
    try:
        plain = json.loads(text, object_pairs_hook=_once)
        for kind, values in plain.items():
            for value in values if isinstance(values, list) else [values]:
                yield str(kind).replace("-", "_"), _text(value)
    except (ValueError, TypeError, AttributeError):
        raise usage(
            'stdin holds no identities; write {"email": "…", "customer_number": "…"}'
        ) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names stand once; of two with one name, neither is guessed at."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError
    return dict(pairs)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _named(param: click.Parameter | None) -> str:
    if param is None:
        return "the value"
    flags: Sequence[str] = param.opts
    return flags[0] if flags else "the value"
