"""Objects that were read in full and hold nobody who is asked for are not read again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3 import S3
from connectors.s3.server.bucket import Bucket
from dsr_worker.contract import Key
from dsr_worker.testing.context import DictState, TrialContext
from tests.contract.s3_support import EVENTS, connector, lines, number, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def name(bucket: Callable[[], str], s3: S3Client) -> str:
    """A bucket with five objects, each of two customers."""
    made = bucket()
    for n in range(5):
        records = [{"event_id": str(n), "customer": n}, {"event_id": f"{n}b", "customer": n + 100}]
        s3.put_object(Bucket=made, Key=f"events/{n}", Body=lines(records))
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the objects whose bytes were asked for."""
    keys: list[str] = []
    whole, part = Bucket.opened, Bucket.read

    def opened(bucket: Bucket, version: Any, *given: Any) -> Any:
        keys.append(version.key)
        return whole(bucket, version, *given)

    def ranged(bucket: Bucket, version: Any, *given: Any) -> Any:
        keys.append(version.key)
        return part(bucket, version, *given)

    monkeypatch.setattr(Bucket, "opened", opened)
    monkeypatch.setattr(Bucket, "read", ranged)
    return keys


def recheck(made: S3, state: DictState, *keys: Key) -> None:
    """A reading in full, as it follows each erasure."""
    ctx = TrialContext(second_path=True, state=state)
    assert not list(made.recheck([number("999")], keys, ctx))


def known(state: DictState) -> set[str]:
    """The names under which filters are kept."""
    return {name for name in state.values if name.startswith("verdict/")}


def located(made: S3, customer: str, state: DictState) -> list[str]:
    """The objects in which a customer is found."""
    return [k.key[0] for k in made.locate([number(customer)], TrialContext(state=state))]


def test_the_next_request_reads_only_where_the_person_may_be(
    s3_endpoint: str, name: str, read: list[str]
) -> None:
    """After one reading in full, a person in one object costs that object, and one in none none."""
    made, state = connector(s3_endpoint, name, EVENTS), DictState()
    assert located(made, "3", state) == ["events/3"]
    assert len(set(read)) == 5
    recheck(made, state)
    read.clear()
    assert located(made, "3", state) == ["events/3"]
    assert set(read) == {"events/3"}
    read.clear()
    assert located(made, "777777", state) == []
    assert read == []


def test_a_second_look_reads_everything(s3_endpoint: str, name: str, read: list[str]) -> None:
    """What is known of an object is never used to verify an erasure."""
    made, state = connector(s3_endpoint, name, EVENTS), DictState()
    recheck(made, state)
    read.clear()
    recheck(made, state)
    assert len(set(read)) == 5


def test_who_comes_into_an_object_is_found(
    s3_endpoint: str, name: str, s3: S3Client, read: list[str]
) -> None:
    """An object that changed, or is new, is read again by whoever asks."""
    made, state = connector(s3_endpoint, name, EVENTS), DictState()
    recheck(made, state)
    for key in ("events/1", "events/9"):
        s3.put_object(Bucket=name, Key=key, Body=lines([{"event_id": "n", "customer": 777777}]))
    read.clear()
    assert located(made, "777777", state) == ["events/1", "events/9"]
    assert set(read) == {"events/1", "events/9"}


def test_old_versions_are_part_of_what_is_known(s3_endpoint: str, name: str, s3: S3Client) -> None:
    """Someone who stands in an old version alone is found there, before and after a reading."""
    versioned(s3, name)
    s3.put_object(Bucket=name, Key="events/1", Body=lines([{"event_id": "n", "customer": 5}]))
    made, state = connector(s3_endpoint, name, EVENTS), DictState()
    recheck(made, state)
    assert located(made, "1", state) == ["events/1"]
    assert located(made, "5", state) == ["events/1"]


def test_an_erasure_leaves_no_trace_of_whom_it_erased(s3_endpoint: str, name: str) -> None:
    """What was known of an object goes when a record of it does; the recheck makes it anew."""
    made, state = connector(s3_endpoint, name, EVENTS), DictState()
    recheck(made, state)
    before = known(state)
    assert len(before) == 5
    keys = list(made.locate([number("3")], TrialContext(state=state)))
    assert list(made.erase([number("3")], keys, TrialContext(state=state)))
    assert known(state) == before - {"verdict/events/0/events/3"}
    left = made.recheck([number("3")], keys, TrialContext(second_path=True, state=state))
    assert list(left) == []
    assert known(state) == before
    assert located(made, "3", state) == []
    assert located(made, "103", state) == ["events/3"]
