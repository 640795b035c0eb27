"""Lifecycle rules: shown as a diff, installed beside everybody else's, looked at again."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3.lifecycle.compiling import Compiled
from connectors.s3.server import lifecycle
from connectors.s3.server.bucket import with_no_budget
from dsr_worker.contract import (
    Change,
    NeedsHuman,
    StandingOrder,
    StandingPlan,
    StandingRules,
)
from tests.contract.s3_aged import AgedBucket, server
from tests.contract.s3_support import EVENTS, FILES, connector

if TYPE_CHECKING:
    from connectors.s3 import S3
    from dsr_worker.contract import Collection

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
YOUNG = NOW - timedelta(days=5)
DECLARED = replace(FILES, source={**FILES.source, "lifecycle": True})
ORDER = StandingOrder("files", "last_modified", 92)
THEIRS = (
    b'<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<Rule><ID>theirs &amp; co</ID><Filter><And><Prefix>logs/</Prefix><Tag><Key>a</Key>"
    b"<Value>b</Value></Tag></And></Filter><Status>Enabled</Status>"
    b"<Expiration><Days>3</Days></Expiration></Rule>"
    b"<Rule><ID>dsr-filesystem</ID><Prefix>x/</Prefix><Status>Disabled</Status>"
    b"<NoncurrentVersionExpiration><NoncurrentDays>9</NoncurrentDays>"
    b"</NoncurrentVersionExpiration></Rule></LifecycleConfiguration>"
)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 API for this file."""
    with server() as address:
        yield address


@pytest.fixture
def aged(endpoint: str) -> AgedBucket:
    """A bucket for one test."""
    return AgedBucket.made(endpoint)


def at(aged: AgedBucket, *collections: Collection) -> S3:
    """The connector on the test's bucket."""
    return connector(aged.endpoint, aged.name, *(collections or (DECLARED,)))


def bodies(made: S3) -> list[bytes]:
    """Each rule's bytes, as the server tells them."""
    return [rule.raw for rule in lifecycle.read(made._bucket, with_no_budget).rules]


def foreign(made: S3) -> list[bytes]:
    """Somebody else's rules, written as they are; the bytes in which the server tells them."""
    before = lifecycle.read(made._bucket, with_no_budget)
    rules = [raw + b"</Rule>" for raw in THEIRS.split(b">", 1)[1].split(b"</Rule>")[:-1]]
    lifecycle.write(made._bucket, before, rules, with_no_budget)
    return bodies(made)


def test_it_is_what_it_says(aged: AgedBucket) -> None:
    """The connector offers the protocol of standing rules."""
    assert isinstance(at(aged), StandingRules)


def test_the_diff_changes_nothing_and_the_rule_is_one_prefix(aged: AgedBucket) -> None:
    """Looking writes nothing; what is installed says a prefix, days and nothing else."""
    aged.put("customers/1/a", YOUNG)
    made = at(aged)
    plan = made.standing([ORDER], NOW)
    assert aged.rules() == []
    assert [(d.change, d.rule) for d in plan.diffs] == [(Change.ADD, "dsr-files.files")]
    made.install(plan)
    assert aged.rules() == [
        {
            "ID": "dsr-files.files",
            "Filter": {"Prefix": "customers/"},
            "Status": "Enabled",
            "Expiration": {"Days": 92},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 92},
        }
    ]
    again = made.standing([ORDER], NOW)
    assert not again.changes
    assert [d.change for d in again.diffs] == [Change.KEEP]
    made.install(plan)  # a repeat, by the plan of before


def test_rules_of_others_stay_byte_for_byte(aged: AgedBucket) -> None:
    """Tags, old forms, switched-off rules and ids that begin almost like ours are not touched."""
    made = at(aged)
    theirs = foreign(made)
    assert len(theirs) == 2
    plan = made.standing([ORDER], NOW)
    assert [d.change for d in plan.diffs] == [Change.FOREIGN, Change.FOREIGN, Change.ADD]
    made.install(plan)
    assert bodies(made)[:2] == theirs
    shorter = made.standing([replace(ORDER, after_days=60)], NOW)
    assert [d.change for d in shorter.diffs][2:] == [Change.REPLACE]
    made.install(shorter)
    assert bodies(made)[:2] == theirs
    made.install(made.standing((), NOW))
    assert bodies(made) == theirs


def test_the_checksum_is_of_the_bytes_that_are_sent(aged: AgedBucket) -> None:
    """The rules that the client did not make are signed and summed as they leave."""
    made, sent = at(aged), []

    def seen(request: Any, **_: Any) -> None:
        sent.append((request.headers, request.body))

    made._bucket.writes.meta.events.register("before-send.s3", seen)
    made.install(made.standing([ORDER], NOW))
    ((headers, body),) = sent
    crc32 = base64.b64encode(zlib.crc32(body).to_bytes(4, "big"))
    assert headers["x-amz-checksum-crc32"] in {crc32, crc32.decode()}
    assert b"<ID>dsr-files.files</ID>" in body


