"""Whose record is this: the exact comparison of owner fields with the identities of a batch.

In: a collection's `takes`, the batch's subjects, one entry. Out: the subjects that own it. Where
the map says `exact` the texts are equal; otherwise the one canonicaliser decides. What of a value
is a text at all, `equals` of the map says. Also the one cheap pre-filter: the records in which an
identity could stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import NamedTuple

from connectors.s3.config import SharedLayout
from connectors.s3.formats.entries import Entry, Several, key_text, text_of
from connectors.s3.formats.field_needles import Asked, Numbers, Spelling
from connectors.s3.formats.wanted import Wanted
from connectors.s3.reading.equality import Equality, equality_of, is_typed
from dsr_worker.contract import Collection, Context, Form, Identity, Subject, Taken

_SPEAKING = 5  # identities shorter than this say nothing inside a free text
_STARTS = re.compile(r"(?<!\w)\S")
_WORD = re.compile(r"\w")
_UPPER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_CLOCK_UNITS = {"epoch_s": 1, "epoch_ms": 1000}
_SPELLINGS = {
    Form.EXACT: Spelling.EXACT,
    Form.ASCII_CASE: Spelling.FOLDED,
    Form.DIGITS: Spelling.DIGITS,
}
_NO_NAMES = frozenset({"true", "false"})  # a key of a truth value is told by parsing alone


class _Field(NamedTuple):
    """One owner field and whom its values mean."""

    kind: str
    name: str
    form: Form
    known: dict[str, set[str]]  # canonical value -> subjects
    nobody: Container[str]  # texts that are declared to stand for none
    compared: Callable[[object], str | None]  # a value as its text, if it has one


def fold(text: str) -> str:
    """ASCII letters in lower case; every other character as it is."""
    return text.lower() if text.isascii() else text.translate(_UPPER)


class Owners:
    """The owner fields of one collection against the identities of one batch."""

    def __init__(self, collection: Collection, subjects: Sequence[Subject], ctx: Context) -> None:
        self._ctx = ctx
        self._collection = collection
        self._fields: list[_Field] = []
        for kind, taken in collection.takes.items():
            known: dict[str, set[str]] = {}
            for subject in subjects:
                for value in filter(None, subject.values(kind)):
                    known.setdefault(value, set()).add(subject.ref)
            if known:
                self._fields.append(_field(collection, kind, taken, known))

    def __bool__(self) -> bool:
        return bool(self._fields)

    def of(self, entry: Entry) -> dict[str, str]:
        """The subjects that own the record, each with the identity kind that says so."""
        found: dict[str, str] = {}
        for kind, name, form, known, nobody, compared in self._fields:
            value = entry.value(name)
            for one in value if isinstance(value, Several) else (value,):
                text = compared(one)
                if not text or text in nobody:
                    continue
                if form is not Form.EXACT:
                    text = self._ctx.canonical(kind, text) or ""
                for ref in known.get(text, ()):
                    found.setdefault(ref, kind)
        return found

    def wanted(self, keys: Sequence[tuple[str, ...]] = ()) -> Wanted | None:
        """The records that could hold these identities, or one of these keys; None: all may.

        Digits among punctuation, letters outside ASCII and encoded domains may be written in many
        ways: bytes do not tell them, unless a format knows where a field's value stands.
        """
        if not keys:
            return self._of_owners
        located = self._located(keys)
        return None if located is None else self._wanted(located)

    @cached_property
    def _of_owners(self) -> Wanted:
        """Made once: what searches for them serves all objects."""
        return self._wanted(None)

    def _wanted(self, located: Asked | None) -> Wanted:
        asked = [*map(self._asked, self._fields), *filter(None, [located])]
        return Wanted(
            values=frozenset[str]().union(*(one.values for one in asked)),
            fields=tuple(dict.fromkeys(one.field for one in asked)),
            may_be=partial(self._may_be, located),
            exact=all(field.form is Form.EXACT for field in self._fields),
            sound=all(map(_is_literal, self._fields)),
            asked=tuple(asked),
        )

    def _asked(self, field: _Field) -> Asked:
        equality = equality_of(self._collection, field.name)
        texts = equality is not Equality.NUMBER or not is_typed(self._collection)
        spelling = _SPELLINGS[field.form]
        return Asked(field.name, frozenset(field.known), spelling, equality.numbers, texts)

    def _located(self, keys: Sequence[tuple[str, ...]]) -> Asked | None:
        """The key field whose values tell all of these keys' records."""
        for at, name in enumerate(self._collection.key, start=1):
            values = frozenset(key[at] for key in keys)
            if not any(not v or v in _NO_NAMES or v[0] in "{[" for v in values):
                return Asked(name, values, numbers=Numbers.ANY)
        return None

    def _may_be(self, located: Asked | None, field: str, value: object) -> bool:
        if located is not None and field == located.field and key_text(value) in located.values:
            return True
        return any(
            (text := one.compared(value)) is not None
            and (text if one.form is Form.EXACT else self._ctx.canonical(one.kind, text))
            in one.known
            for one in self._fields
            if one.name == field
        )


