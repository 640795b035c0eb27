"""The helpdesk that the connector is tried on: Anna, people like her, and what to look at."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from typing import Any

from pydantic import SecretStr

from connectors.helpdesk import Zendesk, ZendeskConfig
from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    DecisionTable,
    Field,
    Form,
    Identity,
    Key,
    Mask,
    MaskKind,
    Parent,
    Receipt,
    Rule,
    Subject,
    System,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from dsr_worker.testing.zendesk import Fake, canonical

ANNA, JOANNA, BERT, AGENT = 101, 102, 103, 11
ANNA_MAIL = "anna@mail.example"
TICKET, OTHER, THIRD = 501, 601, 602
ERASED = Mask(MaskKind.CONSTANT, "erased")


def field(name: str, *, mask: Mask | None = None, free_text: bool = False) -> Field:
    """A mapped field."""
    return Field(name, "user.content", mask, free_text=free_text)


def fields(*given: Field) -> dict[str, Field]:
    """Fields by name."""
    return {f.name: f for f in given}


USERS = Collection(
    "users",
    ("id",),
    fields(
        field("id"),
        field("name", mask=ERASED),
        field("email", mask=Mask(MaskKind.TOMBSTONE)),
        field("phone", mask=Mask(MaskKind.NULL)),
        field("notes", mask=Mask(MaskKind.NULL)),
    ),
    takes={"email": Taken("email", Form.ASCII_CASE), "zendesk_user": Taken("id")},
    yields={"zendesk_user": "id"},
    person=True,
    contact={"email": "email"},
    source={"resource": "users"},
)
TICKETS = Collection(
    "tickets",
    ("id",),
    fields(
        field("id"),
        field("requester_id"),
        field("subject", mask=ERASED, free_text=True),
        field("created_at"),
    ),
    takes={"zendesk_user": Taken("requester_id")},
    clocks={"record_date": "created_at"},
    source={"resource": "tickets"},
)
COMMENTS = Collection(
    "comments",
    ("id",),
    fields(field("id"), field("ticket_id"), field("body", mask=ERASED, free_text=True)),
    parent=Parent("tickets", {"ticket_id": "id"}),
    source={"resource": "comments"},
)
FILES = Collection(
    "attachments",
    ("id",),
    fields(field("id"), field("comment_id"), field("file_name")),
    parent=Parent("comments", {"comment_id": "id"}),
    source={"resource": "attachments"},
)
SYSTEM = System("helpdesk", "zendesk", {c.name: c for c in (USERS, TICKETS, COMMENTS, FILES)})


def subject(email: str = ANNA_MAIL, *, user: int | None = ANNA, ref: str = "s1") -> Subject:
    """A subject with an address and, unless None, the user number resolved from it."""
    named = () if user is None else (Identity("zendesk_user", str(user)),)
    return Subject(ref, (Identity("email", email), *named))


def file(number: int, content: bytes) -> dict[str, Any]:
    """An attachment to load."""
    return {
        "id": number,
        "file_name": f"file-{number}.txt",
        "content_type": "text/plain",
        "content_b64": base64.b64encode(content).decode(),
    }


SINCE = "2026-01-01T00:00:00Z"


def load(fake: Fake) -> None:
    """Anna with a full ticket, people whose addresses contain hers, and tickets that name her."""
    fake.load(
        users=[
            {
                "id": ANNA,
                "name": "Anna Meer",
                "email": ANNA_MAIL,
                "created_at": SINCE,
                "phone": "+491",
                "notes": "calm",
            },
            {
                "id": JOANNA,
                "name": "Joanna See",
                "email": "joanna@mail.example",
                "created_at": SINCE,
            },
            {"id": BERT, "name": "Bert Wald", "email": "bert@mail.example", "created_at": SINCE},
            {
                "id": AGENT,
                "name": "Agent Ayo",
                "email": "ayo@shop.example",
                "created_at": SINCE,
                "role": "agent",
            },
        ],
        tickets=[
            {
                "id": TICKET,
                "requester_id": ANNA,
                "assignee_id": AGENT,
                "collaborator_ids": [BERT],
                "subject": "Parcel of Anna Meer",
                "status": "solved",
                "created_at": "2026-05-01T10:00:00Z",
                "comments": [
                    {
                        "id": 7001,
                        "author_id": ANNA,
                        "body": "Where is it? Bert Wald (bert@mail.example) waits too.",
                        "attachments": [file(8001, b"the receipt")],
                    },
                    {"id": 7002, "author_id": AGENT, "body": "Dear Anna, soon. Agent Ayo"},
                    {"id": 7003, "author_id": AGENT, "body": "Anna is upset", "public": False},
                    {"id": 7004, "author_id": BERT, "body": "Same here, Bert Wald"},
                ],
            },
            {
                "id": OTHER,
                "requester_id": BERT,
                "collaborator_ids": [ANNA],
                "subject": "Fence",
                "created_at": "2026-05-02T10:00:00Z",
                "comments": [
                    {
                        "id": 7101,
                        "author_id": BERT,
                        "body": f"Ask Anna@mail.example, not jo{ANNA_MAIL}",
                    },
                    {"id": 7102, "author_id": ANNA, "body": "It was me"},
                ],
            },
            {
                "id": THIRD,
                "requester_id": JOANNA,
                "subject": "Mine",
                "created_at": "2026-05-03T10:00:00Z",
                "comments": [{"id": 7201, "author_id": JOANNA, "body": "From joanna@mail.example"}],
            },
        ],
    )


def connect(fake: Fake, system: System = SYSTEM, **changes: Any) -> Zendesk:
    """A connector with short waits."""
    given = {"job_poll_s": 0.01, "job_wait_s": 5.0, "read_timeout_s": 5.0, **changes}
    config = ZendeskConfig(
        base_url=fake.base_url, email=fake.email, token=SecretStr(fake.token), **given
    )
    return Zendesk(system, config)


def erase(
    desk: Zendesk, ctx: TrialContext, *subjects: Subject, keys: list[Key] | None = None
) -> dict[tuple[str | None, str], Receipt]:
    """Locate, erase, and check that the receipts add up to what was located."""
    people = subjects or (subject(),)
    located = list(desk.locate(people, ctx)) if keys is None else keys
    receipts = list(desk.erase(people, located, ctx))
    places = [(r.subject_ref, r.collection) for r in receipts]
    assert sorted(map(str, places)) == sorted(
        str((p.ref, c)) for p in people for c in SYSTEM.collections
    ), "one receipt for each subject and collection"
    by_place = {(r.subject_ref, r.collection): r for r in receipts}
    for place, receipt in by_place.items():
        assert receipt.rows == sum((k.subject_ref, k.collection) == place for k in located)
    return by_place


def outcomes(receipts: dict[tuple[str | None, str], Receipt], ref: str = "s1") -> dict[str, Any]:
    """Rows by outcome and collection, for one subject."""
    return {
        collection: {o.outcome.value: o.rows for o in receipt.outcomes if o.rows}
        for (owner, collection), receipt in receipts.items()
        if owner == ref
    }


ALL_ERASED = {
    "users": {"erased": 1},
    "tickets": {"erased": 1},
    "comments": {"erased": 4},
    "attachments": {"erased": 1},
}


def of_others(fake: Fake) -> bytes:
    """Everything but Anna's user and her own ticket, byte for byte."""
    state = fake.dump()
    return canonical(
        {
            "users": [u for u in state["users"] if u["id"] != ANNA],
            "tickets": [t for t in state["tickets"] if t["requester_id"] != ANNA],
            "deleted_tickets": [t for t in state["deleted_tickets"] if t["requester_id"] != ANNA],
        }
    )


