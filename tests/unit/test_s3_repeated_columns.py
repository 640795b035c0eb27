"""Columns that share a name, as in joined exports: none is lost, and one says whose it is."""

from __future__ import annotations

import json

import pytest

from connectors.s3.formats.csv import csv
from connectors.s3.formats.csv_dialect import Dialect
from connectors.s3.formats.entries import ERASE, KEEP, Broken, Change, Entry
from connectors.s3.reading.owners import Owners
from dsr_worker.contract import Collection, Field, Identity, Subject, Taken
from dsr_worker.testing.context import TrialContext

OWNERS = Owners(
    Collection(
        "exports",
        ("id",),
        {"id": Field("id", "user"), "email": Field("email", "user")},
        takes={"email": Taken("email")},
        source={"format": "csv"},
    ),
    [Subject("a", (Identity("email", "a@shop.example"),))],
    TrialContext(),
)
HEAD = b"id,email,city,id,email\n"
MINE = b"1,a@shop.example,Oslo,7,b@shop.example\n"
THEIRS = b"2,b@shop.example,Rome,8,a@shop.example\n"
SHORT = b"3,a@shop.example,Bern\n"


class _Out:
    def __init__(self) -> None:
        self.written = b""

    def keep(self, _start: int, data: bytes | memoryview) -> None:
        self.written += data

    def write(self, data: bytes) -> None:
        self.written += data


def _rewritten(change: Change, *, filtered: bool) -> bytes:
    def decided(entry: Entry) -> Change:
        return change if OWNERS.of(entry) else KEEP

    out = _Out()
    wanted = OWNERS.wanted() if filtered else None
    plain = iter((HEAD + MINE + THEIRS + SHORT,))
    csv(Dialect(), ["email"]).rewrite(plain, wanted, decided, out)
    return out.written


@pytest.mark.parametrize("filtered", [False, True])
def test_the_first_of_them_says_whose_it_is(*, filtered: bool) -> None:
    """Hard case 5: whom a later column of the name holds owns nothing."""
    assert _rewritten(ERASE, filtered=filtered) == HEAD + THEIRS


def test_a_mask_takes_the_place_of_all_of_them() -> None:
    """Hard case 5: no value of a masked field stays under the same name beside it."""
    assert _rewritten(Change(masks={"email": "-"}), filtered=True) == (
        HEAD + b"1,-,Oslo,7,-\n" + THEIRS + b"3,-,Bern\n"
    )


def test_a_record_shows_all_of_them() -> None:
    """Hard case 5: an access loses none, and a mention is found in any."""
    mine, theirs = csv(Dialect(), ["email"]).entries(iter((HEAD + MINE + THEIRS,)), None)
    assert not isinstance(mine, Broken)
    assert not isinstance(theirs, Broken)
    assert json.loads(mine.body(frozenset())) == {
        "id": ["1", "7"],
        "email": ["a@shop.example", "b@shop.example"],
        "city": "Oslo",
    }
    assert ("email", "a@shop.example") in list(theirs.scalars())
