r"""The pre-filter of JSON: values behind the name of their field, found by reading nothing else.

In: for each field the values that count there, blocks of JSON text. Out: the places that have to be
looked at. The text behind a field's name is cut out as it stands and looked up among all spellings
that mean one of the values; that costs the same for one person and for ten thousand, and a short
number such as `7` is found only where the field says 7.

Sound, since a field's name in a JSON text is followed by its value: what stands there in any form
that is not simply one of ours (escapes, odd spacing, letters outside ASCII where spelling is
compared by form) is told as well, and so is every escape that could spell a letter of its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import chain, compress

from connectors.s3.formats.needles import in_bytes

_SAFE_NAME = re.compile(r"[^\W\d][^\"\\/\x00-\x1f]*")
_WHOLE = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_SEPARATORS = (b":", b": ")  # all that the pattern takes; any other is odd
_QUOTE = ord('"')
_GOES_ON = frozenset(bytes((byte,)) for byte in b"0123456789.eE+-")
_ALL_BUT_DIGITS = bytes(set(range(256)).difference(b"0123456789"))
_OTHER_WORDS = rb"(?=[tfn{\[])"  # true, false, null, objects and lists name nobody


class Spelling(Enum):
    """In which other bytes a value may be written."""

    EXACT = "exact"
    FOLDED = "folded"  # ASCII letters in any case, blanks around it
    DIGITS = "digits"  # anything between the digits


class Numbers(Enum):
    """Which numbers can mean a value that is written in digits."""

    NONE = "none"
    WHOLE = "whole"  # 7, never 7.0
    DECIMAL = "decimal"  # 7.0 as well
    ANY = "any"  # whatever number it is, look at it


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for in one field. A dotted name is a path into objects."""

    field: str
    values: frozenset[str]
    spelling: Spelling = Spelling.EXACT
    numbers: Numbers = Numbers.WHOLE
    texts: bool = True


class FieldNeedles:
    """Finds the values of several fields."""

    def __init__(self, fields: list[_Field], escapes: re.Pattern[bytes]) -> None:
        self._fields = fields
        self._escapes = escapes

    def places(self, block: bytes) -> list[int]:
        """Where the name of a field stands whose value could be one of those, and odd escapes."""
        found = [place for field in self._fields for place in field.places(block)]
        if b"\\" in block:
            found.extend(match.start() for match in self._escapes.finditer(block))
        found.sort()
        return found


def field_needles(asked: Iterable[Asked], encoding: str) -> FieldNeedles | None:
    """What finds these values; None where a field's name may be written in several ways."""
    by_leaf: dict[str, list[Asked]] = {}
    for one in asked:
        by_leaf.setdefault(one.field.rpartition(".")[2], []).append(one)
    if any(leaf.endswith("[]") for leaf in by_leaf):  # a list stands there, and its elements in it
        return None
    names = {leaf: in_bytes(leaf, encoding) for leaf in by_leaf}
    if not by_leaf or not all(names[leaf] and _SAFE_NAME.fullmatch(leaf) for leaf in by_leaf):
        return None
    fields = [
        _Field(name, together, encoding)
        for leaf, of_leaf in by_leaf.items()
        for together in _alike(of_leaf)
        if (name := names[leaf]) is not None
    ]
    return FieldNeedles(fields, _escapes(by_leaf))


def _alike(asked: list[Asked]) -> Iterator[list[Asked]]:
    """Those that one pattern finds."""
    groups: dict[tuple[Spelling, Numbers], list[Asked]] = {}
    for one in asked:
        groups.setdefault((one.spelling, one.numbers), []).append(one)
    yield from groups.values()


def _escapes(names: Iterable[str]) -> re.Pattern[bytes]:
    letters = set("".join(names))
    if not all(letter.isascii() for letter in letters):
        return re.compile(rb"\\u")
    codes = "|".join(f"{ord(letter):02x}" for letter in sorted(letters))
    return re.compile(rb"\\u00(?:%s)" % codes.encode(), re.IGNORECASE)


