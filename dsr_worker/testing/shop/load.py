"""Put the shop into a database, a bucket and a helpdesk.

In: a `Shop` and where to put it. Out: the three systems filled. Rows are made and sent in blocks,
so that memory does not grow with the shop; a second load is refused, since the tables exist.
"""

from __future__ import annotations

import base64
import csv
import gzip
import io
import itertools
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from importlib.resources import files as resources
from typing import IO, TYPE_CHECKING, Any, Final, cast

import httpx
import psycopg2

from dsr_worker.testing.shop import desk
from dsr_worker.testing.shop.bucket import EXPORT_COLUMNS, File, Line
from dsr_worker.testing.shop.generator import Shop
from dsr_worker.testing.shop.tables import TABLES

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Progress = Callable[[int], None]
_BLOCK: Final = 2000  # people made before their rows are sent
_UPLOADS: Final = 8  # at once
_IN_MEMORY_BYTES: Final = 1 << 20  # of one shared object, before it goes to a temporary file
_TIMEOUT_S: Final = 120
_SPECIAL: Final = re.compile(r"[\\\t\n\r]")
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _silent(done: int) -> None:
    """Tell nobody."""


def load_postgres(shop: Shop, dsn: str, *, progress: Progress = _silent) -> None:
    """Make the shop's tables in an empty database and fill them by COPY, in one transaction."""
    here = resources(__package__)
    with closing(psycopg2.connect(dsn, connect_timeout=10)) as connection, connection:
        with connection.cursor() as cursor:
            cursor.execute((here / "schema.sql").read_text("utf-8"))
            for block in _blocks(shop.numbers):
                for table, text in _copies(shop, block):
                    cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO(text))
                progress(block[-1] + 1)
            cursor.execute((here / "constraints.sql").read_text("utf-8"))
        connection.commit()
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def _copies(shop: Shop, block: Iterable[int]) -> Iterator[tuple[str, str]]:
    buffers: dict[str, list[str]] = {table: [] for table in TABLES}
    for number in block:
        for table, row in shop.database_rows(number):
            buffers[table].append("\t".join(map(_copied, row.values())))
    return ((table, "\n".join([*lines, ""])) for table, lines in buffers.items() if lines)


def _copied(value: object) -> str:
    """Spell one value in COPY's text format."""
    match value:
        case None:
            return r"\N"
        case str():
            return value.translate(_ESCAPES) if _SPECIAL.search(value) else value
        case dict() | list():
            return json.dumps(value).translate(_ESCAPES)
        case _:
            return str(value)  # numbers, and dates in ISO 8601


def load_s3(shop: Shop, client: S3Client, bucket: str, *, progress: Progress = _silent) -> None:
    """Put every customer's objects, the daily event logs and the exports into an empty bucket."""

    def put(file: File) -> None:
        client.put_object(Bucket=bucket, Key=file.key, Body=file.body, ContentType=file.media_type)

    with ExitStack() as stack, ThreadPoolExecutor(_UPLOADS) as uploads:
        shared = _SharedObjects(stack)
        for block in _blocks(shop.numbers):
            for number in block:
                for line in shop.lines(number):
                    shared.add(line)
            own = itertools.chain.from_iterable(map(shop.files, block))
            for _ in uploads.map(put, own):
                pass
            progress(block[-1] + 1)

        def put_shared(found: tuple[str, str, IO[bytes]]) -> None:
            key, media_type, stream = found
            client.put_object(
                Bucket=bucket, Key=key, Body=cast("Any", stream), ContentType=media_type
            )

        for _ in uploads.map(put_shared, shared.finished()):
            pass


class _SharedObjects:
    """The objects that mix customers, each growing in a temporary file of its own."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._raw: dict[str, IO[bytes]] = {}
        self._text: dict[str, IO[str]] = {}

    def add(self, line: Line) -> None:
        text = self._text.get(line.object_key) or self._open(line.object_key)
        if line.object_key.endswith(".csv"):
            csv.writer(text, lineterminator="\r\n").writerow(line.values.values())
        else:
            text.write(json.dumps(line.values) + "\n")

    def finished(self) -> Iterator[tuple[str, str, IO[bytes]]]:
        for key, raw in sorted(self._raw.items()):
            self._text[key].close() if key.endswith(".gz") else self._text[key].flush()
            raw.seek(0)
            yield key, "text/csv" if key.endswith(".csv") else "application/gzip", raw

    def _open(self, key: str) -> IO[str]:
        spool = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - the stack closes it
        raw = self._stack.enter_context(spool)
        self._raw[key] = raw
        if key.endswith(".csv"):
            text = io.TextIOWrapper(cast("IO[bytes]", raw), "utf-8", newline="", write_through=True)
            csv.writer(text, lineterminator="\r\n").writerow(EXPORT_COLUMNS)
        else:
            packed = gzip.GzipFile("", "wb", 6, raw, mtime=0)
            text = io.TextIOWrapper(cast("IO[bytes]", packed), "utf-8", newline="")
        self._text[key] = text
        return text


def load_zendesk(
    shop: Shop, base_url: str, *, agents: bool = True, progress: Progress = _silent
) -> None:
    """Load users and tickets through the fake's `POST /__test__/load`; its ids are the shop's own.

    Raises:
        httpx.HTTPError: the helpdesk cannot be reached or refused a line.

    """
    with httpx.Client(base_url=base_url, timeout=_TIMEOUT_S, trust_env=False) as client:
        if agents:
            _send(client, ({"user": agent} for agent in desk.agents(shop.today)))
        for block in _blocks(range(shop.customers)):
            _send(client, _desk_lines(shop, block))
            progress(block[-1] + 1)


def _send(client: httpx.Client, lines: Iterable[dict[str, Any]]) -> None:
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    client.post("/__test__/load", content=body).raise_for_status()


def _desk_lines(shop: Shop, block: Iterable[int]) -> Iterator[dict[str, Any]]:
    for number in block:
        if (user := shop.desk_user(number)) is not None:
            yield {"user": user}
    for number in block:
        for ticket in shop.desk_tickets(number):
            yield {"ticket": ticket.fields | {"comments": [_said(c) for c in ticket.comments]}}


def _said(comment: desk.Comment) -> dict[str, Any]:
    return {
        "id": comment.id,
        "author_id": comment.author_id,
        "body": comment.body,
        "public": comment.public,
        "created_at": comment.created_at,
        "attachments": [
            {
                "id": file.id,
                "file_name": file.file_name,
                "content_type": file.content_type,
                "content_b64": base64.b64encode(file.body).decode(),
            }
            for file in comment.files
        ],
    }


def _blocks(numbers: range) -> Iterator[range]:
    return (numbers[start : start + _BLOCK] for start in range(0, len(numbers), _BLOCK))
