"""The proposal for an invented bucket, against labels that were written before it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connectors.s3 import S3
from dsr_worker.contract import Proposal
from tests import services as real
from tests.contract import s3_bucket, s3_second_bucket
from tests.contract.proposal_measures import Measure, claims
from tests.contract.s3_support import connector

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RECALL, PRECISION = 0.95, 0.80
DOCS = Path(__file__).parents[2] / "docs" / "s3-proposals.md"


def claimed(proposal: Proposal) -> Iterator[tuple[str, str]]:
    """Place and field of everything that is proposed as personal; `*` for whole objects."""
    for collection in proposal.collections.values():
        source = collection.source
        begins = source.get("template", source.get("prefix", "")).partition("{")[0]
        place = begins[: begins.rindex("/") + 1]
        if source["layout"] != "shared":
            yield place, "*"
            continue
        yield from ((place, f.name) for f in collection.fields.values() if claims(f))


@contextmanager
def _on(endpoint: str, build: Callable[[S3Client, str], None]) -> Iterator[S3]:
    """A connector on a new bucket, with nothing mapped."""
    name = f"test-{uuid.uuid4().hex}"
    client = real.s3_client(endpoint)
    client.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": real.S3_REGION}
    )
    build(client, name)
    client.close()
    made = connector(endpoint, name)
    yield made
    made.close()


@pytest.fixture(scope="module")
def first(s3_endpoint: str) -> Iterator[S3]:
    """The connector on the invented bucket."""
    with _on(s3_endpoint, s3_bucket.build) as made:
        yield made


@pytest.fixture(scope="module")
def second(s3_endpoint: str) -> Iterator[S3]:
    """The connector on the bucket that no rule was made for before its first run."""
    with _on(s3_endpoint, s3_second_bucket.build) as made:
        yield made


@pytest.fixture(scope="module")
def proposals(first: S3, second: S3) -> dict[str, Proposal]:
    """What is proposed for each."""
    return {"first": first.propose(), "second": second.propose()}


@pytest.fixture(scope="module")
def measures(proposals: dict[str, Proposal]) -> dict[str, Measure]:
    """What was labelled and what was proposed."""
    labels = {"first": s3_bucket.labels(), "second": s3_second_bucket.labels()}
    return {
        name: Measure(name, labels[name], frozenset(claimed(proposal)))
        for name, proposal in proposals.items()
    }


@pytest.mark.parametrize("name", ["first", "second"])
def test_what_is_personal_is_found_and_little_else(name: str, measures: dict[str, Measure]) -> None:
    """The proposal reaches both targets in each bucket."""
    print(measures[name].told())  # noqa: T201 - what the docs tell
    assert measures[name].recall >= RECALL, measures[name].told()
    assert measures[name].precision >= PRECISION, measures[name].told()
