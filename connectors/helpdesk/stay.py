"""What stays at the helpdesk is stripped: comments redacted, files emptied, fields masked.

In: a ticket that may not go, with its verdict. Out: redactions and updates, each in its own moment,
each looked at first, and their counts. A comment cannot be deleted on its own, so that erasing one
whose ticket stays means redacting all of its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from connectors.helpdesk.api import Api
from connectors.helpdesk.bundle import Bundle, Verdict
from connectors.helpdesk.decide import NEEDED, Tally, latest
from connectors.helpdesk.layout import Layout, Row, files_of
from dsr_worker.contract import (
    Action,
    Collection,
    Context,
    Guard,
    Key,
    Mask,
    MaskKind,
    Outcome,
    Rule,
)

CLOSED = "closed_ticket"
_BLOCK = "▇"
_TOMBSTONE = Mask(MaskKind.TOMBSTONE)
_TEXT_FIELDS = frozenset({"body", "plain_body", "html_body"})
_TICKET_FIELDS = frozenset({"subject", "tags", "custom_fields", "external_id"})
_MARKED_TAG = re.compile(r"^<(a|img)\b(.*?)(\s*/?)>$", re.DOTALL)

Moment = Callable[[], AbstractContextManager[Guard]]
Keys = Callable[[Collection | None, int], list[Key]]


class Stay:
    """Strips tickets that stay and counts what was done."""

    def __init__(self, api: Api, layout: Layout, ctx: Context, tally: Tally, keys: Keys) -> None:
        self._api = api
        self._layout = layout
        self._ctx = ctx
        self._tally = tally
        self._keys = keys

    def keep(self, bundle: Bundle, moment: Moment) -> None:
        """Files first, then comments, then the ticket's own fields."""
        for comment in bundle.comments:
            for file in files_of(comment):
                self._file(bundle, file, moment)
            self._comment(bundle, comment, moment)
        self._ticket(bundle, moment)

    def _verdict(self, bundle: Bundle, guard: Guard) -> Verdict:
        return bundle.decide(self._layout, guard.table)

    def _comment(self, bundle: Bundle, comment: Row, moment: Moment) -> None:
        if self._layout.comments is None:
            return
        keys = self._keys(self._layout.comments, comment["id"])
        bare = _is_redacted(comment)
        with moment() as guard:
            rule = self._verdict(bundle, guard).comments[comment["id"]]
            part = Tally(self._ctx.digest)
            strips = _strips(rule, _TEXT_FIELDS)
            self._count(part, keys, rule, comment, Outcome.REDACTED if strips else None, 1 - bare)
            if strips and not bare and not self._ctx.dry_run:
                guard.intend(tuple(part.receipts()))
                self._api.put(f"comment_redactions/{comment['id']}", redaction(comment))
        self._tally.merge(part)

    def _file(self, bundle: Bundle, file: Row, moment: Moment) -> None:
        if self._layout.attachments is None:
            return
        keys = self._keys(self._layout.attachments, file["id"])
        bare = bool(file.get("deleted"))
        with moment() as guard:
            rule = self._verdict(bundle, guard).files[file["id"]]
            part = Tally(self._ctx.digest)
            strips = rule.action is not Action.KEEP
            self._count(part, keys, rule, file, Outcome.REDACTED if strips else None, 1 - bare)
            if strips and not bare and not self._ctx.dry_run:
                guard.intend(tuple(part.receipts()))
                self._api.put(_file_path(file), {})
        self._tally.merge(part)

    def _ticket(self, bundle: Bundle, moment: Moment) -> None:
        keys = self._keys(self._layout.tickets, bundle.ticket_id)
        closed = bundle.row.get("status") == "closed"
        with moment() as guard:
            rule = self._verdict(bundle, guard).ticket
            part = Tally(self._ctx.digest)
            ref = keys[0].subject_ref
            changes = {} if closed else self._ticket_changes(bundle.row, rule, ref)
            masks = rule.action is Action.MASK and bool(_TICKET_FIELDS & rule.masks.keys())
            outcome = Outcome.MASKED if masks and not closed else None
            ground = CLOSED if masks and closed else ""
            self._count(part, keys, rule, bundle.row, outcome, len(changes), ground)
            if changes and not self._ctx.dry_run:
                guard.intend(tuple(part.receipts()))
                self._update(bundle.ticket_id, changes)
        self._tally.merge(part)

    def _update(self, ticket_id: int, changes: Row) -> None:
        self._api.put(f"tickets/{ticket_id}", {"ticket": changes})

    def _ticket_changes(self, row: Row, rule: Rule, ref: str) -> Row:
        """What an update has to change; nothing when a mask is in place already."""
        changes: Row = {}
        for name in sorted(
            _TICKET_FIELDS & rule.masks.keys() if rule.action is Action.MASK else ()
        ):
            stored = row.get(name)
            new = _blank(name, stored, rule.masks[name], lambda t: self._ctx.pseudonym(ref, t))
            if not _same(name, stored, new, rule.masks[name]):
                changes[name] = new
        return changes

    def _count(
        self,
        part: Tally,
        keys: list[Key],
        rule: Rule,
        row: Row,
        outcome: Outcome | None,
        fields: int,
        ground: str = "",
    ) -> None:
        found = outcome or Outcome.RETAINED
        part.add(
            keys,
            found,
            ground=ground or rule.ground or NEEDED,
            fields=fields if outcome else 0,
            clock=latest(rule, row),
        )