def user_row(fake: Fake, number: int = ANNA) -> dict[str, Any]:
    """A user as stored."""
    row: dict[str, Any] = next(u for u in fake.dump()["users"] if u["id"] == number)
    return row


def ticket_row(fake: Fake, number: int = TICKET) -> dict[str, Any]:
    """A ticket as stored."""
    row: dict[str, Any] = next(t for t in fake.dump()["tickets"] if t["id"] == number)
    return row


def table(name: str, *rules: Rule) -> DecisionTable:
    """A table that erases what the given rules leave."""
    return DecisionTable(name, (*rules, Rule("default", Always(), Action.ERASE)))


class Crash(Exception):  # noqa: N818 - stands for a worker that dies
    """The worker dies."""


def dying_after(calls: int) -> TrialContext:
    """A context whose worker dies before its next request, `calls` requests from now."""
    left = calls

    def die() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash

    return TrialContext(on_check=die)


Attempt = Callable[[Zendesk, TrialContext], object]


def crash_everywhere(
    attempt: Attempt, repeat: Callable[[Fake, Zendesk, TrialContext], None]
) -> int:
    """Crash `attempt` before its 1st, 2nd, … request on a new helpdesk each; then `repeat`."""
    for calls in itertools.count():
        with Fake() as fake:
            load(fake)
            desk = connect(fake)
            ctx = dying_after(calls)
            try:
                attempt(desk, ctx)
            except Crash:
                repeat(fake, desk, TrialContext(state=ctx.state))
            else:
                return calls
            finally:
                desk.close()
    raise AssertionError


def located(desk: Zendesk) -> list[Key]:
    """The keys of Anna."""
    return list(desk.locate([subject()], TrialContext()))


def permanent_deletions(fake: Fake) -> list[int]:
    """Tickets that a job has really deleted, once for each time it did."""
    results = [r for job in fake.desk.jobs.values() for r in job.results or ()]
    return [r["id"] for r in results if r["success"]]