def _field(collection: Collection, kind: str, taken: Taken, known: dict[str, set[str]]) -> _Field:
    mapped = collection.fields.get(taken.field)
    compared = partial(equality_of(collection, taken.field).text_of, typed=is_typed(collection))
    nobody = () if mapped is None else mapped.null_values
    return _Field(kind, taken.field, taken.form, known, nobody, compared)


def _is_literal(field: _Field) -> bool:
    """Whether an identity is written in its own bytes, but for the case of letters."""
    if field.form is Form.EXACT:
        return True
    return field.form is Form.ASCII_CASE and not any(
        "xn--" in value or not value.isascii() for value in field.known
    )


class Strangers:
    """Tells for which subjects a row is somebody else's.

    A row of a `person` collection is, unless the person is one of theirs (`people`). Any other is
    where it names, beside the identity that is asked about, a further one that is not the
    subject's. A row without any owner is nobody else's.
    """

    def __init__(
        self,
        collection: Collection,
        subjects: Sequence[Subject],
        people: Container[tuple[str, tuple[str, ...]]],
        owner_kinds: frozenset[str],
        ctx: Context,
    ) -> None:
        self._collection = collection
        self._people = people
        self._owner_kinds = owner_kinds
        self._ctx = ctx
        self._owners = Owners(collection, subjects, ctx)
        self._known = {subject.ref: frozenset(subject.identities) for subject in subjects}

    def of(
        self, entry: Entry, person: tuple[str, ...], identity: Identity, refs: set[str]
    ) -> Iterator[str]:
        """Those of `refs` for whom the row, which carries `identity`, is a stranger's."""
        candidates = refs.difference(self._owners.of(entry))
        named = identities_of(entry, self._collection, self._ctx) if candidates else set()
        for ref in candidates:
            further = named - self._known[ref] - {identity}
            if self._collection.person:
                if (ref, person) not in self._people:
                    yield ref
            elif any(other.kind in self._owner_kinds for other in further):
                yield ref


class EntryRow:
    """An entry as a decision table sees it."""

    def __init__(
        self,
        entry: Entry,
        refs: frozenset[str],
        collection: Collection,
        layout: SharedLayout,
        ctx: Context,
    ) -> None:
        self.refs = refs
        self._entry = entry
        self._collection = collection
        self._layout = layout
        self._ctx = ctx

    def owned_by(self, identities: tuple[Identity, ...]) -> bool:
        """Whether one of these identities owns it."""
        return not identities_of(self._entry, self._collection, self._ctx).isdisjoint(identities)

    def text(self, name: str) -> str | None:
        """A field as text."""
        value = self._entry.value(name)
        return None if value is None else key_text(value)

    def clock(self, name: str) -> datetime | None:
        """A clock as an instant."""
        return clock_of(self._entry.value(name), self._layout.clock)


def values_of(entry: Entry, name: str) -> Sequence[object]:
    """The values of a field: one, or each where its name leads into a list."""
    value = entry.value(name)
    return value if isinstance(value, Several) else (value,)


