"""The paths of the helpdesk fake: which call does what, and how answers are paged.

In: a `Call`. Out: status and payload; `Refused` for what the API refuses.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from dsr_worker.testing.zendesk.rows import Refused, Row, not_found
from dsr_worker.testing.zendesk.state import Helpdesk, Job

PAGE_MAX = 100
EXPORT_MAX = 1000
OFFSET_MAX = 10_000

Payload = Row | bytes | None
Handler = Callable[["Call"], tuple[int, Payload]]


@dataclass
class Call:
    """One request as a route sees it."""

    desk: Helpdesk
    base_url: str
    path: str
    ids: list[int]
    query: Mapping[str, str]
    body: Row
    token: str = ""

    def page(self, name: str, rows: list[Row], key: Callable[[Row], int]) -> tuple[int, Payload]:
        """One cursor page: `page[size]` at most 100, `page[after]` the last id seen."""
        size = min(int(self.query.get("page[size]", PAGE_MAX)), PAGE_MAX)
        after = self.query.get("page[after]")
        rest = [row for row in rows if after is None or key(row) > int(after)]
        shown, more = rest[:size], len(rest) > size
        following = None
        if more:
            args = {**self.query, "page[after]": str(key(shown[-1]))}
            following = f"{self.base_url}{self.path}?{urlencode(args)}"
        meta = {"has_more": more, "after_cursor": str(key(shown[-1])) if shown else None}
        return 200, {name: shown, "meta": meta, "links": {"next": following}}

    def wanted_ids(self) -> list[int]:
        """The ids of a bulk call; the API takes 100 at most."""
        ids = [int(i) for i in self.query.get("ids", "").split(",") if i]
        if not ids or len(ids) > PAGE_MAX:
            raise Refused(400, "InvalidValue", "ids: 1 to 100")
        return ids


def _me(_call: Call) -> tuple[int, Payload]:
    return 200, {"user": {"id": 1, "role": "admin"}}


def _user(call: Call) -> tuple[int, Payload]:
    return 200, {"user": call.desk.live_user(call.ids[0])}


def _users(call: Call) -> tuple[int, Payload]:
    role = call.query.get("role") or call.query.get("role[]")
    rows = [u for u in call.desk.live_users() if role in (None, u["role"])]
    return call.page("users", rows, lambda u: u["id"])


def _search_users(call: Call) -> tuple[int, Payload]:
    if "external_id" in call.query:
        wanted = call.query["external_id"]
        rows = [u for u in call.desk.live_users() if u["external_id"] == wanted]
    else:
        rows = call.desk.matching_users(call.query.get("query", ""))
    size = min(int(call.query.get("per_page", PAGE_MAX)), PAGE_MAX)
    number = int(call.query.get("page", 1))
    if number * size > OFFSET_MAX:
        raise Refused(400, "InvalidPaginationDepth", "10,000 at most")
    shown = rows[(number - 1) * size : number * size]
    more = number * size < len(rows)
    args = urlencode({**call.query, "page": str(number + 1)})
    following = f"{call.base_url}{call.path}?{args}" if more else None
    return 200, {"users": shown, "count": len(rows), "next_page": following}


def _many_users(call: Call) -> tuple[int, Payload]:
    users = call.desk.users
    return 200, {
        "users": [users[i] for i in call.wanted_ids() if i in users and users[i]["active"]]
    }


def _identities(call: Call) -> tuple[int, Payload]:
    call.desk.live_user(call.ids[0])
    return call.page("identities", call.desk.identities[call.ids[0]], lambda i: i["id"])


def _compliance(call: Call) -> tuple[int, Payload]:
    if call.ids[0] not in call.desk.compliance:
        raise not_found()
    return 200, {"compliance_deletion_statuses": call.desk.compliance[call.ids[0]]}


def _tickets_of(relation: str) -> Handler:
    def answer(call: Call) -> tuple[int, Payload]:
        return call.page("tickets", call.desk.tickets_of(call.ids[0], relation), lambda t: t["id"])

    return answer


def _many_tickets(call: Call) -> tuple[int, Payload]:
    tickets = call.desk.tickets
    return 200, {"tickets": [tickets[i] for i in call.wanted_ids() if i in tickets]}


def _comments(call: Call) -> tuple[int, Payload]:
    call.desk.live_ticket(call.ids[0])
    rows = [_with_urls(call, c) for c in call.desk.comments[call.ids[0]]]
    return call.page("comments", rows, lambda c: c["id"])


def _with_urls(call: Call, comment: Row) -> Row:
    return comment | {"attachments": [_with_url(call, f) for f in comment["attachments"]]}


def _with_url(call: Call, file: Row) -> Row:
    place = f"{call.base_url}/attachments/token/{file['id']}/?name={file['id']}"
    return file | {"content_url": place}


def _attachment(call: Call) -> tuple[int, Payload]:
    """A file by its number alone, wherever its ticket is."""
    if call.ids[0] not in call.desk.file_rows:
        raise not_found()
    return 200, {"attachment": _with_url(call, call.desk.file_rows[call.ids[0]])}


def _bin(call: Call) -> tuple[int, Payload]:
    rows = [
        {
            "id": t["id"],
            "subject": t["subject"],
            "description": t["description"],
            "actor": {"id": 0, "name": "API"},
            "deleted_at": t["deleted_at"],
            "previous_state": t["status"],
        }
        for _, t in sorted(call.desk.bin.items())
    ]
    return call.page("deleted_tickets", rows, lambda t: t["id"])


def _job(call: Call, job: Job) -> Row:
    return {
        "job_status": {
            "id": job.id,
            "url": f"{call.base_url}/api/v2/job_statuses/{job.id}.json",
            "total": len(job.ids),
            "progress": None if job.status == "queued" else len(job.results or ()),
            "status": job.status,
            "message": None,
            "results": job.results,
        }
    }


def _start(kind: str) -> Handler:
    def answer(call: Call) -> tuple[int, Payload]:
        ids = call.ids or call.wanted_ids()
        if call.ids and call.ids[0] not in call.desk.bin:
            raise not_found()
        return 200, _job(call, call.desk.start(kind, ids))

    return answer


def _delete_ticket(call: Call) -> tuple[int, Payload]:
    call.desk.delete_ticket(call.ids[0])
    return 204, None


def _restore(call: Call) -> tuple[int, Payload]:
    call.desk.restore_ticket(call.ids[0])
    return 200, {}


def _drop_identity(call: Call) -> tuple[int, Payload]:
    call.desk.drop_identity(call.ids[0], call.ids[1])
    return 204, None


def _search(call: Call) -> tuple[int, Payload]:
    query = call.query.get("query", "")
    if call.query.get("filter[type]") == "user":
        rows = call.desk.matching_users(query)
    else:
        rows = call.desk.matching_tickets(query)
    return call.page("results", rows, lambda r: r["id"])


def _export(call: Call) -> tuple[int, Payload]:
    """The incremental export: everything changed since `start_time`, soft-deleted included."""
    cursor = call.query.get("cursor")
    since, seen = json.loads(base64.urlsafe_b64decode(cursor)) if cursor else (0.0, -1)
    rows = call.desk.changed_tickets(since if cursor else float(call.query["start_time"]))
    rows = [pair for pair in rows if (pair[0], pair[1]["id"]) > (since, seen)]
    size = min(int(call.query.get("per_page", EXPORT_MAX)), EXPORT_MAX)
    shown = rows[:size]
    after = None
    if shown:
        place = json.dumps([shown[-1][0], shown[-1][1]["id"]])
        after = base64.urlsafe_b64encode(place.encode()).decode()
    tickets = [{k: v for k, v in t.items() if k != "deleted_at"} for _, t in shown]
    return 200, {
        "tickets": tickets,
        "after_cursor": after,
        "end_of_stream": len(rows) <= size,
    }


def _file(call: Call) -> tuple[int, Payload]:
    if call.ids[0] not in call.desk.files:
        raise not_found()
    return 200, call.desk.files[call.ids[0]]


_V2 = "/api/v2"
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", f"{_V2}/users/me", _me),
    ("GET", f"{_V2}/users", _users),
    ("GET", f"{_V2}/users/search", _search_users),
    ("GET", f"{_V2}/users/show_many", _many_users),
    ("GET", f"{_V2}/users/(id)", _user),
    (
        "PUT",
        f"{_V2}/users/(id)",
        lambda c: (200, {"user": c.desk.update_user(c.ids[0], c.body["user"])}),
    ),
    ("DELETE", f"{_V2}/users/(id)", lambda c: (200, {"user": c.desk.delete_user(c.ids[0])})),
    ("GET", f"{_V2}/users/(id)/identities", _identities),
    (
        "POST",
        f"{_V2}/users/(id)/identities",
        lambda c: (201, {"identity": c.desk.add_identity(c.ids[0], c.body["identity"])}),
    ),
    (
        "PUT",
        f"{_V2}/users/(id)/identities/(id)/make_primary",
        lambda c: (200, {"identities": c.desk.make_primary(c.ids[0], c.ids[1])}),
    ),
    ("DELETE", f"{_V2}/users/(id)/identities/(id)", _drop_identity),
    ("GET", f"{_V2}/users/(id)/tickets/requested", _tickets_of("requested")),
    ("GET", f"{_V2}/users/(id)/tickets/ccd", _tickets_of("ccd")),
    ("GET", f"{_V2}/users/(id)/compliance_deletion_statuses", _compliance),
    (
        "GET",
        f"{_V2}/deleted_users",
        lambda c: c.page("deleted_users", c.desk.deleted_users(), lambda u: u["id"]),
    ),
    (
        "GET",
        f"{_V2}/deleted_users/(id)",
        lambda c: (200, {"deleted_user": c.desk.soft_deleted_user(c.ids[0])}),
    ),
    (
        "DELETE",
        f"{_V2}/deleted_users/(id)",
        lambda c: (200, {"deleted_user": c.desk.purge_user(c.ids[0])}),
    ),
    (
        "GET",
        f"{_V2}/tickets",
        lambda c: c.page("tickets", [t for _, t in sorted(c.desk.tickets.items())], _row_id),
    ),
    ("GET", f"{_V2}/tickets/show_many", _many_tickets),
    ("DELETE", f"{_V2}/tickets/destroy_many", _start("bin")),
    ("GET", f"{_V2}/tickets/(id)", lambda c: (200, {"ticket": c.desk.live_ticket(c.ids[0])})),
    (
        "PUT",
        f"{_V2}/tickets/(id)",
        lambda c: (200, {"ticket": c.desk.update_ticket(c.ids[0], c.body["ticket"])}),
    ),
    ("DELETE", f"{_V2}/tickets/(id)", _delete_ticket),
    ("GET", f"{_V2}/tickets/(id)/comments", _comments),
    (
        "PUT",
        f"{_V2}/tickets/(id)/comments/(id)/attachments/(id)/redact",
        lambda c: (200, {"attachment": c.desk.redact_file(*c.ids)}),
    ),
    ("GET", f"{_V2}/attachments/(id)", _attachment),
    (
        "PUT",
        f"{_V2}/comment_redactions/(id)",
        lambda c: (200, {"comment": _with_urls(c, c.desk.redact_comment(c.ids[0], c.body))}),
    ),
    ("GET", f"{_V2}/deleted_tickets", _bin),
    ("DELETE", f"{_V2}/deleted_tickets/destroy_many", _start("purge")),
    ("DELETE", f"{_V2}/deleted_tickets/(id)", _start("purge")),
    ("PUT", f"{_V2}/deleted_tickets/(id)/restore", _restore),
    ("GET", f"{_V2}/job_statuses/(job)", lambda c: (200, _job(c, c.desk.poll(c.token)))),
    ("GET", f"{_V2}/search/export", _search),
    ("GET", f"{_V2}/incremental/tickets/cursor", _export),
    ("GET", "/attachments/token/(id)/", _file),
)


def _row_id(row: Row) -> int:
    return int(row["id"])
