"""Spellings of an e-mail address that letter case alone does not reach.

In: a canonical address. Out: every folded text under which a store may hold it, for letters beyond
ASCII: composed or not, the domain's words as they are read or as they are sent (RFC 5890, 2.3.2.1).
Addresses of plain ASCII have none, so that for them nothing more is asked of the server.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import product

import idna
from psycopg2.sql import SQL, Composable, Literal

from connectors.postgres.server.places import ASCII_LOWER, ASCII_UPPER, Place

_MOST_MIXED = 5
"""Up to so many words of one domain are tried in every mixture of their two spellings."""
_DOTS = "\u3002\uff0e\uff61"  # separate words like the full stop (RFC 3490, 3.1)
_FROM, _TO = ASCII_UPPER + _DOTS, ASCII_LOWER + "." * len(_DOTS)
_FOLDED = str.maketrans(_FROM, _TO)


def folded(place: Place, alias: str) -> Composable:
    """The stored value as `spellings` are compared with it."""
    return SQL("normalize(translate(normalize({}, NFC), {}, {}), NFC)").format(
        place.text(alias), Literal(_FROM), Literal(_TO)
    )


def spellings(kind: str, value: str) -> frozenset[str]:
    """What an address may look like, folded; empty where folding letter case finds it as well."""
    local, _, domain = value.rpartition("@")
    if kind != "email" or (value.isascii() and "xn--" not in domain):
        return frozenset()
    return frozenset(_fold(f"{local}@{one}") for one in _domains(domain))


def _fold(text: str) -> str:
    once = unicodedata.normalize("NFC", text).translate(_FOLDED)
    return unicodedata.normalize("NFC", once)


def _domains(domain: str) -> Iterator[str]:
    sent = domain.split(".")
    read = [_read(word) for word in sent]
    if sum(one != other for one, other in zip(sent, read, strict=True)) > _MOST_MIXED:
        yield from (domain, ".".join(read))
        return
    pairs = (dict.fromkeys(pair) for pair in zip(sent, read, strict=True))
    yield from map(".".join, product(*pairs))


def _read(word: str) -> str:
    try:
        return idna.ulabel(word) if word.startswith("xn--") else word
    except idna.IDNAError:
        return word
