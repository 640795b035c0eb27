"""Keys with letters that XML has no way to write: listed, erased and aborted like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from dsr_worker.contract import Key
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import outcomes
from tests.contract.s3_support import FILES, connector, number
from tests.s3_shim import Answer, Seen, Shim

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ODD = ["customers/1/\x01", "customers/1/a\x0bb", "customers/1/\ufffe"]
_XML = [("Content-Type", "application/xml")]
_SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def listing(root: str, item: str, key: str, more: str, *, encoded: bool) -> Answer:
    """A listing of one key, as S3 gives it; in plain XML it is one that nobody can read."""
    told = quote(key) if encoded else "".join(f"&#{ord(sign)};" for sign in key)
    kind = "<EncodingType>url</EncodingType>" if encoded else ""
    body = (
        f'<{root} xmlns="{_SPACE}"><IsTruncated>false</IsTruncated>{kind}'
        f"<{item}><Key>{told}</Key>{more}</{item}></{root}>"
    )
    return Answer(200, _XML, body.encode())


@pytest.mark.parametrize("key", ODD)
def test_an_upload_with_an_odd_key_is_aborted(shim: Shim, bucket_name: str, key: str) -> None:
    """One key that XML cannot hold stops nobody's case: uploads are asked for as URLs."""

    def told(seen: Seen) -> Answer | None:
        if seen.operation == "ListMultipartUploads":
            more = "<UploadId>u1</UploadId><Initiated>2026-01-01T00:00:00Z</Initiated>"
            encoded = "encoding-type=url" in seen.target
            return listing("ListMultipartUploadsResult", "Upload", key, encoded=encoded, more=more)
        return Answer(204, [], b"") if seen.operation == "AbortMultipartUpload" else None

    shim.before = told
    made = connector(shim.endpoint, bucket_name, FILES)
    keys = list(made.locate([number("1")], TrialContext()))
    assert keys == [Key("case-1", "files", (key, "upload", "u1"))]
    assert outcomes(list(made.erase([number("1")], keys, TrialContext()))) == {"erased": 1}
    (aborted,) = shim.of("AbortMultipartUpload")
    assert aborted.path == f"/{bucket_name}/{quote(key)}"


@pytest.mark.parametrize("key", ODD)
def test_an_object_with_an_odd_key_goes_by_itself(
    shim: Shim, s3: S3Client, bucket_name: str, key: str
) -> None:
    """What DeleteObjects could not name is deleted alone, and the others beside it go with it."""
    s3.put_object(Bucket=bucket_name, Key="customers/1/plain", Body=b"")

    def told(seen: Seen) -> Answer | None:
        if seen.operation == "ListObjectVersions" and "customers" in seen.target:
            item = "<VersionId>{}</VersionId><IsLatest>true</IsLatest><Size>1</Size>"
            date = "<LastModified>2026-01-01T00:00:00Z</LastModified>"
            plain = f"<Version><Key>customers/1/plain</Key>{item.format('null')}{date}</Version>"
            more = f"{item.format('null')}{date}"
            answer = listing("ListVersionsResult", "Version", key, encoded=True, more=more)
            body = answer.body.replace(b"</ListV", plain.encode() + b"</ListV")
            return Answer(200, _XML, body)
        return Answer(204, [], b"") if seen.operation == "DeleteObject" else None

    shim.before = told
    made = connector(shim.endpoint, bucket_name, FILES)
    keys = list(made.locate([number("1")], TrialContext()))
    assert len(keys) == 2
    assert outcomes(list(made.erase([number("1")], keys, TrialContext()))) == {"erased": 2}
    assert [seen.path for seen in shim.of("DeleteObject")] == [f"/{bucket_name}/{quote(key)}"]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket_name), "the plain one went as well"
