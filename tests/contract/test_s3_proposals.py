"""The proposal for an invented bucket, against labels that were written before it."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connectors.s3 import S3
from dsr_worker.contract import Identity, Proposal, Severity, Subject, System
from dsr_worker.datamap import read_system
from dsr_worker.map_text import written
from dsr_worker.testing.context import TrialContext
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


def test_no_value_is_in_a_proposal(proposals: dict[str, Proposal]) -> None:
    """Neither a name, nor an address, nor a number of anybody leaves: only places and counts."""
    people = [s3_bucket.person(n, random.Random(n)) for n in range(40)]
    shown = "\n".join(
        written(System("files", "s3", {}), {}, proposal) + repr(proposal)
        for proposal in proposals.values()
    )
    for body in (b for of in (s3_bucket, s3_second_bucket) for _, b in of.objects()):
        text = body.decode("utf-8", "ignore")
        for found in re.findall(r"[\w.]+@mail\.example|192\.0\.2\.[0-9]+|\bDE[0-9]{20}", text):
            assert found not in shown
    for value in {p[part] for p in people for part in ("first", "last", "street")}:
        assert value not in shown
    assert "@mail" not in shown
    assert not re.search(r"\b5[0-9]{3}\b", shown)  # the customers' numbers


def test_the_proposed_map_can_be_used(proposals: dict[str, Proposal], first: S3) -> None:
    """Its text is a valid map, the connector takes it, and no drift but its own marks is told."""
    text = written(System("files", "s3", {}), {}, proposals["first"])
    system = read_system(text).system
    assert set(system.collections) == set(proposals["first"].collections)
    again = S3(system, first._config)
    found = [f for f in again.propose().drift if f.severity is not Severity.WARNING]
    assert found == []
    person = Subject("case", (Identity("customer_number", "5007"),))
    located = {key.collection for key in again.locate([person], TrialContext())}
    assert {"customers", "calls", "orders", "invoices", "exports_customers"} <= located
    again.close()


def test_the_published_figures_are_these(measures: dict[str, Measure]) -> None:
    """The page of the docs has each bucket's line as measured, and names every miss."""
    page = DOCS.read_text("utf-8")
    for measure in measures.values():
        assert measure.row() in page
        for place, field in measure.missed | measure.beyond:
            assert f"`{place}` {field}" in page, (place, field)
