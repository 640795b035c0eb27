"""Blocks: the same package whether records came one by one or many at once."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup, escape

from dsr_worker.contract import (
    Attachment,
    Collection,
    Field,
    Identity,
    Record,
    RecordBlock,
    Subject,
    System,
    Withheld,
)
from dsr_worker.fulfil.withholding import block_without_strangers, without_strangers
from dsr_worker.package import (
    CaseFacts,
    Contents,
    OrganisationTexts,
    PackageRefused,
    Source,
    plain,
    tables,
    verify_package,
    write_package,
)
from dsr_worker.package import records as held
from dsr_worker.spool import (
    RecordSpool,
    Spooled,
    SpooledBlock,
    SpooledRecord,
    read_records,
    reading,
)
from dsr_worker.store import LocalStore, new_name
from dsr_worker.vault import CaseKey

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = CaseKey(b"k" * 32)
MARA = Subject("a", (Identity("email", "mara@mail.example"),))
TEXTS = OrganisationTexts(
    controller="Shop GmbH",
    address="Beispielweg 1",
    contact="privacy@shop.example",
    rights="yours",
    complaint="to the authority",
    automated_decisions="none",
    transfers="none",
    storage={"order": "ten years"},
)
_OTHERS = "AC_RIGHTS_OF_OTHERS"
HOSTILE = (
    "",
    "plain",
    "<script>alert('1')</script>",
    'quoted "twice" & more',
    "two\nlines\tand \\ a slash",
    "\x00\x1e\x1f\x7f\x80\x9f",
    "\N{DEGREE SIGN} 20, Ünsal, 漢字, \N{GRINNING FACE}",
    "null",
    "],[",
    '{"id":1},{"id":2}',
    "Mara@mail.example and ida@mail.example",
    "</td><td>",
)


def _collection(name: str) -> Collection:
    fields = (
        Field("id", "user.unique_id"),
        Field("name", "user.name"),
        Field("note", "user.content", free_text=True),
        Field("agent", "user.name", third_party=True),
    )
    return Collection(
        name,
        ("id",),
        {field.name: field for field in fields},
        purpose="to deliver",
        legal_basis="contract",
        recipients=("nobody",),
        origin="you",
        record_class="order",
    )


SHOP = System("shop", "postgres", {name: _collection(name) for name in ("orders", "carts")})
Row = tuple[str, bytes]  # collection and body


def rendered(source: Source, kind: str = "access") -> bytes:
    """The package's bytes."""
    out = io.BytesIO()
    case = CaseFacts("6f0c1d0a", kind, "eu-gdpr", "DE", AT, AT)
    portable = frozenset({("shop", "orders")})
    write_package(out, Contents(case, TEXTS, [source], portable=portable))
    assert verify_package(out) == []
    return out.getvalue()


def spooled(store: LocalStore, found: Sequence[Record | RecordBlock]) -> Spooled:
    """What was found, sealed as `find` seals it."""
    name = new_name("records", AT.date())
    with RecordSpool(store, name, {"a": KEY}) as spool:
        for one in found:
            collection = SHOP.collections[one.collection]
            if isinstance(one, Record):
                spool.add(without_strangers(one, collection, MARA))
            else:
                for part in block_without_strangers(one, collection, MARA):
                    spool.add(part)
        frame = spool.finish()["a"]
    return Spooled(store, frame, KEY)


def source(store: LocalStore, found: Sequence[Record | RecordBlock]) -> Source:
    """The answer of a system, from a spool."""
    read = spooled(store, found)
    return Source(SHOP, read.all, AT, read_of=read.of)


def singly(rows: Sequence[Row], withheld: Sequence[Withheld] = ()) -> list[Record]:
    """Rows as records; each has `withheld`."""
    keys = [(str(json.loads(body).get("id")),) for _, body in rows]
    return [
        Record("a", name, key, body, withheld=tuple(withheld))
        for key, (name, body) in zip(keys, rows, strict=True)
    ]


def blocks(rows: Sequence[Row], most: int, withheld: Sequence[Withheld] = ()) -> list[RecordBlock]:
    """The same rows, up to so many of one collection in a block."""
    found: list[RecordBlock] = []
    pending: list[bytes] = []
    for number, (name, body) in enumerate(rows):
        pending.append(body)
        is_last = number + 1 == len(rows) or rows[number + 1][0] != name
        if is_last or len(pending) == most:
            size = len(pending)
            out = tuple(Withheld(w.field, w.ground, w.values * size) for w in withheld)
            found.append(RecordBlock("a", name, ("id",), b"\n".join(pending), size, out))
            pending = []
    return found


_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(HOSTILE),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.sampled_from(HOSTILE), max_size=2),
    st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(HOSTILE), max_size=2),
)


@st.composite
def _rows(draw: st.DrawFn) -> list[Row]:
    names = draw(st.lists(st.sampled_from(["orders", "carts"]), max_size=30))
    ascii_only = draw(st.booleans())
    rows = []
    for number, name in enumerate(names):
        body: dict[str, Any] = {"id": number, "name": draw(_values), "note": draw(_values)}
        if draw(st.integers(0, 9)) == 0:
            body["extra <&>"] = draw(_values)
        if draw(st.integers(0, 9)) == 0:
            body["agent"] = "Olga"
        text = json.dumps(body, ensure_ascii=ascii_only, separators=(",", ":"))
        rows.append((name, text.encode("utf-8", "surrogatepass")))
    return rows


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store in a folder."""
    return LocalStore(tmp_path)


@settings(max_examples=60, deadline=None)
@given(rows=_rows(), most=st.integers(1, 9), lacking=st.booleans(), small=st.booleans())
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
        withheld = (Withheld("agent", _OTHERS),)
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
    st.lists(st.dictionaries(st.sampled_from("abc"), _values | st.just(Markup("<a>")), max_size=3))
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


@given(_rows(), st.integers(1, 9))
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
    lacking = (Withheld("agent", _OTHERS),)
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
