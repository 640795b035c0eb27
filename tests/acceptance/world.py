"""The invented shop in real systems, and everything that stands in them, place by place.

In: empty systems. Out: a filled database, bucket (with versions) and helpdesk; `dump`, which reads
all three by other means than any connector does: every row, every version of every object, the bin
of the helpdesk too.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg2
from psycopg2.sql import SQL, Identifier

from dsr_worker.testing.shop import (
    Place,
    Places,
    Shop,
    load_postgres,
    load_s3,
    load_zendesk,
    write_configuration,
)
from dsr_worker.testing.shop.tables import TABLES
from dsr_worker.testing.shop.truth import ZONE
from dsr_worker.testing.zendesk import Fake

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CUSTOMERS: Final = 40
SUBSCRIBERS: Final = 4
_KEYS: Final = {"loyalty": "card_no"}
Where = tuple[str, str, tuple[str, ...]]  # system, collection, key


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored thing: its bytes as they lie there, and its fields as text."""

    raw: bytes = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)


Dump = dict[Where, Stored]


@dataclass(frozen=True)
class World:
    """The shop and where it lies."""

    shop: Shop
    dsn: str
    s3: S3Client
    bucket: str
    helpdesk: Fake

    def dump(self) -> Dump:
        """Everything in all three systems."""
        return {**dict(self._database()), **dict(self._objects()), **dict(self._desk())}

    def _database(self) -> Iterator[tuple[Where, Stored]]:
        connection = psycopg2.connect(self.dsn)
        try:
            with connection.cursor() as cursor:
                for table in TABLES:
                    key = Identifier(_KEYS.get(table, "id"))
                    cursor.execute(
                        SQL("SELECT {}::text, to_jsonb(t)::text FROM {} t").format(
                            key, Identifier(table)
                        )
                    )
                    for name, text in cursor.fetchall():
                        row = json.loads(text)
                        stored = Stored(text.encode(), {n: _text(v) for n, v in row.items()})
                        yield ("shop", table, (name,)), stored
        finally:
            connection.close()

    def _objects(self) -> Iterator[tuple[Where, Stored]]:
        for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket):
            for version in page.get("Versions", ()):
                key, number = version["Key"], version["VersionId"]
                got = self.s3.get_object(Bucket=self.bucket, Key=key, VersionId=number)
                system = "files" if version["IsLatest"] else f"files@{number}"
                for (collection, name), stored in _records(key, got["Body"].read()):
                    yield (system, collection, name), stored
            for marker in page.get("DeleteMarkers", ()):
                place = ("files@deleted", marker["VersionId"], (marker["Key"],))
                yield place, Stored(b"", {"key": marker["Key"]})

    def _desk(self) -> Iterator[tuple[Where, Stored]]:
        state = self.helpdesk.dump()
        for user in state.pop("users"):
            yield _row("users", user)
        for name in ("tickets", "deleted_tickets"):
            for ticket in state.pop(name):
                comments = ticket.pop("comments")
                yield _row(name, ticket)
                for comment in comments:
                    yield from self._comment(str(ticket["id"]), comment)
        for name, rest in state.items():
            yield ("helpdesk", name, ()), Stored(b"", {"": json.dumps(rest, ensure_ascii=False)})

    def _comment(self, ticket: str, comment: dict[str, Any]) -> Iterator[tuple[Where, Stored]]:
        files = comment.pop("attachments")
        where, stored = _row("comments", comment)
        key = (ticket, *where[2])
        body = "\n".join(stored.fields[n] for n in ("body", "html_body", "plain_body"))
        shown = {n: v for n, v in stored.fields.items() if not n.endswith("_body")}
        yield (*where[:2], key), Stored(stored.raw, {**shown, "body": body})
        for file in files:
            named, about = _row("attachments", file)
            content = self.helpdesk.desk.files[file["id"]]
            fields = {**about.fields, "content": content.decode("latin-1")}
            yield (*named[:2], (*key, *named[2])), Stored(about.raw + content, fields)


def build(
    dsn: str, s3: S3Client, bucket: str, helpdesk: Fake, *, customers: int = CUSTOMERS
) -> World:
    """Fill the three systems; dates count back from today, as the shop's own zone has it."""
    shop = Shop(7, customers, SUBSCRIBERS, today=datetime.now(ZONE).date())
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    load_postgres(shop, dsn)
    load_s3(shop, s3, bucket)
    load_zendesk(shop, helpdesk.base_url)
    return World(shop, dsn, s3, bucket, helpdesk)


def configure(folder: Path, world: World, s3_endpoint: str, smtp_port: int) -> None:
    """Write the shop's own configuration."""
    write_configuration(
        folder,
        Places(
            s3_endpoint=s3_endpoint,
            s3_bucket=world.bucket,
            zendesk_url=world.helpdesk.base_url,
            smtp_port=smtp_port,
        ),
    )


def secrets_of(world: World, s3_key: str, s3_secret: str) -> dict[str, str]:
    """The environment that the configuration refers to."""
    return {
        "SHOP_DSN": world.dsn,
        "SHOP_S3_KEY": s3_key,
        "SHOP_S3_SECRET": s3_secret,
        "SHOP_ZENDESK_TOKEN": world.helpdesk.token,
    }


def places_of(dump: Dump, text: str) -> set[Place]:
    """Every field in which a text stands, whatever the case of its letters."""
    wanted = text.casefold()
    return {
        Place(*where, name)
        for where, stored in dump.items()
        for name, value in stored.fields.items()
        if wanted in value.casefold()
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _row(collection: str, row: dict[str, Any]) -> tuple[Where, Stored]:
    fields = {name: _text(value) for name, value in row.items()}
    raw = json.dumps(row, sort_keys=True, ensure_ascii=False).encode()
    return ("helpdesk", collection, (str(row["id"]),)), Stored(raw, fields)


def _records(key: str, body: bytes) -> Iterator[tuple[tuple[str, tuple[str, ...]], Stored]]:
    """The records of one object: lines of shared objects, and whole objects of one customer."""
    if key.startswith("events/"):
        for line in gzip.decompress(body).splitlines(keepends=True):
            row = json.loads(line)
            fields = {name: _text(value) for name, value in row.items()}
            yield ("events", (key, row["event_id"])), Stored(line, fields)
    elif key.startswith("exports/"):
        for row in csv.DictReader(io.StringIO(body.decode(), newline="")):
            raw = json.dumps(row).encode()
            yield ("exports", (key, row["row_id"])), Stored(raw, dict(row))
    else:
        collection = "recordings" if "/calls/" in key else "attachments"
        fields = {"key": key, "body": body.decode("latin-1")}
        yield (collection, (key,)), Stored(body, fields)
