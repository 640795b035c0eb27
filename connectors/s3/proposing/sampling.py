"""Bounded ranges of a few objects: which format they are in, and what their records look like.

In: objects of one place. Out: counts by field, also for each list of records in JSON documents, the
links that fields hold, or the code of what cannot be read by record. At most a range from the start
of each object is asked for; values are counted and dropped.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import get_args

from connectors.naming.classifying import plainly_named
from connectors.naming.forms import Seen, form_of, observe
from connectors.naming.hints import known_word
from connectors.naming.words import referred
from connectors.s3.config import SharedLayout
from connectors.s3.formats.codecs import codec_of
from connectors.s3.formats.content import EACH
from connectors.s3.formats.detecting import format_of
from connectors.s3.formats.entries import Broken, Entry, UnreadableError
from connectors.s3.proposing.documents import outline, texts_of
from connectors.s3.server.bucket import Bucket, Version, with_no_budget
from connectors.s3.server.refusals import ChangedError, GoneError
from dsr_worker.contract import ConnectorError

_HEAD_BYTES = 256 * 1024
_MORE_BYTES = 4 * 1024 * 1024  # of formats that are read by ranges
_ROWS = 200
_OBJECTS = 3
_LINK = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?[^\s]+/[^\s]+")
_DELIMITERS = (",", ";", "\t", "|")
_DATA = frozenset({"email", "date", "number", "ip", "phone", "iban", "uuid", "url", "card"})
_COMMON_SHARE, _COMMON_LEAST = 0.2, 3
_LONGEST_FIELD = 200
_DOCUMENTS = frozenset({"json", "ndjson"})
_KNOWN = frozenset(get_args(SharedLayout.model_fields["format"].annotation))
"""The formats that records can be read in today."""
_MAGIC = (
    (b"\xff\xd8\xff", "image"), (b"\x89PNG", "image"), (b"GIF8", "image"), (b"RIFF", "media"),
    (b"ID3", "media"), (b"\0\0\0\x18ftyp", "media"), (b"\0\0\0 ftyp", "media"), (b"%PDF", "pdf"),
    (b"PK\x03\x04", "archive"), (b"PGDMP", "dump"), (b"ORC", "orc"), (b"PAR1", "parquet"),
    (b"Obj\x01", "avro"),
)  # fmt: skip


@dataclass
class Sample:
    """What was seen of a place's records; `code` says why there are none."""

    format: str = ""
    delimiter: str = ","
    compression: str = "none"
    rows: int = 0
    fields: Mapping[str, Seen] = field(default_factory=dict)
    distinct: frozenset[str] = frozenset()  # another value in every record of an object
    links: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    various: frozenset[str] = frozenset()  # several values in one object
    lists: Mapping[str, Sample] = field(default_factory=dict)  # of JSON: records at a path
    code: str = ""
    mixed: bool = False  # objects of the place have other fields, or another format


_Row = Mapping[str, str]


@dataclass
class _Read:
    """What one object holds: its records, and those of each list in its documents."""

    told: Sample
    rows: list[_Row] = field(default_factory=list, repr=False)
    lists: dict[str, list[_Row]] = field(default_factory=dict, repr=False)


def sample(bucket: Bucket, objects: Sequence[Version]) -> Sample:
    """What a few objects of one place hold."""
    chosen = [v for v in objects if v.size_bytes and not v.archived]
    if not chosen:
        return Sample(code="archived" if any(v.archived for v in objects) else "empty")
    read: list[_Read] = []
    for version in _some(chosen):
        try:
            read.append(_read(bucket, version))
        except (ChangedError, GoneError):
            continue
        except ConnectorError:
            return Sample(code="not_read")
    if not read:
        return Sample(code="not_read")
    return _together(read)


