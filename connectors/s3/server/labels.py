"""What is attached to a version: its tags and its user metadata.

In: a version. Out: texts by name. Each is a request of its own, so that only what a map names is
asked for.
"""

from __future__ import annotations

from email.errors import MessageError
from email.header import decode_header, make_header

from connectors.s3.server.client import Spend, Version
from connectors.s3.server.reading import Reads
from connectors.s3.server.refusals import translated


def tags_of(bucket: Reads, version: Version, spend: Spend) -> dict[str, str]:
    """The tags of a version. Raises `GoneError`."""
    spend()
    with translated("GetObjectTagging"):
        answer = bucket.reads.get_object_tagging(**bucket.at(version))
    return {tag["Key"]: tag["Value"] for tag in answer.get("TagSet", ())}


def metadata_of(bucket: Reads, version: Version, spend: Spend) -> dict[str, str]:
    """The user metadata of a version, by names in lower case. Raises `GoneError`.

    A value with other letters than ASCII's comes as an encoded word (RFC 2047), and is decoded.
    """
    metadata: dict[str, str] = bucket.head(version, spend).get("Metadata", {})
    return {name.lower(): _decoded(value) for name, value in metadata.items()}


def _decoded(value: str) -> str:
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value)))
    except (MessageError, LookupError, ValueError):
        return value
