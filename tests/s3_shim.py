"""A proxy before moto that does what S3 does and moto does not, and plays what goes wrong.

In: requests to a loopback port. Out: moto's answers, with these differences: If-Match holds for
CompleteMultipartUpload and UploadPartCopy, a wrong CRC32 is refused, erasing an unknown version is
no error, what went up in parts has an access list, what was written with a customer's key is read
with that key alone. A test sees every
request (`seen`), may answer in the server's stead (`before`), break bodies (`cut`, `pause_s`), and
let the endpoint ignore conditions (`ignoring`): then it is a weak one.
"""

from __future__ import annotations

import base64
import http.client
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit
from xml.etree import ElementTree as ET  # what our own client wrote

_PIECE_BYTES: Final = 256 * 1024
_CUSTOMER: Final = "x-amz-server-side-encryption-customer-"
_BY_BUCKET: Final = (
    ("GET", "versions", "ListObjectVersions"),
    ("GET", "uploads", "ListMultipartUploads"),
    ("GET", "list-type", "ListObjectsV2"),
    ("POST", "delete", "DeleteObjects"),
)
_BY_KEY: Final = (
    ("POST", "uploads", "CreateMultipartUpload"),
    ("POST", "uploadId", "CompleteMultipartUpload"),
    ("DELETE", "uploadId", "AbortMultipartUpload"),
    ("PUT", "uploadId", "UploadPart"),
    ("GET", "tagging", "GetObjectTagging"),
    ("GET", "acl", "GetObjectAcl"),
    ("GET", "", "GetObject"),
    ("HEAD", "", "HeadObject"),
    ("PUT", "", "PutObject"),
    ("DELETE", "", "DeleteObject"),
)
_WRITES: Final = {"PutObject", "CompleteMultipartUpload", "UploadPartCopy", "DeleteObject"}
_XML: Final = [("Content-Type", "application/xml")]
_SPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_PRIVATE: Final = (
    f'<AccessControlPolicy xmlns="{_SPACE}"><Owner><ID>owner</ID></Owner><AccessControlList><Grant>'
    '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">'
    "<ID>owner</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList>"
    "</AccessControlPolicy>"
).encode()


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    operation: str
    method: str
    target: str
    headers: Mapping[str, str]  # by lower-case name
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """`/bucket/key`, as it stands in the request."""
        return urlsplit(self.target).path

    def signed(self) -> dict[str, str]:
        """What a further request in its name needs: moto looks whether there is a signature."""
        return {"authorization": self.headers["authorization"]}


