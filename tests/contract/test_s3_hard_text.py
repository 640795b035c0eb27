"""Hard cases of text objects: told by content, matched exactly, every other byte as it was."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cramjam
import pytest

from dsr_worker.contract import Configuration, Form, NeedsHuman, Subject, Taken
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, event, outcomes
from tests.contract.s3_support import (
    EVENTS,
    EXPORTS,
    connector,
    content,
    current,
    lines,
    number,
    person,
    versioned,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from connectors.s3 import S3
    from dsr_worker.contract import Collection


def snapped(plain: bytes) -> bytes:
    """Framed snappy."""
    return bytes(cramjam.snappy.compress(plain))


ANNA = person("anna", ("email", "anna@shop.example"))


def events(**source: Any) -> Collection:
    """The events, by a customer number alone, with more said of how they are written."""
    return replace(EVENTS, source={**EVENTS.source, **source})


def exports(**source: Any) -> Collection:
    """The exports, with more said of how they are written."""
    return replace(EXPORTS, source={**EXPORTS.source, **source})


class Bucket:
    """One object in a bucket, and what an erasure leaves of it."""

    def __init__(self, client: S3Client, endpoint: str, name: str) -> None:
        self.client, self.endpoint, self.name = client, endpoint, name

    def made(self, collection: Collection) -> S3:
        """The connector with this collection."""
        return connector(self.endpoint, self.name, collection)

    def put(self, collection: Collection, body: bytes, key: str = "a", **more: Any) -> str:
        """An object of the collection; its key."""
        place = f"{collection.source['prefix']}{key}"
        self.client.put_object(Bucket=self.name, Key=place, Body=body, **more)
        return place

    def without(
        self, collection: Collection, body: bytes, subject: Subject, key: str = "a", **more: Any
    ) -> bytes:
        """What is left of an object when the subject's records are gone."""
        place = self.put(collection, body, key, **more)
        made = self.made(collection)
        erased(made, [subject], TrialContext())
        assert not list(made.recheck([subject], [], TrialContext(second_path=True)))
        return current(self.client, self.name, place)

    def reason(self, collection: Collection, body: bytes, subject: Subject) -> str:
        """Why an object stops for a person."""
        self.put(collection, body)
        with pytest.raises(NeedsHuman, match="s3-unreadable-object") as stop:
            list(self.made(collection).find([subject], TrialContext()))
        return str(stop.value.fields["reason"])


@pytest.fixture
def bucket(s3: S3Client, s3_endpoint: str, bucket_name: str) -> Bucket:
    """An empty one."""
    return Bucket(s3, s3_endpoint, bucket_name)


MINE, OTHER = lines([event(1, "1")]), lines([event(2, "2"), event(3, "11")])


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
    bucket: Bucket, compress: Callable[[bytes], bytes], undo: Callable[[bytes], bytes]
) -> None:
    """Hard case 2: several zstd frames, bz2 or xz streams are read whole and written alike."""
    body = compress(OTHER) + compress(MINE) + compress(OTHER)
    assert undo(bucket.without(EVENTS, body, number("1"))) == OTHER + OTHER


def test_framed_snappy_is_read_and_written(bucket: Bucket) -> None:
    """Hard case 2: several framed snappy streams are one object, and come out as framed snappy."""
    body = snapped(OTHER) + snapped(MINE) + snapped(OTHER)
    left = bucket.without(EVENTS, body, number("1"))
    assert bytes(cramjam.snappy.decompress(left)) == OTHER + OTHER
    assert bucket.reason(EVENTS, body[:-1], number("1")) == "cut-snappy"


@pytest.mark.parametrize("key", ["a.json.gz", "a.txt", "a.parquet", "a"])
@pytest.mark.parametrize("encoding", ["", "gzip", "br"])
def test_names_and_headers_that_lie_change_nothing(bucket: Bucket, key: str, encoding: str) -> None:
    """Hard case 3: neither a key's ending nor Content-Encoding says what the bytes are."""
    more = {"ContentEncoding": encoding} if encoding else {}
    assert bucket.without(EVENTS, MINE + OTHER, number("1"), f"plain-{key}", **more) == OTHER
    left = bucket.without(EVENTS, gzip.compress(MINE + OTHER), number("1"), f"packed-{key}", **more)
    assert gzip.decompress(left) == OTHER


