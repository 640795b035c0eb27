"""What format an object is in: the bytes say, whatever its name and the map's hints.

In: an object, its layout. Out: the format that reads and rewrites it.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.s3.config import SharedLayout
from connectors.s3.formats.avro.blocks import MAGIC as AVRO_MAGIC
from connectors.s3.formats.avro.records import AVRO
from connectors.s3.formats.codecs import Codec, codec_of
from connectors.s3.formats.csv import csv
from connectors.s3.formats.entries import Format, Source, UnreadableError
from connectors.s3.formats.ndjson import NDJSON
from connectors.s3.formats.streamed import Streamed


def format_of(source: Source, layout: SharedLayout, owners: Sequence[str]) -> Format:
    """The format of one object, whose owner fields are `owners`. Raises UnreadableError."""
    codec = codec_of(source.first())
    if _first_plain(codec, source.first()).startswith(AVRO_MAGIC):
        return Streamed(AVRO, codec)
    if layout.format == "avro":
        raise UnreadableError("not-avro")
    plain = NDJSON if layout.format == "ndjson" else csv(layout.delimiter, owners)
    return Streamed(plain, codec)


def _first_plain(codec: Codec | None, first: bytes) -> bytes:
    """The first bytes under the codec, of those that were read."""
    return first if codec is None else next(codec.plain(iter((first,))), b"")