@dataclass(frozen=True)
class Answer:
    """A status, headers and a body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def error(status: int, code: str) -> Answer:
    """An error of S3."""
    body = f"<Error><Code>{code}</Code><Message>played</Message></Error>".encode()
    return Answer(status, _XML, body)


@dataclass
class Shim:
    """What a test may set and see."""

    endpoint: str
    behind: str
    seen: list[Seen] = field(default_factory=list)
    before: Callable[[Seen], Answer | None] = lambda _seen: None
    cut: Callable[[Seen], int | None] = lambda _seen: None  # bytes of the body that arrive
    pause_s: float = 0.0  # before every piece of a body
    ignoring: frozenset[str] = frozenset()  # operations whose conditions are dropped
    _writing: threading.RLock = field(default_factory=threading.RLock)
    _customers: dict[str, str] = field(default_factory=dict)

    def operations(self) -> list[str]:
        """The names of the requests so far, in order."""
        return [seen.operation for seen in self.seen]

    def sent_bytes(self) -> int:
        """How many bytes of objects went up."""
        return sum(len(s.body) for s in self.seen if s.operation in ("PutObject", "UploadPart"))

    def of(self, operation: str) -> list[Seen]:
        """The requests of one name."""
        return [seen for seen in self.seen if seen.operation == operation]

    def answer(self, seen: Seen) -> Answer:
        """What to say to a request."""
        self.seen.append(seen)
        played = self.before(seen)
        if played is not None:
            return played
        if seen.operation not in _WRITES:
            return self._mended(seen)
        with self._writing:
            return self._refusal(seen) or self._mended(seen)

    def _refusal(self, seen: Seen) -> Answer | None:
        wrong = seen.headers.get("x-amz-checksum-crc32")
        if wrong and wrong != base64.b64encode(struct.pack(">I", zlib.crc32(seen.body))).decode():
            return error(400, "BadDigest")
        if seen.operation in self.ignoring:
            return None
        if seen.operation == "CompleteMultipartUpload":
            return self._unless(seen, seen.path, seen.headers.get("if-match"))
        if seen.operation == "UploadPartCopy":
            source = "/" + seen.headers["x-amz-copy-source"].lstrip("/")
            return self._unless(seen, source, seen.headers.get("x-amz-copy-source-if-match"))
        return None

    def _unless(self, seen: Seen, target: str, etag: str | None) -> Answer | None:
        if etag is None:
            return None
        found = self._forwarded("HEAD", target, seen.signed(), b"")
        if found.status == 404:
            return error(404, "NoSuchKey")
        if etag not in [value for name, value in found.headers if name.lower() == "etag"]:
            return error(412, "PreconditionFailed")
        return None

    def _mended(self, seen: Seen) -> Answer:
        customers = self._customers.get(seen.path)
        given = seen.headers.get(_CUSTOMER + "key-md5")
        if seen.operation in ("GetObject", "HeadObject") and customers != given:
            return error(400, "InvalidRequest")
        headers = dict(seen.headers)
        if seen.operation in self.ignoring:
            headers.pop("if-match", None)
        answer = self._forwarded(seen.method, seen.target, headers, seen.body)
        if seen.operation == "DeleteObjects" and answer.status == 500:
            return self._one_by_one(seen)
        if seen.operation == "GetObjectAcl" and answer.status == 500:
            return Answer(200, _XML, _PRIVATE)
        if seen.operation in ("PutObject", "CreateMultipartUpload") and answer.status == 200:
            if given:
                self._customers[seen.path] = given
            else:
                self._customers.pop(seen.path, None)
        if customers and seen.operation in ("GetObject", "HeadObject"):
            answer.headers.append((_CUSTOMER + "algorithm", "AES256"))
        return answer

    def _one_by_one(self, seen: Seen) -> Answer:
        space = f"{{{_SPACE}}}"
        failed = ""
        for item in ET.fromstring(seen.body).iter(f"{space}Object"):  # noqa: S314 - as above
            key, version = item.findtext(f"{space}Key"), item.findtext(f"{space}VersionId")
            target = f"{seen.path.rstrip('/')}/{quote(key or '')}?versionId={version}"
            answer = self._forwarded("DELETE", target, seen.signed(), b"")
            if answer.status == 403:
                failed += (
                    f"<Error><Key>{key}</Key><VersionId>{version}</VersionId>"
                    "<Code>AccessDenied</Code></Error>"
                )
        body = f'<DeleteResult xmlns="{_SPACE}">{failed}</DeleteResult>'.encode()
        return Answer(200, _XML, body)

    def _forwarded(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        kept = {
            n: v for n, v in headers.items() if n not in ("host", "expect", "transfer-encoding")
        }
        connection = http.client.HTTPConnection(self.behind.removeprefix("http://"), timeout=600)
        try:
            connection.request(method, target, body, {**kept, "content-length": str(len(body))})
            answer = connection.getresponse()
            data = answer.read()
            return Answer(answer.status, answer.getheaders(), data)
        finally:
            connection.close()


@contextmanager
def shimmed(behind: str) -> Iterator[Shim]:
    """A shim before the S3 API at `behind`, on a free loopback port."""

    class Handler(_Handler):
        def answered(self, seen: Seen) -> tuple[Answer, int | None, float]:
            return shim.answer(seen), shim.cut(seen), shim.pause_s

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        shim = Shim(f"http://127.0.0.1:{server.server_address[1]}", behind)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield shim
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answered(self, seen: Seen) -> tuple[Answer, int | None, float]:
        raise NotImplementedError

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (BrokenPipeError, ConnectionResetError):  # the client had enough
            self.close_connection = True

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        operation = _operation(self.command, self.path, headers)
        seen = Seen(operation, self.command, self.path, headers, body)
        answer, cut, pause_s = self.answered(seen)
        self.send_response_only(answer.status)
        told = {name.lower() for name, _ in answer.headers}
        for name, value in answer.headers:
            if name.lower() not in ("connection", "transfer-encoding", "server", "date"):
                self.send_header(name, value)
        if "content-length" not in told:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if cut is not None:
            self.close_connection = True
        sent = answer.body if cut is None else answer.body[:cut]
        for at in range(0, len(sent), _PIECE_BYTES):
            if pause_s:
                time.sleep(pause_s)
            self.wfile.write(sent[at : at + _PIECE_BYTES])

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - the library's names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _operation(method: str, target: str, headers: Mapping[str, str]) -> str:
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    of_key = parts.path.strip("/").count("/") > 0
    for verb, word, name in _BY_KEY if of_key else _BY_BUCKET:
        if verb == method and (not word or word in query):
            copies = name in ("UploadPart", "PutObject") and "x-amz-copy-source" in headers
            return {"UploadPart": "UploadPartCopy"}.get(name, "CopyObject") if copies else name
    return f"{method} {' '.join(sorted(query))}".strip()
