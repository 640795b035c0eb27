"""A certificate says what is promised and what nobody looked in; an approver knows beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

from dsr_worker.contract import Identity
from dsr_worker.fulfil.plans import free_text_notice
from tests.acceptance.judge import hand_over
from tests.integration.answers.answered import MAIL, answered, certified
from tests.integration.engine_room import CRM, ORGANISATION, EngineRoom

# ---- what is promised


def test_a_masked_parent_is_promised_with_what_it_is_kept_for(
    room: EngineRoom, tmp_path: Path
) -> None:
    """The customer that an invoice needs stands in certificate and promise, with a day."""
    ref = answered(room, "erasure")
    said = certified(room, ref, tmp_path / "c.json")
    promised = {(d["collection"], d["ground"]): d["due_on"] for d in said["deferred"]}
    due = promised["invoices", "de-ao-147-voucher"]
    assert promised == {
        ("invoices", "de-ao-147-voucher"): due,
        ("customers", "needed_by_kept"): due,
    }
    (promise,) = room.rows("SELECT due_on, row_count FROM promises")
    assert (promise.due_on, promise.row_count) == (date.fromisoformat(due), 2)
    page = (tmp_path / "c.html").read_text("utf-8")
    for code in ("needed_by_kept", "de-ao-147", "second-path", "partly_granted", "eu-gdpr"):
        assert code not in page
    room.move_clock(days=366 * 10)
    room.settle()
    assert ("3",) not in room.system("crm").dump()["customers"]


def test_a_promise_covers_as_many_parents_as_it_names(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """Thirty orders kept for thirty invoices go with them: they are no surprise on the day."""
    orders = CRM.replace(
        "  invoices:\n    key: [id]\n    parent: {collection: customers, on: {customer_id: id}}",
        "  orders:\n    key: [id]\n    parent: {collection: customers, on: {customer_id: id}}\n"
        "    class: order\n    fields: {id: user.unique_id, customer_id: user.unique_id,\n"
        '      note: {category: user.content, mask: "null"}}\n'
        "    source: {}\n    purpose: Trial.\n    legal_basis: Contract.\n"
        "    recipients: [nobody]\n    origin: You.\n"
        "  invoices:\n    key: [id]\n    parent: {collection: orders, on: {order_id: id}}",
    ).replace(
        "      customer_id: user.unique_id\n      name:",
        "      order_id: user.unique_id\n      name:",
    )
    orders = orders.replace("keeps: [id, customer_id, total", "keeps: [id, order_id, total")
    room = EngineRoom(tmp_path, ledger(), systems={"crm": orders})
    numbers = [str(n) for n in range(30)]
    customer = {
        "id": "3",
        "email": MAIL,
        "name": "Name",
        "phone": "+49 30 1000003",
        "country": "DE",
        "created_at": "2020-01-01T00:00:00",
    }
    room.system("crm").load(
        {
            "customers": [customer],
            "orders": [{"id": n, "customer_id": "3", "note": "ring twice"} for n in numbers],
            "invoices": [
                {"id": n, "order_id": n, "name": "Name", "total": "1", "issued_on": "2026-01-01"}
                for n in numbers
            ],
            "carts": [],
        },
        dict.fromkeys(("customers", "orders", "invoices", "carts"), ("id",)),
    )
    answered(room, "erasure")
    (promise,) = room.rows("SELECT row_count FROM promises")
    assert promise.row_count == 61
    room.move_clock(days=366 * 10)
    room.settle()
    (deferred,) = room.rows("SELECT ref, state, phase FROM jobs WHERE kind = 'deferred'")
    assert deferred.state == "closed", (deferred.phase, room.steps(deferred.ref))
    assert not any(room.system("crm").dump().values())


def test_rows_under_a_hold_are_promised_for_its_end(room: EngineRoom, tmp_path: Path) -> None:
    """What a hold keeps is listed without a day, and with the hold's ground in words."""
    room.hold_person(Identity("customer_number", "3"))
    said = certified(room, answered(room, "erasure"), tmp_path / "c.json")
    assert {d["due_on"] for d in said["deferred"]} == {None}
    assert {d["ground"] for d in said["deferred"]} == {"ER_LEGAL_CLAIMS"}
    page = (tmp_path / "c.html").read_text("utf-8")
    assert "needed to establish, exercise or defend legal claims (Art. 17(3)(e) GDPR)" in page
    assert "after the legal hold has ended" in page


