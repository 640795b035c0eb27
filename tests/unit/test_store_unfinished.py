"""What a writer that died left in the store is destroyed, and nothing that is still written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from dsr_worker.store import LocalStore, S3Store, Store
from tests import services

_NAME = "keys/2026/03/01/" + "a" * 32
_OTHER = "keys/2026/03/01/" + "b" * 32
_DIES = """
import os, signal, sys
from pathlib import Path
from typing import Any
from dsr_worker.store import LocalStore
with LocalStore(Path(sys.argv[1])).write(sys.argv[2]) as blob:
    blob.write(b"sealed" * 100_000)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _far(**by: float) -> datetime:
    return datetime.now(UTC) + timedelta(**by)


def test_a_killed_writers_file_goes_once_it_is_old(tmp_path: Path) -> None:
    """No name leads to it, so that nothing else would ever find it."""
    store = LocalStore(tmp_path)
    killed = subprocess.run([sys.executable, "-c", _DIES, str(tmp_path), _NAME], check=False)
    assert killed.returncode < 0
    (left,) = (tmp_path / ".incoming").iterdir()
    assert store.destroy_unfinished(_far(minutes=-1)) == 0
    day_ago = (datetime.now(UTC) - timedelta(days=1)).timestamp()
    os.utime(left, (day_ago, day_ago))
    assert store.destroy_unfinished(_far(minutes=-1)) == 1
    assert not left.exists()
    assert store.destroy_unfinished(_far(minutes=-1)) == 0


@pytest.fixture(params=["local", "s3"])
def store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    s3_endpoint: str,
    bucket: Callable[[], str],
) -> Store:
    """A folder and a bucket, which keep the same promise."""
    if request.param == "local":
        return LocalStore(tmp_path)
    client = boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        aws_access_key_id=services.S3_KEY,
        aws_secret_access_key=services.S3_SECRET,
        region_name=services.S3_REGION,
    )
    client.meta.events.register("after-call.s3.ListMultipartUploads", _begun_now)
    return S3Store(bucket(), "dsr", client)


def _begun_now(parsed: dict[str, Any], **_: object) -> None:
    """The test's server says of every upload that it was begun in 2010."""
    for upload in parsed.get("Uploads", ()):
        upload["Initiated"] = datetime.now(UTC)


def test_what_is_younger_is_left_to_its_writer(store: Store) -> None:
    """A blob under way is published as ever, and a published one is no business of this."""
    with store.write(_OTHER) as blob:
        blob.write(b"sealed")
    with store.write(_NAME) as blob:
        blob.write(b"sealed" * 4_000_000)  # a bucket's upload has begun
        assert store.destroy_unfinished(_far(hours=-1)) == 0
    assert store.exists(_NAME)
    assert store.destroy_unfinished(_far(hours=1)) == 0
    assert store.exists(_OTHER)


def test_an_upload_that_nobody_ends_is_ended(store: Store) -> None:
    """Its parts cost and are seen by no listing; whoever still writes cannot publish them."""

    def write() -> None:
        with store.write(_NAME) as blob:
            blob.write(b"sealed" * 4_000_000)
            assert store.destroy_unfinished(_far(hours=1)) == 1
            assert store.destroy_unfinished(_far(hours=1)) == 0

    with pytest.raises(Exception, match=r"NoSuchUpload|No such file"):
        write()
    assert not store.exists(_NAME)
