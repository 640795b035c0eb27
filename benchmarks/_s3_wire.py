"""What one record out of a large object costs on the wire, and in memory.

In: the size of an object. Out: the bytes that went up, beside those of the object, and the largest
size of the process that erased, the S3 API being another. `python -m benchmarks._s3_wire BYTES`
prints both as JSON; `rows` is for the benchmark of S3.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config as ClientConfig

from benchmarks import _report
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, outcomes
from tests.contract.s3_support import EVENTS, connector, number
from tests.s3_shim import shimmed
from tests.services import S3_KEY, S3_REGION, S3_SECRET, s3_server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MIB: Final = 1 << 20
_PART_BYTES: Final = 64 * _MIB
_PATIENCE_S: Final = 600.0
_BUCKET: Final = "wire"
_LINE: Final = b'{"event_id":"e%012d","customer":"%d","at":"2026-01-01T00:00:00Z","pad":"%s"}\n'


@dataclass(frozen=True)
class Measured:
    """One erasure."""

    object_bytes: int
    sent_bytes: int
    peak_bytes: int  # of the process that erased
    idle_bytes: int  # of the same before it looked at the object


def measured(size_bytes: int) -> Measured:
    """Erase one record in the middle of an object of about this size, in a process of its own."""
    with s3_server() as behind, shimmed(behind) as shim:
        client = _patient_client(behind)
        object_bytes = _put(client, max(1, size_bytes // _PART_BYTES))
        argv = [sys.executable, "-m", "benchmarks._s3_wire", "--erase", shim.endpoint]
        told = subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603 - ours
        idle, peak = json.loads(told)
        left = client.head_object(Bucket=_BUCKET, Key="events/a")["ContentLength"]
        assert left == object_bytes - len(_line(0, 1)), "one record of everybody's is gone"
        client.close()
        return Measured(object_bytes, shim.sent_bytes(), peak, idle)


def rows(
    report: _report.Report,
    _folder: Path,
    quick: bool,  # noqa: FBT001 - as every part of this benchmark is called
) -> None:
    """Add what one record costs in an object of half a gibibyte, and in one of a whole."""
    for size_bytes in (64 * _MIB,) if quick else (512 * _MIB, 1024 * _MIB):
        found = measured(size_bytes)
        size = f"1 record of {found.object_bytes / _MIB:.0f} MiB through the S3 API"
        report.add(
            _report.Row(
                f"{size}: bytes sent up",
                found.sent_bytes / _MIB,
                "MiB",
                "the whole object",
                10.0,
                "at most",
            ),
            _report.Row(
                f"{size}: peak memory",
                found.peak_bytes / _MIB,
                "MiB",
                f"the process before it looked: {found.idle_bytes / _MIB:.0f} MiB",
                100.0,
                "at most",
            ),
        )


def _patient_client(endpoint: str) -> S3Client:
    """One that waits while a gigabyte is put together, and asks once."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=S3_KEY,
        aws_secret_access_key=S3_SECRET,
        region_name=S3_REGION,
        config=ClientConfig(read_timeout=_PATIENCE_S, retries={"total_max_attempts": 1}),
    )


def _line(n: int, customer: int) -> bytes:
    return _LINE % (n, customer, b"x" * 256)


def _put(client: S3Client, parts: int) -> int:
    """The same part many times, one with the person's record; the server copies them."""
    client.create_bucket(
        Bucket=_BUCKET, CreateBucketConfiguration={"LocationConstraint": S3_REGION}
    )
    many = _PART_BYTES // len(_line(0, 2))
    plain = b"".join(_line(n, 2) for n in range(many))
    marked = plain[: len(_line(0, 2)) * (many // 2)] + _line(0, 1)
    marked += plain[len(marked) :]
    for key, body in (("parts/plain", plain), ("parts/marked", marked)):
        client.put_object(Bucket=_BUCKET, Key=key, Body=body)
    upload = client.create_multipart_upload(Bucket=_BUCKET, Key="events/a")["UploadId"]
    etags = []
    for number_ in range(1, parts + 1):
        source = "parts/marked" if number_ == (parts + 1) // 2 else "parts/plain"
        done = client.upload_part_copy(
            Bucket=_BUCKET,
            Key="events/a",
            UploadId=upload,
            PartNumber=number_,
            CopySource={"Bucket": _BUCKET, "Key": source},
        )
        etags.append(done["CopyPartResult"]["ETag"])
    sent = [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, start=1)]
    client.complete_multipart_upload(
        Bucket=_BUCKET,
        Key="events/a",
        UploadId=upload,
        MultipartUpload={"Parts": sent},  # type: ignore[typeddict-item] # plain dictionaries
    )
    for key in ("parts/plain", "parts/marked"):
        client.delete_object(Bucket=_BUCKET, Key=key)
    return len(plain) * parts


def _peak_bytes() -> int:
    """The largest resident size of this program; getrusage would tell that of who forked it."""
    status = Path("/proc/self/status").read_text("ascii")
    (told,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(told.split()[1]) * 1024  # KiB (proc_pid_status(5))


def _erase(endpoint: str) -> tuple[int, int]:
    made = connector(endpoint, _BUCKET, EVENTS, read_timeout_s=_PATIENCE_S)
    list(made.check())
    idle = _peak_bytes()
    with contextlib.closing(made):
        assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
    return idle, _peak_bytes()


def _main(arguments: list[str]) -> Iterator[object]:
    if arguments[0] == "--erase":
        yield _erase(arguments[1])
        return
    for size in arguments:
        yield asdict(measured(int(size)))


if __name__ == "__main__":
    for answer in _main(sys.argv[1:]):
        print(json.dumps(answer))
