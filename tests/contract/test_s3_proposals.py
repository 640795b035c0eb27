"""The proposal for an invented bucket, against labels that were written before it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.s3 import S3
from dsr_worker.contract import Proposal
from tests import services as real
from tests.contract import s3_bucket
from tests.contract.proposal_measures import Measure, claims
from tests.contract.s3_support import connector

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


@pytest.fixture(scope="module")
def made(s3_endpoint: str) -> Iterator[S3]:
    """The connector on the invented bucket, with nothing mapped."""
    name = f"test-{uuid.uuid4().hex}"
    client = real.s3_client(s3_endpoint)
    client.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": real.S3_REGION}
    )
    s3_bucket.build(client, name)
    client.close()
    found = connector(s3_endpoint, name)
    yield found
    found.close()


@pytest.fixture(scope="module")
def proposal(made: S3) -> Proposal:
    """What is proposed for it."""
    return made.propose()


@pytest.fixture(scope="module")
def measure(proposal: Proposal) -> Measure:
    """What was labelled and what was proposed."""
    return Measure("bucket", s3_bucket.labels(), frozenset(claimed(proposal)))


def test_what_is_personal_is_found_and_little_else(measure: Measure) -> None:
    """The proposal reaches both targets."""
    print(measure.told())  # noqa: T201 - what the docs tell
    assert measure.recall >= RECALL, measure.told()
    assert measure.precision >= PRECISION, measure.told()
