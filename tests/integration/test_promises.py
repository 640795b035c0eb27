"""What an erasure keeps for now: told in its certificate, promised, gone when its day has come."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.postgres import Postgres
from dsr_worker.contract import Context, Identity, Key, Subject
from dsr_worker.domain.hold import PeopleHeld, RowsHeld
from dsr_worker.evidence import render_certificate
from dsr_worker.ledger import answers, reports
from dsr_worker.testing.memory import Memory
from tests.contract import postgres_shop as shop
from tests.integration.engine_room import POLICY, EngineRoom

GUEST = "guest@mail.example"
SIGNATURE = {"algorithm": "Ed25519", "public_key": "00", "value": "00"}

_TEXTS = """
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""

RECEIPTS = f"""
system: guests
connector: memory
config: {{name: NAME-guests}}
collections:
  receipts:
    key: [id]
    takes: {{email: {{field: email, form: ascii-case}}, payer: payer}}
    class: voucher
    keeps: [id, total, issued_on]
    clocks: {{record_date: issued_on}}
    source: {{}}
    fields:
      id: user.unique_id
      email: {{category: user.contact.email, mask: pseudonym}}
      payer: user.contact
      total: user.financial
      issued_on: user.financial
{_TEXTS}
"""

ORDERS = f"""
system: shop
connector: postgres
config: {{dsn: {{file: DSN}}}}
collections:
  orders:
    key: [id]
    takes: {{email: {{field: guest_email, form: ascii-case}}}}
    class: customer-account
    source: {{table: orders}}
    fields:
      id: user.unique_id
      note: {{category: user.content, mask: "null"}}
      guest_email: {{category: user.contact.email, mask: pseudonym}}
{_TEXTS}
  invoices:
    key: [id]
    parent: {{collection: orders, on: {{order_id: id}}}}
    class: voucher
    keeps: [id, order_id, amount, issued_on]
    clocks: {{record_date: issued_on}}
    source: {{table: invoices}}
    fields:
      id: user.unique_id
      order_id: user.unique_id
      name: {{category: user.name, mask: {{constant: erased}}}}
      email: {{category: user.contact.email, mask: tombstone}}
      amount: user.financial
      issued_on: user.financial
{_TEXTS}
"""


def receipt(number: str, issued_on: str | None = "2025-03-01T00:00:00") -> dict[str, Any]:
    """A guest's receipt."""
    return {"id": number, "email": GUEST.title(), "total": "1", "issued_on": issued_on}


@pytest.fixture
def guests(tmp_path: Path, ledger: Callable[[], str]) -> EngineRoom:
    """An installation with one guest, whom an e-mail alone names."""
    room = EngineRoom(tmp_path, ledger(), systems={"guests": RECEIPTS})
    room.system("guests").load({"receipts": [receipt("1")]}, {"receipts": ("id",)})
    return room


def erase(room: EngineRoom, **identities: str) -> str:
    """Have a person erased; the case's reference."""
    ref = room.submit("erasure", **identities)
    room.settle()
    room.approve(ref)
    room.settle()
    assert room.job(ref)["state"] == "ready", room.steps(ref)
    return ref


def certificate(room: EngineRoom, ref: str) -> dict[str, Any]:
    """What was certified."""
    with room.office.ledger.transaction() as cursor:
        made = answers.of(cursor, room.job(ref)["id"])
    assert made is not None
    content = room.office.delivery.read_certificate(made)
    found: dict[str, Any] = json.loads(content)["certificate"]
    return found


def kept(made: dict[str, Any]) -> dict[str, int]:
    """How many rows a certificate says are kept, by collection."""
    collections = [c for system in made["systems"] for c in system["collections"]]
    return {c["collection"]: sum(k["rows"] for k in c["kept"]) for c in collections}


def deferred(room: EngineRoom) -> list[Any]:
    """The jobs that carry promises out, in order."""
    return room.rows("SELECT ref, state, phase FROM jobs WHERE kind = 'deferred' ORDER BY id")


