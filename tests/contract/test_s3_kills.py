"""A worker that dies after any request, and the repeat that ends its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

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


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """Parts are small here."""
    with small_parts() as endpoint:
        yield endpoint


@pytest.mark.parametrize("going_up", [WHOLE, PARTS])
def test_a_death_after_any_request_is_ended_by_the_repeat(
    s3: S3Client, shim: Shim, bucket: Callable[[], str], going_up: str
) -> None:
    """After each request in turn the worker dies: the repeat leaves the others' bytes alone."""
    rows = rows_of(going_up)
    for after in range(1, 100):
        name = bucket()
        versioned(s3, name)
        s3.put_object(Bucket=name, Key="events/a", Body=lines(rows))
        s3.put_object(Bucket=name, Key="events/b", Body=others(rows))
        made, ctx = connector(shim.endpoint, name, EVENTS), probed(shim.endpoint, name)
        keys = list(made.locate([number("1")], ctx))
        dying = Dying(partial(_so_many, after))
        dying.watch(made)
        try:
            list(made.erase([number("1")], keys, ctx))
        except Crash:
            pass
        else:
            break
        finally:
            made.close()
        again = connector(shim.endpoint, name, EVENTS)
        receipts = list(again.erase([number("1")], keys, ctx))
        again.close()
        assert sum(receipt.rows for receipt in receipts) == len(keys) == 2
        assert set(outcomes(receipts)) <= {"erased", "already_gone"}
        left = {key: body for (key, _), body in content(s3, name).items()}
        assert left == {"events/a": others(rows), "events/b": others(rows)}
        assert len(content(s3, name)) == 2
        assert not list(parts_left(s3, name))
    else:
        raise AssertionError("it never came to its end")
    expected = {"DeleteObjects", "CompleteMultipartUpload" if going_up == PARTS else "PutObject"}
    assert expected <= set(dying.requests)


def _so_many(after: int, requests: list[str]) -> bool:
    return len(requests) >= after
