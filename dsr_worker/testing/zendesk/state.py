"""What the helpdesk fake knows: users, tickets, comments, files, the bin, and slow jobs.

In: loaded users and tickets, and the operations of the API. Out: the same JSON values as the API
gives. Nothing here knows HTTP. The traps are those of the real thing: a partial-match search, two
kinds of deletion, permanent deletion as a job, a closed ticket that cannot be updated, an e-mail
"update" that only adds an address, a requester with open tickets who cannot be deleted.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dsr_worker.testing.zendesk.rows import (
    Refused,
    Row,
    as_plain,
    comment_row,
    file_row,
    not_found,
    now,
    redacted,
    ticket_row,
    user_row,
)

GONE_NAME = "Permanently Deleted User"
_CC_FIELDS = ("collaborator_ids", "email_cc_ids", "follower_ids")


@dataclass
class Job:
    """Work that the API answers with "queued" and does later."""

    id: str
    kind: str  # bin | purge
    ids: list[int]
    created_s: float
    status: str = "queued"
    polls: int = 0
    results: list[Row] | None = None


@dataclass
class Helpdesk:
    """The whole state; callers hold `lock`.

    A job is done after `job_polls` polls, or `job_after_s` seconds, whichever comes first.
    """

    job_polls: int = 2
    job_after_s: float = 60.0
    users: dict[int, Row] = field(default_factory=dict)
    identities: dict[int, list[Row]] = field(default_factory=dict)
    tickets: dict[int, Row] = field(default_factory=dict)
    comments: dict[int, list[Row]] = field(default_factory=dict)
    files: dict[int, bytes] = field(default_factory=dict)
    file_rows: dict[int, Row] = field(default_factory=dict)
    bin: dict[int, Row] = field(default_factory=dict)
    purged: set[int] = field(default_factory=set)
    compliance: dict[int, list[Row]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _next_id: int = 5_000_000_000_000_000
    _by_requester: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    _by_cc: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    _by_author: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    _comment_ticket: dict[int, int] = field(default_factory=dict)
    _text: dict[int, str] = field(default_factory=dict)
    _changed_s: dict[int, float] = field(default_factory=dict)

    # ---- loading and looking in from outside

    def load(
        self, users: Iterable[Mapping[str, Any]], tickets: Iterable[Mapping[str, Any]]
    ) -> None:
        """Take users and tickets as they are; ids, dates and derived fields are filled in."""
        with self.lock:
            for user in users:
                self._load_user(user)
            for ticket in tickets:
                self._load_ticket(ticket)

    def dump(self) -> Row:
        """Everything stored, in order, files as digests: equal dumps are equal helpdesks."""
        with self.lock:
            return {
                "users": [
                    self.users[i] | {"identities": self.identities[i]} for i in sorted(self.users)
                ],
                "tickets": [self._whole(self.tickets[i]) for i in sorted(self.tickets)],
                "deleted_tickets": [self._whole(self.bin[i]) for i in sorted(self.bin)],
                "permanently_deleted_tickets": sorted(self.purged),
                "compliance_deletion_statuses": [
                    {"user_id": i, "statuses": self.compliance[i]} for i in sorted(self.compliance)
                ],
            }

    def _whole(self, ticket: Row) -> Row:
        comments = [
            comment
            | {
                "attachments": [
                    file | {"sha256": hashlib.sha256(self.files[file["id"]]).hexdigest()}
                    for file in comment["attachments"]
                ]
            }
            for comment in self.comments[ticket["id"]]
        ]
        return ticket | {"comments": comments}

    def _id(self, given: object) -> int:
        if given is not None:
            return int(str(given))
        self._next_id += 1
        return self._next_id

    def _load_user(self, given: Mapping[str, Any]) -> None:
        user_id = self._id(given.get("id"))
        user = user_row(given, user_id)
        own = [
            {"type": "email", "value": user["email"], "primary": True},
            {"type": "phone_number", "value": user["phone"], "primary": False},
        ]
        self.users[user_id] = user
        self.identities[user_id] = []
        for identity in [*own, *given.get("identities", ())]:
            if identity["value"]:
                self._add_identity(user_id, identity)

    def _add_identity(self, user_id: int, given: Mapping[str, Any]) -> Row:
        identity = {
            "id": self._id(given.get("id")),
            "user_id": user_id,
            "type": given.get("type", "email"),
            "value": given["value"],
            "verified": given.get("verified", True),
            "primary": given.get("primary", False),
        }
        self.identities[user_id].append(identity)
        return identity

    def _load_ticket(self, given: Mapping[str, Any]) -> None:
        ticket_id = self._id(given.get("id"))
        told = given.get("comments") or [{"body": given.get("description", "")}]
        comments = [self._comment(comment, given) for comment in told]
        ticket = ticket_row(given, ticket_id, comments[0]["plain_body"])
        self.tickets[ticket_id] = ticket
        self.comments[ticket_id] = comments
        self._comment_ticket.update((comment["id"], ticket_id) for comment in comments)
        self._changed_s[ticket_id] = datetime.fromisoformat(ticket["updated_at"]).timestamp()
        self._index(ticket_id)

    def _comment(self, given: Mapping[str, Any], ticket: Mapping[str, Any]) -> Row:
        files = [self._file(file) for file in given.get("attachments", ())]
        return comment_row(given, ticket, self._id(given.get("id")), files)

    def _file(self, given: Mapping[str, Any]) -> Row:
        content = base64.b64decode(given.get("content_b64", ""))
        file = file_row(given, self._id(given.get("id")), len(content))
        self.files[file["id"]] = content
        self.file_rows[file["id"]] = file
        return file

    def _index(self, ticket_id: int) -> None:
        for index, user_id in self._places(self.tickets[ticket_id]):
            index[user_id].add(ticket_id)

    def _places(self, ticket: Row) -> Iterator[tuple[dict[int, set[int]], int]]:
        yield self._by_requester, ticket["requester_id"]
        for name in _CC_FIELDS:
            for user_id in ticket[name]:
                yield self._by_cc, user_id
        for comment in self.comments[ticket["id"]]:
            yield self._by_author, comment["author_id"]

    # ---- users

    def live_user(self, user_id: int) -> Row:
        """A user who is not deleted."""
        user = self.users.get(user_id)
        if user is None or not user["active"]:
            raise not_found()
        return user

    def live_users(self) -> list[Row]:
        """All who are not deleted, by id."""
        return [user for _, user in sorted(self.users.items()) if user["active"]]

    def matching_users(self, query: str) -> list[Row]:
        """Partial match over name, addresses, phone, external id: the trap of the real search."""
        wanted = query.strip().strip('"').removeprefix("email:").strip('"').lower()
        if wanted == "*":
            return self.live_users()
        return [user for user in self.live_users() if wanted in self._user_text(user)]

    def _user_text(self, user: Row) -> str:
        values = [user["name"], user["external_id"] or ""]
        values += [identity["value"] for identity in self.identities[user["id"]]]
        return "\n".join(values).lower()

    def update_user(self, user_id: int, changes: Mapping[str, Any]) -> Row:
        """Change a user; an `email` only adds an unverified address, as in the real thing."""
        user = self.live_user(user_id)
        for name, value in changes.items():
            if name == "email":
                self._add_identity(user_id, {"type": "email", "value": value, "verified": False})
            else:
                user[name] = value
        if "phone" in changes:
            kept = [i for i in self.identities[user_id] if i["type"] != "phone_number"]
            self.identities[user_id] = kept
            if changes["phone"]:
                self._add_identity(user_id, {"type": "phone_number", "value": changes["phone"]})
        user["updated_at"] = now()
        return user

    def add_identity(self, user_id: int, given: Mapping[str, Any]) -> Row:
        """Give a user a further address or phone."""
        self.live_user(user_id)
        return self._add_identity(user_id, given)

    def make_primary(self, user_id: int, identity_id: int) -> list[Row]:
        """Make one address the one the user is written to."""
        user = self.live_user(user_id)
        chosen = self._identity(user_id, identity_id)
        for identity in self.identities[user_id]:
            identity["primary"] = identity is chosen
        user["email"] = chosen["value"]
        user["updated_at"] = now()
        return self.identities[user_id]

    def drop_identity(self, user_id: int, identity_id: int) -> None:
        """Take an address away; never the primary one."""
        self.live_user(user_id)
        identity = self._identity(user_id, identity_id)
        if identity["primary"]:
            raise Refused(422, "RecordInvalid", "primary identity")
        self.identities[user_id].remove(identity)

    def _identity(self, user_id: int, identity_id: int) -> Row:
        for identity in self.identities[user_id]:
            if identity["id"] == identity_id:
                return identity
        raise not_found()

    def delete_user(self, user_id: int) -> Row:
        """Soft deletion: everything is still there."""
        user = self.live_user(user_id)
        if user["role"] != "end-user":
            raise Refused(403, "Forbidden", "agents cannot be deleted here")
        if any(self.tickets[i]["status"] != "closed" for i in self._by_requester[user_id]):
            raise Refused(422, "RecordInvalid", "requester of tickets that are not closed")
        user["active"] = False
        user["updated_at"] = now()
        return user

    def soft_deleted_user(self, user_id: int) -> Row:
        """A user who is soft-deleted and not yet more."""
        user = self.users.get(user_id)
        if user is None or user["active"] or user["name"] == GONE_NAME:
            raise not_found()
        return user

    def deleted_users(self) -> list[Row]:
        """Soft and permanently deleted users, by id."""
        return [user for _, user in sorted(self.users.items()) if not user["active"]]

    def purge_user(self, user_id: int) -> Row:
        """Permanent deletion: the number stays, the person goes."""
        user = self.soft_deleted_user(user_id)
        blank = {"email": None, "phone": None, "external_id": None, "notes": "", "details": ""}
        user |= blank | {"name": GONE_NAME, "tags": [], "user_fields": {}, "updated_at": now()}
        self.identities[user_id] = []
        self.compliance[user_id] = [
            {"action": action, "application": "support", "user_id": user_id, "created_at": now()}
            for action in ("request_deletion", "complete")
        ]
        return user

    # ---- tickets

    def live_ticket(self, ticket_id: int) -> Row:
        """A ticket that is not deleted."""
        ticket = self.tickets.get(ticket_id)
        if ticket is None:
            raise not_found()
        return ticket

    def tickets_of(self, user_id: int, relation: str) -> list[Row]:
        """Live tickets that a user `requested` or is `ccd` on."""
        index = {"requested": self._by_requester, "ccd": self._by_cc}[relation]
        return [self.tickets[i] for i in sorted(index[user_id])]

    def matching_tickets(self, query: str) -> list[Row]:
        """Tickets by `requester:`, `commenter:` or by text anywhere in subject and comments."""
        found = set(self.tickets)
        for name, index in (("requester", self._by_requester), ("commenter", self._by_author)):
            match = re.search(rf"\b{name}:(\d+)", query)
            if match:
                query = query.replace(match[0], "")
                found &= index[int(match[1])]
        words = query.replace("type:ticket", "").strip().strip('"').lower()
        return [self.tickets[i] for i in sorted(found) if words in self._ticket_text(i)]

    def _ticket_text(self, ticket_id: int) -> str:
        if ticket_id not in self._text:
            texts = [c["plain_body"] for c in self.comments[ticket_id]]
            self._text[ticket_id] = "\n".join([self.tickets[ticket_id]["subject"], *texts]).lower()
        return self._text[ticket_id]

    def update_ticket(self, ticket_id: int, changes: Mapping[str, Any]) -> Row:
        """Change a ticket that is not closed."""
        ticket = self.live_ticket(ticket_id)
        if ticket["status"] == "closed":
            raise Refused(422, "RecordInvalid", "closed prevents ticket update")
        allowed = {"subject", "tags", "custom_fields", "status", "external_id"}
        ticket |= {name: value for name, value in changes.items() if name in allowed}
        self._touch(ticket)
        return ticket

    def _touch(self, ticket: Row) -> None:
        ticket["updated_at"] = now()
        self._changed_s[ticket["id"]] = time.time()
        self._text.pop(ticket["id"], None)

    def delete_ticket(self, ticket_id: int) -> None:
        """Soft deletion: into the bin, whole."""
        ticket = self.live_ticket(ticket_id)
        for index, user_id in self._places(ticket):
            index[user_id].discard(ticket_id)
        del self.tickets[ticket_id]
        self._text.pop(ticket_id, None)
        self._changed_s[ticket_id] = time.time()
        self.bin[ticket_id] = ticket | {"deleted_at": now()}

    def restore_ticket(self, ticket_id: int) -> None:
        """Out of the bin again."""
        if ticket_id not in self.bin:
            raise not_found()
        ticket = self.bin.pop(ticket_id)
        del ticket["deleted_at"]
        self.tickets[ticket_id] = ticket
        self._index(ticket_id)
        self._changed_s[ticket_id] = time.time()

    def _purge_ticket(self, ticket_id: int) -> None:
        if ticket_id not in self.bin:
            raise not_found()
        del self.bin[ticket_id]
        for comment in self.comments.pop(ticket_id):
            self._comment_ticket.pop(comment["id"])
            for file in comment["attachments"]:
                self.files.pop(file["id"])
                self.file_rows.pop(file["id"])
        self._changed_s.pop(ticket_id)
        self.purged.add(ticket_id)

    def changed_tickets(self, since_s: float) -> list[tuple[float, Row]]:
        """Live and soft-deleted tickets by the time of their last change."""
        found = [(self._changed_s[i], t) for i, t in self.tickets.items()]
        found += [(self._changed_s[i], t | {"status": "deleted"}) for i, t in self.bin.items()]
        found = [pair for pair in found if pair[0] >= since_s]
        return sorted(found, key=lambda pair: (pair[0], pair[1]["id"]))

    # ---- comments and files

    def redact_comment(self, comment_id: int, given: Mapping[str, Any]) -> Row:
        """Replace what stands in `<redact>` by blocks; the rest has to be the comment as it is."""
        ticket_id = self._comment_ticket.get(comment_id)
        if (
            ticket_id is None
            or ticket_id not in self.tickets
            or given.get("ticket_id") != ticket_id
        ):
            raise not_found()
        comment = self._comment_of(ticket_id, comment_id)
        comment["html_body"] = redacted(comment["html_body"], given["html_body"])
        comment["body"] = comment["plain_body"] = as_plain(comment["html_body"])
        ticket = self.tickets[ticket_id]
        if comment is self.comments[ticket_id][0]:
            ticket["description"] = comment["plain_body"]
        self._touch(ticket)
        return comment

    def redact_file(self, ticket_id: int, comment_id: int, file_id: int) -> Row:
        """Replace a file by an empty one called redacted.txt."""
        self.live_ticket(ticket_id)
        for file in self._comment_of(ticket_id, comment_id)["attachments"]:
            if file["id"] == file_id:
                self.files[file_id] = b""
                file |= {"file_name": "redacted.txt", "content_type": "text/plain", "size": 0}
                file["deleted"] = True
                self._touch(self.tickets[ticket_id])
                return dict(file)
        raise not_found()

    def _comment_of(self, ticket_id: int, comment_id: int) -> Row:
        for comment in self.comments[ticket_id]:
            if comment["id"] == comment_id:
                return comment
        raise not_found()

    # ---- jobs

    def start(self, kind: str, ids: list[int]) -> Job:
        """Queue a deletion."""
        job = Job(f"{kind}-{len(self.jobs) + 1}", kind, ids, time.monotonic())
        self.jobs[job.id] = job
        return job

    def poll(self, job_id: str) -> Job:
        """Ask for a job once; enough asking finishes it."""
        job = self.jobs.get(job_id)
        if job is None:
            raise not_found()
        job.polls += 1
        if job.status != "completed":
            job.status = "working"
            if job.polls >= self.job_polls:
                self._finish(job)
        return job

    def advance(self) -> None:
        """Finish jobs that are old enough, as the real thing does when nobody asks."""
        for job in self.jobs.values():
            if job.status != "completed" and time.monotonic() - job.created_s >= self.job_after_s:
                self._finish(job)

    def _finish(self, job: Job) -> None:
        work = {"bin": self.delete_ticket, "purge": self._purge_ticket}[job.kind]
        job.results = []
        for ticket_id in job.ids:
            try:
                work(ticket_id)
            except Refused as refused:
                job.results.append({"id": ticket_id, "success": False, **refused.body})
            else:
                job.results.append({"id": ticket_id, "success": True, "action": job.kind})
        job.status = "completed"
