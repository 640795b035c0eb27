"""A worker that dies after any request, and the repeat that ends its work.

What a death leaves in the bucket is settled by the requests that change something: a death after
each of those is tried in every run, one after each request at night.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.contract.s3_erasures import Crash, outcomes
from tests.contract.s3_rewrites import (
    PARTS,
    WHOLE,
    Dying,
    others,
    parts_left,
    probed,
    rows_of,
    small_parts,
)
from tests.contract.s3_support import EVENTS, connector, content, lines, number, versioned
from tests.s3_shim import Shim

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


_READS: Final = ("Get", "Head", "List")


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """Parts are small here."""
    with small_parts() as endpoint:
        yield endpoint


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("going_up", [WHOLE, PARTS])
def test_a_death_after_any_request_is_ended_by_the_repeat(
    s3: S3Client, shim: Shim, bucket: Callable[[], str], going_up: str, *, every: bool
) -> None:
    """After each request in turn the worker dies: the repeat leaves the others' bytes alone."""
    rows = rows_of(going_up)
    requests = _erased(s3, shim, bucket(), rows, after=None)
    expected = {"DeleteObjects", "CompleteMultipartUpload" if going_up == PARTS else "PutObject"}
    assert expected <= set(requests)
    for after, request in enumerate(requests, 1):
        if every or not request.startswith(_READS):
            _erased(s3, shim, bucket(), rows, after=after)


def _erased(
    s3: S3Client, shim: Shim, name: str, rows: list[dict[str, Any]], after: int | None
) -> list[str]:
    """Erase with a death after so many requests, and again; what the first one asked for."""
    versioned(s3, name)
    s3.put_object(Bucket=name, Key="events/a", Body=lines(rows))
    s3.put_object(Bucket=name, Key="events/b", Body=others(rows))
    made, ctx = connector(shim.endpoint, name, EVENTS), probed(shim.endpoint, name)
    keys = list(made.locate([number("1")], ctx))
    dying = Dying(lambda requests: len(requests) == after)
    dying.watch(made)
    with contextlib.nullcontext() if after is None else pytest.raises(Crash):
        list(made.erase([number("1")], keys, ctx))
    made.close()
    again = connector(shim.endpoint, name, EVENTS)
    receipts = list(again.erase([number("1")], keys, ctx))
    again.close()
    assert sum(receipt.rows for receipt in receipts) == len(keys) == 2
    assert set(outcomes(receipts)) <= {"erased", "already_gone"}
    left = content(s3, name)
    assert {key for key, _ in left} == {"events/a", "events/b"}
    assert list(left.values()) == [others(rows)] * 2
    assert not list(parts_left(s3, name))
    return dying.requests