class _Field:
    """One field's name, and all tokens behind it that have to be looked at.

    A token is the name with what follows it, as it stands. The name alone means that something odd
    follows. Its opening quote is left out: names that end alike are looked at in vain, and a dotted
    name at the top of a document is found by its last part.
    """

    def __init__(self, name: bytes, asked: list[Asked], encoding: str) -> None:
        spelling, numbers = asked[0].spelling, asked[0].numbers
        self._name = name + b'"'
        self._pattern = _pattern(self._name, spelling, numbers)
        self._findall = self._pattern.findall
        self._alike = _ALIKE[spelling]
        tokens = chain((self._name,), _tokens(self._name, asked, encoding))
        self._tokens = frozenset(map(self._alike, tokens) if self._alike else tokens)

    def places(self, block: bytes) -> list[int]:
        """Where the tokens stand."""
        found: list[bytes] = self._findall(block)
        alike = map(self._alike, found) if self._alike else found
        hits = list(compress(found, map(self._tokens.__contains__, alike)))
        if not hits:
            return []
        if self._name in hits or block.count(self._name) != len(found):
            return self._matches(block)
        return _in_turn(hits, block)

    def _matches(self, block: bytes) -> list[int]:
        known, alike = self._tokens, self._alike or bytes
        return [m.start() for m in self._pattern.finditer(block) if alike(m[0]) in known]


def _in_turn(tokens: list[bytes], block: bytes) -> list[int]:
    """Where tokens stand that follow each other so; nothing else in the block reads like one.

    A number goes on where another digit, a point or an exponent follows.
    """
    places, at = [], 0
    for token in tokens:
        at = block.index(token, at)
        while token[-1] != _QUOTE and block[at + len(token) : at + len(token) + 1] in _GOES_ON:
            at = block.index(token, at + 1)
        places.append(at)
        at += len(token)
    return places


_ALIKE: Mapping[Spelling, Callable[[bytes], bytes] | None] = {
    Spelling.EXACT: None,
    Spelling.FOLDED: bytes.lower,
    Spelling.DIGITS: lambda token: token.translate(None, _ALL_BUT_DIGITS),
}
_TEXT: Mapping[Spelling, bytes] = {
    Spelling.EXACT: rb'"[^"\\\n]*+"',
    Spelling.FOLDED: rb'"(?! )[^"\\\n\x80-\xff]*+(?<! )"',
    Spelling.DIGITS: rb'"[^"\\\n\x80-\xff]*+"',
}
_NUMBER: Mapping[Numbers, bytes] = {
    Numbers.NONE: rb"-?[0-9][0-9.eE+-]*+",
    Numbers.WHOLE: rb"-?[0-9][0-9.eE+-]*+",
    Numbers.DECIMAL: rb"-?[0-9]++(?:\.0)?+(?![0-9.eE+-])",
    Numbers.ANY: rb"-?[0-9]++(?![0-9.eE+-])",
}


def _pattern(name: bytes, spelling: Spelling, numbers: Numbers) -> re.Pattern[bytes]:
    what = b"|".join((_TEXT[spelling], _NUMBER[numbers], _OTHER_WORDS))
    return re.compile(re.escape(name) + rb"(?:: ?(?:" + what + rb"))?+")


def _tokens(name: bytes, asked: list[Asked], encoding: str) -> Iterator[bytes]:
    for one in asked:
        spelled = list(filter(None, (in_bytes(value, encoding) for value in one.values)))
        numbers = [] if one.numbers is Numbers.NONE else _numbers(spelled, one.numbers)
        for before in (name + separator for separator in _SEPARATORS):
            if one.texts:
                yield from [b'%b"%b"' % (before, value) for value in spelled]
            yield from [before + value for value in numbers]


def _numbers(spelled: list[bytes], numbers: Numbers) -> list[bytes]:
    whole = [value for value in spelled if _WHOLE.fullmatch(value)]
    whole += [b"-0"] if b"0" in whole else []
    return whole + [value + b".0" for value in whole if numbers is Numbers.DECIMAL]
