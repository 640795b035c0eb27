"""What an endpoint does not honour is found out before anything is rewritten.

Two kinds: rclone's S3 server, which ignores conditions, and a sound one that ignores some of them.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dsr_worker.contract import Configuration, NeedsHuman, Severity, Transient
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, event, outcomes
from tests.contract.s3_rewrites import PARTS, WHOLE, others, parts_left, rows_of, small_parts
from tests.contract.s3_support import EVENTS, connector, current, lines, number, versioned
from tests.s3_shim import Seen, Shim
from tests.services import S3_KEY, S3_SECRET, START_TIMEOUT_S, free_port, s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """Parts are small here."""
    with small_parts() as endpoint:
        yield endpoint


@pytest.fixture
def rclone(tmp_path: Path) -> Iterator[str]:
    """The address of rclone's S3 server over a folder."""
    endpoint = f"http://127.0.0.1:{free_port()}"
    program = Path(sys.executable).with_name("rclone")
    argv = [str(program), "serve", "s3", "--addr", endpoint.removeprefix("http://")]
    argv += ["--auth-key", f"{S3_KEY},{S3_SECRET}", "--config", "", str(tmp_path)]
    with (tmp_path.parent / "words").open("wb") as words:
        process = subprocess.Popen(argv, stdout=words, stderr=words, stdin=subprocess.DEVNULL)
        try:
            _wait(endpoint, process)
            yield endpoint
        finally:
            process.terminate()
            process.wait(60)


