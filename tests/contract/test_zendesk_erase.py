"""The helpdesk connector erases a person and nobody else, through bin, jobs, faults and holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from connectors.helpdesk import Zendesk
from dsr_worker.contract import (
    Action,
    DecisionTable,
    HeldRows,
    HeldSubjects,
    NeedsHuman,
    Outcome,
    Rule,
    Since,
    Transient,
)
from dsr_worker.testing.context import TrialContext
from dsr_worker.testing.zendesk import Fake, canonical
from tests.contract.zendesk_world import (
    ALL_ERASED,
    ANNA,
    BERT,
    ERASED,
    SYSTEM,
    THIRD,
    TICKET,
    connect,
    crash_everywhere,
    erase,
    located,
    of_others,
    outcomes,
    permanent_deletions,
    subject,
    table,
    ticket_row,
    user_row,
)


def test_erasure_removes_the_person_and_nobody_else(fake: Fake, desk: Zendesk) -> None:
    """Ticket and user go for good; every other row is the same to the byte."""
    before = of_others(fake)
    receipts = erase(desk, TrialContext())
    assert outcomes(receipts) == ALL_ERASED
    assert of_others(fake) == before
    assert fake.dump()["permanently_deleted_tickets"] == [TICKET]
    gone = user_row(fake)
    assert (gone["name"], gone["email"], gone["identities"]) == (
        "Permanently Deleted User",
        None,
        [],
    )


def test_verification_by_the_second_path_finds_nothing(desk: Zendesk) -> None:
    """Searched by other endpoints, bins included, nothing of the person is left."""
    second = TrialContext(second_path=True)
    assert {k.collection for k in desk.locate([subject()], second)} == set(SYSTEM.collections)
    erase(desk, TrialContext())
    assert not list(desk.locate([subject()], second))
    assert not list(desk.find([subject()], second))


def test_the_second_path_sees_what_is_only_soft_deleted(fake: Fake, desk: Zendesk) -> None:
    """A row in the bin is still held, so verification must not call it erased."""
    fake.desk.delete_ticket(TICKET)
    fake.desk.delete_user(ANNA)
    for second in (False, True):
        keys = list(desk.locate([subject()], TrialContext(second_path=second)))
        assert {(k.collection, k.key[0]) for k in keys} == {
            ("users", str(ANNA)),
            ("tickets", str(TICKET)),
        }
    assert outcomes(erase(desk, TrialContext()))["tickets"] == {"erased": 1}
    assert not list(desk.locate([subject()], TrialContext(second_path=True)))


def test_an_unknown_person_is_absent(desk: Zendesk) -> None:
    """A receipt for each collection, and it says that nothing was there."""
    receipts = erase(desk, TrialContext(), subject("nobody@mail.example", user=None))
    assert {o.outcome for r in receipts.values() for o in r.outcomes} == {Outcome.ABSENT}


def test_a_dry_run_counts_the_same_and_changes_nothing(fake: Fake, desk: Zendesk) -> None:
    """What the plan shows is what apply does."""
    before = canonical(fake.dump())
    tables = {"tickets": table("tickets", Rule("hold", HeldRows("id", ("1",)), Action.KEEP, "h"))}
    dry = TrialContext(tables, dry_run=True)
    planned = erase(desk, dry)
    assert canonical(fake.dump()) == before
    assert not dry.intents
    assert not [r for r in fake.requests if not r.startswith("GET")]
    assert erase(desk, TrialContext(tables)) == planned


def test_a_repeat_finds_everything_gone(fake: Fake, desk: Zendesk) -> None:
    """The same keys again: already gone, no effect."""
    ctx = TrialContext()
    keys = list(desk.locate([subject()], ctx))
    erase(desk, ctx, keys=keys)
    fake.requests.clear()
    again = outcomes(erase(desk, ctx, keys=keys))
    assert {o for counts in again.values() for o in counts} == {"already_gone"}
    assert not [r for r in fake.requests if not r.startswith("GET")]


def test_a_slow_job_is_pending_and_finished_by_the_next_call(fake: Fake) -> None:
    """Not done in time is neither erased nor failed; the job is asked for, not ordered again."""
    connector = connect(fake, job_wait_s=0.0)
    fake.faults({"job_polls": 3})
    ctx = TrialContext()
    keys = list(connector.locate([subject()], ctx))
    first = outcomes(erase(connector, ctx, keys=keys))
    assert first == {c: {"pending_remote": n} for c, n in COUNTS.items()}
    assert outcomes(erase(connector, ctx, keys=keys)) == first
    assert outcomes(erase(connector, ctx, keys=keys)) == ALL_ERASED
    orders = [r for r in fake.requests if r.endswith("deleted_tickets/destroy_many")]
    assert len(orders) == 1
    assert not ctx.state.values
    connector.close()


COUNTS = {"users": 1, "tickets": 1, "comments": 4, "attachments": 1}


def test_a_crash_at_any_moment_is_made_good_by_a_repeat(fake: Fake, desk: Zendesk) -> None:
    """Wherever the worker dies, the next call ends in the same state, others untouched."""
    before, keys = of_others(fake), located(desk)

    def repeat(fake: Fake, desk: Zendesk, calm: TrialContext) -> None:
        receipts = erase(desk, calm, keys=keys)
        assert set(outcomes(receipts)["users"]) <= {"erased", "already_gone"}
        assert permanent_deletions(fake) == [TICKET]
        assert fake.dump()["permanently_deleted_tickets"] == [TICKET]
        assert user_row(fake)["name"] == "Permanently Deleted User"
        assert of_others(fake) == before

    def attempt(desk: Zendesk, ctx: TrialContext) -> None:
        list(desk.erase([subject()], keys, ctx))

    assert crash_everywhere(attempt, repeat) >= 8


@pytest.mark.parametrize(
    "match",
    [
        "DELETE /api/v2/tickets/",
        "destroy_many",
        "DELETE /api/v2/users/",
        "DELETE /api/v2/deleted_users",
    ],
)
@pytest.mark.parametrize("kind", ["drop_after", "status", "slow_after"])
def test_a_fault_at_an_effect_is_transient_and_never_doubles(
    fake: Fake, match: str, kind: str
) -> None:
    """500 before the work, or no answer after it: the next call looks first and finishes once."""
    connector = connect(fake, read_timeout_s=0.3)
    before = of_others(fake)
    keys = list(connector.locate([subject()], TrialContext()))
    fake.faults({"faults": [{"match": match, "kind": kind, "status": 500, "delay_s": 0.6}]})
    ctx = TrialContext()
    with pytest.raises(Transient):
        list(connector.erase([subject()], keys, ctx))
    erase(connector, ctx, keys=keys)
    assert permanent_deletions(fake) == [TICKET]
    assert user_row(fake)["name"] == "Permanently Deleted User"
    assert of_others(fake) == before
    connector.close()


def test_a_soft_deleted_ticket_whose_clock_cannot_be_read_comes_back_first(
    fake: Fake, desk: Zendesk
) -> None:
    """After a crash between bin and job, a table with clocks decides on the whole ticket."""
    cut = datetime(2026, 5, 15, tzinfo=UTC)
    tables = {"comments": table("comments", Rule("minimum", Since("created_at", cut), Action.KEEP))}
    keys = list(desk.locate([subject()], TrialContext()))
    fake.desk.delete_ticket(TICKET)
    assert outcomes(erase(desk, TrialContext(tables), keys=keys)) == ALL_ERASED
    assert [r for r in fake.requests if r.endswith(f"{TICKET}/restore")]


def test_a_row_hold_on_a_ticket_in_the_bin_brings_it_back(fake: Fake, desk: Zendesk) -> None:
    """The bin does not show the field that the hold asks for; not seeing it is no permission."""
    held = HeldRows("created_at", ("2026-05-01T10:00:00Z",))
    tables = {"tickets": table("tickets", Rule("hold", held, Action.KEEP, "dispute"))}
    keys = located(desk)
    fake.desk.delete_ticket(TICKET)
    found = outcomes(erase(desk, TrialContext(tables), keys=keys))
    assert found["tickets"] == {"retained": 1}
    assert ticket_row(fake)["id"] == TICKET


def test_a_hold_placed_between_the_two_deletions_brings_the_ticket_back(
    fake: Fake, desk: Zendesk
) -> None:
    """A hold wins until the last moment."""
    held = table("tickets", Rule("hold", HeldSubjects(frozenset({"s1"})), Action.KEEP, "dispute"))
    tables: dict[str, DecisionTable] = {}
    ctx = TrialContext(tables)
    intents = 0

    def place_hold() -> None:
        nonlocal intents
        intents += 1
        if intents == 1:
            tables["tickets"] = held

    ctx.on_intent = place_hold
    found = outcomes(erase(desk, ctx))
    assert found["tickets"] == {"retained": 1}
    assert ticket_row(fake)["id"] == TICKET
    assert not fake.dump()["permanently_deleted_tickets"]


def test_a_held_subject_keeps_everything(fake: Fake, desk: Zendesk) -> None:
    """Under a hold on the person nothing of theirs changes."""
    before = canonical(fake.dump())
    rule = Rule("hold", HeldSubjects(frozenset({"s1"})), Action.KEEP, "dispute")
    receipts = erase(desk, TrialContext({name: table(name, rule) for name in COUNTS}))
    assert outcomes(receipts) == {name: {"retained": n} for name, n in COUNTS.items()}
    assert {o.ground for r in receipts.values() for o in r.outcomes} == {"dispute"}
    assert canonical(fake.dump()) == before
    kept = frozenset().union(*(r.kept for r in receipts.values()))
    left = desk.locate([subject()], TrialContext(second_path=True))
    assert {TrialContext().digest(k.collection, k.key) for k in left} == kept


def kept_ticket() -> dict[str, DecisionTable]:
    """Tickets stay by law, with their subject masked."""
    at = datetime(2020, 1, 1, tzinfo=UTC)
    masks = {"subject": ERASED}
    rule = Rule("minimum", Since("created_at", at), Action.MASK, "warranty", masks, "created_at")
    return {"tickets": table("tickets", rule)}


def test_a_kept_ticket_is_stripped_and_its_user_masked(fake: Fake, desk: Zendesk) -> None:
    """The ticket stays by law; texts, files, subject and the person's name and addresses go."""
    before = of_others(fake)
    receipts = erase(desk, TrialContext(kept_ticket()))
    assert outcomes(receipts) == {
        "users": {"masked": 1},
        "tickets": {"masked": 1},
        "comments": {"redacted": 4},
        "attachments": {"redacted": 1},
    }
    (ticket,) = receipts["s1", "tickets"].outcomes
    assert ticket.ground == "warranty"
    assert ticket.latest_at == datetime(2026, 5, 1, 10, tzinfo=UTC)
    (user,) = receipts["s1", "users"].outcomes
    assert user.ground == "needed"
    mine = json.dumps([ticket_row(fake), user_row(fake)])
    for value in ("Anna", "anna@", "+491", "calm", "receipt", "Parcel"):
        assert value not in mine
    assert user_row(fake)["email"].endswith("@erased.invalid")
    assert len(user_row(fake)["identities"]) == 1
    assert of_others(fake) == before