def test_a_row_found_by_its_masked_name_is_kept_and_promised(guests: EngineRoom) -> None:
    """A receipt that only its masked e-mail named stands in the certificate and goes in time."""
    ref = erase(guests, email=GUEST)
    made = certificate(guests, ref)
    assert made["response"]["nature"] == "partly_granted"
    assert kept(made) == {"receipts": 1}
    assert [(d["collection"], d["rows"]) for d in made["deferred"]] == [("receipts", 1)]
    assert GUEST.encode() not in repr(guests.system("guests").dump()).lower().encode()
    assert not [step for step in guests.steps(ref) if step[0] == "locate" and step[2] > 2]
    guests.move_clock(days=366 * 9)
    guests.settle()
    (job,) = deferred(guests)
    assert job.state == "closed", guests.steps(job.ref)
    assert guests.outcomes(job.ref) == {("guests", "receipts", "erased"): 1}
    assert not guests.system("guests").dump()["receipts"]


def test_a_guests_order_and_its_invoice_go_in_time(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """In Postgres, what hangs below a row found by its masked e-mail is kept, told and erased."""
    dsn = database()
    shop.emptied(dsn)
    shop.execute(dsn, "INSERT INTO orders VALUES (1, NULL, 'n', 1, %s, '2025-03-01')", [(GUEST,)])
    shop.execute(dsn, "INSERT INTO invoices VALUES (1, 1, 'G', %s, 1, '2025-03-01')", [(GUEST,)])
    shop.execute(dsn, "INSERT INTO orders VALUES (2, NULL, 'n', 1, 'b@mail.example', '2025-03-01')")
    file = tmp_path / "dsn"
    file.write_text(dsn)
    file.chmod(0o600)
    systems = {"shop": ORDERS.replace("DSN", str(file))}
    room = EngineRoom(tmp_path, database(), systems=systems, connectors={"postgres": Postgres})
    made = certificate(room, erase(room, email=GUEST))
    assert kept(made) == {"invoices": 1, "orders": 1}
    assert {(d["collection"], d["rows"]) for d in made["deferred"]} == {
        ("invoices", 1),
        ("orders", 1),
    }
    room.move_clock(days=366 * 9)
    room.settle()
    (job,) = deferred(room)
    assert job.state == "closed", room.steps(job.ref)
    assert shop.query(dsn, "SELECT id FROM invoices") == []
    assert shop.query(dsn, "SELECT id, guest_email FROM orders") == [(2, "b@mail.example")]


class Hesitant(Memory):
    """Says once that a row is there that nobody located."""

    told = False

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """As ever, and one row more at the first time."""
        yield from super().recheck(subjects, keys, ctx)
        if not Hesitant.told:
            Hesitant.told = True
            yield Key(subjects[0].ref, "receipts", ("9",))


def test_what_an_earlier_round_kept_stays_in_the_account(
    tmp_path: Path, ledger: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a case goes round again, rows that no name finds any more are still accounted for."""
    monkeypatch.setattr(Hesitant, "told", False)
    systems = {"guests": RECEIPTS}
    room = EngineRoom(tmp_path, ledger(), systems=systems, connectors={"memory": Hesitant})
    rows = [receipt("1"), receipt("2", "2010-01-01T00:00:00")]
    room.system("guests").load({"receipts": rows}, {"receipts": ("id",)})
    ref = erase(room, email=GUEST)
    assert [step[2] for step in room.steps(ref) if step[0] == "recheck"] == [2, 3]
    made = certificate(room, ref)
    assert kept(made) == {"receipts": 1}
    (receipts,) = made["systems"][0]["collections"]
    assert (receipts["found"], receipts["erased"]) == (2, 1)
    assert [d["rows"] for d in made["deferred"]] == [1]


def test_the_status_counts_what_the_certificate_counts(
    tmp_path: Path, ledger: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a case went round again, rows that stay are told once, in both."""
    monkeypatch.setattr(Hesitant, "told", False)
    systems = {"guests": RECEIPTS}
    room = EngineRoom(tmp_path, ledger(), systems=systems, connectors={"memory": Hesitant})
    rows = [receipt("1"), receipt("2", "2010-01-01T00:00:00")]
    room.system("guests").load({"receipts": rows}, {"receipts": ("id",)})
    ref = erase(room, email=GUEST)
    assert room.outcomes(ref)["guests", "receipts", "masked"] == 2  # once in each round
    with room.office.ledger.transaction() as cursor:
        told = [(o.outcome, o.rows) for o in reports.outcomes(cursor, room.job(ref)["id"])]
    assert sorted(told) == [("erased", 1), ("masked", 1)]
    (receipts,) = certificate(room, ref)["systems"][0]["collections"]
    assert (receipts["found"], receipts["erased"]) == (2, 1)


def test_each_row_goes_when_its_own_period_is_over(guests: EngineRoom) -> None:
    """A receipt of 2019 is not kept for as long as its sibling of 2025; the certificate says so."""
    room, crm = guests, guests.system("guests")
    rows = [receipt("1", "2019-03-01T00:00:00"), receipt("2"), receipt("3", "2019-05-01T00:00:00")]
    crm.load({"receipts": rows}, {"receipts": ("id",)})
    ref = erase(room, email=GUEST)
    made = certificate(room, ref)
    (told,) = made["deferred"]
    assert (told["rows"], told["due_on"], told["last_due_on"]) == (3, "2028-01-01", "2034-01-01")
    ((stays,),) = [c["kept"] for c in made["systems"][0]["collections"]]
    assert (stays["first_until_on"], stays["until_on"]) == ("2027-12-31", "2033-12-31")
    page = render_certificate(json.dumps({"certificate": made, "signature": SIGNATURE}).encode())
    assert "the first until 31 December 2027, the last until 31 December 2033" in page
    assert "the first on 1 January 2028, the last on 1 January 2034" in page
    room.move_clock(days=366 + 60)
    room.settle()
    (first,) = deferred(room)
    assert room.outcomes(first.ref) == {
        ("guests", "receipts", "erased"): 2,
        ("guests", "receipts", "masked"): 1,
    }
    assert list(crm.dump()["receipts"]) == [("2",)]
    later = certificate(room, first.ref)
    assert (later["promised_by"], later["response"]["nature"]) == (ref, "partly_granted")
    (promise,) = room.rows("SELECT * FROM promises WHERE carried_out_by IS NULL")
    assert (promise.row_count, promise.due_on, promise.last_due_on) == (
        1,
        date(2034, 1, 1),
        date(2034, 1, 1),
    )
    room.move_clock(days=366 * 7)
    room.settle()
    first, last = deferred(room)
    assert (first.state, last.state) == ("closed", "closed")
    assert not crm.dump()["receipts"]
    assert certificate(room, last.ref)["response"]["nature"] == "granted"


def test_a_held_persons_row_stays_whoever_else_it_belongs_to(guests: EngineRoom) -> None:
    """A row of two people, of whom the other is held, is kept under the hold; the rest goes."""
    shared = receipt("2", "2010-01-01T00:00:00") | {"payer": "held.payer@mail.example"}
    rows = [receipt("1", "2010-01-01T00:00:00"), shared]
    guests.system("guests").load({"receipts": rows}, {"receipts": ("id",)})
    review_on = guests.rows("SELECT (business_now() + interval '90 days')::date AS day")[0].day
    payer = PeopleHeld((Identity("payer", "held.payer@mail.example"),))
    guests.place_hold(payer, "m-1", review_on)
    made = certificate(guests, erase(guests, email=GUEST))
    ((stays,),) = [c["kept"] for c in made["systems"][0]["collections"]]
    assert (stays["rows"], stays["ground"]) == (1, "ER_LEGAL_CLAIMS")
    assert list(guests.system("guests").dump()["receipts"]) == [("2",)]


def test_an_answer_says_as_a_whole_what_was_done(guests: EngineRoom) -> None:
    """A hold that keeps everything is no grant; neither is it one where nothing was found."""
    review_on = guests.rows("SELECT (business_now() + interval '90 days')::date AS day")[0].day
    guests.place_hold(RowsHeld("guests", "receipts", "id", ("1",)), "m-1", review_on)
    held = certificate(guests, erase(guests, email=GUEST))
    assert held["response"]["nature"] == "denied"
    nobody = certificate(guests, erase(guests, email="someone.else@mail.example"))
    assert nobody["response"]["nature"] == "nothing_found"


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Auckland", "Europe/Berlin"])
def test_a_promise_is_carried_out_once_whatever_its_zone(
    tmp_path: Path, ledger: Callable[[], str], zone: str
) -> None:
    """One job starts once the promised day has come in its zone, and keeps nothing once more."""
    policies = {"trial": POLICY.replace("Europe/Berlin", zone)}
    room = EngineRoom(tmp_path, ledger(), systems={"guests": RECEIPTS}, policies=policies)
    room.system("guests").load({"receipts": [receipt("1")]}, {"receipts": ("id",)})
    erase(room, email=GUEST)
    (promise,) = room.rows("SELECT due_on, business_now() AS now FROM promises")
    first = datetime.combine(promise.due_on, time(0, 5), UTC) - timedelta(hours=14)
    room.move_clock(seconds=(first - promise.now).total_seconds())
    for _ in range(7):
        room.settle()
        assert len(deferred(room)) <= 1
        room.move_clock(hours=6)
    room.settle()
    (job,) = deferred(room)
    assert job.state == "closed", room.steps(job.ref)
    assert room.outcomes(job.ref) == {("guests", "receipts", "erased"): 1}


def test_what_a_lifted_hold_kept_is_promised_once(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """What a hold's promise keeps once more joins the promise that stands; rows count once."""
    room = EngineRoom(tmp_path, ledger())
    room.load_people(5)
    review_on = room.rows("SELECT (business_now() + interval '90 days')::date AS day")[0].day
    hold = room.place_hold(RowsHeld("crm", "carts", "id", ("cart-3",)), "m-1", review_on)
    erase(room, email="p.zq0003zq@mail.example")
    room.office.holding.release(hold, room.sign("anna", "release-hold", hold))
    room.move_clock(days=20)
    room.settle()
    (after_hold,) = deferred(room)
    assert after_hold.state == "closed", room.steps(after_hold.ref)
    assert ("cart-3",) not in room.system("crm").dump()["carts"]
    (left,) = room.rows("SELECT row_count FROM promises WHERE carried_out_by IS NULL")
    assert left.row_count == 2, "the invoice and the customer whom it needs"
    room.move_clock(days=366 * 9)
    room.settle()
    room.move_clock(days=2)
    room.settle()
    assert [job.state for job in deferred(room)] == ["closed", "closed"]
    crm = room.system("crm").dump()
    assert ("3",) not in crm["customers"]
    assert ("3-new",) not in crm["invoices"]
    erased = room.rows(
        "SELECT collection, sum(row_count) AS rows FROM receipts r JOIN jobs j ON j.id = r.job_id"
        " WHERE j.kind = 'deferred' AND outcome = 'erased' GROUP BY collection"
    )
    assert {r.collection: int(r.rows) for r in erased} == {
        "carts": 1,
        "customers": 1,
        "invoices": 1,
    }
    assert len(crm["customers"]) == 4


def test_a_row_without_a_date_is_told_and_looked_at(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """A receipt of which no end is known is certified as kept without a day, and a human asked."""
    room = EngineRoom(tmp_path, ledger(), systems={"guests": RECEIPTS})
    guests = room.system("guests")
    guests.load({"receipts": [receipt("1", None)]}, {"receipts": ("id",)})
    made = certificate(room, erase(room, email=GUEST))
    (receipts,) = made["systems"][0]["collections"]
    assert [(k["rows"], k["until_on"]) for k in receipts["kept"]] == [(1, None)]
    assert made["deferred"] == []
    room.move_clock(days=2)
    room.settle()
    (job,) = deferred(room)
    assert room.steps(job.ref) == [("locate", "guests", 1, "needs_human", "kept_without_day")]
    room.move_clock(days=2)
    room.settle()
    assert len(deferred(room)) == 1
    dated = json.loads(guests.dump()["receipts"]["1",]) | {"issued_on": "2025-03-01T00:00:00"}
    guests.load({"receipts": [dated]}, {"receipts": ("id",)})
    room.office.decisions.retry(job.ref, room.sign("anna", "retry", job.ref))
    room.settle()
    assert room.job(job.ref)["state"] == "closed", room.steps(job.ref)
    room.move_clock(days=366 * 9)
    room.settle()
    assert not guests.dump()["receipts"]
