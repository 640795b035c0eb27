"""What the API lets a server leave out of an answer, and answers that never come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ReadTimeoutError

from connectors.s3.server.bucket import Bucket, with_no_budget
from connectors.s3.server.listing import Lists
from dsr_worker.contract import NeedsHuman, Remainder, Transient
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, event, outcomes
from tests.contract.s3_rewrites import PARTS, others, probed, rows_of, small_parts
from tests.contract.s3_support import (
    EVENTS,
    FILES,
    connector,
    content,
    current,
    lines,
    number,
    versioned,
)
from tests.s3_shim import Shim, error

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Play = Callable[[dict[str, Any], Callable[[], Any]], Any]


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """Parts are small here."""
    with small_parts() as endpoint:
        yield endpoint


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Play], None]:
    """Call it to have requests of a name answered by a function of theirs."""
    plain = BaseClient._make_api_call  # type: ignore[attr-defined]
    plays: dict[str, Play] = {}

    def call(self: Any, operation: str, params: dict[str, Any]) -> Any:
        if operation not in plays:
            return plain(self, operation, params)
        return plays[operation](params, lambda: plain(self, operation, params))

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    return plays.__setitem__


@pytest.mark.parametrize("named", ["nothing", "key", "another spelling"])
def test_an_error_that_names_no_version_is_of_exactly_the_denied_one(
    s3: S3Client,
    s3_endpoint: str,
    bucket_name: str,
    play: Callable[[str, Play], None],
    named: str,
) -> None:
    """In an error of DeleteObjects key and version are optional: nobody guesses which is meant."""
    versioned(s3, bucket_name)
    for body in (b"one", b"two", b"three"):
        s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=body)
    denied = s3.put_object(Bucket=bucket_name, Key="customers/1/b", Body=b"locked")["VersionId"]
    s3.put_object(Bucket=bucket_name, Key="customers/1/b", Body=b"newer")
    told = {"nothing": {}, "key": {"Key": "customers/1/b"}, "another spelling": {"Key": "?"}}

    def delete(params: dict[str, Any], ask: Callable[[], Any]) -> Any:
        objects = params["Delete"]["Objects"]
        allowed = [named for named in objects if named["VersionId"] != denied]
        failed = len(allowed) < len(objects)
        params["Delete"] = {**params["Delete"], "Objects": allowed}
        answer = ask() if allowed else {}
        error = {"Code": "AccessDenied", "Message": "no", **told[named]}
        return {**answer, "Errors": [error]} if failed else answer

    play("DeleteObjects", delete)
    made = connector(s3_endpoint, bucket_name, FILES)
    receipts = erased(made, [number("1")], TrialContext())
    assert outcomes(receipts) == {"erased": 4, "retained": 1}
    assert {o.ground for o in receipts[0].outcomes if o.ground} == {Remainder.DENIED}
    assert b"locked" in content(s3, bucket_name).values()


def test_a_page_that_names_no_version_goes_on_from_its_key(
    s3: S3Client, s3_endpoint: str, bucket_name: str, play: Callable[[str, Play], None]
) -> None:
    """S3 refuses an empty version-id marker: where a page tells none, none is sent."""
    for name in "abc":
        s3.put_object(Bucket=bucket_name, Key=f"customers/1/{name}", Body=b"x")
    sent: list[dict[str, Any]] = []

    def listed(params: dict[str, Any], ask: Callable[[], Any]) -> Any:
        sent.append(dict(params))
        params["MaxKeys"] = 1
        answer = ask()
        answer.pop("NextVersionIdMarker", None)
        return answer

    play("ListObjectVersions", listed)
    made = connector(s3_endpoint, bucket_name, FILES)
    assert len(list(made.locate([number("1")], TrialContext()))) == 3
    assert len(sent) >= 3
    assert not [request for request in sent if "VersionIdMarker" in request]


@pytest.mark.parametrize(
    ("operation", "marker"),
    [("ListObjectVersions", "NextKeyMarker"), ("ListMultipartUploads", "NextUploadIdMarker")],
)
def test_a_page_without_its_next_is_refused_by_name(
    s3: S3Client,
    s3_endpoint: str,
    bucket_name: str,
    play: Callable[[str, Play], None],
    operation: str,
    marker: str,
) -> None:
    """A cut page that does not say where it goes on is told to a person, never taken for all."""
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"x")

    def cut(_params: dict[str, Any], ask: Callable[[], Any]) -> Any:
        answer = {**ask(), "IsTruncated": True, "NextKeyMarker": "a", "NextUploadIdMarker": "b"}
        del answer[marker]
        return answer

    play(operation, cut)
    made = connector(s3_endpoint, bucket_name, FILES)
    with pytest.raises(NeedsHuman, match="s3-refused") as stop:
        list(made.locate([number("1")], TrialContext()))
    assert stop.value.fields == {"operation": operation, "error": f"no {marker}"}


def test_a_plain_listing_without_its_next_is_refused_by_name(
    s3: S3Client, s3_endpoint: str, bucket_name: str, play: Callable[[str, Play], None]
) -> None:
    """The same of an endpoint without versions."""
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"x")
    play("ListObjectsV2", lambda _params, ask: {**ask(), "IsTruncated": True})
    bucket = Bucket(connector(s3_endpoint, bucket_name, FILES)._config)
    with pytest.raises(NeedsHuman, match="s3-refused"):
        list(Lists._plain_pages(bucket, "customers/", with_no_budget, ""))


def test_an_access_list_without_grants_is_the_owners_alone(
    s3: S3Client, s3_endpoint: str, bucket_name: str, play: Callable[[str, Play], None]
) -> None:
    """An emptied access list has no element for grants: the object is rewritten all the same."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1"), event(2, "2")]))
    play("GetObjectAcl", lambda _params, _ask: {"Owner": {"ID": "owner"}})
    made = connector(s3_endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert current(s3, bucket_name, "events/a") == lines([event(2, "2")])


def test_an_upload_whose_end_is_not_answered_waits(
    s3: S3Client, s3_endpoint: str, bucket_name: str, play: Callable[[str, Play], None]
) -> None:
    """The client's words for a timeout hold the object's key: ours do not, and the step waits."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows_of(PARTS)))
    made, ctx = connector(s3_endpoint, bucket_name, EVENTS), probed(s3_endpoint, bucket_name)
    keys = list(made.locate([number("1")], ctx))

    def silent(_params: dict[str, Any], _ask: Callable[[], Any]) -> Any:
        raise ReadTimeoutError(endpoint_url=f"{s3_endpoint}/{bucket_name}/events/a")

    play("CompleteMultipartUpload", silent)
    with pytest.raises(Transient) as told:
        list(made.erase([number("1")], keys, ctx))
    assert "events" not in str(told.value)


def test_an_upload_whose_end_is_slowed_down_is_ended_again(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """A server that asks to slow down is asked again: no part goes up twice."""
    rows = rows_of(PARTS)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    slow = iter([error(503, "SlowDown"), error(500, "InternalError")])
    shim.before = lambda seen: (
        next(slow, None) if seen.operation == "CompleteMultipartUpload" else None
    )
    made = connector(shim.endpoint, bucket_name, EVENTS)
    receipts = erased(made, [number("1")], probed(shim.endpoint, bucket_name))
    assert outcomes(receipts) == {"erased": 2}
    assert current(s3, bucket_name, "events/a") == others(rows)
    assert shim.operations().count("CreateMultipartUpload") == 1