@pytest.mark.parametrize(
    ("told", "same"),
    [
        ({"Filter": {"Prefix": "customers/"}}, True),
        ({"Prefix": "customers/"}, True),
        ({"Filter": {"And": {"Prefix": "customers/"}}}, True),
        ({"Filter": {"Prefix": "customers"}}, False),
        ({"Filter": {}}, False),
        ({"Filter": {"And": {"Prefix": "customers/", "ObjectSizeGreaterThan": 1}}}, False),
        ({"Prefix": "customers/", "Status": "Disabled"}, False),
        ({"Prefix": "customers/", "Expiration": {"Days": 91}}, False),
        ({"Prefix": "customers/", "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}, False),
    ],
)
def test_a_rule_is_ours_in_any_form_a_server_tells_it(told: dict[str, Any], *, same: bool) -> None:
    """Old and new forms of one prefix are one rule; anything narrower, wider or more is another."""
    rule = Compiled("dsr-files.files", "files", "customers/", 92)
    says = {name: value for name, value in rule.says.items() if name != "Filter"}
    assert rule.stands_in({**says, **told}) is same


def test_the_last_rule_of_ours_leaves_no_configuration(aged: AgedBucket) -> None:
    """Taken out, our only rule leaves the bucket as it was before."""
    made = at(aged)
    made.install(made.standing([ORDER], NOW))
    made.install(made.standing((), NOW))
    assert aged.rules() == []


def test_somebody_elses_rule_that_lets_our_objects_go_is_named(aged: AgedBucket) -> None:
    """A foreign rule over a mapped prefix is shown with the collections that it reaches."""
    aged.client.put_bucket_lifecycle_configuration(
        Bucket=aged.name,
        LifecycleConfiguration={
            "Rules": [
                {"ID": "all", "Filter": {}, "Status": "Enabled", "Expiration": {"Days": 3}},
                {"ID": "off", "Filter": {}, "Status": "Disabled", "Expiration": {"Days": 3}},
                {
                    "ID": "logs",
                    "Filter": {"Prefix": "logs/"},
                    "Status": "Enabled",
                    "Expiration": {"Days": 3},
                },
            ]
        },
    )
    plan = at(aged, DECLARED, EVENTS).standing([ORDER], NOW)
    assert {d.rule: d.reaches for d in plan.diffs if d.change is Change.FOREIGN} == {
        "all": ("events", "files"),
        "off": (),
        "logs": (),
    }


def reason(plan: StandingPlan) -> str:
    """Why the only collection goes by sweeps."""
    (way,) = plan.ways
    assert bool(way.rule) is not bool(way.reason)
    return way.reason


def test_a_bucket_with_versions_gets_no_rule(aged: AgedBucket) -> None:
    """Enabled or suspended: a rule would hide what the policy lets go; one that stood is out."""
    made = at(aged)
    made.install(made.standing([ORDER], NOW))
    for state in ("Enabled", "Suspended"):
        aged.version(state)
        plan = made.standing([ORDER], NOW)
        assert reason(plan) == "s3-versions-stay"
        assert [d.change for d in plan.diffs] == [Change.TAKE_OUT]


@pytest.mark.parametrize("key", ["customers/readme", "customers//a", "customers/%zz/a"])
def test_objects_of_none_forbid_the_rule(aged: AgedBucket, key: str) -> None:
    """A rule never reaches an object that is not the collection's."""
    aged.put("customers/1/a", YOUNG)
    aged.put(key, YOUNG)
    assert reason(at(aged).standing([ORDER], NOW)) == "s3-objects-of-none"


def test_what_is_due_already_goes_by_a_sweep_first(aged: AgedBucket) -> None:
    """No rule begins with a backlog, which no brake would count; one that stands may run late."""
    made = at(aged)
    aged.put("customers/1/a", YOUNG)
    made.install(made.standing([ORDER], NOW))
    aged.put("customers/2/a", NOW - timedelta(days=92))
    assert reason(made.standing([ORDER], NOW)) == ""
    assert reason(made.standing([replace(ORDER, after_days=91)], NOW)) == "s3-sweep-first"
    made.install(made.standing((), NOW))
    assert reason(made.standing([ORDER], NOW)) == "s3-sweep-first"


def test_a_plan_of_another_configuration_is_refused(aged: AgedBucket) -> None:
    """Whoever changed the rules after the plan was made is never overwritten."""
    made = at(aged)
    plan = made.standing([ORDER], NOW)
    theirs = foreign(made)
    with pytest.raises(NeedsHuman) as met:
        made.install(plan)
    assert met.value.code == "rules_changed"
    assert bodies(made) == theirs


@pytest.mark.parametrize("others", [True, False])
def test_a_writer_right_after_us_is_seen(
    aged: AgedBucket, monkeypatch: pytest.MonkeyPatch, *, others: bool
) -> None:
    """What is read back after the write must be what was written, ours and everybody else's."""
    made = at(aged)
    plan = made.standing([ORDER], NOW)
    write = lifecycle.write

    def overtaken(bucket: object, before: object, rules: object, spend: object) -> None:
        write(bucket, before, rules, spend)  # type: ignore[arg-type]  # handed through
        now = lifecycle.read(made._bucket, with_no_budget)
        more = THEIRS.split(b"</Rule>")[0].split(b">", 1)[1] + b"</Rule>"
        after = [*(rule.raw for rule in now.rules), more] if others else [more]
        write(made._bucket, now, after, with_no_budget)

    monkeypatch.setattr("connectors.s3.lifecycle.rules.lifecycle.write", overtaken)
    monkeypatch.setattr("connectors.s3.lifecycle.rules._PAUSE_S", 0.0)
    with pytest.raises(NeedsHuman) as met:
        made.install(plan)
    assert met.value.code == "rules_differ"
    assert any(b"theirs" in raw for raw in bodies(made))


def test_verifying_lists_what_should_be_gone(aged: AgedBucket) -> None:
    """Rows, due and overdue ones and the oldest date are counted; nothing is claimed to be gone."""
    made = at(aged)
    made.install(made.standing([ORDER], NOW))
    ways = made.standing([ORDER], NOW).ways
    for n, days in enumerate((1, 91, 92, 93, 94, 100)):
        aged.put(f"customers/{n}/a", NOW - timedelta(days=days))
    (check,) = made.verify(ways, NOW)
    assert (check.rows, check.due, check.overdue, check.faults) == (6, 4, 2, ())
    assert check.oldest_at == NOW - timedelta(days=100)
    assert not check.sound
    (later,) = made.verify(ways, NOW - timedelta(days=9))
    assert later.sound


def test_verifying_counts_uploads_that_were_never_completed(aged: AgedBucket) -> None:
    """An abandoned upload holds data as well: it is listed beside the objects, by its beginning."""
    made = at(aged)
    made.install(made.standing([ORDER], NOW))
    ways = made.standing([ORDER], NOW).ways
    for key in ("customers/1/big", "elsewhere/big"):
        aged.client.create_multipart_upload(Bucket=aged.name, Key=key)
    (some,) = made.verify(ways, NOW)
    began_at = some.oldest_at  # moto tells a date of its own
    assert began_at is not None
    (young,) = made.verify(ways, began_at + timedelta(days=91))
    (late,) = made.verify(ways, began_at + timedelta(days=94))
    assert (young.rows, young.due, young.overdue) == (1, 0, 0)
    assert (late.rows, late.due, late.overdue) == (1, 1, 1)


def test_verifying_names_what_is_wrong_with_a_rule(aged: AgedBucket) -> None:
    """A rule that is gone, was changed, or meets versions or strangers by now is no proof."""
    made = at(aged)
    made.install(made.standing([ORDER], NOW))
    ways = made.standing([ORDER], NOW).ways
    rule = dict(aged.rules()[0])
    for change, code in (
        ({"Status": "Disabled"}, "s3-rule-otherwise"),
        ({"Expiration": {"Days": 30}}, "s3-rule-otherwise"),
        ({"ID": "dsr-files.other"}, "s3-rule-not-there"),
    ):
        aged.client.put_bucket_lifecycle_configuration(
            Bucket=aged.name,
            LifecycleConfiguration={"Rules": [{**rule, **change}]},  # type: ignore[list-item]  # as read
        )
        (check,) = made.verify(ways, NOW)
        assert check.faults == (code,)
    made.install(made.standing([ORDER], NOW))
    aged.put("customers/readme", YOUNG)
    aged.version("Enabled")
    (check,) = made.verify(ways, NOW)
    assert check.faults == ("s3-versions-stay", "s3-objects-of-none")
    (unmapped,) = at(aged, EVENTS).verify(ways, NOW)
    assert unmapped.faults == ("s3-collection-unmapped",)


def test_a_bucket_with_copies_is_swept(aged: AgedBucket) -> None:
    """A rule of one bucket expires nothing in its copies: a sweep visits each, a rule is taken out.

    One that stood before the copies were named is told as what does not suffice.
    """
    aged.put("customers/1/a", YOUNG)
    made = at(aged)
    made.install(made.standing([ORDER], NOW))
    copied = connector(aged.endpoint, aged.name, DECLARED, replicas=[{"bucket": "shop-copy"}])
    plan = copied.standing([ORDER], NOW)
    assert [(way.rule, way.reason) for way in plan.ways] == [("", "s3-copies-stay")]
    assert [diff.change for diff in plan.diffs] == [Change.TAKE_OUT]
    (check,) = copied.verify(made.standing([ORDER], NOW).ways, NOW)
    assert check.faults == ("s3-copies-stay",)
