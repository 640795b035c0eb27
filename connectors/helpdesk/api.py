"""The helpdesk's HTTP API, one request at a time: sign-in, budget, paging, and what errors mean.

In: a call's `Context` (its rate budget and cancellation). Out: decoded JSON, pages, jobs, files.

Requests go through the transport directly and not through a client object: a client logs every URL,
and URLs of a search carry e-mail addresses; it would also follow redirects, keep cookies and read
proxies from the environment. None of that may happen here.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Protocol

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from dsr_worker.contract import Permanent, Transient

Row = dict[str, Any]

PAGE = 100  # the most that cursor paging and the bulk endpoints give or take
_WAITS = 3  # short waits for the rate limit within one request
_SHORT_WAIT_S = 2.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


class ZendeskConfig(BaseModel):
    """How to reach one helpdesk.

    `scan_deleted` also looks into the bins of deleted users and tickets: what is only soft-deleted
    is still held. `attachment_hosts` names further hosts that files may be fetched from; redirects
    are followed to those alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str
    email: str
    token: SecretStr
    connect_timeout_s: float = Field(default=5.0, gt=0)
    read_timeout_s: float = Field(default=30.0, gt=0)
    job_wait_s: float = Field(default=20.0, ge=0)
    job_poll_s: float = Field(default=0.5, gt=0)
    max_attachment_bytes: int = Field(default=200 * 1024 * 1024, gt=0)
    attachment_hosts: tuple[str, ...] = ()
    scan_deleted: bool = True

    @field_validator("base_url")
    @classmethod
    def _only_safe(cls, value: str) -> str:
        url = httpx.URL(value)
        if url.scheme != "https" and url.host not in _LOOPBACK:
            raise ValueError("base_url: use https, the token travels with every request")
        if url.userinfo or url.query or url.path not in ("", "/"):
            raise ValueError("base_url: only scheme and host, e.g. https://shop.zendesk.com")
        return value.rstrip("/")


class Meter(Protocol):
    """The part of a `Context` that a request needs."""

    def check(self) -> None:
        """Raise when the work is to stop."""

    def spend(self, calls: int = 1) -> None:
        """Take calls from the rate budget."""


class Unmetered:
    """For `check`, which has no context."""

    def check(self) -> None:
        """Nothing can be taken away."""

    def spend(self, calls: int = 1) -> None:
        """Nothing is counted."""


class Refused(Exception):  # noqa: N818 - an answer, handled where the call is made
    """The API understood the call and will not carry it out (422)."""


class Line:
    """The connection pool of one connector, shared by its threads."""

    def __init__(self, config: ZendeskConfig) -> None:
        self.config = config
        self._transport = httpx.HTTPTransport(
            verify=True, trust_env=False, limits=httpx.Limits(max_connections=16)
        )
        secret = f"{config.email}/token:{config.token.get_secret_value()}".encode()
        self._authorization = "Basic " + base64.b64encode(secret).decode()
        self._timeouts = {
            "connect": config.connect_timeout_s,
            "read": config.read_timeout_s,
            "write": config.read_timeout_s,
            "pool": config.read_timeout_s,
        }

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    @contextmanager
    def send(
        self, method: str, url: httpx.URL, body: Row | None = None, *, signed: bool = True
    ) -> Iterator[httpx.Response]:
        """One request; the answer is open inside the block. Raises Transient on network faults."""
        headers = {"Accept": "application/json", "User-Agent": "dsr-worker"}
        if signed:
            headers["Authorization"] = self._authorization
        request = httpx.Request(
            method, url, headers=headers, json=body, extensions={"timeout": self._timeouts}
        )
        try:
            response = self._transport.handle_request(request)
        except httpx.TransportError as error:
            raise _unreachable(error) from None
        response.request = request
        try:
            yield response
        except httpx.TransportError as error:
            raise _unreachable(error) from None
        finally:
            response.close()


def _unreachable(error: httpx.TransportError) -> Transient:
    return Transient(f"the helpdesk did not answer ({type(error).__name__})", retry_after_s=5)


