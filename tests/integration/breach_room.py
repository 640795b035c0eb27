"""An engine room with breaches: a shop, a newsletter and a server that takes mail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from dsr_worker.breach import Assessing, BreachCourse, BreachDesk, Declaring, Leak, Sending
from dsr_worker.breach.course import KIND
from dsr_worker.breach.declaring import DECLARE
from dsr_worker.breach.desk import APPROVE, MARK, WRITE, digest_of, marked_hash
from dsr_worker.contract import LeakScope
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Job, Move
from dsr_worker.notify.mail import Mailer
from dsr_worker.notify.warnings import Warner
from tests.integration.engine_room import CRM, ORGANISATION, EngineRoom
from tests.services import Mail, SmtpSink

NEWS = """
system: news
connector: memory
config: {name: NAME-news}
collections:
  readers:
    key: [id]
    takes: {email: {field: email, form: ascii-case}, phone: {field: phone, form: digits}}
    contact: {email: email}
    class: newsletter
    source: {}
    purpose: Trial.
    legal_basis: Consent.
    recipients: [nobody]
    origin: You.
    fields:
      id: user.unique_id
      email: {category: user.contact.email, mask: tombstone}
      phone: {category: user.contact.phone_number, mask: "null"}
"""

TEXTS = {
    language: {
        "nature": "A stranger read a table.",
        "consequences": "Unwanted mail.",
        "measures": "The door is shut.",
        "advice": "Mind what you are sent.",
    }
    for language in ("en", "de")
}


class BreachRoom(EngineRoom):
    """One installation whose engine performs breaches."""

    def __init__(self, folder: Path, dsn: str, sink: SmtpSink, *, part_people: int = 20) -> None:
        organisation = ORGANISATION.replace("port: 9,", f"port: {sink.port},").replace(
            "information:\n", "languages: [en, de]\ninformation:\n  de: {rights: deine}\n"
        )
        super().__init__(folder, dsn, systems={"crm": CRM, "news": NEWS}, organisation=organisation)
        office = self.office
        own = office.files.organisation
        self.mailer = Mailer(own.smtp, own.controller.name)
        self.declaring = Declaring(office.ledger, office.keys, office.materials, own)
        self.desk = BreachDesk(office.ledger, office.keys, office.store, own, part_people)
        self.warner = Warner(office.ledger, own.warnings, self.mailer, "en")
        assessing = Assessing(office.ledger, office.store, own)
        self.sending = Sending(office.ledger, office.store, self.mailer, part_people)
        self.course = BreachCourse(own)
        drainer: Any = self.workshop.drainer
        drainer._performers = {
            **drainer._performers,
            "affected": assessing.affected,
            "assess": assessing.assess,
            "notify": self.sending.notify,
        }
        cases = drainer._advance

        def advance(cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
            mine = [job for job in jobs if job.kind == KIND]
            rest = [job for job in jobs if job.kind != KIND]
            return [*self.course.advance(cursor, mine), *(cases(cursor, rest) if rest else ())]

        drainer._advance = advance

    def told(self, sink: SmtpSink) -> list[Mail]:
        """The mails that went to people, without the team's own warnings."""
        return [mail for mail in sink.mails if mail.recipients != ("privacy@shop.example",)]

    def now(self) -> datetime:
        """The business clock."""
        (row,) = self.rows("SELECT business_now() AS now")
        found: datetime = row.now
        return found

    def load(
        self, customers: Sequence[dict[str, Any]], readers: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Put people into the two systems."""
        filled = [
            {"name": "N", "phone": None, "created_at": "2020-01-01T00:00:00", **row}
            for row in customers
        ]
        self.system("crm").load({"customers": filled}, {"customers": ("id",)})
        self.system("news").load({"readers": list(readers)}, {"readers": ("id",)})

    def declare(self, actor: str = "anna", **changes: Any) -> str:
        """Declare a leak of both systems; its reference."""
        leak = Leak(
            **{
                "scopes": {
                    "crm": (LeakScope("customers", ("email", "name")),),
                    "news": (LeakScope("readers", ()),),
                },
                "aware_at": self.now(),
                "markets": (),
                **changes,
            }
        )
        return self.declaring.declare(leak, self.sign(actor, DECLARE, "new", leak.digest())).ref

    def write(self, ref: str) -> None:
        """Write every text."""
        self.desk.write(ref, TEXTS, self.sign("anna", WRITE, ref, digest_of(TEXTS)))

    def approve_notices(self, ref: str, actor: str = "berta") -> None:
        """Approve the notices as they stand."""
        whole = self.desk.proposal(ref).hash
        self.desk.approve_notices(ref, self.sign(actor, APPROVE, ref, whole))

    def mark(self, ref: str, clock: str, at: datetime) -> str:
        """Record that a recipient was told."""
        signed = self.sign("anna", MARK, ref, marked_hash(clock, at))
        return self.desk.mark_notified(ref, clock, at, signed)

    def clocks(self, ref: str) -> dict[str, Any]:
        """The clocks of a breach by name."""
        rows = self.rows(
            "SELECT c.* FROM clocks c JOIN jobs j ON j.id = c.job_id WHERE j.ref = %s", ref
        )
        return {row.name: row for row in rows}

    def notices(self, ref: str) -> dict[str, int]:
        """How many notices stand in each state."""
        rows = self.rows(
            "SELECT n.state, count(*) AS people FROM notices n JOIN jobs j ON j.id = n.job_id"
            " WHERE j.ref = %s GROUP BY 1",
            ref,
        )
        return {row.state: row.people for row in rows}

    def wake(self) -> None:
        """Let what waits be ready now, and take back what nobody works on."""
        with self.office.ledger.transaction() as cursor:
            cursor.execute("UPDATE steps SET run_at = now() WHERE state = 'waiting'")
            cursor.execute(
                "UPDATE steps SET lease_until = now() - interval '1 s' WHERE state = 'leased'"
            )
            cursor.execute("UPDATE slots SET lease_until = '-infinity'")


def parsed(mail: Mail) -> EmailMessage:
    """A mail as a reader's program sees it."""
    return message_from_bytes(mail.content, policy=default)


def shoppers(count: int, country: str | None = "DE") -> list[dict[str, Any]]:
    """So many customers."""
    return [
        {"id": f"{country}-{n}", "email": f"p{n}@{(country or 'no')}.example", "country": country}
        for n in range(count)
    ]
