"""Systems that commit object by object and job by job, and what was done to them, counted outside.

In: an S3 API, a helpdesk fake, a crowd of people. Out: a `RemoteRoom` whose erasures go through a
bucket and the helpdesk; each change that reached the bucket or the helpdesk, by
place.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from dsr_worker.testing.zendesk import Fake, canonical
from tests import services as real
from tests.faults.room import TEXTS, DrillRoom, email

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_GONE_NAME: Final = "Permanently Deleted User"
_SHARED: Final = ("events/a.ndjson", "events/b.ndjson")
_CHANGING: Final = frozenset({"PUT", "POST", "DELETE"})
_DONE: Final = range(200, 300)
_SKIPPED_HEADERS: Final = frozenset({"connection", "transfer-encoding", "content-length"})

LAKE: Final = f"""
system: lake
connector: S3_KIND
parallel: 1
config:
  bucket: BUCKET
  endpoint_url: ENDPOINT
  region: {real.S3_REGION}
  access_key_id: {{file: SECRET_FILE}}
  secret_access_key: {{file: SECRET_FILE}}
collections:
  papers:
    source: {{layout: prefix, template: "customers/{{customer_number}}/"}}
    key: [key]
    takes: {{customer_number: key}}
    class: attachment
    fields: {{key: user.unique_id, body: user.content}}
{TEXTS}
  events:
    source: {{layout: shared, prefix: "events/", format: ndjson}}
    key: [id]
    takes: {{customer_number: customer}}
    class: event-log
    fields: {{id: user.unique_id, customer: user.unique_id, page: user.content}}
{TEXTS}
"""
HELPDESK: Final = f"""
system: helpdesk
connector: ZENDESK_KIND
parallel: 1
config: {{base_url: "BASE_URL", email: EMAIL, token: {{file: TOKEN_FILE}}, job_poll_s: 0.01}}
collections:
  users:
    source: {{resource: users}}
    key: [id]
    person: true
    takes: {{email: {{field: email, form: ascii-case}}, zendesk_user: id}}
    yields: {{zendesk_user: id}}
    class: helpdesk-user
    fields: {{id: user.unique_id, email: {{category: user.contact.email, mask: tombstone}}}}
{TEXTS}
  tickets:
    source: {{resource: tickets}}
    key: [id]
    takes: {{zendesk_user: requester_id}}
    class: support-ticket
    fields: {{id: user.unique_id, requester_id: user.unique_id, subject: user.content}}
{TEXTS}
  comments:
    source: {{resource: comments}}
    key: [ticket_id, id]
    parent: {{collection: tickets, on: {{ticket_id: id}}}}
    class: ticket-comment
    fields: {{id: user.unique_id, ticket_id: user.unique_id, body: user.content}}
{TEXTS}
  attachments:
    source: {{resource: attachments}}
    key: [ticket_id, comment_id, id]
    parent: {{collection: comments, on: {{comment_id: id}}}}
    class: ticket-attachment
    fields: {{id: user.unique_id, ticket_id: user.unique_id, comment_id: user.unique_id}}
{TEXTS}
"""


# ---- counting
_PROBED = ".dsr-probe/"  # what we write and erase to see whether conditions hold


class Counted:
    """An S3 API in front of another: what passes is counted where it changed something."""

    def __init__(self, endpoint: str) -> None:
        self.changes: Counter[tuple[str, str]] = Counter()  # (method, object and version)
        self._target = urlsplit(endpoint).netloc
        counted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return lambda: counted.pass_on(self)
                raise AttributeError(name)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def pass_on(self, request: BaseHTTPRequestHandler) -> None:
        """Hand one request on and its answer back."""
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection(self._target, timeout=30)
        try:
            connection.request(request.command, request.path, body, dict(request.headers))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if request.command in _CHANGING and answer.status in _DONE:
            self._note(request.command, request.path, body)
        request.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _SKIPPED_HEADERS:
                request.send_header(name, value)
        length = answer.getheader("Content-Length") if request.command == "HEAD" else len(content)
        request.send_header("Content-Length", str(length))
        request.end_headers()
        request.wfile.write(content)

    def _note(self, method: str, path: str, body: bytes) -> None:
        url = urlsplit(path)
        _, _, key = url.path.lstrip("/").partition("/")
        version = "".join(parse_qs(url.query).get("versionId", ()))
        if key.startswith(_PROBED):
            return
        if "delete" in parse_qs(url.query, keep_blank_values=True):
            for part in body.decode().split("<Key>")[1:]:
                erased = part.partition("<")[0]
                if not erased.startswith(_PROBED):
                    self.changes["DELETE", erased] += 1
        else:
            self.changes[method, f"{key}{version}"] += 1

    @contextmanager
    def serving(self) -> Iterator[Counted]:
        """Itself, at work."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


# ---- the installation