def test_a_byte_order_mark_is_no_part_of_a_name(bucket: Bucket) -> None:
    """Hard case 4: behind a mark the first line, list or column is read like every other."""
    mark = b"\xef\xbb\xbf"
    assert bucket.without(EVENTS, mark + MINE + OTHER, number("1")) == mark + OTHER
    listed = mark + b'[{"event_id":"a","customer":1},{"event_id":"b","customer":2}]'
    left = bucket.without(EVENTS, listed, number("1"))
    assert left == mark + b'[{"event_id":"b","customer":2}]'
    table = mark + b"email,row_id\nanna@shop.example,1\nbo@shop.example,2\n"
    assert bucket.without(EXPORTS, table, ANNA) == mark + b"email,row_id\nbo@shop.example,2\n"


@pytest.mark.parametrize("wide", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_utf_16_is_told_by_name(bucket: Bucket, wide: str, pack: Callable[[bytes], bytes]) -> None:
    """Hard case 4: UTF-16 is reported, with a mark or without, compressed or not."""
    assert bucket.reason(EVENTS, pack(MINE.decode().encode(wide)), number("1")) == "utf-16"
    table = "email,row_id\nanna@shop.example,1\n".encode(wide)
    assert bucket.reason(EXPORTS, pack(table), ANNA) == "utf-16"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_declared_encodings_are_read_and_kept(bucket: Bucket, encoding: str) -> None:
    """Hard case 4: latin-1 and cp1252 are read as declared; others' bytes stay as they were."""
    mine, other = ("1,jörg@shop.example,Jörg,ä\n", "2,jorg@shop.example,Jörg,ß\n")
    head = b"row_id,email,name,comment\n"
    joerg = person("j", ("email", "jörg@shop.example"))
    body = head + mine.encode(encoding) + other.encode(encoding)
    left = bucket.without(exports(encoding=encoding), body, joerg)
    assert left == head + other.encode(encoding)
    rows = [event(1, "Jörg"), event(2, "Jorg", note="Käse")]
    spelled = [json.dumps(r, ensure_ascii=False).encode(encoding) + b"\n" for r in rows]
    left = bucket.without(events(encoding=encoding), b"".join(spelled), number("Jörg"))
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
    bucket: Bucket, dialect: dict[str, Any], before: str, behind: str
) -> None:
    """Hard case 5: delimiter, quotes or none, escapes, comments, headers or none, any newline."""
    left = bucket.without(exports(dialect=dialect), (before + behind).encode(), ANNA)
    ending = "\r" if "\n" not in before else "\n"
    records = before.split(ending)
    heads = [r + ending for r in records if r.startswith(("#", "row_id"))]
    assert left == ("".join(heads) + behind).encode()


def test_a_header_that_contradicts_the_map_stops(bucket: Bucket) -> None:
    """Hard case 5: other columns than declared, or a header where there should be none."""
    columns = ("row_id", "email")
    declared = exports(dialect={"columns": columns})
    assert bucket.reason(declared, b"email,row_id\na@b.example,1\n", ANNA) == "other-columns"
    bare = exports(dialect={"columns": columns, "header": False})
    assert bucket.reason(bare, b"row_id,email\n1,a@b.example\n", ANNA) == "unexpected-header"
    assert bucket.reason(bare, b"1,a@b.example,x\n", ANNA) == "other-columns"
    for wrong in ({"header": False}, {"quote": ","}, {"delimiter": "ab"}):
        with pytest.raises(Configuration, match="source"):
            bucket.made(exports(dialect=wrong))
    with pytest.raises(Configuration, match="columns"):
        bucket.made(exports(dialect={"columns": ("row_id",)}))


def test_quoted_newlines_across_pieces(bucket: Bucket) -> None:
    """Hard case 6: records longer than what is read at once go whole or stay whole."""
    head = b"row_id,email,comment\n"
    long = b"line, anna@shop.example\n" * 40_000
    other = b'1,bo@shop.example,"' + long + b'"\n'
    mine = b'2,"anna@shop.example","' + long + b'"\n'
    body = head + other + mine + other + mine + b"3,bo@shop.example,\n"
    left = bucket.without(EXPORTS, body, ANNA)
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
    bucket: Bucket, path: str, body: bytes, left: bytes
) -> None:
    """Hard case 7: a list, a list within a document, one printed object, lines: by the bytes."""
    assert bucket.without(events(format="json", records=path), body, number("1")) == left
    if not path:
        assert bucket.without(EVENTS, body, number("1")) == left


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
def test_a_document_that_is_none_stops(bucket: Bucket, path: str, body: bytes, reason: str) -> None:
    """Hard case 7: what does not end, or has no list where the map says, is never clean."""
    assert bucket.reason(events(format="json", records=path), body, number("1")) == reason


