"""A shared object is written once, whole, over nobody else's change, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from connectors.s3.server import preserving
from connectors.s3.server.bucket import Bucket, with_no_budget
from connectors.s3.server.probe import Honoured
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Configuration,
    DecisionTable,
    HeldPeople,
    Identity,
    Mask,
    MaskKind,
    NeedsHuman,
    Rule,
    Severity,
    Since,
    SweepOrder,
)
from dsr_worker.testing.context import TrialContext
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

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

from tests.contract.s3_erasures import ERASE, Crash, crash, erased, event, outcomes, sound

# ---- lines


def test_a_concurrent_writer_is_never_overwritten(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A write between our read and our write is read again, and its records are all there."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1"), event(2, "2")]))
    late = lines([event(1, "1"), event(2, "2"), event(3, "3")])
    writes: list[None] = []

    def write_late() -> None:
        if not writes:
            writes.append(None)
            s3.put_object(Bucket=bucket_name, Key="events/a", Body=late)

    ctx = TrialContext(on_intent=write_late)
    receipts = erased(connector(s3_endpoint, bucket_name, EVENTS), [number("1")], ctx)
    assert outcomes(receipts) == {"erased": 1}
    assert len(ctx.intents) == 2
    assert current(s3, bucket_name, "events/a") == lines([event(2, "2"), event(3, "3")])


def test_a_hold_at_the_last_moment_wins(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """The guard's table decides, even after the object was read under another."""

    class Late(TrialContext):
        def table(self, collection: str) -> DecisionTable:
            table = super().table(collection)
            held = Rule("hold", Always(), Action.KEEP, "late")
            self.tables = {"events": DecisionTable("events", (held, ERASE))}
            return table

    body = lines([event(1, "1")])
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=body)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    keys = list(made.locate([number("1")], TrialContext()))
    assert outcomes(list(made.erase([number("1")], keys, Late()))) == {"retained": 1}
    assert current(s3, bucket_name, "events/a") == body


def test_a_crash_before_the_write_changes_nothing_and_a_repeat_ends_it(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Dying at the intent leaves every byte; the repeat erases, and one more finds it gone."""
    versioned(s3, bucket_name)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1"), event(2, "2")]))
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"x")
    before = content(s3, bucket_name)
    made = connector(s3_endpoint, bucket_name, FILES, EVENTS)
    keys = list(made.locate([number("1")], TrialContext()))
    with pytest.raises(Crash):
        list(made.erase([number("1")], keys, TrialContext(on_intent=crash)))
    assert content(s3, bucket_name) == before
    assert outcomes(list(made.erase([number("1")], keys, TrialContext()))) == {"erased": 2}
    after = content(s3, bucket_name)
    assert outcomes(list(made.erase([number("1")], keys, TrialContext()))) == {"already_gone": 2}
    assert content(s3, bucket_name) == after


def test_a_crash_between_write_and_old_version_is_finished(
    s3: S3Client, s3_endpoint: str, bucket_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dying after the new bytes, before the old version went, leaves nothing behind for long."""
    versioned(s3, bucket_name)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1"), event(2, "2")]))
    made = connector(s3_endpoint, bucket_name, EVENTS)
    keys = list(made.locate([number("1")], TrialContext()))
    probed = Honoured(put=True, delete=True)
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "erase_versions", lambda *_: crash())
        with pytest.raises(Crash):
            list(
                made.erase(
                    [number("1")], keys, sound(TrialContext(), s3_endpoint, bucket_name, probed)
                )
            )
    assert len(content(s3, bucket_name)) == 2
    assert outcomes(list(made.erase([number("1")], keys, TrialContext()))) == {"erased": 1}
    assert list(content(s3, bucket_name).values()) == [lines([event(2, "2")])]


