r"""The pre-filter of JSON: values behind the name of their field, found by reading nothing else.

In: for each field the values that count there, blocks of JSON text. Out: the places that have to be
looked at. One automaton for a field (RE2) skips to the field's name and walks on while what stands
behind it is how one of the values begins: ten thousand people cost little more than one, and a
short number such as `7` is found only where the field says 7. Where a C compiler was there when the
package was built, `native` does the same with a set of values instead of an automaton (not for
digits that may have signs between them), and tells the same records.

Sound, since a field's name in a JSON text is followed by its value: what stands there in any form
that is not simply one of ours (escapes, odd spacing, letters outside ASCII where spelling is
compared by form) is told as well, and so is every escape that could spell a letter of its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from itertools import chain, groupby
from operator import itemgetter
from typing import Protocol

import re2
from ahocorasick_rs import BytesAhoCorasick

from connectors.s3.formats.native import Behind, Digits, Scan, scan_of
from connectors.s3.formats.needles import BECOME_ASCII, in_bytes

_SAFE_NAME = re.compile(r"[^\W\d][^\"\\/\x00-\x1f]*")
_WHOLE = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_VALUES_A_PATTERN = 10_000
_MOST_BYTES = 64 * 1024 * 1024  # of one automaton, if every state of it is ever visited
_TELLING_BYTES = 64 * 1024  # of text, for how often each letter comes in it

# What may stand between a name and a value; anything else is odd. `,`, `}` and `]` end a text that
# only says what the field is called.
_ODD_BEFORE = rb"[^:,}\]]|\z|:  "
_BEFORE = rb": ?"
_ODD_VALUE = rb"[^\"0-9tfn{\[ -]"  # neither text nor number, and not surely nobody
_ESCAPED = rb"\"[^\"\\\n]*\\"
_ABROAD = rb"\"[^\"\\\n\x80-\xff]*[\x80-\xff]"
_NO_DIGITS = rb"[^0-9\"\\\n\x80-\xff]*"
_ENDS = rb"(?:[^0-9.eE+-]|\z)"  # a number


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


class _Match(Protocol):
    def start(self) -> int: ...


class _Automaton(Protocol):
    def finditer(self, text: bytes) -> Iterator[_Match]: ...


class FieldNeedles:
    """Finds the values of several fields."""

    def __init__(self, fields: Sequence[_Field], escapes: re.Pattern[bytes]) -> None:
        self._fields = fields
        self._escapes = escapes
        self._search: _Search | None = None

    def places(self, block: bytes) -> list[int]:
        """Where the name of a field stands whose value could be one of those, and odd signs."""
        if self._search is None:
            self._search = _Search(self._fields, block[:_TELLING_BYTES])
        escaped = b"\\" in block
        found = self._search.places(block, escaped=escaped)
        if escaped:
            found.extend(match.start() for match in self._escapes.finditer(block))
        return sorted(found)


class _Search:
    """What finds them in text like this one: a scan for each field, or automata."""

    def __init__(self, fields: Sequence[_Field], telling: bytes) -> None:
        scans = [(field, field.scan(telling)) for field in fields]
        self._scans = [scan for _, scan in scans if scan is not None]
        self._fields = [field.from_rarest(telling) for field, scan in scans if scan is None]
        self._alike = list(_skipping({sign for field in self._fields for sign in field.alike()}))

    @cached_property
    def _plain(self) -> list[_Automaton]:
        return [one for field in self._fields for one in field.patterns(escaped=False)]

    @cached_property
    def _escaped(self) -> list[_Automaton]:
        return [one for field in self._fields for one in field.patterns(escaped=True)]

    def places(self, block: bytes, *, escaped: bool) -> list[int]:
        found = [place for one in self._scans for place in one.places(block)]
        patterns = self._escaped if escaped else self._plain
        found.extend(match.start() for one in patterns for match in one.finditer(block))
        if self._alike and not block.isascii():
            for one in self._alike:
                found.extend(at for _, at, _ in one.find_matches_as_indexes(block))
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
        _Field(name, one, encoding)
        for leaf, of_leaf in by_leaf.items()
        for one in of_leaf
        if (name := names[leaf]) is not None
    ]
    return FieldNeedles(fields, _escapes(by_leaf))


def _escapes(names: Iterable[str]) -> re.Pattern[bytes]:
    letters = set("".join(names))
    if not all(letter.isascii() for letter in letters):
        return re.compile(rb"\\u")
    codes = "|".join(f"{ord(letter):02x}" for letter in sorted(letters))
    return re.compile(rb"\\u00(?:%s)" % codes.encode(), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Field:
    """One field's name, and what has to be looked at behind it.

    Its opening quote is left out, and all that stands before its rarest sign: names that end alike
    are looked at in vain, and a dotted name at the top of a document is found by its last part.
    """

    name: bytes
    asked: Asked
    encoding: str

    def from_rarest(self, text: bytes) -> _Field:
        """The same without what stands before the rarest sign of its name: that is skipped to."""
        rarest = min(range(len(self.name)), key=lambda at: text.count(self.name[at]))
        return replace(self, name=self.name[rarest:])

    def scan(self, telling: bytes) -> Scan | None:
        """What finds them without an automaton, where that was compiled and can spell them."""
        if self.asked.spelling is Spelling.DIGITS:
            return None
        behind = Behind(
            values=self._values(),
            digits=Digits[self.asked.numbers.name],
            texts=self.asked.texts,
            folded=self.asked.spelling is Spelling.FOLDED,
            abroad=self._is_abroad(),
            alike=list(self.alike()),
        )
        return scan_of(self.name, behind, telling)

    def patterns(self, *, escaped: bool) -> Iterator[_Automaton]:
        """What finds them in a block, with escapes in it or without."""
        values = self._values()
        for at in range(0, max(1, len(values)), _VALUES_A_PATTERN):
            some = values[at : at + _VALUES_A_PATTERN]
            found = [_ODD_VALUE, *self._texts(some, escaped=escaped), *self._numbers(some)]
            behind = b"%b|%b(?:%b)" % (_ODD_BEFORE, _BEFORE, b"|".join(found))
            yield _compiled(b'%b"(?:%b)' % (re2.escape(self.name), behind))

    def alike(self) -> Iterator[bytes]:
        """Signs that may stand for one in ASCII, where they are not told by their field."""
        if self.asked.spelling is Spelling.FOLDED and not self._is_abroad():
            yield from filter(None, (in_bytes(sign, self.encoding) for sign in BECOME_ASCII))

    def _values(self) -> list[bytes]:
        return sorted(filter(None, (in_bytes(v, self.encoding) for v in self.asked.values)))

    def _is_abroad(self) -> bool:
        """Whether letters outside ASCII can mean one of the values."""
        if self.asked.spelling is Spelling.FOLDED:
            return any("xn--" in value or not value.isascii() for value in self.asked.values)
        return self.asked.spelling is Spelling.DIGITS

    def _texts(self, values: Sequence[bytes], *, escaped: bool) -> Iterator[bytes]:
        if not self.asked.texts:
            return
        if escaped:
            yield _ESCAPED
        if self._is_abroad():
            yield _ABROAD
        if not values:
            return
        match self.asked.spelling:
            case Spelling.EXACT:
                yield b'"(?:%b)"' % _by_ending(values)
            case Spelling.FOLDED:
                yield b'" *(?i:%b) *"' % _by_ending(values)
            case Spelling.DIGITS:
                yield b'"%b(?:%b)"' % (_NO_DIGITS, _any_of(_digits(values, _NO_DIGITS)))

    def _numbers(self, values: Sequence[bytes]) -> Iterator[bytes]:
        written = [value for value in values if _WHOLE.fullmatch(value)]
        written += [b"-0"] if b"0" in written else []
        if self.asked.spelling is Spelling.DIGITS:
            written = [b"-?" + digits for digits in _digits(values, rb"[.eE+-]*") if digits]
        fraction = b""
        match self.asked.numbers:
            case Numbers.NONE:
                return
            case Numbers.DECIMAL:
                fraction = rb"(?:\.0)?"
                yield rb"-?[0-9]+(?:[eE+-]|\.(?:0[0-9.eE+-]|[^0]))"
            case Numbers.ANY:
                yield rb"-?[0-9]+[.eE+-]"
            case Numbers.WHOLE:
                pass
        if written:
            yield rb"(?:%b)%b%b" % (_any_of(written), fraction, _ENDS)


def _skipping(signs: Iterable[bytes]) -> Iterator[BytesAhoCorasick]:
    """What finds these signs: three first bytes at a time, as many as are skipped to."""
    by_first = [list(some) for _, some in groupby(sorted(signs), key=itemgetter(0))]
    for at in range(0, len(by_first), 3):
        yield BytesAhoCorasick(list(chain.from_iterable(by_first[at : at + 3])))


def _any_of(patterns: Iterable[bytes]) -> bytes:
    return b"|".join(patterns)


def _by_ending(values: Sequence[bytes]) -> bytes:
    """Any of these texts; what follows the last `@` is said once: addresses share their ends."""
    by_end: dict[bytes, list[bytes]] = {}
    for value in values:
        head, at, end = value.rpartition(b"@")
        by_end.setdefault(at + end if at else b"", []).append(re2.escape(head if at else value))
    return _any_of(b"(?:%b)%b" % (_any_of(heads), re2.escape(end)) for end, heads in by_end.items())


def _digits(values: Iterable[bytes], between: bytes) -> Iterator[bytes]:
    """Each value's digits, with anything of `between` behind each."""
    for value in values:
        yield b"".join(bytes((sign,)) + between for sign in value if sign in b"0123456789")


def _compiled(pattern: bytes) -> _Automaton:
    """An automaton of bytes. The library keeps no copy, and says nothing of values in its log."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MOST_BYTES
    options.never_capture = True
    options.log_errors = False
    try:
        automaton: _Automaton = re2.compile(pattern, options)
    finally:
        re2.purge()
    return automaton