def _wait(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(endpoint, timeout=5).close()  # noqa: S310 - loopback
        except urllib.error.HTTPError:  # it answers: unsigned requests are refused
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("rclone does not serve: `rclone serve s3` shows why")


def test_rclone_is_refused_for_rewriting(rclone: str) -> None:
    """A server that takes any condition for none keeps every byte, and `check` says why."""
    client = s3_client(rclone)
    client.create_bucket(Bucket="shop-files")
    body = lines([event(1, "1"), event(2, "2")])
    client.put_object(Bucket="shop-files", Key="events/a", Body=body)
    made = connector(rclone, "shop-files", EVENTS)
    refused = [f for f in made.check() if f.severity is Severity.ERROR]
    assert [finding.subject for finding in refused] == ["conditional writes"]
    keys = list(made.locate([number("1")], TrialContext()))
    assert len(keys) == 1
    with pytest.raises(Configuration, match="If-Match"):
        list(made.erase([number("1")], keys, TrialContext()))
    listed = client.list_objects_v2(Bucket="shop-files")["Contents"]
    assert [item["Key"] for item in listed] == ["events/a"]
    assert current(client, "shop-files", "events/a") == body
    made.close()
    client.close()


def test_without_conditional_puts_nothing_is_rewritten(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """If-Match ignored by PutObject: refused, and the probe leaves nothing behind."""
    versioned(s3, bucket_name)
    body = lines([event(1, "1"), event(2, "2")])
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=body)
    shim.ignoring = frozenset({"PutObject"})
    made = connector(shim.endpoint, bucket_name, EVENTS)
    with pytest.raises(Configuration, match="If-Match"):
        erased(made, [number("1")], TrialContext())
    versions = s3.list_object_versions(Bucket=bucket_name)
    assert [v["Key"] for v in versions["Versions"]] == ["events/a"]
    assert "DeleteMarkers" not in versions


def test_without_conditional_completion_objects_go_up_whole(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """If-Match ignored by CompleteMultipartUpload: one write, refused above what it takes."""
    rows = rows_of(PARTS)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    shim.ignoring = frozenset({"CompleteMultipartUpload"})
    made = connector(shim.endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 2}
    assert current(s3, bucket_name, "events/a") == others(rows)
    assert all(".dsr-probe" in s.path for s in shim.of("CreateMultipartUpload"))
    assert not list(parts_left(s3, bucket_name))


def test_what_is_too_large_for_a_single_write_is_refused(
    s3: S3Client, shim: Shim, bucket_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hard case 32: without conditional completion nothing above 5 GiB is rewritten."""
    monkeypatch.setattr("connectors.s3.server.commit.LONGEST_PART_BYTES", 100_000)
    rows = rows_of(PARTS)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    shim.ignoring = frozenset({"CompleteMultipartUpload"})
    made = connector(shim.endpoint, bucket_name, EVENTS)
    with pytest.raises(NeedsHuman) as stop:
        erased(made, [number("1")], TrialContext())
    assert stop.value.fields["operation"] == "CompleteMultipartUpload"
    assert current(s3, bucket_name, "events/a") == lines(rows)


@pytest.mark.parametrize("states", ["Never", "Enabled"])
def test_without_conditional_copies_only_versions_are_copied(
    s3: S3Client, shim: Shim, bucket_name: str, states: str
) -> None:
    """CopySourceIfMatch ignored: a version cannot change, an object without versions can."""
    if states == "Enabled":
        versioned(s3, bucket_name)
    rows = rows_of(PARTS)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    shim.ignoring = frozenset({"UploadPartCopy"})
    made = connector(shim.endpoint, bucket_name, EVENTS)
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 2}
    assert current(s3, bucket_name, "events/a") == others(rows)
    copies = [seen for seen in shim.of("UploadPartCopy") if ".dsr-probe" not in seen.path]
    assert bool(copies) == (states == "Enabled")


def test_what_holds_is_known_for_a_day(s3: S3Client, shim: Shim, bucket_name: str) -> None:
    """One probe a day serves every connector with this state, and not another endpoint."""
    body = lines(rows_of(WHOLE))
    ctx = TrialContext()

    def probes(at: TrialContext, endpoint: str) -> int:
        s3.put_object(Bucket=bucket_name, Key="events/a", Body=body)
        shim.seen.clear()
        erased(connector(endpoint, bucket_name, EVENTS), [number("1")], at)
        return sum(".dsr-probe" in s.path for s in shim.of("CreateMultipartUpload"))

    assert probes(ctx, shim.endpoint) == 1
    assert probes(replace(ctx, now=ctx.now + timedelta(hours=23)), shim.endpoint) == 0
    assert probes(replace(ctx, now=ctx.now + timedelta(hours=24)), shim.endpoint) == 1
    assert probes(ctx, shim.endpoint.replace("127.0.0.1", "localhost")) == 1


def test_a_broken_stream_goes_on_where_it_broke(s3: S3Client, shim: Shim, bucket_name: str) -> None:
    """Cut bodies are resumed by range, and what is missing for good is never taken for the end."""
    rows = rows_of(PARTS)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    made = connector(shim.endpoint, bucket_name, EVENTS)
    shim.cut = lambda seen: 50_000 if seen.operation == "GetObject" else None
    assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 2}
    assert current(s3, bucket_name, "events/a") == others(rows)
    assert any(
        seen.headers.get("range", "").startswith("bytes=50000-") for seen in shim.of("GetObject")
    )
    assert all("if-match" in seen.headers for seen in shim.of("GetObject"))


def test_a_body_that_never_comes_whole_changes_nothing(
    s3: S3Client, shim: Shim, bucket_name: str
) -> None:
    """Where no further byte arrives the step waits; the object keeps all its bytes."""
    rows = rows_of(PARTS)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    made = connector(shim.endpoint, bucket_name, EVENTS)
    keys = list(made.locate([number("1")], TrialContext()))
    shim.cut = lambda seen: _nothing_behind(seen, 50_000)
    with pytest.raises(Transient, match="end before"):
        list(made.erase([number("1")], keys, TrialContext()))
    assert current(s3, bucket_name, "events/a") == lines(rows)


def _nothing_behind(seen: Seen, border: int) -> int | None:
    if seen.operation != "GetObject":
        return None
    begin = int(seen.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
    return max(0, border - begin)


def test_a_slow_body_is_asked_for_again(s3: S3Client, shim: Shim, bucket_name: str) -> None:
    """A body that hangs longer than the read's timeout is asked for again."""
    rows = rows_of(PARTS)
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    made = connector(shim.endpoint, bucket_name, EVENTS, read_timeout_s=2)
    keys = list(made.locate([number("1")], TrialContext()))
    hung: list[Seen] = []

    def hang(seen: Seen) -> None:
        shim.pause_s = 3.0 if seen.operation == "GetObject" and not hung else 0.0
        if shim.pause_s:
            hung.append(seen)

    shim.before = hang
    assert outcomes(list(made.erase([number("1")], keys, TrialContext()))) == {"erased": 2}
    assert len(hung) == 1
    assert current(s3, bucket_name, "events/a") == others(rows)
