"""Hard cases of text objects: told by content, every other byte as it was."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from typing import Any

import cramjam
import pytest

from dsr_worker.contract import Configuration
from tests import zstd
from tests.contract.s3_erasures import event
from tests.contract.s3_support import (
    EVENTS,
    EXPORTS,
    number,
    person,
)
from tests.contract.s3_texts import ANNA, MINE, OTHER, Texts, events, exports


def snapped(plain: bytes) -> bytes:
    """Framed snappy."""
    return bytes(cramjam.snappy.compress(plain))


@pytest.mark.parametrize(
    ("compress", "undo"),
    [
        (zstd.compress, zstd.decompress),
        (bz2.compress, bz2.decompress),
        (lzma.compress, lzma.decompress),
    ],
    ids=["zstd", "bzip2", "xz"],
)
def test_frames_and_streams_are_one_object(
    texts: Texts, compress: Callable[[bytes], bytes], undo: Callable[[bytes], bytes]
) -> None:
    """Hard case 2: several zstd frames, bz2 or xz streams are read whole and written alike."""
    body = compress(OTHER) + compress(MINE) + compress(OTHER)
    assert undo(texts.without(EVENTS, body, number("1"))) == OTHER + OTHER


def test_framed_snappy_is_read_and_written(texts: Texts) -> None:
    """Hard case 2: several framed snappy streams are one object, and come out as framed snappy."""
    body = snapped(OTHER) + snapped(MINE) + snapped(OTHER)
    left = texts.without(EVENTS, body, number("1"))
    assert bytes(cramjam.snappy.decompress(left)) == OTHER + OTHER
    assert texts.reason(EVENTS, body[:-1], number("1")) == "cut-snappy"


@pytest.mark.parametrize(
    ("key", "encoding"), [("a.json.gz", ""), ("a.txt", "gzip"), ("a.parquet", "br"), ("a", "gzip")]
)
def test_names_and_headers_that_lie_change_nothing(texts: Texts, key: str, encoding: str) -> None:
    """Hard case 3: neither a key's ending nor Content-Encoding says what the bytes are."""
    more = {"ContentEncoding": encoding} if encoding else {}
    assert texts.without(EVENTS, MINE + OTHER, number("1"), f"plain-{key}", **more) == OTHER
    left = texts.without(EVENTS, gzip.compress(MINE + OTHER), number("1"), f"packed-{key}", **more)
    assert gzip.decompress(left) == OTHER


def test_a_byte_order_mark_is_no_part_of_a_name(texts: Texts) -> None:
    """Hard case 4: behind a mark the first line, list or column is read like every other."""
    mark = b"\xef\xbb\xbf"
    assert texts.without(EVENTS, mark + MINE + OTHER, number("1")) == mark + OTHER
    listed = mark + b'[{"event_id":"a","customer":1},{"event_id":"b","customer":2}]'
    left = texts.without(EVENTS, listed, number("1"))
    assert left == mark + b'[{"event_id":"b","customer":2}]'
    table = mark + b"email,row_id\nanna@shop.example,1\nbo@shop.example,2\n"
    assert texts.without(EXPORTS, table, ANNA) == mark + b"email,row_id\nbo@shop.example,2\n"


