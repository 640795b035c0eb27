"""The shapes of the helpdesk fake: what a user, ticket, comment and file look like when stored.

In: what was loaded. Out: complete rows. Also the two ways a comment's text is written, redaction
included, and the answer that refuses a call.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Row = dict[str, Any]

REDACTED = "▇"
_REDACT = re.compile(r"<redact>(.*?)</redact>", re.DOTALL)
_MARKED_TAG = re.compile(r"<(a|img)\b([^>]*?)\sredact\s*/?>")
_TAG = re.compile(r"<[^>]*>")


class Refused(Exception):  # noqa: N818 - an answer of the API, not a fault of the fake
    """The API answers with `status` and an error code."""

    def __init__(self, status: int, error: str, description: str = "") -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error, "description": description}


def not_found() -> Refused:
    """The answer for a row that is not there."""
    return Refused(404, "RecordNotFound", "Not found")


def now() -> str:
    """This instant as the API writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def as_html(plain: str) -> str:
    """A comment's text as the API shows it in HTML."""
    return f'<div class="zd-comment" dir="auto">{html.escape(plain)}</div>'


def as_plain(body: str) -> str:
    """The text of a comment's HTML."""
    return html.unescape(_TAG.sub("", body))


def redacted(stored: str, marked: str) -> str:
    """`stored` HTML with what `marked` wraps in `<redact>` turned to blocks.

    Raises Refused when `marked` differs from `stored` in anything but the marks.
    """
    unmarked = _MARKED_TAG.sub(lambda m: f"<{m[1]}{m[2]}>", marked)
    if _REDACT.sub(lambda m: m[1], unmarked) != stored:
        raise Refused(400, "InvalidRedaction", "html_body differs beyond the redact tags")
    blocked = _REDACT.sub(lambda m: REDACTED * len(html.unescape(m[1])), marked)
    return _MARKED_TAG.sub(lambda m: f"<{m[1]}>", blocked)


def user_row(given: Mapping[str, Any], user_id: int) -> Row:
    """A stored user; what is not given has the API's defaults."""
    created = given.get("created_at") or now()
    return {
        "name": "",
        "email": None,
        "phone": None,
        "role": "end-user",
        "active": True,
        "verified": True,
        "suspended": False,
        "external_id": None,
        "notes": "",
        "details": "",
        "tags": [],
        "user_fields": {},
        "locale": "en",
        "created_at": created,
        "updated_at": created,
        **{name: value for name, value in given.items() if name != "identities"},
        "id": user_id,
    }


def ticket_row(given: Mapping[str, Any], ticket_id: int, description: str) -> Row:
    """A stored ticket; its description is the text of its first comment."""
    created = given.get("created_at") or now()
    return {
        "subject": "",
        "status": "open",
        "submitter_id": given["requester_id"],
        "assignee_id": None,
        "collaborator_ids": [],
        "email_cc_ids": list(given.get("collaborator_ids", ())),
        "follower_ids": [],
        "tags": [],
        "custom_fields": [],
        "via": {"channel": "email", "source": {"from": {}, "to": {}, "rel": None}},
        "created_at": created,
        "updated_at": created,
        **{name: value for name, value in given.items() if name != "comments"},
        "id": ticket_id,
        "description": description,
    }


def comment_row(
    given: Mapping[str, Any], ticket: Mapping[str, Any], comment_id: int, files: list[Row]
) -> Row:
    """A stored comment of `ticket`, by its requester unless said otherwise."""
    plain = given.get("body", given.get("plain_body", ""))
    return {
        "id": comment_id,
        "type": "Comment",
        "author_id": given.get("author_id", ticket["requester_id"]),
        "body": plain,
        "plain_body": plain,
        "html_body": given.get("html_body") or as_html(plain),
        "public": given.get("public", True),
        "via": given.get("via", {"channel": "email"}),
        "created_at": given.get("created_at") or ticket.get("created_at") or now(),
        "attachments": files,
    }


def file_row(given: Mapping[str, Any], file_id: int, size: int) -> Row:
    """A stored attachment; its bytes lie elsewhere, its URL is made when it is shown."""
    return {
        "id": file_id,
        "file_name": given.get("file_name", "file"),
        "content_type": given.get("content_type", "application/octet-stream"),
        "size": size,
        "inline": False,
        "deleted": False,
    }
