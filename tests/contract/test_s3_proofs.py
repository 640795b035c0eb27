"""What was read and what was written, by SHA-256, where the map asks for it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from dsr_worker.contract import Proof
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, event
from tests.contract.s3_rewrites import PARTS, others, probed, rows_of, small_parts
from tests.contract.s3_support import EVENTS, connector, current, lines, number
from tests.s3_shim import Shim

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """Parts are small here."""
    with small_parts() as endpoint:
        yield endpoint


def sha256(content: bytes) -> str:
    """The SHA-256 of bytes, hex."""
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_receipt_proves_what_was_read_and_written(
    s3: S3Client, s3_endpoint: str, bucket_name: str, pack: type[bytes]
) -> None:
    """Hard case 31: an ETag is no digest: ours are of the stored bytes before and after.

    What was erased is not recognised by its digest: that is keyed, as the object's key is.
    """
    body = pack(lines([event(1, "1"), event(2, "2"), event(3, "3")]))
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=body)
    s3.put_object(Bucket=bucket_name, Key="events/b", Body=pack(lines([event(4, "4")])))
    made, ctx = connector(s3_endpoint, bucket_name, EVENTS, proofs=True), TrialContext()
    two, three, five = erased(made, [number("2"), number("3"), number("5")], ctx)
    now = current(s3, bucket_name, "events/a")
    place, before = (ctx.digest("events", (text,)) for text in ("events/a", sha256(body)))
    assert two.proofs == three.proofs == (Proof(place, before, sha256(now)),)
    assert five.proofs == ()


def test_an_object_in_parts_is_proven_by_what_the_server_computed(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """Hard case 31: ranges that the server copies pass nobody else: its own composite is told."""
    rows = rows_of(PARTS)
    body = lines(rows)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=body)
    ctx = probed(shim.endpoint, bucket_name)
    (receipt,) = erased(
        connector(shim.endpoint, bucket_name, EVENTS, proofs=True), [number("1")], ctx
    )
    (proof,) = receipt.proofs
    assert proof.before == ctx.digest("events", (sha256(body),))
    head = s3.head_object(Bucket=bucket_name, Key="events/a", ChecksumMode="ENABLED")
    assert proof.after == head.get("ChecksumSHA256", "")
    assert current(s3, bucket_name, "events/a") == others(rows)
    begun = shim.of("CreateMultipartUpload")
    assert [seen.headers["x-amz-checksum-algorithm"] for seen in begun] == ["SHA256"]


def test_without_being_asked_nothing_is_hashed(s3: S3Client, shim: Shim, bucket_name: str) -> None:
    """Hard case 31: hashing costs half of a rewrite more, so it is for those who ask for it."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1"), event(2, "2")]))
    (receipt,) = erased(
        connector(shim.endpoint, bucket_name, EVENTS), [number("1")], TrialContext()
    )
    assert receipt.proofs == ()
    (*_, put) = shim.of("PutObject")
    assert not [name for name in put.headers if name.endswith("sha256") and "checksum" in name]