@pytest.mark.parametrize(
    "line",
    [
        '{"event_id":"x","customer":"a\\/b"}',
        '{"event_id":"x","customer":"\\u0061/b"}',
        '{"event_id":"x","cus\\u0074omer":"a/b"}',
        '{"event_id":"x","\\u0063\\u0075stomer"\t:  "a\\u002Fb"}',
        '{"event_id":"x","customer" : "a/b"}',
        '{"event_id":"x","customer":\t"a/b"}',
    ],
)
def test_escapes_hide_nobody(bucket: Bucket, line: str) -> None:
    """Hard case 8: escapes in a value or in a field's name, and any spacing, are seen through."""
    other = b'{"event_id":"y","customer":"a\\/c","note":"\\u0061/b"}\n'
    assert bucket.without(EVENTS, other + line.encode() + b"\n" + other, number("a/b")) == other * 2


NUMBERS: dict[str, object] = {
    "whole": 123, "text": "123", "decimal": 123.0, "true": True, "near": 1234, "part": 123.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("equals", "meant"),
    [
        ({}, {"whole", "text"}),
        ({"customer": "both"}, {"whole", "text"}),
        ({"customer": "text"}, {"text"}),
        ({"customer": "number"}, {"whole"}),
        ({"customer": "decimal"}, {"whole", "text", "decimal"}),
    ],
)
def test_what_a_number_equals_the_map_says(
    bucket: Bucket, equals: dict[str, str], meant: set[str]
) -> None:
    """Hard case 9: 123, "123" and 123.0 are what the map says they are; true is never 1."""
    records = {name: lines([event(name, value)]) for name, value in NUMBERS.items()}  # type: ignore[arg-type] # any id will do
    records["written"] = b'{"event_id":"w","customer":1.23e2}\n'
    meant = meant | ({"written"} if "decimal" in meant else set())
    left = bucket.without(events(equals=equals), b"".join(records.values()), number("123"))
    assert left == b"".join(raw for name, raw in records.items() if name not in meant)
    ones = lines([event(1, True), event(2, [1]), event(3, {"customer": 1})])
    assert bucket.without(events(equals=equals), ones, number("true"), "b") == ones


def test_numbers_keep_their_last_digit(bucket: Bucket) -> None:
    """Hard case 9: ids above 2**53 and above 64 bits are compared digit by digit, 1.0 forms too."""
    for huge in (2**53 + 1, 2**70 + 1):
        spelled = [
            f'{{"event_id":"e","customer":{huge + n}{tail}}}\n'.encode()
            for n in (-1, 0, 1)
            for tail in ("", ".0")
        ]
        left = bucket.without(
            events(equals={"customer": "decimal"}), b"".join(spelled), number(str(huge))
        )
        assert left == b"".join(spelled[:2] + spelled[4:])


def test_addresses_are_equal_as_the_canonicaliser_says(bucket: Bucket) -> None:
    """Hard case 10: ASCII case folds, other letters and plus tags count, NFC and NFD are one."""
    mail = replace(EVENTS, takes={"email": Taken("mail", Form.ASCII_CASE)})
    written = {
        "same": "J\u00f6rg+x@Shop.Example",
        "decomposed": "Jo\u0308rg+x@shop.example",
        "no tag": "j\u00f6rg@shop.example",
        "capital": "J\u00d6rg+x@shop.example",
        "plain": "jorg+x@shop.example",
    }
    for ascii_only in (True, False):
        records = {
            name: json.dumps({"event_id": name, "mail": text}, ensure_ascii=ascii_only).encode()
            + b"\n"
            for name, text in written.items()
        }
        joerg = person("j", ("email", "j\u00f6rg+x@shop.example"))
        left = bucket.without(mail, b"".join(records.values()), joerg)
        stays = [raw for name, raw in records.items() if name not in ("same", "decomposed")]
        assert left == b"".join(stays)


