"""A block of rows is its records: withheld, counted, cut and read back alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_worker.contract import Record, RecordBlock, Withheld
from dsr_worker.fulfil.withholding import block_without_strangers, without_strangers
from dsr_worker.spool import SpooledBlock, SpooledRecord, read_records, reading
from dsr_worker.store import LocalStore
from tests.unit.block_rows import (
    KEY,
    MARA,
    OTHERS,
    SHOP,
    Row,
    blocks,
    rendered,
    rows,
    singly,
    source,
    spooled,
)


@given(rows(), st.integers(1, 9))
def test_strangers_go_from_blocks_as_from_records(rows: list[Row], most: int) -> None:
    """Line by line the same bodies, and the same counts of what was left out."""

    def shown(
        found: Sequence[Record | RecordBlock],
    ) -> Iterator[tuple[bytes, tuple[Withheld, ...]]]:
        for one in found:
            collection = SHOP.collections[one.collection]
            if isinstance(one, Record):
                record = without_strangers(one, collection, MARA)
                yield record.body, record.withheld
                continue
            for part in block_without_strangers(one, collection, MARA):
                if isinstance(part, Record):
                    yield part.body, part.withheld
                else:
                    assert part.rows == len(part.lines())
                    yield from ((body, ()) for body in part.lines())

    assert list(shown(blocks(rows, most))) == list(shown(singly(rows)))


def test_what_a_block_lacks_is_counted_once_when_it_is_cut(store: LocalStore) -> None:
    """A stranger in the middle of a block changes no count of the block itself."""
    note = b'{"id":%d,"note":"%s"}'
    rows = [("orders", note % (n, b"ida@mail.example" if n % 3 == 0 else b"x")) for n in range(9)]
    lacking = (Withheld("agent", OTHERS),)
    one_by_one = rendered(source(store, singly(rows, lacking)))
    assert rendered(source(store, blocks(rows, 9, lacking))) == one_by_one
    assert b"agent" in one_by_one


def test_a_spool_reads_back_each_record_of_a_block(store: LocalStore) -> None:
    """Keys come out of the bodies: texts as they are, numbers as they were written."""
    bodies = b'{"id":12345678901234567890,"no":"A-1"}\n{"no":"\\u00e9","id":0}'
    found = spooled(store, [RecordBlock("a", "orders", ("id", "no"), bodies, 2)])
    assert [(r.key, r.body) for r in found.records()] == [
        (("12345678901234567890", "A-1"), bodies.split(b"\n")[0]),
        (("0", "\N{LATIN SMALL LETTER E WITH ACUTE}"), bodies.split(b"\n")[1]),
    ]
    assert list(read_records(store, found._frame, KEY)) == list(found.records())
    assert found._frame.records == 2


def test_one_collection_is_read_without_the_others(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one full reading, and where too many runs were seen to remember them, the same."""
    rows = [(name, b'{"id":%d}' % n) for n, name in enumerate(["orders", "carts", "orders"] * 40)]
    found: list[Record | RecordBlock] = [*blocks(rows, 3), *singly(rows[:5])]
    expected = [body for name, body in (*rows, *rows[:5]) if name == "orders"]
    for most_runs in (10_000, 3):
        monkeypatch.setattr(reading, "_MOST_RUNS", most_runs)
        read = spooled(store, found)
        for _ in range(2):
            bodies = [
                body
                for one in read.of("orders")
                for body in (_lines(one) if isinstance(one, SpooledBlock) else [one.body])
            ]
            assert bodies == expected
            assert list(read.of("nothing")) == []
        kept = (read._runs is not None, most_runs == 10_000)
        assert kept[0] == kept[1]


def test_a_blocks_bytes_are_opened_only_when_asked_for(store: LocalStore) -> None:
    """Counting reads heads; a block of several chunks is skipped, a kept one stays readable."""
    body = b'{"id":1,"name":"%s"}' % (b"z" * 300_000)
    found = spooled(store, [RecordBlock("a", "orders", ("id",), body, 1)] * 3)
    kept: list[SpooledBlock] = []
    for one in found.all():
        assert isinstance(one, SpooledBlock)
        assert (one.rows, one.size_bytes) == (1, len(body))
        if not kept:
            one.keep()
            kept.append(one)
    assert kept[0].lines() == body
    assert [one.lines() for one in found.all() if not isinstance(one, SpooledRecord)] == [body] * 3


def _lines(block: SpooledBlock) -> list[bytes]:
    return block.lines().split(b"\n")


def test_nothing_personal_shows_in_a_repr(store: LocalStore) -> None:
    """A block names its subject, collection and size, nothing of its rows."""
    block = RecordBlock("a", "orders", ("id",), b'{"id":"zqmarkzq"}', 1)
    (read,) = spooled(store, [block]).all()
    assert "zqmarkzq" not in repr(block) + repr(read)