class RemoteRoom(DrillRoom):
    """Everybody in a bucket and at a helpdesk."""

    def __init__(
        self,
        folder: Path,
        database: Callable[[], str],
        s3: S3Client,
        bucket: str,
        counted: Counted,
        fake: Fake,
        *,
        careless: bool = False,
    ) -> None:
        self._s3, self._bucket, self._counted, self._fake = s3, bucket, counted, fake
        (folder / "s3.secret").write_text(real.S3_KEY, "ascii")
        (folder / "helpdesk.token").write_text(fake.token, "ascii")
        told = {
            "BUCKET": bucket,
            "ENDPOINT": counted.endpoint,
            "SECRET_FILE": str(folder / "s3.secret"),
            "BASE_URL": fake.base_url,
            "EMAIL": fake.email,
            "TOKEN_FILE": str(folder / "helpdesk.token"),
            "S3_KIND": "careless-s3" if careless else "s3",
            "ZENDESK_KIND": "careless-zendesk" if careless else "zendesk",
        }
        systems = {"lake": _filled(LAKE, told), "helpdesk": _filled(HELPDESK, told)}
        super().__init__(folder, database, systems)

    def load_everywhere(self, count: int) -> None:
        """Person 0 … count-1 in both systems."""
        for name in _SHARED:
            events = [
                {"id": f"{name[7]}-{n}", "customer": str(n), "page": f"/p/{n}"}
                for n in range(count)
            ]
            body = b"".join(json.dumps(event).encode() + b"\n" for event in events)
            self._s3.put_object(Bucket=self._bucket, Key=name, Body=body)
        for n in range(count):
            for paper in ("p", "q"):
                key = f"customers/{n}/{paper}.txt"
                self._s3.put_object(Bucket=self._bucket, Key=key, Body=b"paper of %d" % n)
        self._fake.load(
            users=[{"id": 1000 + n, "name": f"Name {n}", "email": email(n)} for n in range(count)],
            tickets=[_ticket(n) for n in range(count)],
        )

    def changes(self) -> Counter[tuple[str, str]]:
        """Every change that reached the bucket or the helpdesk, by what was done to what."""
        found = Counter(self._counted.changes)
        for line in self._fake.requests:
            method, _, path = line.partition(" ")
            if method != "GET" and "users/" in path:
                found[method, path] += 1
        for job in self._fake.desk.jobs.values():
            found.update(("purged", str(r["id"])) for r in job.results or () if r["success"])
        return found

    def world(self) -> dict[tuple[str, ...], bytes]:
        """Everything that is a person's, by system, collection and key."""
        found: dict[tuple[str, ...], bytes] = {}
        for item in self._s3.list_objects_v2(Bucket=self._bucket).get("Contents", ()):
            body = self._s3.get_object(Bucket=self._bucket, Key=item["Key"])["Body"].read()
            if item["Key"] not in _SHARED:
                found["lake", "papers", item["Key"].split("/")[1], item["Key"]] = body
                continue
            for line in body.splitlines(keepends=True):
                event = json.loads(line)
                found["lake", "events", event["customer"], event["id"]] = line
        state = self._fake.dump()
        for user in state["users"]:
            if user["name"] != _GONE_NAME:
                found["helpdesk", "users", str(user["id"] - 1000)] = canonical(user)
        for ticket in (*state["tickets"], *state["deleted_tickets"]):
            place = ("helpdesk", "tickets", str(ticket["requester_id"] - 1000))
            found[place] = canonical(ticket)
        return found


def _ticket(number: int) -> dict[str, Any]:
    file = {"id": 40_000 + number, "file_name": "f.txt", "content_b64": "Zg=="}
    comments = [
        {"id": 20_000 + 2 * number, "body": "first", "attachments": [file]},
        {"id": 20_001 + 2 * number, "body": "second"},
    ]
    return {
        "id": 10_000 + number,
        "requester_id": 1000 + number,
        "subject": f"Subject {number}",
        "status": "solved",
        "created_at": "2026-05-01T10:00:00Z",
        "comments": comments,
    }


def _filled(text: str, told: dict[str, str]) -> str:
    for name, value in told.items():
        text = text.replace(name, value)
    return text


@contextmanager
def remote_room(
    folder: Path,
    database: Callable[[], str],
    s3: S3Client,
    bucket: str,
    endpoint: str,
    people: int,
    *,
    careless: bool = False,
) -> Iterator[RemoteRoom]:
    """A filled room, with the helpdesk and the counting bucket at work."""
    with Counted(endpoint).serving() as counted, Fake() as fake:
        room = RemoteRoom(folder, database, s3, bucket, counted, fake, careless=careless)
        room.load_everywhere(people)
        yield room
        for connector in room.office.materials._connectors.values():
            if (close := getattr(connector, "close", None)) is not None:
                close()
