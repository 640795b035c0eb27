"""A package is made within its time and memory, or refused before anything is left behind."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from dsr_worker.contract import Collection, System
from dsr_worker.package import (
    OrganisationTexts,
    PackageRefused,
    missing_texts,
    verify_package,
    write_package,
)
from dsr_worker.package.records import _HELD_BYTES
from dsr_worker.store import LocalStore
from dsr_worker.vault import SealingWriter
from tests.unit.package_contents import (
    KEY,
    ORDINARY,
    TEXTS,
    Item,
    Page,
    Piece,
    build,
    collection,
    contents,
    members,
    source,
    system,
)

# ---- size and speed


def test_long_collections_are_paged() -> None:
    """1,201 rows become three linked pages and one JSON array."""
    items = [Item("orders", (str(n),), b'{"id":%d}' % n) for n in range(1201)]
    found = members(build(contents(*items)))
    pages = [p for p in found if p.startswith("data/") and p.endswith(".html")]
    assert pages == [
        "data/shop/orders.html",
        "data/shop/orders.p0002.html",
        "data/shop/orders.p0003.html",
    ]
    assert sum(Page(found[p]).tags.count("tr") - 1 for p in pages) == 1201
    assert ("href", "orders.p0002.html") in Page(found[pages[0]]).attributes
    assert ("href", "orders.html") in Page(found[pages[1]]).attributes
    assert ("href", "orders.p0004.html") not in Page(found[pages[2]]).attributes
    assert len(json.loads(found["data/shop/orders.json"])) == 1201


class Counted:
    """Counts how many of its items are alive at once, for a source too large to hold."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.reads = 0

    def __call__(self) -> Iterator[Item]:
        """Read once more."""
        self.reads += 1
        body = b'{"id":1,"name":"' + b"x" * 5000 + b'"}'
        for number in range(self.count):
            yield Item(("orders", "carts")[number % 2], (str(number),), body)


def test_a_large_source_is_read_again_instead_of_held() -> None:
    """An answer over the limit is read once per use, mixed collections come apart, bytes agree."""
    count = _HELD_BYTES // 5000 + 100
    read = Counted(count)
    made = replace(contents(), sources=[replace(source([]), read=read)])
    found = members(build(made))
    assert read.reads == 1 + 2 * 2
    for name in ("orders", "carts"):
        assert len(json.loads(found[f"data/shop/{name}.json"])) == count // 2
    small = Counted(10)
    build(replace(contents(), sources=[replace(source([]), read=small)]))
    assert small.reads == 1


def test_small_packages_are_quick() -> None:
    """A package of 30 small records over three collections costs a few milliseconds of CPU."""
    of = system(*(collection(f"c{n}") for n in range(3)))
    items = [Item(f"c{n % 3}", (str(n),), b'{"id":%d,"name":"Anna"}' % n) for n in range(30)]
    made = contents(*items, of=of)
    build(made)
    best = 1.0
    for _ in range(20):
        started = time.process_time()
        write_package(io.BytesIO(), made)
        best = min(best, time.process_time() - started)
    assert best < 0.006  # 1.4 ms on a quiet core; the bound leaves room for a busy one


# ---- refusals


def test_missing_texts_refuse_before_the_first_byte() -> None:
    """Each missing text is named with its article, and nothing is written."""
    bare = replace(collection("orders"), purpose=" ", recipients=(), record_class="unknown")
    made = contents(ORDINARY, of=system(bare))
    made = replace(made, organisation=replace(TEXTS, complaint=""))
    out = io.BytesIO()
    with pytest.raises(PackageRefused) as refused:
        write_package(out, made)
    assert out.getvalue() == b""
    for article in ("15(1)(a)", "15(1)(c)", "15(1)(d)", "15(1)(f)"):
        assert f"Art. {article}" in str(refused.value)
    assert missing_texts(TEXTS, [system(collection("orders"))]) == []
    everything = missing_texts(
        OrganisationTexts(), [System("s", "x", {"c": Collection("c", (), {})})]
    )
    assert len(everything) == 7 + 5
    assert (everything[-1].text, everything[-1].remedy[:8]) == ("storage period", "`class:`")


@pytest.mark.parametrize("body", [b"MARKER", b"[]", b'{"a":', b'"MARKER"', b"\xff"])
def test_a_record_that_is_no_object_stops_the_package(body: bytes) -> None:
    """A body that is not a JSON object refuses the package, without showing the body."""
    with pytest.raises(PackageRefused) as refused:
        build(contents(Item("orders", ("1",), body)))
    assert "shop.orders" in str(refused.value)
    assert "MARKER" not in str(refused.value)


def test_an_unmapped_collection_stops_the_package() -> None:
    """What the data map does not know is never handed out silently."""
    with pytest.raises(PackageRefused, match="data map"):
        build(contents(Item("secrets", ("1",), b"{}")))


def test_a_short_attachment_stops_the_package() -> None:
    """An attachment with another size than spooled is not handed out as whole."""
    item = replace(ORDINARY, attachment=Piece("x.txt", "text/plain", b"abc", claimed=4))
    with pytest.raises(PackageRefused, match="not whole"):
        build(contents(item))


def test_a_full_disk_leaves_no_package(tmp_path: Path) -> None:
    """When the disk is full the error comes through and nothing opens as a package."""
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - a buffer would complain again
    with full, pytest.raises(OSError, match="No space left"):
        write_package(cast("BinaryIO", full), contents(ORDINARY))
    store = LocalStore(tmp_path)
    broken = Item("orders", ("2",), b"no object")
    with pytest.raises(PackageRefused), store.write("packages/1") as file:  # noqa: SIM117 - as the worker nests them
        with SealingWriter(file, KEY, "package") as sealed:
            write_package(cast("BinaryIO", sealed), contents(ORDINARY, broken))
    assert list(store.names()) == []
    out = io.BytesIO()
    with pytest.raises(PackageRefused):
        write_package(out, contents(ORDINARY, broken))
    assert verify_package(out) == ["The file is not a whole ZIP."]
