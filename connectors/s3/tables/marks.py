"""Where tables lie in a bucket, and which objects go stale when another is written anew.

In: keys of objects about to be changed by themselves. Out: nothing, or a stop that says whose they
are. A Delta, Iceberg or Hudi table knows size and rows of each of its files: whoever changes one
behind its back breaks the table. Told by the folder beside the data, which is looked for once a
call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from connectors.s3.server.bucket import Bucket, Spend, with_no_budget
from dsr_worker.contract import ConnectorError, Finding, NeedsHuman, Severity

_METADATA = re.compile(r".*/metadata/[^/]*\.metadata\.json")
_DELTA = re.compile(r".*/_delta_log/[0-9]{20}\.(?:json|checkpoint.*)")
_MARKS = (
    ("_delta_log/", "delta", _DELTA),
    (".hoodie/", "hudi", re.compile(r".*/\.hoodie/.*")),
    ("metadata/", "iceberg", _METADATA),
)
_SIDECAR = re.compile(
    r"(?:.*/)?(?:_SUCCESS|_manifest|_metadata|_common_metadata"
    r"|(?:[^/]*[._-])?manifest(?:\.[^/]*)?"
    r"|[^/]*\.(?:crc|crc32|md5|sha1|sha256|sha512)|(?:MD5|SHA1|SHA256|SHA512)SUMS)"
)
_SAMPLED = 10_000


class Marks:
    """The tables of one bucket, as one call finds them."""

    def __init__(self, bucket: Bucket, spend: Spend) -> None:
        self._bucket = bucket
        self._spend = spend
        self._known: dict[str, str] = {}

    def refuse(self, collection: str, keys: Iterable[str]) -> None:
        """Stop where one of these objects lies in a table. Raises NeedsHuman."""
        for key in keys:
            for folder in _folders(key):
                if found := self._format(folder):
                    raise NeedsHuman("s3-table-format", {"collection": collection, "format": found})

    def under(self, prefix: str) -> Iterator[tuple[str, str]]:
        """The format and the folder of tables above, at or (by a sample) below a prefix."""
        for folder in _folders(prefix):
            if found := self._format(folder):
                yield found, folder
                return
        told = set()
        for versions in islice(self._bucket.objects(prefix, self._spend), _SAMPLED):
            key = f"/{versions[0].key}"
            for name, found, mark in _MARKS:
                folder = key[1:].rpartition(name)[0]
                if mark.fullmatch(key) and folder not in told:
                    told.add(folder)
                    yield found, folder

    def _format(self, folder: str) -> str:
        """Which format's table lies in a folder; empty where none does."""
        if folder not in self._known:
            self._known[folder] = next(self._formats(folder), "")
        return self._known[folder]

    def _formats(self, folder: str) -> Iterator[str]:
        for name, found, mark in _MARKS:
            objects = islice(self._bucket.objects(folder + name, self._spend), _SAMPLED)
            if any(mark.fullmatch(f"/{versions[0].key}") for versions in objects):
                yield found


def stale(bucket: Bucket, prefix: str, spend: Spend) -> int:
    """How many objects under a prefix say something of others there: checksums, manifests."""
    objects = islice(bucket.objects(prefix, spend), _SAMPLED)
    return sum(bool(_SIDECAR.fullmatch(versions[0].key)) for versions in objects)


def findings(name: str, prefix: str, bucket: Bucket) -> Iterator[Finding]:
    """What `check` says of objects under a prefix that are changed one by one."""
    try:
        for found, _ in Marks(bucket, with_no_budget).under(prefix):
            yield Finding(
                Severity.ERROR,
                name,
                f"a table ({found}) lies here: its files cannot be changed one by one",
                _REMEDIES[found],
            )
        sidecars = stale(bucket, prefix, with_no_budget)
    except ConnectorError:
        return  # the bucket's own finding says it
    if sidecars:
        yield Finding(
            Severity.WARNING,
            name,
            f"{sidecars} checksums or manifests lie here: they go stale when objects are rewritten",
            "make them anew after an erasure, or let their readers know",
        )


_REMEDIES = {
    "delta": "map it with `layout: table, format: delta`",
    "iceberg": "map it with `layout: table, format: iceberg`",
    "hudi": "erase there by Hudi's own DELETE and cleaner, and leave it out of the map",
}


def _folders(key: str) -> Iterator[str]:
    """Every folder above an object, the bucket itself first."""
    at = 0
    while True:
        yield key[:at]
        at = key.find("/", at) + 1
        if not at:
            return
