"""What ends a record of CSV is told by the object, and never by what stands in quotes."""

from __future__ import annotations

from itertools import product

import pytest

from connectors.s3.formats.csv import CsvEntry, csv
from connectors.s3.formats.csv_dialect import Dialect

ROWS = [["mail", "note"], ["anna@shop.example", "a\nb"], ["bob@shop.example", '"x";\r\n'], ["", ""]]
BOM = b"\xef\xbb\xbf"


def _field(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"' if set(text) & set('",\r\n') else text


@pytest.mark.parametrize("newline", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("has_header", [True, False])
def test_what_stands_in_quotes_ends_no_record(newline: str, *, has_header: bool) -> None:
    """Lines of a note hide nobody, whatever ends records and wherever the bytes are cut."""
    rows = ROWS if has_header else ROWS[1:]
    body = "".join(",".join(map(_field, row)) + newline for row in rows).encode()
    dialect = Dialect(header=has_header, columns=() if has_header else ("mail", "note"))
    expected = [[cell or None for cell in row] for row in ROWS[1:]]
    for at, mark in product(range(len(body) + 1), (b"", BOM)):
        chunks = iter((mark + body[:at], body[at:]))
        entries = list(csv(dialect, ["mail"]).entries(chunks, None))
        found = [
            [entry.value("mail"), entry.value("note")]
            for entry in entries
            if isinstance(entry, CsvEntry)
        ]
        assert found == expected


@pytest.mark.parametrize(
    ("data", "newline"),
    [
        (b'a;"b\\"\n"\r1;2\r', b"\r"),
        (b'a;"b\\"\n"\n1;2\r', b"\n"),
        (b'a;5"\n1;2\r\n3;"', b"\n"),
        (b"a;b", b"\n"),
        (b'a;"b\nc', b"\n"),
    ],
)
def test_escaped_and_stray_quotes_end_no_text(data: bytes, newline: bytes) -> None:
    """A quote that is escaped, or stands within a field, opens and closes nothing."""
    ended = Dialect(delimiter=b";", escape=b"\\").as_ended(data, surely=True)
    assert ended is not None
    assert ended.newline == newline
