"""Hostile values and names never become markup, paths or bombs in a package."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_worker.package import verify_package
from dsr_worker.package.archive import Names
from tests.examples import examples
from tests.unit.package_contents import (
    ORDINARY,
    Item,
    Page,
    Piece,
    build,
    collection,
    contents,
    members,
    system,
)

MARKUP = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</td></table><iframe src=//x.test>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;<!--",
    "]]><![CDATA[",
    "\x00\x1b[31m\x85",
]


@given(
    st.dictionaries(
        st.sampled_from(MARKUP) | st.text(max_size=8),
        st.sampled_from(MARKUP) | st.text(max_size=8) | st.lists(st.sampled_from(MARKUP)),
        max_size=4,
    )
)
@settings(max_examples=examples(60))
def test_values_never_become_elements(row: dict[str, object]) -> None:
    """Whatever a row's names and values are, the page has only our elements and attributes."""
    item = Item("orders", ("1",), json.dumps(row).encode(), (), Piece(MARKUP[1], "x", b""))
    found = members(build(contents(item)))
    page = Page(found["data/shop/orders.html"])
    ours = "html head meta title style body nav a main h1 p div table thead tr th small tbody td"
    assert set(page.tags) <= set(ours.split())
    names = {name for name, _ in page.attributes}
    assert names <= {
        "lang",
        "dir",
        "charset",
        "http-equiv",
        "content",
        "name",
        "href",
        "class",
        "scope",
    }
    links = [value or "" for name, value in page.attributes if name == "href"]
    assert all(re.fullmatch(r"(\.\./)*[a-z0-9_/.-]+", link) for link in links)


def test_markup_shows_as_text() -> None:
    """Markup and template syntax in a value are shown as written, controls as a replacement."""
    rows = [json.dumps({"id": n, "name": value}).encode() for n, value in enumerate(MARKUP)]
    items = [Item("orders", (str(n),), row) for n, row in enumerate(rows)]
    text = Page(members(build(contents(*items)))["data/shop/orders.html"]).text
    for value in MARKUP[:-1]:
        assert value in text
    assert "\x1b" not in text
    assert "\ufffd\ufffd[31m\ufffd" in text


def test_pages_forbid_everything() -> None:
    """Every page carries a policy that loads nothing, and has no script and no remote part."""
    pages = [data for path, data in members(build(contents(ORDINARY))).items() if "html" in path]
    assert len(pages) == 3
    for page in pages:
        policy = dict(Page(page).attributes)["content"]
        assert b"default-src 'none'" in page or b"default-src &#39;none&#39;" in page, policy
        assert b"<script" not in page
        assert b"http://" not in page
        assert Page(page).tags.count("h1") == 1


@given(
    st.lists(st.text(max_size=30) | st.sampled_from(["CON", "nul", "..", "/", "a" * 300, "C:\\x"]))
)
@settings(max_examples=examples(200))
def test_member_names_are_safe(names: list[str]) -> None:
    """Any system or collection name gives a relative, portable stem that nobody else has."""
    allocator = Names()
    stems = [allocator.stem(name) for name in names]
    assert len({stem.casefold() for stem in stems}) == len(names)
    for stem in stems:
        assert re.fullmatch(r"[a-z0-9_-]{1,80}", stem)
        assert stem not in {"con", "nul", "aux", "prn", "com1", "lpt9"}


@given(
    st.text(max_size=20),
    st.text(max_size=40),
    st.sampled_from(["x.exe", "a.svg", "b.html", "c.pdf.js"]),
)
@settings(max_examples=examples(40))
def test_hostile_names_never_leave_the_package(shop: str, table: str, file: str) -> None:
    """Hostile system, collection and file names end in members that verify as safe."""
    item = Item(table, ("1",), b"{}", (), Piece(file, "text/html", b"<script>"))
    package = build(contents(item, of=system(collection(table), name=shop)))
    assert verify_package(io.BytesIO(package)) == []
    with zipfile.ZipFile(io.BytesIO(package)) as opened:
        (attached,) = [n for n in opened.namelist() if n.startswith("attachments/")]
    assert attached.endswith(".bin")


def test_a_bomb_passes_through_closed() -> None:
    """An attachment that would unpack to gigabytes is stored as it is, never opened."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("0", bytes(20_000_000))
    item = replace(ORDINARY, attachment=Piece("42.zip", "application/zip", inner.getvalue()))
    package = build(contents(item))
    assert members(package)["attachments/shop/orders/000001.zip"] == inner.getvalue()
    assert len(package) < len(inner.getvalue()) + 30_000
