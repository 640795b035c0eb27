"""CSV without a header: which record comes first says nothing of the columns."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest

from connectors.s3.formats.csv import CsvEntry, pieces
from connectors.s3.formats.csv_dialect import Dialect
from connectors.s3.formats.entries import UnreadableError

BARE = Dialect(header=False, columns=("id", "email", "name"), comment=b"#")
SHORT, LONG, WHOLE = b"2,b@shop.example\n", b"4,d@shop.example,D,more\n", b"3,c@shop.example,C\n"


def read(data: bytes, chunk: int = 1 << 16) -> list[tuple[str | None, str | None]]:
    """The ids and e-mails of an object that arrives in chunks."""

    def chunks() -> Iterator[bytes]:
        for at in range(0, len(data), chunk):
            yield data[at : at + chunk]

    found = chain.from_iterable(pieces(chunks(), BARE, ["email"], None))
    return [(p.value("id"), p.value("email")) for p in found if isinstance(p, CsvEntry)]


@pytest.mark.parametrize("first", [SHORT, LONG, SHORT * 3, b"#1,2,3\n" + SHORT])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
def test_what_is_left_of_an_object_stays_readable(first: bytes, chunk: int) -> None:
    """Hard case 5: the first row is erased; the next may be short or long, as it may elsewhere."""
    before = read(b"1,a@shop.example,A\n" + first + WHOLE, chunk)
    assert read(first + WHOLE, chunk) == before[1:]
    assert before[-1] == ("3", "c@shop.example")


@pytest.mark.parametrize("data", [SHORT, LONG * 3, b"1;a@shop.example;A\n" * 5])
def test_an_object_in_which_no_row_fits_is_still_refused(data: bytes) -> None:
    """Hard case 5: the map's signs or columns are wrong where no record has as many fields."""
    with pytest.raises(UnreadableError) as stop:
        read(data)
    assert stop.value.reason == "other-columns"
