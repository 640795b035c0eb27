"""Objects that go up whole or in parts, for tests of what may happen to a write at any request.

The S3 API runs in the test's own process and takes parts of 64 KiB, so that a hundred rewrites are
a matter of seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from moto.s3 import models

from connectors.s3 import S3
from connectors.s3.server import draft, parts
from connectors.s3.server.probe import Honoured
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import Crash, event, sound
from tests.contract.s3_support import lines
from tests.s3_server import threaded

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SHORTEST_BYTES = 64 * 1024
LARGE_BYTES = 96 * 1024
PARTS = "parts"
WHOLE = "whole"
_PAD = "x" * 2000


@contextmanager
def small_parts() -> Iterator[str]:
    """The address of an S3 API whose parts are small; the connector believes the same."""
    server = threaded()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "S3_UPLOAD_PART_MIN_SIZE", SHORTEST_BYTES)
        for room in (draft, parts):
            patch.setattr(room, "SHORTEST_PART_BYTES", SHORTEST_BYTES)
        patch.setattr(draft, "LARGE_BYTES", LARGE_BYTES)
        server.start()
        try:
            host, port = server.get_host_and_port()
            yield f"http://{host}:{port}"
        finally:
            server.stop()


def rows_of(going_up: str) -> list[dict[str, Any]]:
    """Events, one of the person's at the start, one behind; in parts: sent and copied ones."""
    count, late = (92, 50) if going_up == PARTS else (4, 3)
    pad = _PAD if going_up == PARTS else ""
    return [event(n, "1" if n in (1, late) else "2", pad=pad) for n in range(count)]


def others(rows: list[dict[str, Any]]) -> bytes:
    """What is not the person's."""
    return lines([row for row in rows if row["customer"] != "1"])


def probed(endpoint: str, bucket: str) -> TrialContext:
    """A context in which the endpoint was found sound today."""
    return sound(
        TrialContext(), endpoint, bucket, Honoured(put=True, complete=True, copy=True, delete=True)
    )


def parts_left(s3: S3Client, bucket: str) -> Iterator[str]:
    """The parts of uploads that nobody completed: an upload without any holds no data."""
    for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
        found = s3.list_parts(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        yield from (part["ETag"] for part in found.get("Parts", ()))


@dataclass
class Dying:
    """A worker that dies when the requests it sent are these; from then on it sends none."""

    dies: Callable[[list[str]], bool]
    requests: list[str] = field(default_factory=list)
    dead: bool = False

    def watch(self, made: S3) -> None:
        """Count the requests of its connector from now on."""
        for client in (made._bucket.reads, made._bucket.writes):
            client.meta.events.register("before-call.s3", self._before)
            client.meta.events.register("after-call.s3", self._after)

    def _before(self, **_: Any) -> None:
        if self.dead:
            raise Crash

    def _after(self, model: Any, **_: Any) -> None:
        self.requests.append(model.name)
        self.dead = self.dead or self.dies(self.requests)
        if self.dead:
            raise Crash
