"""What format an object is in: the bytes say, whatever its name and the map's hints.

In: an object, its layout. Out: the format that reads and rewrites it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from connectors.s3.config import SharedLayout
from connectors.s3.formats.avro.blocks import MAGIC as AVRO_MAGIC
from connectors.s3.formats.avro.records import AVRO
from connectors.s3.formats.codecs import codec_of
from connectors.s3.formats.csv import csv
from connectors.s3.formats.csv_dialect import Dialect
from connectors.s3.formats.entries import Format, Source, UnreadableError
from connectors.s3.formats.json_document import json_of
from connectors.s3.formats.streamed import ByContent, Plain, Streamed
from dsr_worker.contract import Configuration

_PARQUET = (b"PAR1", b"PARE")  # the second where its footer is encrypted
_TELLING_BYTES = 4  # the longest of these


def format_of(source: Source, layout: SharedLayout, owners: Sequence[str]) -> Format:
    """The format of one object, whose owner fields are `owners`. Raises UnreadableError."""
    first = source.first()
    if first.startswith(_PARQUET):
        return parquet()[0]

    def tell(plain: Iterator[bytes]) -> tuple[Plain, Iterator[bytes]]:
        start = b""
        for piece in plain:
            start += piece
            if len(start) >= _TELLING_BYTES:
                break
        return _plain(start, layout, owners), chain((start,), plain)

    return Streamed(ByContent(tell), codec_of(first))


def _plain(start: bytes, layout: SharedLayout, owners: Sequence[str]) -> Plain:
    """The format of plain bytes that begin so. Raises UnreadableError."""
    if start.startswith(AVRO_MAGIC):
        return AVRO
    if start.startswith(_PARQUET):
        return parquet()[1]
    match layout.format:
        case "avro" | "parquet":
            raise UnreadableError(f"not-{layout.format}")
        case "csv":
            return csv(_dialect(layout), owners)
        case _:
            return json_of(layout.records, layout.encoding)


def _dialect(layout: SharedLayout) -> Dialect:
    stated = layout.dialect
    return Dialect(
        delimiter=stated.delimiter.encode(),
        quote=(stated.quote or "").encode(),
        escape=(stated.escape or "").encode(),
        comment=(stated.comment or "").encode(),
        header=stated.header,
        columns=stated.columns,
        encoding=layout.encoding,
    )


def parquet() -> tuple[Format, Plain]:
    """The format of Parquet objects, and of those under a codec.

    Raises `Configuration` where the extra is not installed that it needs.
    """
    try:
        from connectors.s3.formats.parquet.format import (  # noqa: PLC0415 - needs an extra
            PARQUET,
            UNPACKED_PARQUET,
        )
    except ModuleNotFoundError as error:
        if error.name not in ("numpy", "pyarrow"):
            raise
        raise Configuration(
            f"Parquet objects need {error.name}: install dsr-worker with the extra [parquet]"
        ) from None
    return PARQUET, UNPACKED_PARQUET
