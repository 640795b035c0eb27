"""The helpdesk connector looks again: by located numbers, in the bins, past what erasure cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from connectors.helpdesk import Zendesk
from dsr_worker.contract import (
    Action,
    Always,
    DecisionTable,
    Identity,
    Key,
    Outcome,
    Rechecks,
    Rule,
    Subject,
    System,
)
from dsr_worker.testing.context import TrialContext
from dsr_worker.testing.zendesk import Fake, canonical
from tests.contract.zendesk_world import (
    ALL_ERASED,
    ANNA,
    BERT,
    COMMENTS,
    ERASED,
    FILES,
    OTHER,
    SYSTEM,
    TICKET,
    TICKETS,
    USERS,
    Crash,
    connect,
    dying_after,
    erase,
    located,
    outcomes,
    subject,
)

LONG_KEYS = System(
    "helpdesk",
    "zendesk",
    {
        "users": USERS,
        "tickets": TICKETS,
        "comments": replace(COMMENTS, key=("ticket_id", "id")),
        "attachments": replace(FILES, key=("ticket_id", "comment_id", "id")),
    },
)
NOBODY = Subject("s1", (Identity("email", "nobody@mail.example"),))


def again(desk: Zendesk, keys: Sequence[Key], *people: Subject) -> list[Key]:
    """What a recheck tells, in a stable order."""
    assert isinstance(desk, Rechecks)
    found = desk.recheck(people or (subject(),), keys, TrialContext(second_path=True))
    return sorted(found, key=_order)


def _order(key: Key) -> tuple[str, str, tuple[str, ...]]:
    return key.subject_ref, key.collection, key.key


@pytest.mark.parametrize("system", [SYSTEM, LONG_KEYS], ids=["short-keys", "long-keys"])
@pytest.mark.parametrize("who", [subject(), NOBODY], ids=["known", "unknown"])
def test_what_was_located_and_is_there_is_told_once(
    fake: Fake, system: System, who: Subject
) -> None:
    """Before an erasure all keys come back, also where no identity leads to them any more."""
    desk = connect(fake, system)
    keys = sorted(desk.locate([subject()], TrialContext()), key=_order)
    assert len(keys) == 7
    assert again(desk, keys, who) == keys
    desk.close()


def test_without_keys_the_identities_find_everything(desk: Zendesk) -> None:
    """What nobody located is told as well."""
    assert again(desk, []) == sorted(located(desk), key=_order)


@pytest.mark.parametrize("system", [SYSTEM, LONG_KEYS], ids=["short-keys", "long-keys"])
def test_after_an_erasure_nothing_is_left(fake: Fake, system: System) -> None:
    """Gone for good is gone: neither a number nor an identity finds anything."""
    desk = connect(fake, system)
    keys = list(desk.locate([subject()], TrialContext()))
    assert outcomes(erase(desk, TrialContext(), keys=keys)) == ALL_ERASED
    assert again(desk, keys) == []
    desk.close()


@pytest.mark.parametrize("system", [SYSTEM, LONG_KEYS], ids=["short-keys", "long-keys"])
def test_a_file_that_outlives_its_ticket_is_told(fake: Fake, system: System) -> None:
    """A file is asked for by its own number; one that was emptied holds nothing any more."""
    desk = connect(fake, system)
    keys = list(desk.locate([subject()], TrialContext()))
    row = dict(fake.desk.file_rows[8001])
    erase(desk, TrialContext(), keys=keys)
    fake.desk.file_rows[8001] = row
    assert [(key.collection, key.key[-1]) for key in again(desk, keys)] == [("attachments", "8001")]
    fake.desk.file_rows[8001] = row | {"deleted": True}
    assert again(desk, keys) == []
    desk.close()


def test_the_bins_are_looked_into_by_number(fake: Fake) -> None:
    """A soft-deleted user, a ticket in the bin and all that hangs on it are still held."""
    desk = connect(fake, LONG_KEYS)
    keys = sorted(desk.locate([subject()], TrialContext()), key=_order)
    fake.desk.delete_ticket(TICKET)
    fake.desk.delete_user(ANNA)
    assert again(desk, keys) == keys
    assert again(desk, keys, NOBODY) == keys
    desk.close()


def test_a_ticket_is_found_by_its_requester_whose_user_is_gone(fake: Fake, desk: Zendesk) -> None:
    """The located user's number leads to a ticket that nobody had located."""
    by_mail = subject(user=None)
    keys = [Key("s1", "users", (str(ANNA),))]
    fake.desk.tickets[TICKET]["status"] = "closed"
    fake.desk.delete_user(ANNA)
    fake.desk.purge_user(ANNA)
    found = again(desk, keys, by_mail)
    assert Key("s1", "tickets", (str(TICKET),)) in found
    assert not [key for key in found if key.collection == "users"]