def test_a_certificate_names_what_nobody_looked_in(room: EngineRoom, tmp_path: Path) -> None:
    """A system in which the person is known by nothing is not passed over in silence."""
    ref = room.submit("erasure", email="someone.else@mail.example")
    room.settle()
    room.approve(ref)
    room.settle()
    said = certified(room, ref, tmp_path / "c.json")
    assert said["not_asked"] == ["files"]
    assert [s["system"] for s in said["systems"]] == ["crm"]
    found = {c["collection"]: c["found"] for c in said["systems"][0]["collections"]}
    assert found == {"customers": 0, "invoices": 0, "carts": 0}
    assert any("were not asked" in sentence for sentence in said["not_covered"])


def test_the_house_text_on_backups_is_in_the_certificate(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """Where the organisation says how long backups last, its certificates say so in its words."""
    own = ORGANISATION + 'backups: {en: "Overwritten within 35 days."}\n'
    room = EngineRoom(tmp_path, ledger(), organisation=own)
    room.load_people(4)
    said = certified(room, answered(room, "erasure"), tmp_path / "c.json")
    assert said["backups"] == "Overwritten within 35 days."
    assert any("Shop says of them: Overwritten" in sentence for sentence in said["not_covered"])


# ---- before anything leaves


def test_an_approver_is_told_of_free_texts(room: EngineRoom) -> None:
    """A plan of an access counts records with free text by collection, bound by its hash."""
    ref = room.submit("access", email=MAIL)
    room.settle()
    plan = room.job(ref)["plan"]
    assert plan["free_texts"] == {"crm.carts": 1, "files.documents": 1}
    notice = free_text_notice(plan)
    assert notice is not None
    assert "crm.carts 1, files.documents 1" in notice
    assert "names alone are not" in notice
    erasure = room.submit("erasure", email="p.zq0004zq@mail.example")
    room.settle()
    assert free_text_notice(room.job(erasure)["plan"]) is None


def test_a_standing_approval_names_where_free_texts_may_be(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """Where nobody looks at a plan the places stand in it uncounted, for whoever hands over."""
    room = EngineRoom(tmp_path, ledger())
    room.load_people(4)
    ref = room.submit("access", email=MAIL)
    room.settle()
    plan = room.job(ref)["plan"]
    assert plan["free_texts"] == {"crm.carts": None, "files.documents": None}
    assert "crm.carts, files.documents:" in (free_text_notice(plan) or "")


def test_a_package_says_how_the_person_was_known(room: EngineRoom, tmp_path: Path) -> None:
    """The first page tells how it was verified and by which names the person was looked for."""
    found = hand_over(room, answered(room), tmp_path / "1.zip")
    page = found["index.html"].decode()
    assert "A person of our team confirmed it (trial)." in page
    assert "E-mail address (you named it and it was checked)" in page
    assert "Customer number (found in our systems by what you named)" in page
    assert "at least 8 years from the end of the calendar year" in (
        found["information/art15.html"].decode()
    )
    told = json.loads(found["information/art15.json"])["data"]
    terms = {d["collection"]: d["storage_terms"] for d in told}
    assert [(t["side"], t["period"]) for t in terms["invoices"]] == [("at_least", "P8Y")]


def test_missing_texts_are_known_at_the_beginning(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """An access case that no package could be made for warns at once; an erasure does not."""
    bare = ORGANISATION.replace('rights: "yours"', 'rights: ""')
    room = EngineRoom(tmp_path, ledger(), organisation=bare)
    (line,) = room.office.texts.warnings("access", None, "eu-gdpr", "DE")
    assert "the person's rights (Art. 15(1)(e) GDPR)" in line
    assert room.office.texts.warnings("erasure", None, "eu-gdpr", "DE") == []
