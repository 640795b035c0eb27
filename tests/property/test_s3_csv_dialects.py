"""CSV of every dialect: only the person's records go, found alike with and without the search."""

from __future__ import annotations

import csv as stdlib_csv
import io
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.s3.formats.csv import csv
from connectors.s3.formats.csv_dialect import Dialect
from connectors.s3.formats.entries import ERASE, KEEP, Change, Entry, UnreadableError
from connectors.s3.reading.owners import Owners
from dsr_worker.contract import Collection, Field, Identity, Subject, Taken
from dsr_worker.testing.context import TrialContext
from tests.examples import examples

COLLECTION = Collection(
    "rows",
    ("id",),
    {name: Field(name, "user") for name in ("id", "number", "note")},
    takes={"number": Taken("number")},
    source={"format": "csv"},
)
OWNERS = Owners(
    COLLECTION, [Subject("a", (Identity("number", "7"), Identity("number", "a;b")))], TrialContext()
)
DIALECTS = {
    "RFC 4180": Dialect(),
    "semicolons": Dialect(delimiter=b";", quote=b"'"),
    "tabs, escaped": Dialect(delimiter=b"\t", escape=b"\\"),
    "no quotes, escaped": Dialect(quote=b"", escape=b"\\"),
    "no header": Dialect(header=False, columns=("id", "number", "note")),
    "latin-1": Dialect(encoding="latin-1"),
}
cells = st.one_of(
    st.sampled_from(["7", "77", "a;b", "x7", "", "\n7,", 'a"b', "7\r\n"]),
    st.text(alphabet="7ab\",;\t'\\\n ä", max_size=5),
)
tables = st.lists(st.tuples(cells, cells, cells), max_size=12)


def _chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


def _record(row: tuple[str, ...], dialect: Dialect, ending: str) -> bytes:
    """A record as the standard writer writes it, which is none of ours."""
    text = io.StringIO(newline="")
    stdlib_csv.writer(
        text,
        delimiter=dialect.delimiter.decode(),
        quotechar=dialect.quote.decode() or None,
        escapechar=dialect.escape.decode() or None,
        doublequote=not dialect.escape,
        quoting=stdlib_csv.QUOTE_MINIMAL if dialect.quote else stdlib_csv.QUOTE_NONE,
        lineterminator=ending,
    ).writerow(row)
    return text.getvalue().encode(dialect.encoding)


def _erased(body: bytes, dialect: Dialect, size: int, *, filtered: bool) -> bytes:
    written = bytearray()

    class Out:
        def keep(self, start: int, data: bytes | memoryview) -> None:
            assert body[start : start + len(data)] == data
            written.extend(data)

        def write(self, data: bytes) -> None:
            written.extend(data)

    def decided(entry: Entry) -> Change:
        return ERASE if OWNERS.of(entry) else KEEP

    wanted = OWNERS.wanted() if filtered else None
    csv(dialect, ["number"]).rewrite(_chunks(body, size), wanted, decided, Out())
    return bytes(written)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=examples(150))
@given(tables, st.sampled_from(["\r\n", "\n"]), st.sampled_from([1, 7, 10**6]))
def test_only_the_records_of_a_person_go(
    name: str, rows: list[tuple[str, str, str]], ending: str, size: int
) -> None:
    """Hard case 5: each dialect loses the records its own reader would name, and no byte else."""
    dialect = DIALECTS[name]
    if not dialect.quote:  # the writer has no way to say an empty or a broken line there
        rows = [row for row in rows if any(row) and not set("\r\n") & set("".join(row))]
    head = b"" if not dialect.header else _record(("id", "number", "note"), dialect, ending)
    written = [_record(row, dialect, ending) for row in rows]
    body = head + b"".join(written)
    stays = [raw for row, raw in zip(rows, written, strict=True) if row[1] not in ("7", "a;b")]
    assert _erased(body, dialect, size, filtered=True) == head + b"".join(stays)
    assert _erased(body, dialect, size, filtered=False) == head + b"".join(stays)


@settings(max_examples=examples(400))
@given(
    st.lists(
        st.one_of(
            st.sampled_from([b"7", b",", b"\n", b'"', b'""', b"7,", b",7,", b"#"]),
            st.binary(max_size=2),
        ),
        max_size=30,
    ).map(b"".join),
    st.sampled_from([1, 5, 10**6]),
    st.sampled_from([Dialect(), Dialect(escape=b"\\"), Dialect(comment=b"#")]),
)
def test_stray_quotes_change_nothing_but_time(tail: bytes, size: int, dialect: Dialect) -> None:
    """Whatever follows a header, the search for bytes names whom reading sign by sign names."""
    body = b"id,number,note\n" + tail

    def outcome(*, filtered: bool) -> bytes | str:
        try:
            return _erased(body, dialect, size, filtered=filtered)
        except UnreadableError as error:
            return error.reason

    found = outcome(filtered=True)
    assert found == outcome(filtered=False) == _by_signs(body, dialect)


def _by_signs(body: bytes, dialect: Dialect) -> bytes | str:
    """The model: every record sign by sign, no search and no counting."""
    kept, at = b"id,number,note\n", len(b"id,number,note\n")
    while at < len(body):
        end = dialect.record_end(body, at)
        if end < 0 and dialect.is_open(body, at):
            return "open-quote"
        record = body[at : end if end >= 0 else len(body)]
        at += len(record)
        fields = dialect.fields(record)
        comment = dialect.comment and record.startswith(dialect.comment)
        mine = len(fields) > 1 and dialect.text(fields[1]) in ("7", "a;b")
        kept += b"" if mine and not comment else record
    return kept
