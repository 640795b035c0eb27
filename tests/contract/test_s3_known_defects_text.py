"""What other tools get wrong in text objects: people missed, people erased who were not meant."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dsr_worker.contract import Action, Always, Mask, MaskKind, Rule, Subject, Taken
from dsr_worker.contract import DecisionTable as Table
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import ERASE, erased, event, outcomes
from tests.contract.s3_support import EVENTS, connector, current, lines, number, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from connectors.s3 import S3


@pytest.fixture
def made(s3_endpoint: str, bucket_name: str) -> S3:
    """The connector on the events."""
    return connector(s3_endpoint, bucket_name, EVENTS)


def gone(made: S3, client: S3Client, bucket: str, body: bytes, subject: Subject) -> bytes:
    """What is left of an object."""
    client.put_object(Bucket=bucket, Key="events/a", Body=body)
    erased(made, [subject], TrialContext())
    return current(client, bucket, "events/a")


def test_falsy_ids_are_erased(made: S3, s3: S3Client, bucket_name: str) -> None:
    """A customer whose number is 0 is a customer; false, null and nothing are not."""
    stays = [event(2, False), event(3, None), event(4, ""), event(5, 0.0), event(6, "00")]
    body = lines([event(0, 0), event(1, "0"), *stays]) + b'{"event_id":"z","customer":-0}\n'
    assert gone(made, s3, bucket_name, body, number("0")) == lines(stays)


def test_true_is_not_one_and_texts_are_numbers(made: S3, s3: S3Client, bucket_name: str) -> None:
    """`true` never matches 1, while 1 and "1" do: nothing too much goes and nothing too little."""
    body = lines([event(1, True), event(2, 1), event(3, "1")])
    assert gone(made, s3, bucket_name, body, number("1")) == lines([event(1, True)])


@pytest.mark.parametrize("odd", [["1"], "1", 1, None, [{"email": "anna@shop.example"}], {"x": {}}])
def test_other_shapes_than_mapped_do_not_stop_the_object(
    made: S3, s3: S3Client, bucket_name: str, odd: object
) -> None:
    """A list, a text or nothing where the map has an object names nobody, and the rest is done."""
    body = lines([{"event_id": "o", "user": odd}, event(1, "1")])
    assert gone(made, s3, bucket_name, body, number("1")) == lines([{"event_id": "o", "user": odd}])


ODD = {
    "mark": b"\xef\xbb\xbf",
    "blank line": b"\n \n",
    "other bytes": b'{"event_id":"b","note":"\xff\xfe"}\n',
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("ending", [b"\n", b""], ids=["newline", "none"])
def test_odd_bytes_stay_and_the_person_goes(
    made: S3, s3: S3Client, bucket_name: str, odd: bytes, ending: bytes
) -> None:
    """A mark, blank lines, bytes that are no UTF-8: kept; and no newline is added at the end."""
    last = lines([event(9, "9")]).rstrip(b"\n") + ending
    assert gone(made, s3, bucket_name, odd + lines([event(1, 1)]) + last, number("1")) == odd + last


def test_a_person_among_bytes_that_are_no_utf_8(made: S3, s3: S3Client, bucket_name: str) -> None:
    """A record with a broken letter elsewhere is the person's as well."""
    body = b'{"event_id":"b","customer":"1","note":"\xff"}\n'
    assert gone(made, s3, bucket_name, body, number("1")) == b""


def test_a_list_of_records_is_read(made: S3, s3: S3Client, bucket_name: str) -> None:
    """A JSON array is no reason to fail."""
    assert gone(made, s3, bucket_name, b'[{"customer":1},{"customer":2}]', number("1")) == (
        b'[{"customer":2}]'
    )


@pytest.mark.parametrize("body", [b'{"ID":5,"id":1}\n', b'{"id":1,"ID":5}\n'])
def test_fields_that_differ_in_case_are_two(
    s3: S3Client, s3_endpoint: str, bucket_name: str, body: bytes
) -> None:
    """`ID` is another field than `id`, in any order."""
    exact = replace(EVENTS, key=("id",), takes={"customer_number": Taken("id")})
    made = connector(s3_endpoint, bucket_name, exact)
    assert gone(made, s3, bucket_name, body, number("5")) == body
    assert gone(made, s3, bucket_name, body, number("1")) == b""


def test_erasing_nobody_is_no_failure(made: S3, s3: S3Client, bucket_name: str) -> None:
    """A person who has nothing here, or nothing any more, is an answer and not an error."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1"), event(2, "2")]))
    keys = list(made.locate([number("1")], TrialContext()))
    for expected in ({"erased": 1}, {"already_gone": 1}):
        assert outcomes(list(made.erase([number("1")], keys, TrialContext()))) == expected
    assert outcomes(erased(made, [number("3")], TrialContext())) == {}


def test_a_sibling_key_with_the_same_beginning_is_another_object(
    made: S3, s3: S3Client, bucket_name: str
) -> None:
    """Old versions of `a` are told from those of `ab`: a listing by prefix gives both."""
    versioned(s3, bucket_name)
    for body in (lines([event(1, "1"), event(2, "2")]), lines([event(1, "1"), event(3, "3")])):
        for key in ("events/a", "events/ab"):
            s3.put_object(Bucket=bucket_name, Key=key, Body=body)
    keys = [k for k in made.locate([number("1")], TrialContext()) if k.key[0] == "events/a"]
    assert outcomes(list(made.erase([number("1")], keys, TrialContext()))) == {"erased": 1}
    listed = s3.list_object_versions(Bucket=bucket_name, Prefix="events/a")["Versions"]
    assert sorted(v["Key"] for v in listed) == ["events/a", "events/ab", "events/ab"]


def test_a_mask_keeps_the_search_and_the_second_run(
    made: S3, s3: S3Client, bucket_name: str
) -> None:
    """A record that was masked before is found by its key when the erasure is run again."""
    mask = Rule("minimum", Always(), Action.MASK, "law", {"customer": Mask(MaskKind.NULL)})
    ctx = TrialContext(tables={"events": Table("events", (mask, ERASE))})
    rows: list[dict[str, Any]] = [event(n, "1" if n % 3 else "2") for n in range(9)]
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=gzip.compress(lines(rows)))
    keys = list(made.locate([number("1")], ctx))
    first, again = (list(made.erase([number("1")], keys, ctx)) for _ in range(2))
    assert outcomes(first) == outcomes(again) == {"masked": 6}
    assert [o.fields for r in again for o in r.outcomes] == [0]
    left = gzip.decompress(current(s3, bucket_name, "events/a"))
    assert left.count(b'"customer":null') == 6
