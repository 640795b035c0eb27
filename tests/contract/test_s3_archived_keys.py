"""What the key of an archived object says counts, though nobody can read its bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dsr_worker.contract import Taken
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_support import FILES, connector, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client


def test_the_key_of_an_archived_object_mentions_whom_it_names(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 27: a key that names a subject beside somebody else is told, archived or not."""
    stored: Mapping[str, Any] = {"chats/1/2/a": "GLACIER", "chats/1/3/a": "STANDARD"}
    for key, storage in stored.items():
        s3.put_object(Bucket=bucket_name, Key=key, Body=b"x", StorageClass=storage)
    chats = replace(
        FILES,
        takes={"customer_number": Taken("key"), "partner": Taken("key")},
        source={"layout": "prefix", "template": "chats/{customer_number}/{partner}/**"},
    )
    made = connector(s3_endpoint, bucket_name, chats)
    told = [mention.key for mention in made.mentions([number("1")], TrialContext())]
    assert told == [("chats/1/2/a",), ("chats/1/3/a",)]