def _strips(rule: Rule, fields: frozenset[str]) -> bool:
    if rule.action is Action.MASK:
        return bool(fields & rule.masks.keys())
    return rule.action is Action.ERASE


def _is_redacted(comment: Row) -> bool:
    text = str(comment.get("plain_body") or comment.get("body") or "")
    return not text.replace(_BLOCK, "").strip()


def _file_path(file: Row) -> str:
    place = f"tickets/{file['ticket_id']}/comments/{file['comment_id']}"
    return f"{place}/attachments/{file['id']}/redact"


def redaction(comment: Row) -> Row:
    """The call that redacts all text, links and pictures of a comment and leaves its frame."""
    parts = re.split(r"(<[^>]*>)", str(comment["html_body"]))
    marked = "".join(_marked(part) for part in parts)
    return {"ticket_id": comment["ticket_id"], "html_body": marked}


def _marked(part: str) -> str:
    if part.startswith("<"):
        return _MARKED_TAG.sub(lambda m: f"<{m[1]}{m[2]} redact{m[3]}>", part)
    return f"<redact>{part}</redact>" if part.strip() else part


def _blank(name: str, stored: Any, mask: Mask, pseudonym: Callable[[str], str]) -> Any:
    """What takes the place of a field; lists are emptied, custom fields lose their values."""
    if name == "tags":
        return []
    if name == "custom_fields":
        return [{"id": f["id"], "value": None} for f in stored or ()]
    return mask.replaced(str(stored), pseudonym)


def _same(name: str, stored: Any, new: Any, mask: Mask) -> bool:
    if name in ("tags", "custom_fields"):
        return bool((stored or []) == new)
    return mask.holds(stored)


@dataclass
class UserChanges:
    """How a live user is masked. An e-mail cannot be updated: the API would only add one.

    A tombstone address is added, made primary, and then every other address goes.
    """

    api: Api
    user: Row
    identities: list[Row]

    def fields(self, masks: Mapping[str, Mask]) -> int:
        """How many values would change."""
        plain = sum(1 for _ in self._plain(masks))
        return plain + sum(1 for _ in self._going(masks))

    def _plain(self, masks: Mapping[str, Mask]) -> list[str]:
        names = (n for n in masks if n not in ("email", "id") and "." not in n)
        return sorted(n for n in names if not masks[n].holds(self.user.get(n)))

    def _going(self, masks: Mapping[str, Mask]) -> list[Row]:
        types = {"email": "email", "phone_number": "phone"}
        return [
            identity
            for identity in self.identities
            if types.get(identity["type"], "email") in masks and not _is_tombstone(identity)
        ]

    def apply(self, masks: Mapping[str, Mask], pseudonym: Callable[[str], str]) -> None:
        """Mask the user; a repeat finds what is done and does the rest."""
        if "email" in masks and any(i["type"] == "email" for i in self._going(masks)):
            self._bury_email(pseudonym)
        for identity in self._going(masks):
            self.api.delete(f"users/{self.user['id']}/identities/{identity['id']}")
        plain = {
            name: masks[name].replaced(str(self.user.get(name)), pseudonym)
            for name in self._plain(masks)
        }
        if plain:
            self.api.put(f"users/{self.user['id']}", {"user": plain})

    def _bury_email(self, pseudonym: Callable[[str], str]) -> None:
        place = f"users/{self.user['id']}/identities"
        buried = next((i for i in self.identities if _is_tombstone(i)), None)
        if buried is None:
            before = str(self.user.get("email") or self.user["id"])
            text = _TOMBSTONE.replaced(before, pseudonym)
            answer = self.api.post(
                place, {"identity": {"type": "email", "value": text, "verified": True}}
            )
            buried = answer["identity"] if answer else None
        if buried is not None and not buried.get("primary"):
            self.api.put(f"{place}/{buried['id']}/make_primary", {})


def user_changes(api: Api, user: Row) -> UserChanges:
    """Read what masking a user needs to know."""
    identities = list(api.pages(f"users/{user['id']}/identities", "identities"))
    return UserChanges(api, user, identities)


def _is_tombstone(identity: Row) -> bool:
    return _TOMBSTONE.holds(str(identity["value"]))
