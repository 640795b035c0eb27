"""What format an object is in: the bytes say, whatever its name and the map's hints.

In: an object, its layout. Out: the format that reads and rewrites it.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.s3.config import SharedLayout
from connectors.s3.formats.codecs import codec_of
from connectors.s3.formats.csv import csv
from connectors.s3.formats.csv_dialect import Dialect
from connectors.s3.formats.entries import Format, Source
from connectors.s3.formats.json_document import json_of
from connectors.s3.formats.streamed import Streamed


def format_of(source: Source, layout: SharedLayout, owners: Sequence[str]) -> Format:
    """The format of one object, whose owner fields are `owners`. Raises UnreadableError."""
    codec = codec_of(source.first())
    if layout.format == "csv":
        return Streamed(csv(_dialect(layout), owners), codec)
    return Streamed(json_of(layout.records, layout.encoding), codec)


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
