"""The helpdesk fake behind HTTP: routes, token, paging, a rate budget and faults on order.

In: requests on 127.0.0.1. Out: answers shaped like the API's. `/__test__/…` loads, dumps and breaks
it; these paths take no token and cost no budget.

Faults (`POST /__test__/faults`, JSON; keys not given stay as they are)::

    {"faults": [{"match": "DELETE /api/v2/users/", "kind": "status", "status": 500, "times": 1},
                {"match": "…", "kind": "drop_after", "times": 1, "skip": 0},
                {"match": "…", "kind": "slow_after", "delay_s": 2}],
     "budget": {"requests": 100, "per_s": 60, "date_form": false},
     "job_polls": 2, "job_after_s": 60}

`status` answers before any work; `drop_after` does the work and closes the connection without an
answer; `slow_after` does the work and answers too late. `skip` lets that many matches pass first.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from dsr_worker.testing.zendesk.routes import ROUTES, Call, Handler, Payload
from dsr_worker.testing.zendesk.rows import Refused, Row
from dsr_worker.testing.zendesk.state import Helpdesk


@dataclass
class Fault:
    """One ordered misbehaviour for requests whose `METHOD path` contains `match`."""

    match: str
    kind: str
    status: int = 500
    times: int = 1
    skip: int = 0
    delay_s: float = 0.0

    def strikes(self, line: str) -> bool:
        """Whether this request is hit; counts it."""
        if self.times <= 0 or self.match not in line:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Budget:
    """A fixed window of requests; used up, the answer is 429 with `Retry-After`."""

    requests: int
    per_s: float = 60.0
    date_form: bool = False
    opened_s: float = field(default_factory=time.monotonic)
    used: int = 0

    def retry_after(self) -> str | None:
        """Count one request; the value of `Retry-After` when the budget is used up."""
        since = time.monotonic() - self.opened_s
        if since >= self.per_s:
            self.opened_s, self.used, since = time.monotonic(), 0, 0.0
        self.used += 1
        if self.used <= self.requests:
            return None
        wait_s = max(1, round(self.per_s - since))
        return formatdate(time.time() + wait_s, usegmt=True) if self.date_form else str(wait_s)


def _compiled() -> list[tuple[str, re.Pattern[str], Handler]]:
    def pattern(path: str) -> re.Pattern[str]:
        return re.compile(path.replace("(id)", r"(\d+)").replace("(job)", r"([\w-]+)"))

    return [(method, pattern(path), handler) for method, path, handler in ROUTES]


class Fake:
    """The running fake. A context manager; `load`, `dump` and `faults` work in process as well.

    Args:
        email, token: what callers sign in with (Basic `email/token:token`).
        port: 0 takes a free one.
        job_polls: how often a deletion job is asked for before it is done.
    """

    def __init__(
        self,
        *,
        email: str = "worker@shop.example",
        token: str = "trial-token",  # noqa: S107 - a fake's token guards nothing
        port: int = 0,
        job_polls: int = 2,
    ) -> None:
        self.email, self.token = email, token
        self.desk = Helpdesk(job_polls=job_polls)
        self.requests: list[str] = []  # "METHOD path" of each API request, without the query
        self._faults: list[Fault] = []
        self._budget: Budget | None = None
        self._routes = _compiled()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def base_url(self) -> str:
        """Where it listens; the `base_url` of the connector's configuration."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve_forever(self) -> None:
        """Serve in this thread until interrupted."""
        with self._server:
            self._server.serve_forever()

    def load(
        self,
        users: Iterable[Mapping[str, Any]] = (),
        tickets: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """Add users and tickets (each with its comments and their attachments)."""
        self.desk.load(users, tickets)

    def dump(self) -> Row:
        """The whole state; `canonical(dump())` are the bytes of `GET /__test__/dump`."""
        return self.desk.dump()

    def faults(self, order: Mapping[str, Any]) -> None:
        """Take an order of faults, a budget, or another patience of jobs; see the module."""
        with self.desk.lock:
            if "faults" in order:
                self._faults = [Fault(**fault) for fault in order["faults"]]
            if "budget" in order:
                self._budget = Budget(**order["budget"]) if order["budget"] else None
            self.desk.job_polls = order.get("job_polls", self.desk.job_polls)
            self.desk.job_after_s = order.get("job_after_s", self.desk.job_after_s)

    def answer(self, method: str, target: str, authorization: str, body: bytes) -> _Answer:
        """Answer one request; the faults are played by whoever writes the answer."""
        url = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        with self.desk.lock:
            if url.path.startswith("/__test__/"):
                return self._for_tests(method, url.path, body)
            return self._for_callers(method, url.path, query, authorization, body)

    def _for_callers(
        self, method: str, path: str, query: Mapping[str, str], authorization: str, body: bytes
    ) -> _Answer:
        line = f"{method} {path}"
        self.requests.append(line)
        fault = next((f for f in self._faults if f.strikes(line)), None)
        wait = self._budget.retry_after() if self._budget else None
        if wait is not None:
            return _Answer(429, {"error": "TooManyRequests"}, {"Retry-After": wait})
        if fault and fault.kind == "status":
            return _Answer(fault.status, {"error": "Fault"})
        if not self._signed_in(authorization):
            return _Answer(401, {"error": "Couldn't authenticate you"})
        self.desk.advance()
        try:
            status, payload = self._route(method, path.removesuffix(".json"), query, body)
        except Refused as refused:
            status, payload = refused.status, refused.body
        return _Answer(status, payload, fault=fault)

    def _signed_in(self, authorization: str) -> bool:
        try:
            given = base64.b64decode(authorization.removeprefix("Basic "), validate=True)
        except binascii.Error:
            return False
        return given == f"{self.email}/token:{self.token}".encode()

    def _route(
        self, method: str, path: str, query: Mapping[str, str], body: bytes
    ) -> tuple[int, Payload]:
        for wanted, pattern, handler in self._routes:
            match = pattern.fullmatch(path) if method == wanted else None
            if match:
                groups = match.groups()
                ids = [int(g) for g in groups if g.isdigit()]
                given = json.loads(body) if body else {}
                token = groups[-1] if groups else ""
                return handler(Call(self.desk, self.base_url, path, ids, query, given, token))
        raise Refused(404, "InvalidEndpoint", "Not found")

    def _for_tests(self, method: str, path: str, body: bytes) -> _Answer:
        if (method, path) == ("GET", "/__test__/dump"):
            return _Answer(200, canonical(self.dump()))
        if (method, path) == ("POST", "/__test__/load"):
            rows = [json.loads(line) for line in body.splitlines() if line.strip()]
            self.load(
                [row["user"] for row in rows if "user" in row],
                [row["ticket"] for row in rows if "ticket" in row],
            )
            return _Answer(200, {"lines": len(rows)})
        if (method, path) == ("POST", "/__test__/faults"):
            self.faults(json.loads(body))
            return _Answer(200, {})
        return _Answer(404, {"error": "InvalidEndpoint"})


@dataclass
class _Answer:
    """An answer with its bytes made at once, under the lock: rows change afterwards."""

    status: int
    payload: InitVar[Payload]
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    content: bytes = b""
    media_type: str = "application/json; charset=utf-8"

    def __post_init__(self, payload: Payload) -> None:
        if isinstance(payload, bytes):
            self.content, self.media_type = payload, "application/octet-stream"
        elif payload is not None:
            self.content = json.dumps(payload).encode()


def canonical(state: Row) -> bytes:
    """The one spelling of a dump, for comparing bytes."""
    return json.dumps(state, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    fake: Fake

    def handle_error(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Callers may hang up at any time; anything else is a fault of the fake and is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        signed = self.headers.get("Authorization", "")
        answer = self.server.fake.answer(self.command, self.path, signed, body)
        if answer.fault and answer.fault.kind == "drop_after":
            self.close_connection = True
            return
        if answer.fault and answer.fault.kind == "slow_after":
            time.sleep(answer.fault.delay_s)
        self._write(answer)

    def _write(self, answer: _Answer) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Type": answer.media_type, **answer.headers}.items():
            self.send_header(name, value)
        if answer.status != 204:  # noqa: PLR2004 - No Content
            self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        try:
            self.wfile.write(answer.content)
        except OSError:  # the caller has hung up, as callers do
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - names given by http.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base names it
        """Say nothing: request lines carry e-mail addresses."""
