"""A package is the same byte for byte whether its rows came singly or in blocks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup, escape

from dsr_worker.contract import Attachment, Record, RecordBlock, Withheld
from dsr_worker.package import PackageRefused, plain, tables
from dsr_worker.package import records as held
from dsr_worker.store import LocalStore
from tests.examples import examples
from tests.unit.block_rows import (
    HOSTILE,
    OTHERS,
    Row,
    blocks,
    rendered,
    rows,
    singly,
    source,
    values,
)


@settings(max_examples=examples(60))
@given(rows=rows(), most=st.integers(1, 9), lacking=st.booleans(), small=st.booleans())
def test_a_package_is_the_same_by_records_and_by_blocks(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Row],
    most: int,
    lacking: bool,  # noqa: FBT001 - drawn
    small: bool,  # noqa: FBT001 - drawn
) -> None:
    """Byte for byte, whatever stands in the rows, held in memory or read again."""
    store = LocalStore(tmp_path_factory.mktemp("store"))
    withheld: tuple[Withheld, ...] = ()
    if lacking:  # a block lacks whole fields
        withheld = (Withheld("agent", OTHERS),)
        rows = [row for row in rows if b'"agent"' not in row[1]]
    with pytest.MonkeyPatch.context() as patched:
        if not small:
            patched.setattr(held, "_HELD_BYTES", 2000)
        for kind in ("access", "portability"):
            one_by_one = rendered(source(store, singly(rows, withheld)), kind)
            assert rendered(source(store, blocks(rows, most, withheld)), kind) == one_by_one


def test_pages_end_at_the_same_rows(store: LocalStore) -> None:
    """500 rows or 1 MiB, however the rows came: both borders are crossed within blocks."""
    many = [("orders", b'{"id":%d,"name":"x","note":"%d"}' % (n, n)) for n in range(1234)]
    wide = [("carts", b'{"id":%d,"name":"%s"}' % (n, b"y" * (n * 997 % 9000))) for n in range(900)]
    rows = [*many, *wide]
    one_by_one = rendered(source(store, singly(rows)))
    for most in (7, 500, 1000):
        assert rendered(source(store, blocks(rows, most))) == one_by_one


def test_attachments_stand_between_blocks(store: LocalStore) -> None:
    """Records with files and blocks share pages; each link stays with its row."""
    rows = [("orders", b'{"id":%d,"name":"n"}' % n) for n in range(30)]
    filed = [
        Record(r.subject_ref, r.collection, r.key, r.body, _file(r.key[0])) if n % 7 == 3 else r
        for n, r in enumerate(singly(rows))
    ]
    mixed: list[Record | RecordBlock] = []
    for record in filed:
        mixed += [record] if record.attachment else blocks([("orders", record.body)], 1)
    assert rendered(source(store, mixed)) == rendered(source(store, filed))


def _file(name: str) -> Attachment:
    return Attachment(f"{name}.txt", "text/plain", lambda: iter([name.encode()]))


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), values | st.just(Markup("<a>")), max_size=3))
)
def test_a_page_escaped_at_once_is_escaped_cell_by_cell(rows: list[dict[str, Any]]) -> None:
    """The rows of a page read as if each cell had been escaped by itself."""
    names = tables.columns(rows, ["b"])

    def cell(value: Any) -> str:
        if isinstance(value, Markup):
            return str(value)
        text = "" if value is None else value
        if isinstance(value, bool):
            text = str(value).lower()
        elif not isinstance(text, str):
            text = json.dumps(value, ensure_ascii=False)
        return str(escape(tables.clean(text)))

    expected = "".join(
        f"<tr>{''.join(f'<td>{cell(row.get(name))}</td>' for name in names)}</tr>\n" for row in rows
    )
    assert str(tables.table_rows(rows, names)) == expected


_plain_values = (
    st.sampled_from(HOSTILE)
    | st.text(max_size=5)
    | st.integers()
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.none()
)
_numbers = st.sampled_from(["1.10", "-0", "1E+5", "12345678901234567890123", "0.0", "-3e-7"])


@given(
    st.lists(
        st.tuples(_plain_values | st.lists(st.integers(), max_size=1), _numbers, _plain_values),
        min_size=1,
        max_size=5,
    ),
    st.booleans(),
)
def test_a_page_without_objects_is_the_page_with_them(
    records: list[tuple[Any, str, Any]],
    escaped: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    """Text turned into rows gives what records read one by one give, or leaves it to them."""
    names = ("a->>'b'", "n", "ü&c")
    bodies = [
        b'{"a->>\'b\'":%b,"n":%b,"\xc3\xbc&c":%b}'
        % (_written(a, escaped=escaped), number.encode(), _written(c, escaped=escaped))
        for a, number, c in records
    ]
    rows = plain.table_rows(bodies, names)
    expected = tables.table_rows(tables.parse(bodies), names).encode("utf-8", "replace")
    assert rows == expected or (rows is None and any(isinstance(a, list) for a, _, _ in records))


def _written(value: Any, *, escaped: bool) -> bytes:
    return json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    "bodies",
    [
        [b'{"a":1,"b":2}\n{"a":3,"b":4}', b"no"],
        [b'{"a":"x', b'","b":1}'],
        [b'{"a":1,"b":2}{"a":3,"b":4}'],
        [b' {"a":1,"b":2}'],
        [b'{"a":1,"b":2},'],
        [b'{"a":01,"b":2}'],
        [b'{"a":1.,"b":2}'],
        [b'{"a":NaN,"b":2}'],
        [b'{"a":"\xff","b":2}'],
        [b'{"a":"\t","b":2}'],
        [b'{"a":"\\","b":2}'],
        [b'{"b":1,"a":2}'],
        [b'{"a":1}'],
        [b'{"a":1,"b":2,"c":3}'],
        [b'{"a":{"a":1,"b":2},"b":2}'],
        [b""],
    ],
)
def test_only_whole_records_are_plain(bodies: list[bytes]) -> None:
    """What is no JSON, lies across lines or has other fields is left to whoever reads records."""
    plain_one = b'{"a":1,"b":2}'
    assert plain.table_rows([plain_one], ("a", "b")) is not None
    assert plain.table_rows([plain_one, *bodies, plain_one], ("a", "b")) is None


@pytest.mark.parametrize(
    "bodies",
    [
        [b"[1]"],
        [b"not json"],
        [b'{"a":1},{"b":2}', b""],
        [b'{"a":1},{"b":2}', b'{"c":"', b'"}'],
        [b'{"a":"\xff"}'],
        [b""],
    ],
)
def test_what_is_no_object_is_refused_within_blocks(store: LocalStore, bodies: list[bytes]) -> None:
    """A line that is not one JSON object by itself makes no package."""
    good = [b'{"id":1}'] * 3
    lines = [*good, *bodies, *good]
    block = RecordBlock("a", "orders", ("id",), b"\n".join(lines), len(lines))
    with pytest.raises(PackageRefused):
        rendered(source(store, [block]))