def test_a_dry_run_counts_what_the_real_one_does(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A dry run changes nothing and its receipts are those of the run that follows."""
    versioned(s3, bucket_name)
    for n in range(3):
        s3.put_object(Bucket=bucket_name, Key=f"customers/1/{n}", Body=b"x")
        body = lines([event(n, "1", at=f"2026-0{n + 1}-01"), event(9, "2")])
        s3.put_object(Bucket=bucket_name, Key=f"events/{n}", Body=body)
    before = content(s3, bucket_name)
    masks = {"customer": Mask(MaskKind.TOMBSTONE)}
    since = Since("at", datetime(2026, 2, 1, tzinfo=UTC))
    table = DecisionTable(
        "events", (Rule("minimum", since, Action.MASK, "law", masks, "at"), ERASE)
    )
    made = connector(s3_endpoint, bucket_name, FILES, EVENTS)
    dry = TrialContext(tables={"events": table}, dry_run=True)
    planned = erased(made, [number("1")], dry)
    assert content(s3, bucket_name) == before
    assert dry.intents == []
    assert erased(made, [number("1")], TrialContext(tables={"events": table})) == planned


def test_an_endpoint_without_conditional_writes_is_refused(
    s3_endpoint: str, s3: S3Client, bucket_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where If-Match is ignored nothing shared is rewritten, and `check` says so."""
    body = lines([event(1, "1")])
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=body)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    assert {f.severity for f in made.check()} == {Severity.OK}
    assert [k for k, _ in content(s3, bucket_name)] == ["events/a"]
    put = made._bucket.writes.put_object
    ignoring = lambda **kw: put(**{k: v for k, v in kw.items() if k != "IfMatch"})  # noqa: E731
    monkeypatch.setattr(made._bucket.writes, "put_object", ignoring)
    assert Severity.ERROR in {f.severity for f in made.check()}
    keys = list(made.locate([number("1")], TrialContext()))
    with pytest.raises(Configuration, match="If-Match"):
        list(made.erase([number("1")], keys, TrialContext()))
    assert {k: v for (k, _), v in content(s3, bucket_name).items()} == {"events/a": body}


def limit(collection: str, field: str, *held: Rule) -> DecisionTable:
    """What is older than March goes, unless held."""
    before = Before(field, datetime(2026, 3, 1, tzinfo=UTC))
    rest = Rule("default", Always(), Action.KEEP)
    return DecisionTable(collection, (*held, Rule("limit", before, Action.ERASE), rest))


def test_a_sweep_erases_what_is_due_and_holds_win(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Records past their limit go; held people's, younger ones and unreadable clocks stay."""
    rows = [
        event(n, str(n), at=at) for n, at in enumerate(("2026-01-01", "2026-02-01", "2026-03-01"))
    ]
    rows += [event(7, "7", at="yesterday"), event(8, "8", at=None)]
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    hold = Rule("hold", HeldPeople((Identity("customer_number", "1"),)), Action.KEEP, "dispute")
    table = limit("events", "at", hold)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    order = SweepOrder("events", table, 10)
    planned = list(made.sweep([order], TrialContext(tables={"events": table}, dry_run=True)))
    done = list(made.sweep([order], TrialContext(tables={"events": table})))
    assert outcomes(done) == outcomes(planned) == {"erased": 1, "retained": 1}
    assert current(s3, bucket_name, "events/a") == lines(rows[1:])
    again = list(made.sweep([order], TrialContext(tables={"events": table})))
    assert outcomes(again) == {"retained": 1}


@pytest.mark.parametrize("collection", ["events", "files"])
def test_the_brake_stops_before_the_first_change(
    s3: S3Client, s3_endpoint: str, bucket_name: str, collection: str
) -> None:
    """One row more than the brake allows, in any object, and not one row goes."""
    for n in range(3):
        s3.put_object(Bucket=bucket_name, Key=f"events/{n}", Body=lines([event(n, "1")]))
        s3.put_object(Bucket=bucket_name, Key=f"customers/{n}/a", Body=b"x")
    before = content(s3, bucket_name)
    made = connector(s3_endpoint, bucket_name, FILES, EVENTS)
    table = DecisionTable(collection, (Rule("limit", Always(), Action.ERASE),))
    ctx = TrialContext(tables={collection: table})
    with pytest.raises(NeedsHuman, match="sweep_brake"):
        list(made.sweep([SweepOrder(collection, table, 2)], ctx))
    assert content(s3, bucket_name) == before
    assert outcomes(list(made.sweep([SweepOrder(collection, table, 3)], ctx))) == {"erased": 3}


@pytest.mark.parametrize(
    ("stored", "crt", "written"),
    [
        ("SHA1", False, "SHA1"),
        ("CRC32C", True, "CRC32C"),
        ("CRC64NVME", True, "CRC64NVME"),
        ("CRC32C", False, "CRC32"),
        ("CRC64NVME", False, "CRC32"),
    ],
)
def test_a_checksum_keeps_its_algorithm_where_it_can_be_computed(
    s3: S3Client,
    s3_endpoint: str,
    bucket_name: str,
    monkeypatch: pytest.MonkeyPatch,
    stored: str,
    written: str,
    *,
    crt: bool,
) -> None:
    """Hard case 30: two algorithms take the extra `checksums`; without it they become CRC32."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=b"x")
    monkeypatch.setattr(preserving, "HAS_CRT", crt)
    bucket = connector(s3_endpoint, bucket_name, EVENTS)._bucket
    (version,) = bucket.versions_of("events/a", with_no_budget)
    head = {f"Checksum{stored}": "invented"}
    kept = preserving.preserved(bucket, version, head, TrialContext().now, with_no_budget)
    assert kept == {"ChecksumAlgorithm": written}