def _some(objects: Sequence[Version]) -> list[Version]:
    if len(objects) <= _OBJECTS:
        return list(objects)
    return [objects[0], objects[len(objects) // 2], objects[-1]]


def _together(read: list[_Read]) -> Sample:
    first = next((one.told for one in read if not one.told.code), read[0].told)
    alike = [one for one in read if one.told.format == first.format]
    _count(first, [one.rows for one in alike])
    first.mixed = len(alike) < len(read) or _differ(
        [{name for row in one.rows for name in row} for one in read]
    )
    paths = dict.fromkeys(path for one in alike for path in one.lists)
    first.lists = {
        path: _listed(first, [one.lists.get(path, []) for one in alike]) for path in paths
    }
    return first


def _listed(documents: Sample, objects: list[list[_Row]]) -> Sample:
    """What the records of one list are, in all objects."""
    found = Sample(format="json", compression=documents.compression)
    _count(found, objects)
    found.mixed = _differ([{name for row in rows for name in row} for rows in objects])
    return found


def _count(told: Sample, objects: list[list[_Row]]) -> None:
    """Count the records of some objects by field."""
    rows = [row for found in objects for row in found]
    names = _structure(rows)
    values = {name: [row.get(name) for row in rows] for name in names}
    told.rows = len(rows)
    told.fields = {name: observe(found) for name, found in values.items()}
    told.distinct = frozenset(
        name for name in names if all(_tells_apart(name, found) for found in objects if found)
    )
    told.various = frozenset(
        name
        for name in names
        if any(len({row.get(name) for row in o} - {None}) > 1 for o in objects)
    )
    told.links = {
        name: links
        for name, found in values.items()
        if (links := [v.strip() for v in found if v and _LINK.fullmatch(v.strip())])
    }


def _tells_apart(name: str, rows: Sequence[_Row]) -> bool:
    return len({row.get(name) for row in rows} - {None}) == len(rows) > 1


def _differs(name: str, rows: Sequence[_Row]) -> bool:
    return len({row.get(name) for row in rows} - {None}) > 1


def _structure(rows: Sequence[_Row]) -> list[str]:
    """The fields whose names are the structure's own: often there, or of the vocabulary.

    A name that is data, as in a document whose keys are addresses, is none and never leaves.
    """
    counted = Counter(name for row in rows for name in row)
    least = max(_COMMON_LEAST, _COMMON_SHARE * len(rows))
    return [
        name
        for name, times in counted.items()
        if known_word(name.rpartition(".")[2].replace(EACH, ""))
        or (times >= least and form_of(name) not in _DATA and len(name) <= _LONGEST_FIELD)
    ]


def _differ(names: list[set[str]]) -> bool:
    """Whether two objects have fewer than half of their fields in common."""
    told = [each for each in names if each]
    return any(2 * len(told[0] & each) < len(told[0] | each) for each in told)


class Head:
    """The start of one object, and some further ranges."""

    def __init__(self, bucket: Bucket, version: Version) -> None:
        self._bucket, self._version = bucket, version
        self._left = _MORE_BYTES
        self.head = self._range(0, min(version.size_bytes, _HEAD_BYTES))

    @property
    def size_bytes(self) -> int:
        """How many bytes the object has."""
        return self._version.size_bytes

    @property
    def cut(self) -> bool:
        """Whether the object goes on behind the start."""
        return self.size_bytes > len(self.head)

    def plain(self) -> bytes:
        """As much of the plain bytes as the start gives. Raises UnreadableError."""
        codec = codec_of(self.head)
        return self.head if codec is None else _plain(codec.plain(iter([self.head])))

    def first(self) -> bytes:
        """The first bytes."""
        return self.head

    def stream(self) -> Iterator[bytes]:
        """The start, as if it were all."""
        yield self.head

    def read(self, start: int, length: int) -> bytes:
        """A range, within bounds."""
        if start + length <= len(self.head):
            return self.head[start : start + length]
        if length > self._left:
            raise UnreadableError("too-large")
        self._left -= length
        return self._range(start, length)

    def _range(self, start: int, length: int) -> bytes:
        return self._bucket.read(self._version, start, length, with_no_budget)


def _read(bucket: Bucket, version: Version) -> _Read:
    source = Head(bucket, version)
    told = Sample()
    magic = next((code for magic, code in _MAGIC if source.head.startswith(magic)), "")
    if magic:
        if magic not in _KNOWN:
            return _Read(Sample(code=magic))
        told.format = magic
        return _Read(told, _rows(source, told, ()))
    try:
        codec = codec_of(source.head)
    except UnreadableError as error:
        return _Read(Sample(code=error.reason.replace("-", "_")))
    told.compression = codec.name if codec is not None else "none"
    plain = source.plain()
    owners = _recognise(plain, told, whole=version.size_bytes <= _HEAD_BYTES)
    if told.code:
        return _Read(told)
    found = _Read(told, _rows(source, told, owners))
    if told.format in _DOCUMENTS:
        _read_lists(source, plain, found)
    return found


def _read_lists(source: Head, plain: bytes, found: _Read) -> None:
    """Read the lists of records in documents; of one that is cut off, also what stands before."""
    seen = outline(plain.decode("utf-8-sig", "ignore"))
    if found.told.code == "cut_json" and seen.beside:
        found.told.code, found.rows = "", [seen.beside]
    for path in seen.lists:
        inner = Sample(format="json")
        found.lists[path] = _rows(source, inner, (), records=path)


def _plain(pieces: Iterator[bytes]) -> bytes:
    """As much of the plain bytes as a range of the stored ones gives."""
    found = bytearray()
    try:
        for piece in pieces:
            found += piece
            if len(found) >= _HEAD_BYTES:
                break
    except UnreadableError:  # the range ends before the stream does
        pass
    return bytes(found)


def _recognise(plain: bytes, told: Sample, *, whole: bool) -> tuple[str, ...]:
    """Tell the format of plain bytes; of CSV, the names in its header."""
    try:
        text = plain.decode("utf-8-sig", "strict" if whole else "ignore")
    except UnicodeDecodeError:
        text = plain.decode("utf-8", "ignore")
        if len(text.encode()) < len(plain) * 0.9:
            told.code = "binary"
            return ()
    if "\0" in text:
        told.code = "binary"
        return ()
    start = text.lstrip()
    if start[:1] in ("{", "["):
        _recognise_json(start, told)
        return ()
    return _recognise_csv(text, told)


def _recognise_json(text: str, told: Sample) -> None:
    line = text.partition("\n")[0]
    try:
        document = json.loads(line)
    except ValueError:
        document = None
    if isinstance(document, dict) and ("\n" in text.strip() or set(document) - {"format-version"}):
        told.format = "ndjson"
        return
    told.format = "json"


def _recognise_csv(text: str, told: Sample) -> tuple[str, ...]:
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    for delimiter in _DELIMITERS:
        counts = [line.count(delimiter) for line in lines if line.count('"') % 2 == 0]
        if len(counts) > 1 and counts[0] and sum(c == counts[0] for c in counts) > len(counts) // 2:
            names = [name.strip().strip('"') for name in lines[0].split(delimiter)]
            if _is_header(names):
                told.format, told.delimiter = "csv", delimiter
                return tuple(names)
            told.code = "csv_without_header"
            return ()
    told.code = "text"
    return ()


def _is_header(names: Sequence[str]) -> bool:
    """Whether a first line names columns: distinct, some of known words, none data by its form."""
    plain = len(set(names)) == len(names) and all(n and form_of(n) not in _DATA for n in names)
    return plain and any(known_word(n) or plainly_named(n) or referred(n) for n in names)


def _rows(source: Head, told: Sample, owners: Sequence[str], records: str = "") -> list[_Row]:
    """Some records as texts by path; the last may have been cut and is left out."""
    layout = SharedLayout.model_validate(
        {
            "layout": "shared",
            "prefix": "",
            "format": told.format,
            "records": records,
            "dialect": {"delimiter": told.delimiter},
        }
    )
    rows: list[_Row] = []
    try:
        found = format_of(source, layout, owners).entries(source, None)
        entries = (entry for entry in islice(found, _ROWS + 1) if not isinstance(entry, Broken))
        for entry in entries:
            rows.append(_texts(entry, told.format))  # noqa: PERF401 - what was read before a fault counts
    except UnreadableError as error:
        if not rows:
            told.code = error.reason.replace("-", "_")
    cut = source.size_bytes > _HEAD_BYTES and len(rows) > 1
    return rows[: -1 if cut else _ROWS][:_ROWS]


def _texts(entry: Entry, format_: str) -> _Row:
    if format_ == "csv":  # a name may stand over several columns, and none is a list
        scalars = ((name, str(value)) for name, value in entry.scalars())
        return dict(reversed([*scalars]))
    return texts_of(json.loads(entry.body(frozenset())))
