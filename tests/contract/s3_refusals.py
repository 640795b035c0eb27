"""What a store refuses for now, played and told: answers, and what is left of an erasure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from connectors.s3 import S3
from dsr_worker.contract import Key, OutcomeCount, Receipt
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_support import (
    number,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


Answer = str | Mapping[str, Any] | Callable[[Callable[[], Any]], Any]


NOW = TrialContext().now


def refused(receipts: list[Receipt]) -> dict[str, OutcomeCount]:
    """What the store refuses for now, by ground."""
    return {o.ground: o for r in receipts for o in r.outcomes if o.ground.startswith("store-")}


def left(made: S3, *people: str) -> list[Key]:
    """What the second look returns beyond nothing."""
    return list(made.recheck([number(p) for p in people], [], TrialContext(second_path=True)))


def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call it to have requests for a key refused with a code, or answered in another way."""
    plain = BaseClient._make_api_call  # type: ignore[attr-defined]
    orders: list[tuple[str, str, Answer]] = []

    def call(self: Any, operation: str, params: dict[str, Any]) -> Any:
        place = f"{params.get('Bucket')}/{params.get('Key', '')}"
        for wanted, of, answer in orders:
            if wanted != operation or not place.startswith(of):
                continue
            if isinstance(answer, str):
                raise ClientError({"Error": {"Code": answer}}, operation)
            if callable(answer):
                return answer(partial(plain, self, operation, params))
            return {**plain(self, operation, params), **answer}
        return plain(self, operation, params)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)

    def order(operation: str, of: str, answer: Answer | None) -> None:
        orders[:] = [o for o in orders if o[:2] != (operation, of)]
        if answer is not None:
            orders.append((operation, of, answer))

    return order


def begun(client: S3Client, bucket: str, key: str, body: bytes = b"part") -> str:
    """An upload with one part that nobody finishes; its id."""
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=body)
    return upload


def unfinished(client: S3Client, bucket: str) -> list[str]:
    """The keys of unfinished uploads."""
    return [u["Key"] for u in client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]
