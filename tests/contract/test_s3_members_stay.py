"""A compressed object of many members: the server copies those in which nothing changes."""

from __future__ import annotations

import gzip
import random
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from connectors.s3.server.draft import MIB
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, event, outcomes
from tests.contract.s3_support import EVENTS, connector, current, lines, number
from tests.s3_shim import Shim

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MEMBERS, TOUCHED = 200, 120


def members() -> list[bytes]:
    """The plain bytes of each, which compress badly; one has the person's record in its middle."""
    chance = random.Random(3)

    def rows(at: int) -> bytes:
        owners = ("2", "1" if at == TOUCHED else "2", "2")
        padded = enumerate(owners, start=at * 10)
        return lines([event(n, owner, pad=chance.randbytes(33_000).hex()) for n, owner in padded])

    return [rows(at) for at in range(MEMBERS)]


@pytest.mark.parametrize(
    ("compress", "undo"),
    [
        (lambda plain: gzip.compress(plain, 1), gzip.decompress),
        (lambda plain: zstd.compress(plain, 1), zstd.decompress),
    ],
    ids=["gzip", "zstd"],
)
def test_of_many_members_one_goes_up(
    s3: S3Client,
    shim: Shim,
    bucket_name: str,
    compress: Callable[[bytes], bytes],
    undo: Callable[[bytes], bytes],
) -> None:
    """Hard case 1, 2: one record of two hundred members sends as little as of a plain object."""
    plain = members()
    stored = list(map(compress, plain))
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=b"".join(stored))
    assert sum(map(len, stored)) > 18 * MIB
    made = connector(shim.endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    left = current(s3, bucket_name, "events/a")
    assert left.startswith(b"".join(stored[:TOUCHED]))
    assert left.endswith(b"".join(stored[TOUCHED + 1 :]))
    touched = plain[TOUCHED].splitlines(keepends=True)
    assert undo(left) == b"".join([*plain[:TOUCHED], touched[0], touched[2], *plain[TOUCHED + 1 :]])
    assert shim.sent_bytes() <= 10 * MIB
    assert shim.of("UploadPartCopy")