class Api:
    """The API as one call of the connector uses it."""

    def __init__(self, line: Line, meter: Meter) -> None:
        self.config = line.config
        self.remote_at: datetime | None = None  # the helpdesk's own clock, as last heard
        self._line = line
        self._meter = meter
        self._base = httpx.URL(line.config.base_url)

    # ---- single requests

    def get(self, path: str, **params: str | int) -> Row:
        """Read; a missing row is a Permanent error. Parameters with brackets: see `pages`."""
        found = self.probe(path, params)
        if found is None:
            raise Permanent("the helpdesk says that an endpoint we need does not exist (404)")
        return found

    def probe(self, path: str, params: Mapping[str, str | int] | None = None) -> Row | None:
        """Read; None when it is not there."""
        return self._call("GET", path, params=params)

    def put(self, path: str, body: Row) -> Row | None:
        """Change; None when it is not there. Raises Refused for 422."""
        return self._call("PUT", path, body=body)

    def post(self, path: str, body: Row) -> Row | None:
        """Add; None when the place is not there. Raises Refused for 422."""
        return self._call("POST", path, body=body)

    def delete(self, path: str, params: Mapping[str, str | int] | None = None) -> Row | None:
        """Delete; None when it was not there. Raises Refused for 422."""
        return self._call("DELETE", path, params=params)

    def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None = None,
        body: Row | None = None,
    ) -> Row | None:
        url = self._base.copy_with(path=f"/api/v2/{path}")
        url = url.copy_merge_params(dict(params)) if params else url
        for _ in range(_WAITS):
            self._meter.check()
            self._meter.spend()
            with self._line.send(method, url, body) as response:
                self._listen(response)
                wait_s = self._short_wait(response)
                if wait_s is None:
                    return _decoded(response)
            time.sleep(wait_s)
        raise Transient("the helpdesk keeps answering 429", retry_after_s=_SHORT_WAIT_S)

    def _listen(self, response: httpx.Response) -> None:
        stamp = response.headers.get("Date")
        if stamp:
            self.remote_at = _http_date(stamp) or self.remote_at

    def _short_wait(self, response: httpx.Response) -> float | None:
        """Seconds to wait for the rate limit when few; raises Transient when many."""
        if response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
            return None
        wait_s = retry_after_s(response.headers.get("Retry-After", ""), self.remote_at)
        if wait_s > _SHORT_WAIT_S:
            raise Transient("the helpdesk's rate limit is used up (429)", retry_after_s=wait_s)
        return wait_s

    # ---- many rows

    def pages(self, path: str, name: str, **params: str | int) -> Iterator[Row]:
        """Rows of a cursor-paged list. Only the cursor is taken from an answer, never its URL."""
        yield from self.pages_or_none(path, name, params) or ()

    def pages_or_none(
        self, path: str, name: str, params: Mapping[str, str | int]
    ) -> Iterator[Row] | None:
        """As `pages`, but None when the list itself is not there (404)."""
        first = self.probe(path, {**params, "page[size]": PAGE})
        return None if first is None else self._rows(first, path, name, params)

    def _rows(
        self, page: Row, path: str, name: str, params: Mapping[str, str | int]
    ) -> Iterator[Row]:
        while True:
            yield from page[name]
            meta = page.get("meta") or {}
            if not meta.get("has_more"):
                return
            page = self.get(
                path, **params, **{"page[size]": PAGE, "page[after]": meta["after_cursor"]}
            )

    def many(self, what: str, ids: Sequence[int]) -> dict[int, Row]:
        """The live `users` or `tickets` of these ids, by id."""
        found: dict[int, Row] = {}
        for start in range(0, len(ids), PAGE):
            asked = ",".join(str(i) for i in ids[start : start + PAGE])
            rows = self.get(f"{what}/show_many", ids=asked)[what]
            found.update((row["id"], row) for row in rows)
        return found

    def changed_tickets(self, since_s: float) -> Iterator[Row]:
        """Every ticket changed since then, archived and soft-deleted ones included."""
        page = self.get("incremental/tickets/cursor", start_time=int(since_s))
        while True:
            yield from page["tickets"]
            if page["end_of_stream"]:
                return
            page = self.get("incremental/tickets/cursor", cursor=page["after_cursor"])

    # ---- files

    def may_fetch(self, url: str) -> bool:
        """Whether a file's URL is on a host we were told to trust."""
        return self._is_base(httpx.URL(url)) or self._is_listed(httpx.URL(url))

    def _is_base(self, url: httpx.URL) -> bool:
        return (url.scheme, url.host, url.port) == (
            self._base.scheme,
            self._base.host,
            self._base.port,
        )

    def _is_listed(self, url: httpx.URL) -> bool:
        return url.scheme == "https" and url.host in self.config.attachment_hosts

    def stream(self, url: str) -> Iterator[bytes]:
        """A file's bytes. The token goes to the helpdesk's host alone; one listed hop at most."""
        target: httpx.URL | None = httpx.URL(url)
        for _ in range(2):
            if target is None or not self.may_fetch(str(target)):
                break
            self._meter.check()
            self._meter.spend()
            with self._line.send("GET", target, signed=self._is_base(target)) as response:
                wait_s = retry_after_s(response.headers.get("Retry-After", ""), self.remote_at)
                if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                    raise Transient(
                        "the helpdesk's rate limit is used up (429)", retry_after_s=wait_s
                    )
                if response.has_redirect_location:
                    target = target.join(response.headers["Location"])
                    continue
                if response.status_code != HTTPStatus.OK:
                    _raise_for(response.status_code)
                    raise Permanent(f"a file could not be fetched ({response.status_code})")
                yield from self._capped(response)
                return
        raise Permanent("a file lies on a host that is not listed; see attachment_hosts")

    def _capped(self, response: httpx.Response) -> Iterator[bytes]:
        left = self.config.max_attachment_bytes
        for chunk in response.iter_bytes(64 * 1024):
            left -= len(chunk)
            if left < 0:
                raise Permanent("a file is larger than max_attachment_bytes")
            yield chunk

    # ---- jobs

    def settle(self, job_id: str) -> Row | None:
        """Ask for a job until it is done or `job_wait_s` is over; None when it is not known (404).

        The answer's `status` is `completed` when it is done. Raises Transient when it failed.
        """
        give_up_s = time.monotonic() + self.config.job_wait_s
        while True:
            answer = self.probe(f"job_statuses/{job_id}")
            if answer is None:
                return None
            job: Row = answer["job_status"]
            if job["status"] in ("failed", "killed"):
                raise Transient("the helpdesk gave up a deletion job", retry_after_s=30)
            if job["status"] == "completed" or time.monotonic() >= give_up_s:
                return job
            time.sleep(self.config.job_poll_s)


def _decoded(response: httpx.Response) -> Row | None:
    status = response.status_code
    if status in _GONE:
        return None
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        raise Refused
    _raise_for(status)
    content = response.read()
    try:
        decoded = response.json() if content.strip() else {}
    except ValueError:
        raise Transient("the helpdesk's answer is no JSON") from None
    return decoded if isinstance(decoded, dict) else {}


def _raise_for(status: int) -> None:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise Permanent(
            f"the helpdesk refuses us ({status}): check email and token of this system,"
            " and that this account is an administrator who may delete tickets and users"
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        raise Transient(f"the helpdesk failed ({status})", retry_after_s=10)
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        raise Permanent(f"the helpdesk does not accept a call of ours ({status})")


def retry_after_s(value: str, remote_at: datetime | None) -> float:
    """Seconds to wait by a `Retry-After` header, in either form (RFC 9110, section 10.2.3)."""
    if value.strip().isdigit():
        return float(value)
    until = _http_date(value)
    if until is None:
        return 60.0
    return max(0.0, (until - (remote_at or datetime.now(UTC))).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