def identities_of(entry: Entry, collection: Collection, ctx: Context) -> set[Identity]:
    """The canonical identities in the owner and yielded fields of a record."""
    places = {kind: taken.field for kind, taken in collection.takes.items()}
    return {
        identity
        for kind, name in (*places.items(), *collection.yields.items())
        for value in values_of(entry, name)
        if (identity := _identity(value, collection, kind, name, ctx)) is not None
    }


def identity_in(
    entry: Entry, collection: Collection, kind: str, name: str, ctx: Context
) -> Identity | None:
    """The canonical identity in a field of a record, if it names anybody."""
    return _identity(entry.value(name), collection, kind, name, ctx)


def _identity(
    value: object, collection: Collection, kind: str, name: str, ctx: Context
) -> Identity | None:
    text = equality_of(collection, name).text_of(value, typed=is_typed(collection))
    if not text or collection.names_nobody(name, text):
        return None
    canonical = ctx.canonical(kind, text)
    return Identity(kind, canonical) if canonical else None


def clock_of(value: object, unit: str) -> datetime | None:
    """A clock field as an instant: ISO 8601 (without an offset: UTC), or epoch if so declared."""
    if isinstance(value, str) and value[4:5] == "-":  # a moment by its type: no number looks so
        unit = "iso"
    try:
        if unit == "iso":
            at = datetime.fromisoformat(value) if isinstance(value, str) else None
        elif isinstance(value, int | float | str) and not isinstance(value, bool):
            at = datetime.fromtimestamp(float(value) / _CLOCK_UNITS[unit], UTC)
        else:
            at = None
    except (ValueError, OverflowError, OSError):
        return None
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


class Mentioned:
    """Places in a record that name a subject who does not own it.

    A text mentions an identity of at least five characters when it holds it between word borders,
    in any ASCII case. A shorter one (a customer number such as `7`) counts only as the whole value
    of a field with the same data category as an owner field of that kind.
    """

    def __init__(self, collection: Collection, subjects: Sequence[Subject]) -> None:
        self._long: dict[str, set[str]] = {}
        self._short: dict[tuple[str, str], set[str]] = {}
        owner_category = {
            kind: collection.fields[taken.field].category
            for kind, taken in collection.takes.items()
            if taken.field in collection.fields
        }
        self._category = {name: field.category for name, field in collection.fields.items()}
        for subject in subjects:
            for identity in subject.identities:
                if len(identity.value) >= _SPEAKING:
                    self._long.setdefault(fold(identity.value), set()).add(subject.ref)
                elif identity.kind in owner_category and identity.value:
                    place = (owner_category[identity.kind], identity.value)
                    self._short.setdefault(place, set()).add(subject.ref)

        self._by_start: dict[str, list[str]] = {}
        for value in self._long:
            self._by_start.setdefault(value[:_SPEAKING], []).append(value)

    def wanted(self) -> Wanted:
        """The records that could mention them, in any field."""
        values = frozenset({*self._long, *(value for _, value in self._short)})
        return Wanted(values, (), self._may_hold, exact=False, sound=True)

    def _may_hold(self, field: str, value: object) -> bool:
        text = text_of(value)
        return text is not None and bool(self._named(field, text))

    def in_entry(self, entry: Entry) -> dict[tuple[str, str], None]:
        """The (subject, field) pairs that a record names, in order."""
        found: dict[tuple[str, str], None] = {}
        for name, value in entry.scalars():
            text = text_of(value)
            if text is None:
                continue
            for ref in sorted(self._named(name, text)):
                found.setdefault((ref, name))
        return found

    def _named(self, field: str, text: str) -> set[str]:
        short = self._short.get((self._category.get(field, ""), text), set())
        return self._in_text(fold(text)) | short

    def in_bytes(self, raw: bytes) -> set[str]:
        """The subjects that an unreadable line names."""
        return self._in_text(fold(raw.decode("utf-8", "replace")))

    def _in_text(self, folded: str) -> set[str]:
        refs: set[str] = set()
        for start in _STARTS.finditer(folded):
            at = start.start()
            for value in self._by_start.get(folded[at : at + _SPEAKING], ()):
                end = at + len(value)
                if folded.startswith(value, at) and not _WORD.match(folded, end):
                    refs |= self._long[value]
        return refs