def test_odd_lines_stay_and_are_reported(bucket: Bucket) -> None:
    """Hard case 11: blank lines, a damaged one, no newline at the end: all as they were."""
    broken = b'{"event_id":"x","customer":"1", "note":"anna@shop.ex'
    body = b"\n" + MINE + b"  \r\n" + broken + b"\n" + OTHER + MINE.rstrip(b"\n")
    left = bucket.without(EVENTS, body, number("1"))
    assert left == b"\n  \r\n" + broken + b"\n" + OTHER
    shopper = person("s", ("email", "anna@shop.ex"))
    told = list(bucket.made(EVENTS).mentions([shopper], TrialContext()))
    assert [m.field for m in told] == ["(unreadable line)"]


@pytest.mark.parametrize("emptied", ["keep", "erase"])
def test_a_damaged_line_stays_where_no_record_does(bucket: Bucket, emptied: str) -> None:
    """Hard case 11, 14: what is left is no record, and none that anybody may let go or stop at."""
    broken = b'{"event_id":"x","customer":"1", "note":"anna@shop.ex\n'
    assert bucket.without(events(emptied=emptied), MINE + broken, number("1")) == broken


def test_owners_within_lists_of_objects(bucket: Bucket) -> None:
    """Hard case 12: a path goes into objects, with `[]` into each element of a list as well."""
    nested = replace(EVENTS, takes={"customer_number": Taken("trip.people[].id")})
    mine: dict[str, object] = {"event_id": "a", "trip": {"people": [{"id": "2"}, {"id": 1}]}}
    others: list[dict[str, object]] = [
        {"event_id": "b", "trip": {"people": [{"id": "11"}, {"guest": {"id": "1"}}, "1"]}},
        {"event_id": "c", "trip": {"people": {"id": "1"}}, "id": "1"},
        {"event_id": "d", "trip": None},
        {"event_id": "e", "trip": {"people": [["1"]]}},
    ]
    left = bucket.without(nested, lines([others[0], mine, *others[1:]]), number("1"))
    assert left == lines(others)
    listed = replace(EVENTS, takes={"customer_number": Taken("ids[]")})
    rows = lines([{"event_id": "a", "ids": ["1", 2]}, {"event_id": "b", "ids": "1"}])
    assert bucket.without(listed, rows, number("1"), "b") == rows.splitlines(keepends=True)[1]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("keeps", ["none", "all"])
def test_an_emptied_object_goes_where_the_map_says_so(
    bucket: Bucket, pack: Callable[[bytes], bytes], keeps: str
) -> None:
    """Hard case 14: without records left it goes, versions and all; a header is no record."""
    if keeps == "all":
        versioned(bucket.client, bucket.name)
    table = exports(emptied="erase")
    mine = b"row_id,email\n1,anna@shop.example\n"
    bucket.put(table, pack(mine), "mine")
    both = bucket.put(table, pack(mine + b"2,bo@shop.example\n"), "both")
    bare = bucket.put(table, pack(b"row_id,email\n"), "bare")
    assert outcomes(erased(bucket.made(table), [ANNA], TrialContext())) == {"erased": 2}
    left = content(bucket.client, bucket.name)
    assert {key for (key, _), body in left.items() if body != b"(marker)"} == {both, bare}
    assert not list(bucket.made(table).locate([ANNA], TrialContext(second_path=True)))


@pytest.mark.parametrize(
    ("collection", "body", "left"),
    [
        (EXPORTS, b"row_id,email\n1,anna@shop.example\n", b"row_id,email\n"),
        (EVENTS, b'[{"user":{"email":"anna@shop.example"}}]', b"[]"),
        (EVENTS, b'{"user":{"email":"anna@shop.example"}}\n', b""),
    ],
    ids=["csv", "list", "lines"],
)
def test_an_emptied_object_stays_where_the_map_says_nothing(
    bucket: Bucket, collection: Collection, body: bytes, left: bytes
) -> None:
    """Hard case 14: by default what is no record stays: a header, brackets, nothing."""
    assert bucket.without(collection, body, ANNA) == left


def test_a_mention_is_reported_and_stays(bucket: Bucket) -> None:
    """Hard case 15: another's record that names the person in a text, a list or a comment stays."""
    bodies = {
        "lines": lines([event(1, "2", note="for anna@shop.example")]),
        "list": b'[{"event_id":"e2","customer":"2","note":"anna@shop.example"}]',
    }
    for key, body in bodies.items():
        assert bucket.without(EVENTS, body, ANNA, key) == body
    told = {m.key for m in bucket.made(EVENTS).mentions([ANNA], TrialContext())}
    assert told == {("events/lines", "e1"), ("events/list", "e2")}
