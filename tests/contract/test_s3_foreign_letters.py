"""Letters beyond ASCII in what stands beside an object's bytes: headers and metadata."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3.server.labels import metadata_of
from connectors.s3.server.probe import Honoured
from dsr_worker.contract import Collection, Field, NeedsHuman, Taken
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, event, outcomes, sound
from tests.contract.s3_support import EVENTS, connector, current, lines, number

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BODY = lines([event(1, "1"), event(2, "2")])
HEADERS: Any = {
    "ContentDisposition": 'attachment; filename="Müller.pdf"',
    "ContentLanguage": "日本",
    "WebsiteRedirectLocation": "/ü",
}
SCANS = Collection(
    "scans",
    ("key",),
    {name: Field(name, "user.content") for name in ("key", "meta:customer", "body")},
    takes={"customer_number": Taken("meta:customer")},
    source={"layout": "objects", "prefix": "scans/"},
)


def told(client: S3Client, bucket: str) -> dict[str, Any]:
    """The headers as they are."""
    head: Any = client.head_object(Bucket=bucket, Key="events/a")
    return {name: head[name] for name in HEADERS}


def test_headers_in_other_letters_stay_as_they_are(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A file's name for downloads is the same after others' records were taken out of it."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=BODY, **HEADERS)
    before = told(s3, bucket_name)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    assert told(s3, bucket_name) == before


def test_a_header_that_cannot_be_sent_again_stops_before_anything_is_written(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Callable[..., None]
) -> None:
    """Bytes that are no UTF-8 would come out otherwise: a person decides, and is told no value."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=BODY)
    answers("HeadObject", f"{bucket_name}/events/a", {"ContentDisposition": "M\xfcller"})
    made = connector(s3_endpoint, bucket_name, EVENTS)
    ctx = sound(TrialContext(), s3_endpoint, bucket_name, Honoured(put=True, delete=True))
    with pytest.raises(NeedsHuman) as stop:
        erased(made, [number("1")], ctx)
    assert stop.value.fields == {"operation": "HeadObject", "error": "header-not-UTF-8"}
    assert current(s3, bucket_name, "events/a") == BODY


@pytest.mark.parametrize("value", ["=?\xe9?q?x?=", "=?none?b?x?=", "=?utf-8?b?4?=", "=?utf-8?q?"])
def test_metadata_that_only_look_like_an_encoded_word_are_read_as_they_are(
    s3: S3Client, s3_endpoint: str, bucket_name: str, answers: Callable[..., None], value: str
) -> None:
    """Whoever uploads chooses metadata: none of them stops everybody's case."""
    s3.put_object(Bucket=bucket_name, Key="scans/a", Body=b"x")
    answers("HeadObject", f"{bucket_name}/scans/a", {"Metadata": {"customer": value}})
    made = connector(s3_endpoint, bucket_name, SCANS)
    assert not list(made.locate([number("1")], TrialContext()))
    (listed,) = made._bucket.versions_of("scans/a", lambda: None)
    assert metadata_of(made._bucket, listed, lambda: None) == {"customer": value}
