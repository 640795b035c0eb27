"""JSON as odd as parsers allow it: names that stand twice, and numbers of any spelling."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dsr_worker.contract import Taken
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, outcomes
from tests.contract.s3_support import EVENTS, connector, current, number

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TWICE = b'{"event_id":"a","customer":"12345","customer":"2"}\n'
NESTED = b'{"event_id":"b","user":{"id":1,"id":2},"user":{"id":3}}\n'


def test_of_two_fields_with_one_name_the_last_says_whose_it_is(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 12: whom a hidden field names owns nothing; whom the last one names does."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=TWICE + NESTED)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number("12345")], TrialContext())) == {}
    assert current(s3, bucket_name, "events/a") == TWICE + NESTED
    assert outcomes(erased(made, [number("2")], TrialContext())) == {"erased": 1}
    assert current(s3, bucket_name, "events/a") == NESTED


@pytest.mark.parametrize("second_path", [False, True])
def test_what_a_second_field_hides_is_a_mention(
    s3: S3Client, s3_endpoint: str, bucket_name: str, *, second_path: bool
) -> None:
    """Hard case 15: another reader may take the first of the two, so it is told of."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=TWICE)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    told = list(made.mentions([number("12345")], TrialContext(second_path=second_path)))
    assert [(mention.key, mention.field) for mention in told] == [(("events/a", "a"), "customer")]
    assert not list(made.mentions([number("54321")], TrialContext(second_path=second_path)))


@pytest.mark.parametrize(
    ("equals", "meant"),
    [("both", {"0", '"0"', "-0"}), ("decimal", {"0", '"0"', "-0", "-0.0", "0.0", "0e5", "0E-2"})],
)
def test_zero_is_one_number_however_it_is_written(
    s3: S3Client, s3_endpoint: str, bucket_name: str, equals: str, meant: set[str]
) -> None:
    """Hard case 9: -0 is 0; with a point or an exponent it is where the map says so."""
    spelled = ["0", '"0"', "-0", "-0.0", "0.0", "0e5", "0E-2", '"-0"', "00000000001e-400", "1e400"]
    rows = {
        text: b'{"event_id":"%b","customer":%b}\n' % (b"e%d" % n, text.encode())
        for n, text in enumerate(spelled)
    }
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=b"".join(rows.values()))
    collection = replace(EVENTS, source={**EVENTS.source, "equals": {"customer": equals}})
    made = connector(s3_endpoint, bucket_name, collection)
    erased(made, [number("0")], TrialContext())
    assert not list(made.recheck([number("0")], [], TrialContext(second_path=True)))
    left = b"".join(row for text, row in rows.items() if text not in meant)
    assert current(s3, bucket_name, "events/a") == left


def test_a_number_of_any_length_hides_nobody_beside_it(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 9: an exponent or thousands of digits in another field do not spoil the record."""
    mine = b"".join(
        b'{"event_id":"a","customer":1,"n":%b}\n' % number_
        for number_ in (
            b"1e999999999",
            b"-1e-999999999",
            b"9" * 400,
            b"9" * 4000,
            b"0." + b"9" * 9000,
        )
    )
    other = mine.replace(b'"customer":1', b'"customer":2')
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=mine + other)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    erased(made, [number("1")], TrialContext())
    assert current(s3, bucket_name, "events/a") == other


def test_numbers_within_lists_keep_their_last_digit(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 9, 12: ids above 64 bits are compared digit by digit in lists as well."""
    huge = 2**70 + 1
    rows = [b'{"event_id":"a","people":[{"id":%d},{}]}\n' % (huge + n) for n in (-1, 0, 1)]
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=b"".join(rows))
    collection = replace(EVENTS, takes={"customer_number": Taken("people[].id")})
    made = connector(s3_endpoint, bucket_name, collection)
    erased(made, [number(str(huge))], TrialContext())
    assert current(s3, bucket_name, "events/a") == rows[0] + rows[2]