def test_what_stays_is_told_and_can_be_subtracted(fake: Fake) -> None:
    """A masked user has no address of theirs any more; by number they are found and were kept."""
    desk = connect(fake, LONG_KEYS)
    minimum = Rule("minimum", Always(), Action.MASK, "law", {"subject": ERASED})
    ctx = TrialContext({"tickets": DecisionTable("tickets", (minimum,))})
    keys = list(desk.locate([subject()], ctx))
    receipts = list(desk.erase([subject()], keys, ctx))
    kept = frozenset[str]().union(*(receipt.kept for receipt in receipts))
    for who in (subject(), subject(user=None), NOBODY):
        found = again(desk, keys, who)
        assert {ctx.digest(key.collection, key.key) for key in found} == kept
        assert len(found) == len(keys)
    desk.close()


def test_another_persons_ticket_is_not_told(desk: Zendesk) -> None:
    """Being copied in on it, or writing in it, makes a ticket nobody's own; each has theirs."""
    bert = subject("bert@mail.example", user=BERT, ref="s2")
    found = again(desk, located(desk), subject(), bert)
    tickets = [(key.subject_ref, key.key) for key in found if key.collection == "tickets"]
    assert tickets == [("s1", (str(TICKET),)), ("s2", (str(OTHER),))]


def test_comments_that_stay_are_redacted_never_masked(desk: Zendesk) -> None:
    """A block character is no mask of the map: only what shows its mask may count as masked."""
    masks = {"body": ERASED}
    rule = Rule("minimum", Always(), Action.MASK, "law", masks)
    tables = {
        "tickets": DecisionTable(
            "tickets", (Rule("minimum", Always(), Action.MASK, "law", {"subject": ERASED}),)
        ),
        "comments": DecisionTable("comments", (rule,)),
    }
    receipts = erase(desk, TrialContext(tables))
    (comments,) = receipts["s1", "comments"].outcomes
    assert (comments.outcome, comments.ground, comments.rows) == (Outcome.REDACTED, "law", 4)
    assert Outcome.MASKED not in {o.outcome for o in receipts["s1", "attachments"].outcomes}


def test_a_crash_between_bin_and_job_leaves_receipts_right(fake: Fake) -> None:
    """With the ticket in the keys of what hangs on it, a repeat counts all of it as erased."""
    desk = connect(fake, LONG_KEYS)
    keys = list(desk.locate([subject()], TrialContext()))
    calls = 0
    while not fake.dump()["deleted_tickets"]:
        with pytest.raises(Crash):
            list(desk.erase([subject()], keys, dying_after(calls)))
        calls += 1
    assert outcomes(erase(desk, TrialContext(), keys=keys)) == ALL_ERASED
    desk.close()


NO_NUMBERS = ("", f" {TICKET}", f"0{TICKET}", f"+{TICKET}", "\uff15\uff10\uff11", "1' OR 1=1")


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_a_key_that_is_no_number_reaches_nothing(fake: Fake, desk: Zendesk, text: str) -> None:
    """What Python reads as a number the helpdesk never wrote: such a key widens nothing."""
    before = canonical(fake.dump())
    keys = [Key("s1", name, (text,)) for name in SYSTEM.collections]
    receipts = erase(desk, TrialContext(), NOBODY, keys=keys)
    assert {o for counts in outcomes(receipts).values() for o in counts} == {"already_gone"}
    assert again(desk, keys, NOBODY) == []
    assert canonical(fake.dump()) == before
