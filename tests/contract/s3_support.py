"""Buckets and data maps for the tests of the S3 connector. All people are invented."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from connectors.s3 import S3, Config
from dsr_worker.contract import (
    AffectedPerson,
    Collection,
    Field,
    Form,
    Identity,
    LeakScope,
    Subject,
    System,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests import services as real

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FILES = Collection(
    name="files",
    key=("key",),
    fields={name: Field(name, "user.content") for name in ("key", "size", "last_modified", "body")},
    takes={"customer_number": Taken("key")},
    clocks={"record_date": "last_modified"},
    source={"layout": "prefix", "template": "customers/{customer_number}/"},
)
EVENTS = Collection(
    name="events",
    key=("event_id",),
    fields={
        "event_id": Field("event_id", "user.unique_id"),
        "customer": Field("customer", "user.unique_id"),
        "referrer": Field("referrer", "user.unique_id"),
        "note": Field("note", "user.content", free_text=True),
        "agent": Field("agent", "user.name", third_party=True),
    },
    takes={"customer_number": Taken("customer"), "email": Taken("user.email", Form.ASCII_CASE)},
    yields={"session_id": "session"},
    clocks={"record_date": "at"},
    residence="country",
    source={"layout": "shared", "prefix": "events/", "format": "ndjson", "compression": "gzip"},
)
EXPORTS = Collection(
    name="exports",
    key=("row_id",),
    fields={name: Field(name, "user.content") for name in ("row_id", "email", "name", "comment")},
    takes={"email": Taken("email", Form.ASCII_CASE)},
    clocks={"record_date": "exported_at"},
    source={"layout": "shared", "prefix": "exports/", "format": "csv"},
)


def system(*collections: Collection) -> System:
    """A system of these collections."""
    return System("files", "s3", {c.name: c for c in collections})


def connector(endpoint: str, bucket: str, *collections: Collection, **config: Any) -> S3:
    """The connector on a test's bucket."""
    settings = {
        "bucket": bucket,
        "endpoint_url": endpoint,
        "region": real.S3_REGION,
        "access_key_id": real.S3_KEY,
        "secret_access_key": real.S3_SECRET,
        **config,
    }
    return S3(system(*collections), Config.model_validate(settings))


def person(ref: str, *identities: tuple[str, str]) -> Subject:
    """A subject with these (kind, value) identities."""
    return Subject(ref, tuple(Identity(kind, value) for kind, value in identities))


def number(value: str) -> Subject:
    """A subject known by a customer number alone."""
    return person(f"case-{value}", ("customer_number", value))


def lines(records: Sequence[Mapping[str, Any]]) -> bytes:
    """Records as NDJSON."""
    return b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in records)


def members(*parts: bytes) -> bytes:
    """One gzip object of several members, as log shippers write it."""
    return b"".join(gzip.compress(part, mtime=0) for part in parts)


def content(client: S3Client, bucket: str) -> dict[tuple[str, str], bytes]:
    """Every version's bytes by key and version id; markers as `b"(marker)"`."""
    found: dict[tuple[str, str], bytes] = {}
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in page.get("Versions", []):
            place: dict[str, Any] = {"Bucket": bucket, "Key": version["Key"]}
            if version["VersionId"] != "null":
                place["VersionId"] = version["VersionId"]
            body = client.get_object(**place)["Body"].read()
            found[version["Key"], version["VersionId"]] = body
        for marker in page.get("DeleteMarkers", []):
            found[marker["Key"], marker["VersionId"]] = b"(marker)"
    return found


def current(client: S3Client, bucket: str, key: str) -> bytes:
    """The bytes of an object as it is now."""
    return client.get_object(Bucket=bucket, Key=key)["Body"].read()


def versioned(client: S3Client, bucket: str) -> None:
    """Switch versioning on."""
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def affected(made: S3, *scopes: LeakScope) -> list[AffectedPerson]:
    """Everyone in these scopes, all of which can be looked into."""
    found = list(made.affected(scopes, TrialContext()))
    people = [one for one in found if isinstance(one, AffectedPerson)]
    assert people == found
    return people
