"""Where a field's value is, and the SQL by which it is read and compared.

In: a column as the catalogue declares it, a path into a document. Out: the value in its own type,
its text, comparisons with a name or a part of a key, the text as a form compares it.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg2.sql import SQL, Composable, Identifier, Literal

from dsr_worker.contract import Form

ASCII_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ASCII_LOWER = ASCII_UPPER.lower()
WHOLE_NUMBERS = frozenset({"int2", "int4", "int8"})
TEXTS = frozenset({"text", "varchar"})
DOCUMENTS = frozenset({"json", "jsonb"})
INSTANTS = frozenset({"date", "timestamp", "timestamptz"})
_UNREAD = r"\\u(0000|[dD][89a-fA-F])"  # escapes that may be none of a character
_BACKSLASHES = r"(?<!\\)((?:\\\\)*)"  # in pairs: what follows is an escape and no text
_HIGH, _LOW = r"\\u([dD][89abAB][0-9a-fA-F]{2})", r"\\u([dD][c-fC-F][0-9a-fA-F]{2})"
_MARK = "\x01"  # stands in no JSON
_READABLE = (
    (f"{_BACKSLASHES}{_HIGH}{_LOW}", rf"\1{_MARK}\2{_MARK}\3"),  # a pair is one character
    (rf"{_BACKSLASHES}\\u[dD][89a-fA-F][0-9a-fA-F]{{2}}", r"\1\\ufffd"),  # half of one is none
    (rf"{_BACKSLASHES}\\u0000", r"\1"),
    (_MARK, r"\\u"),
)
"""What is replaced by what, one after the other, so that the server reads a document."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as declared; `base` is its type's name with domains followed to their end."""

    name: str
    type: str
    base: str
    length: int | None
    not_null: bool
    generated: bool
    collation: tuple[str, str] | None  # schema and name
    deterministic: bool
    bare: str  # the base type without a length: what is too long is refused then, not cut
    computed: bool = False  # generated from the row's other columns


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field's value is: a column, or a path into a document in a column."""

    column: Column
    path: tuple[str, ...] = ()
    sound: bool = False  # an index on the column's paths has read every document

    def document(self, alias: str) -> Composable:
        """The column, of a document the whole, as the server can read it.

        A text in `json` may hold escapes that no text of the server's does, and by which it reads
        nothing of the document: that of NUL is left out, half of a surrogate pair becomes U+FFFD.
        So one such row stops no statement and its other keys are read.
        """
        column: Composable = Identifier(alias, self.column.name)
        if self.column.base != "json" or self.sound:
            return column
        readable: Composable = SQL("{}::text").format(column)
        for unread, instead in _READABLE:
            readable = SQL("regexp_replace({}, {}, {}, 'g')").format(
                readable, Literal(unread), Literal(instead)
            )
        return SQL(
            "CASE WHEN strpos({column}::text, {escape}) > 0 AND {column}::text ~ {unread}"
            " THEN {readable}::json ELSE {column} END"
        ).format(column=column, escape=Literal(r"\u"), unread=Literal(_UNREAD), readable=readable)

    def value(self, alias: str) -> Composable:
        """The value, in the column's own type, or as text from within a document."""
        column: Composable = Identifier(alias, self.column.name)
        if not self.path:
            return column
        if self.column.base == "json" and not self.sound:
            column = SQL("({})").format(self.document(alias))
        for step in self.path[:-1]:
            column = SQL("{} -> {}").format(column, Literal(step))
        return SQL("({} ->> {})").format(column, Literal(self.path[-1]))

    def text(self, alias: str) -> Composable:
        """The value as text, comparable with any other text whatever the column's collation.

        It is the text that JSON shows; of an address alone, the cast to text says something else.
        """
        if self.column.base == "inet" and not self.path:
            return SQL("abbrev({})").format(self.value(alias))
        if self.column.collation in {None, ("pg_catalog", "default")}:
            return SQL("{}::text").format(self.value(alias))
        return SQL('({}::text COLLATE "C")').format(self.value(alias))

    def equals(self, alias: str, names: str) -> Composable:
        """Whether the value's text is that of `names` (columns v, n, u); an index may serve."""
        return SQL("{} = {}").format(*self._sides(alias, names, ("v", "n", "u")))

    def equals_part(self, alias: str, keys: str, part: int) -> Composable:
        """The same for the given part of a key row (columns v0, n0, u0, …)."""
        columns = (f"v{part}", f"n{part}", f"u{part}")
        return SQL("{} = {}").format(*self._sides(alias, keys, columns))

    @property
    def compared(self) -> str:
        """Which of a name's columns it is compared with: v as text, n as number, u as UUID."""
        if not self.path and self.column.base in WHOLE_NUMBERS:
            return "n"
        return "u" if not self.path and self.column.base == "uuid" else "v"

    def _sides(
        self, alias: str, names: str, columns: tuple[str, str, str]
    ) -> tuple[Composable, Composable]:
        text, number, uuid = (
            SQL("{}.{}").format(Identifier(names), Identifier(c)) for c in columns
        )
        if self.path:
            return self.value(alias), text
        if self.compared == "n":
            return self.value(alias), number
        if self.compared == "u":
            return self.value(alias), uuid
        collation = self.column.collation
        plain = self.column.base in TEXTS and self.column.deterministic
        if plain and collation:
            return self.value(alias), SQL("{} COLLATE {}").format(text, Identifier(*collation))
        return SQL('{} COLLATE "C"').format(self.text(alias)), text

    def folded(self, alias: str, form: Form) -> Composable:
        """The value's text as `form` compares it; `fold` does the same to a name."""
        if form is Form.ASCII_CASE:
            upper, lower = Literal(ASCII_UPPER), Literal(ASCII_LOWER)
            return SQL("translate({}, {}, {})").format(self.text(alias), upper, lower)
        if form is Form.DIGITS:
            return SQL("regexp_replace({}, '[^0-9]', '', 'g')").format(self.text(alias))
        return self.text(alias)


_FOLD = str.maketrans(ASCII_UPPER, ASCII_LOWER)


def fold(value: str, form: Form) -> str:
    """A name as `form` compares it; empty when nothing is left to compare."""
    if form is Form.ASCII_CASE:
        return value.translate(_FOLD)
    if form is Form.DIGITS:
        return "".join(c for c in value if c in "0123456789")
    return value
