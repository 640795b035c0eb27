"""The proposal for an invented bucket, against labels that were written before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connectors.s3 import S3
from dsr_worker.contract import Proposal
from tests.contract import s3_bucket
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


@pytest.fixture(scope="module")
def made(s3: S3Client, s3_endpoint: str, bucket: Callable[[], str]) -> S3:
    """The connector on the invented bucket, with nothing mapped."""
    name = bucket()
    s3_bucket.build(s3, name)
    return connector(s3_endpoint, name)


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
