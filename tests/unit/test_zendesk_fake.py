"""The helpdesk fake keeps the traps of the real thing: a test on a friendly fake proves nothing."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dsr_worker.testing.zendesk import Fake, canonical


@pytest.fixture
def fake() -> Iterator[Fake]:
    """A helpdesk with two people, an agent and a ticket."""
    with Fake() as running:
        running.load(
            users=[
                {"id": 1, "name": "Anna", "email": "anna@mail.example"},
                {"id": 2, "name": "Joanna", "email": "joanna@mail.example"},
                {"id": 3, "name": "Ayo", "email": "ayo@shop.example", "role": "agent"},
            ],
            tickets=[
                {"id": 7, "requester_id": 1, "subject": "s", "comments": [{"id": 70, "body": "hi"}]}
            ],
        )
        yield running


@pytest.fixture
def api(fake: Fake) -> Iterator[httpx.Client]:
    """A plain client of it."""
    with client(fake.base_url, fake) as running:
        yield running


def client(base_url: str, fake: Fake) -> httpx.Client:
    """A client with the right token."""
    return httpx.Client(
        base_url=base_url, auth=(f"{fake.email}/token", fake.token), trust_env=False, timeout=100
    )


def get(api: httpx.Client, path: str, **params: Any) -> Any:
    """Read, and insist on 200."""
    response = api.get(f"/api/v2/{path}", params=params)
    assert response.status_code == 200, response.text
    return response.json()


def test_user_search_matches_partially(api: httpx.Client) -> None:
    """The trap: asked for one address, it answers with another that contains it."""
    found = get(api, "users/search", query="anna@mail.example")
    assert [user["id"] for user in found["users"]] == [1, 2]


def test_a_wrong_token_is_refused(fake: Fake) -> None:
    """Nothing but the test paths answers without the token."""
    url = f"{fake.base_url}/api/v2/users/me"
    for auth in (None, ("x", "y"), (f"{fake.email}/token", "wrong")):
        assert httpx.get(url, auth=auth, trust_env=False).status_code == 401


def test_cursor_pages_hold_a_hundred_and_miss_none(fake: Fake, api: httpx.Client) -> None:
    """Following the cursor gives each row once."""
    fake.load(tickets=[{"id": 100 + i, "requester_id": 1} for i in range(250)])
    sizes, seen, params = [], [], {"page[size]": "500"}
    while True:
        page = get(api, "users/1/tickets/requested", **params)
        sizes.append(len(page["tickets"]))
        seen += [t["id"] for t in page["tickets"]]
        if not page["meta"]["has_more"]:
            break
        params["page[after]"] = page["meta"]["after_cursor"]
    assert sizes == [100, 100, 51]
    assert seen == sorted(set(seen))


def test_ticket_deletion_has_two_steps_and_a_job(fake: Fake, api: httpx.Client) -> None:
    """Soft deletion keeps everything; the permanent one is queued, worked on, then done."""
    assert api.delete("/api/v2/deleted_tickets/7").status_code == 404
    assert api.delete("/api/v2/tickets/7").status_code == 204
    assert [t["id"] for t in get(api, "deleted_tickets")["deleted_tickets"]] == [7]
    job = api.delete("/api/v2/deleted_tickets/7").json()["job_status"]
    states = [job["status"]]
    place = f"job_statuses/{job['id']}"
    states += [get(api, place)["job_status"]["status"] for _ in range(2)]
    assert states == ["queued", "working", "completed"]
    assert get(api, "deleted_tickets")["deleted_tickets"] == []
    assert api.put("/api/v2/deleted_tickets/7/restore").status_code == 404
    assert fake.dump()["permanently_deleted_tickets"] == [7]


def test_a_job_finishes_by_itself(fake: Fake, api: httpx.Client) -> None:
    """Nobody has to ask for it."""
    fake.faults({"job_after_s": 0.0})
    api.delete("/api/v2/tickets/7")
    api.delete("/api/v2/deleted_tickets/destroy_many", params={"ids": "7"})
    get(api, "users/me")
    assert fake.dump()["permanently_deleted_tickets"] == [7]


def test_restoring_gives_the_same_ticket_back(fake: Fake, api: httpx.Client) -> None:
    """The bin changes nothing in what it holds."""
    before = canonical(fake.dump())
    api.delete("/api/v2/tickets/7")
    assert canonical(fake.dump()) != before
    assert api.put("/api/v2/deleted_tickets/7/restore").status_code == 200
    assert canonical(fake.dump()) == before


def test_user_deletion_has_two_steps(fake: Fake, api: httpx.Client) -> None:
    """Soft deletion keeps the address; the permanent one leaves a nameless number and a proof."""
    assert api.delete("/api/v2/users/1").status_code == 422, "requester of an open ticket"
    fake.desk.delete_ticket(7)
    assert api.delete("/api/v2/users/1").status_code == 200
    assert get(api, "deleted_users/1")["deleted_user"]["email"] == "anna@mail.example"
    assert api.get("/api/v2/users/1").status_code == 404
    assert api.get("/api/v2/users/1/compliance_deletion_statuses").status_code == 404
    assert api.delete("/api/v2/deleted_users/1").status_code == 200
    assert api.get("/api/v2/deleted_users/1").status_code == 404
    (listed,) = get(api, "deleted_users")["deleted_users"]
    assert (listed["name"], listed["email"]) == ("Permanently Deleted User", None)
    assert get(api, "users/1/compliance_deletion_statuses")["compliance_deletion_statuses"]


def test_agents_are_not_deleted(api: httpx.Client) -> None:
    """The API refuses it."""
    assert api.delete("/api/v2/users/3").status_code == 403


def test_an_email_update_only_adds_an_address(api: httpx.Client) -> None:
    """The old address stays until another is made primary and it is dropped."""
    api.put("/api/v2/users/1", json={"user": {"email": "new@mail.example"}})
    values = [i["value"] for i in get(api, "users/1/identities")["identities"]]
    assert values == ["anna@mail.example", "new@mail.example"]
    assert get(api, "users/1")["user"]["email"] == "anna@mail.example"


def test_redaction_blocks_the_marked_text_only(api: httpx.Client) -> None:
    """Text that differs from the comment beyond the marks is refused."""
    (comment,) = get(api, "tickets/7/comments")["comments"]
    marked = comment["html_body"].replace("hi", "<redact>hi</redact>")
    wrong = {"ticket_id": 7, "html_body": marked + "more"}
    assert api.put("/api/v2/comment_redactions/70", json=wrong).status_code == 400
    right = {"ticket_id": 7, "html_body": marked}
    answer = api.put("/api/v2/comment_redactions/70", json=right).json()["comment"]
    assert answer["plain_body"] == "▇▇"
    assert get(api, "tickets/7")["ticket"]["description"] == "▇▇"


def test_files_are_served_and_redacted(fake: Fake, api: httpx.Client) -> None:
    """A redacted file is an empty one of another name."""
    content = base64.b64encode(b"secret").decode()
    attached = {"id": 90, "file_name": "a.txt", "content_b64": content}
    told = {"id": 80, "body": "x", "attachments": [attached]}
    fake.load(tickets=[{"id": 8, "requester_id": 1, "comments": [told]}])
    (file,) = get(api, "tickets/8/comments")["comments"][0]["attachments"]
    assert api.get(file["content_url"]).content == b"secret"
    path = "/api/v2/tickets/8/comments/80/attachments/90/redact"
    assert api.put(path).json()["attachment"]["file_name"] == "redacted.txt"
    assert api.get(file["content_url"]).content == b""


def test_the_export_shows_deleted_tickets(api: httpx.Client) -> None:
    """The plain lists hide what the export still gives."""
    api.delete("/api/v2/tickets/7")
    page = get(api, "incremental/tickets/cursor", start_time=0)
    assert [(t["id"], t["status"]) for t in page["tickets"]] == [(7, "deleted")]
    assert page["end_of_stream"]
    following = get(api, "incremental/tickets/cursor", cursor=page["after_cursor"])
    assert following["tickets"] == []


def test_the_budget_answers_429_in_both_forms(fake: Fake, api: httpx.Client) -> None:
    """`Retry-After` in seconds or as a date."""
    for date_form, ending in ((False, "60"), (True, "GMT")):
        fake.faults({"budget": {"requests": 1, "per_s": 60, "date_form": date_form}})
        get(api, "users/me")
        refused = api.get("/api/v2/users/me")
        assert refused.status_code == 429
        assert refused.headers["Retry-After"].endswith(ending)


def test_faults_strike_as_often_as_ordered(fake: Fake, api: httpx.Client) -> None:
    """`status` before the work, `drop_after` after it; `skip` lets matches pass."""
    fake.faults({"faults": [{"match": "DELETE", "kind": "status", "skip": 1}]})
    assert api.delete("/api/v2/tickets/1").status_code == 404
    assert api.delete("/api/v2/tickets/7").status_code == 500
    assert fake.desk.tickets
    fake.faults({"faults": [{"match": "DELETE", "kind": "drop_after"}]})
    with pytest.raises(httpx.RemoteProtocolError):
        api.delete("/api/v2/tickets/7")
    assert not fake.desk.tickets
    assert api.delete("/api/v2/tickets/7").status_code == 404


def test_it_runs_as_a_program_and_loads_over_http(fake: Fake) -> None:
    """Another process loads NDJSON and reads back the dump, byte for byte."""
    lines = [
        {"user": {"id": 1, "name": "Zoe", "email": "zoe@mail.example", "created_at": "2026-01-01"}}
    ]
    lines += [{"ticket": {"id": 5, "requester_id": 1, "created_at": "2026-01-01T00:00:00Z"}}]
    program = [sys.executable, "-m", "dsr_worker.testing.zendesk", "--port", "0"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            with client(running.stdout.readline().strip(), fake) as api:
                body = "\n".join(json.dumps(line) for line in lines)
                assert api.post("/__test__/load", content=body).json() == {"lines": 2}
                order = {"faults": [{"match": "me", "kind": "status"}]}
                assert api.post("/__test__/faults", json=order).status_code == 200
                assert api.get("/api/v2/users/me").status_code == 500
                dumps = [api.get("/__test__/dump").content for _ in range(2)]
        finally:
            running.terminate()
    assert dumps[0] == dumps[1] == canonical(json.loads(dumps[0]))
    assert [u["name"] for u in json.loads(dumps[0])["users"]] == ["Zoe"]