def test_stripping_repeats_without_effect(fake: Fake, desk: Zendesk) -> None:
    """What is redacted and masked already is seen as such."""
    ctx = TrialContext(kept_ticket())
    keys = list(desk.locate([subject()], ctx))
    first = outcomes(erase(desk, ctx, keys=keys))
    after = canonical(fake.dump())
    fake.requests.clear()
    assert outcomes(erase(desk, ctx, keys=keys)) == first
    assert not [r for r in fake.requests if not r.startswith("GET")]
    assert canonical(fake.dump()) == after


def test_a_crash_while_stripping_is_made_good_by_a_repeat(desk: Zendesk) -> None:
    """Half-masked users and half-redacted tickets are finished, not doubled."""
    keys = located(desk)

    def repeat(fake: Fake, desk: Zendesk, calm: TrialContext) -> None:
        calm.tables = kept_ticket()
        found = outcomes(erase(desk, calm, keys=keys))
        assert found["comments"] == {"redacted": 4}
        assert found["users"] == {"masked": 1}
        assert len(user_row(fake)["identities"]) == 1
        assert "nna" not in json.dumps([ticket_row(fake), user_row(fake)])

    def attempt(desk: Zendesk, ctx: TrialContext) -> None:
        ctx.tables = kept_ticket()
        list(desk.erase([subject()], keys, ctx))

    assert crash_everywhere(attempt, repeat) >= 12