@pytest.mark.parametrize("wide", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_utf_16_is_told_by_name(texts: Texts, wide: str, pack: Callable[[bytes], bytes]) -> None:
    """Hard case 4: UTF-16 is reported, with a mark or without, compressed or not."""
    assert texts.reason(EVENTS, pack(MINE.decode().encode(wide)), number("1")) == "utf-16"
    table = "email,row_id\nanna@shop.example,1\n".encode(wide)
    assert texts.reason(EXPORTS, pack(table), ANNA) == "utf-16"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_declared_encodings_are_read_and_kept(texts: Texts, encoding: str) -> None:
    """Hard case 4: latin-1 and cp1252 are read as declared; others' bytes stay as they were."""
    mine, other = ("1,jörg@shop.example,Jörg,ä\n", "2,jorg@shop.example,Jörg,ß\n")
    head = b"row_id,email,name,comment\n"
    joerg = person("j", ("email", "jörg@shop.example"))
    body = head + mine.encode(encoding) + other.encode(encoding)
    left = texts.without(exports(encoding=encoding), body, joerg)
    assert left == head + other.encode(encoding)
    rows = [event(1, "Jörg"), event(2, "Jorg", note="Käse")]
    spelled = [json.dumps(r, ensure_ascii=False).encode(encoding) + b"\n" for r in rows]
    left = texts.without(events(encoding=encoding), b"".join(spelled), number("Jörg"))
    assert left == spelled[1]


TABLES = [
    (
        {"delimiter": ";", "quote": "'", "comment": "#"},
        "# anna@shop.example asked\nrow_id;email;name\n1;'anna@shop.example';'A;\n''A'''\n",
        "2;bo@shop.example;anna@shop.example\n",
    ),
    (
        {"delimiter": "\t", "escape": "\\"},
        'row_id\temail\tname\r\n1\tanna@shop.example\t"a \\" b"\r\n',
        "2\t\\N\tanna\\\tb\r\n",
    ),
    (
        {"delimiter": "|", "quote": None},
        'row_id|email|name\n1|anna@shop.example|5" pipe\n',
        '2|bo@shop.example|"anna@shop.example\n',
    ),
    (
        {"header": False, "columns": ("row_id", "email", "name")},
        "1,anna@shop.example,A\n",
        "2,bo@shop.example,anna@shop.example\n",
    ),
    ({}, "row_id,email,name\r1,anna@shop.example,A\r", "2,bo@shop.example,B\r"),
]


@pytest.mark.parametrize(("dialect", "before", "behind"), TABLES)
def test_csv_of_a_declared_dialect(
    texts: Texts, dialect: dict[str, Any], before: str, behind: str
) -> None:
    """Hard case 5: delimiter, quotes or none, escapes, comments, headers or none, any newline."""
    left = texts.without(exports(dialect=dialect), (before + behind).encode(), ANNA)
    ending = "\r" if "\n" not in before else "\n"
    records = before.split(ending)
    heads = [r + ending for r in records if r.startswith(("#", "row_id"))]
    assert left == ("".join(heads) + behind).encode()


def test_a_header_that_contradicts_the_map_stops(texts: Texts) -> None:
    """Hard case 5: other columns than declared, or a header where there should be none."""
    columns = ("row_id", "email")
    declared = exports(dialect={"columns": columns})
    assert texts.reason(declared, b"email,row_id\na@b.example,1\n", ANNA) == "other-columns"
    bare = exports(dialect={"columns": columns, "header": False})
    assert texts.reason(bare, b"row_id,email\n1,a@b.example\n", ANNA) == "unexpected-header"
    assert texts.reason(bare, b"1,a@b.example,x\n", ANNA) == "other-columns"
    for wrong in ({"header": False}, {"quote": ","}, {"delimiter": "ab"}):
        with pytest.raises(Configuration, match="source"):
            texts.made(exports(dialect=wrong))
    with pytest.raises(Configuration, match="columns"):
        texts.made(exports(dialect={"columns": ("row_id",)}))


def test_quoted_newlines_across_pieces(texts: Texts) -> None:
    """Hard case 6: records longer than what is read at once go whole or stay whole."""
    head = b"row_id,email,comment\n"
    long = b"line, anna@shop.example\n" * 40_000
    other = b'1,bo@shop.example,"' + long + b'"\n'
    mine = b'2,"anna@shop.example","' + long + b'"\n'
    body = head + other + mine + other + mine + b"3,bo@shop.example,\n"
    left = texts.without(EXPORTS, body, ANNA)
    assert left == head + other + other + b"3,bo@shop.example,\n"


LISTED = [
    ("", b'[{"event_id":"a","customer":"1"},\n {"event_id":"b","customer":"2"}]',
     b'[{"event_id":"b","customer":"2"}]'),
    ("", b'[\n  {"event_id":"b","customer":"2"},\n  {"event_id":"a","customer":1}\n]\n',
     b'[\n  {"event_id":"b","customer":"2"}\n]\n'),
    ("", b'[ {"event_id":"a", "customer":"\\u0031"} ]', b"[  ]"),
    ("data.items",
     b'{"n":[{"customer":1}],"data":{"x":"[","items":[{"customer":1},{"customer":2}]},"z":1}',
     b'{"n":[{"customer":1}],"data":{"x":"[","items":[{"customer":2}]},"z":1}'),
    ("", b'{\n  "event_id": "a",\n  "customer": 1\n}\n', b"\n"),
    ("", b'{\n  "event_id": "b",\n  "customer": 2\n}\n',
     b'{\n  "event_id": "b",\n  "customer": 2\n}\n'),
    ("", b'{"event_id":"a","customer":1}\n{"event_id":"b","customer":2}\n',
     b'{"event_id":"b","customer":2}\n'),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "left"), LISTED)
def test_lists_and_documents_are_told_from_lines(
    texts: Texts, path: str, body: bytes, left: bytes
) -> None:
    """Hard case 7: a list, a list within a document, one printed object, lines: by the bytes."""
    assert texts.without(events(format="json", records=path), body, number("1")) == left
    if not path:
        assert texts.without(EVENTS, body, number("1")) == left


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("", b'[{"customer":"2"},{"customer":"1"}', "cut-json"),
        ("", b'[{"customer":"2"}] "customer"', "not-json"),
        ("data", b'{"data":{"customer":"1"}}', "records-are-no-list"),
        ("data", b'{"dat":[{"customer":"1"}]}', "no-records"),
        ("", b'{\n "customer": "1",,\n}\n', "not-json"),
    ],
)
def test_a_document_that_is_none_stops(texts: Texts, path: str, body: bytes, reason: str) -> None:
    """Hard case 7: what does not end, or has no list where the map says, is never clean."""
    assert texts.reason(events(format="json", records=path), body, number("1")) == reason