def test_a_closed_ticket_that_must_stay_is_retained_with_its_ground(
    fake: Fake, desk: Zendesk
) -> None:
    """The API updates no closed ticket: the answer says so, comments are redacted all the same."""
    fake.desk.tickets[TICKET]["status"] = "closed"
    receipts = erase(desk, TrialContext(kept_ticket()))
    (ticket,) = receipts["s1", "tickets"].outcomes
    assert (ticket.outcome, ticket.ground) == (Outcome.RETAINED, "closed_ticket")
    assert outcomes(receipts)["comments"] == {"redacted": 4}


def test_a_ticket_handed_to_somebody_else_is_left_alone(fake: Fake, desk: Zendesk) -> None:
    """Between plan and apply the requester changed: it is not the person's ticket any more."""
    keys = list(desk.locate([subject()], TrialContext()))
    fake.desk._by_requester[ANNA].discard(TICKET)
    fake.desk.tickets[TICKET]["requester_id"] = BERT
    found = outcomes(erase(desk, TrialContext(), keys=keys))
    assert found["tickets"] == {"retained": 1}
    assert ticket_row(fake)["subject"] == "Parcel of Anna Meer"


def test_a_ticket_that_came_after_the_plan_stops_for_a_human(fake: Fake, desk: Zendesk) -> None:
    """The helpdesk refuses to delete a requester of open tickets; nobody decides that for us."""
    keys = list(desk.locate([subject()], TrialContext()))
    fake.load(tickets=[{"id": 900, "requester_id": ANNA, "comments": [{"body": "Hello again"}]}])
    with pytest.raises(NeedsHuman, match="helpdesk_user_in_use"):
        list(desk.erase([subject()], keys, TrialContext()))


def test_two_people_in_one_batch_get_their_own_receipts(fake: Fake, desk: Zendesk) -> None:
    """A batch is one call; its members' counts stay apart."""
    people = (subject(), subject("bert@mail.example", user=BERT, ref="s2"))
    receipts = erase(desk, TrialContext(), *people)
    assert outcomes(receipts) == ALL_ERASED
    assert outcomes(receipts, "s2")["comments"] == {"erased": 2}
    assert [t["id"] for t in fake.dump()["tickets"]] == [THIRD]


def test_many_tickets_share_bulk_calls(fake: Fake, desk: Zendesk) -> None:
    """250 tickets are ordered away in three jobs."""
    fake.load(
        users=[{"id": 400, "name": "Cy", "email": "cy@mail.example"}],
        tickets=[{"id": 10_000 + i, "requester_id": 400} for i in range(250)],
    )
    receipts = erase(desk, TrialContext(), subject("cy@mail.example", user=400))
    assert outcomes(receipts)["tickets"] == {"erased": 250}
    assert len([r for r in fake.requests if r.endswith("deleted_tickets/destroy_many")]) == 3
