"""The course of the demo: access, erasure, hold, sweep, a promise that comes due, a breach.

In: a running stage, a desk. Out: answered cases, and `Summary`, what there is to tell at the end.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from io import StringIO
from pathlib import Path
from typing import Any, Final

import psycopg2

from dsr_worker.bootstrap import Office
from dsr_worker.cli.output import going, local
from dsr_worker.ledger import reports
from dsr_worker.testing.demo.desk import Desk
from dsr_worker.testing.demo.stage import Stage, write_privately
from dsr_worker.testing.shop import Shop

_PEOPLE: Final = 50  # who hear of the breach
_CODE: Final = re.compile(r"\b\d{6}\b")
_STAYS: Final = ("masked", "retained")
_WHY: Final = {
    "de-ao-147-voucher": "tax law, § 147 AO, masked",
    "needed_by_kept": "an invoice that stays refers to it, masked",
    "ER_LEGAL_CLAIMS": "legal hold",
}
_TEXTS: Final = """\
en:
  nature: A copy of a customer list was read by somebody who should not have had it.
  consequences: You may get unwanted mail that pretends to come from us.
  measures: The copy is gone, the access that was used is closed, and we look for other traces.
  advice: Do not open attachments of mails that name us; we never ask for your password.
de:
  nature: Eine Kopie einer Kundenliste wurde von jemandem gelesen, der sie nicht haben durfte.
  consequences: Sie könnten unerwünschte Post bekommen, die sich als unsere ausgibt.
  measures: Die Kopie ist fort, der benutzte Zugang ist zu, und wir suchen nach weiteren Spuren.
  advice: Öffnen Sie keine Anhänge in unserem Namen; nach Ihrem Passwort fragen wir nie.
"""


@dataclass
class Summary:
    """What there is to tell at the end."""

    package: Path = Path()
    passphrase: str = ""
    lines: list[str] = field(default_factory=list)
    due: list[str] = field(default_factory=list)


class Story:
    """Two people, anna and berta, at work on one day and on one in the new year."""

    def __init__(self, stage: Stage, desk: Desk, office: Office) -> None:
        self._stage = stage
        self._desk = desk
        self._office = office
        self.summary = Summary()

    # ---- access

    def access(self) -> None:
        """Somebody asks for their data; a code goes to the address on file."""
        self._desk.heading("Access: what do you hold of me?")
        who = self._stage.shop.person(Shop.FULL)
        ref = self._desk.type(
            "submit", "--kind", "access", "--email", who.email, "--country", "DE",
            "--channel", "mail", "--verify", "code",
        )["case"]  # fmt: skip
        code = self._code_for(ref)
        self._desk.say("a code has arrived at the address on file (read from the mail server)")
        self._desk.type("verify", ref, "--code", code)
        self._await(ref, "awaiting_approval")
        plan = self._desk.type("plan", ref)
        rows = sum(part["rows"] for part in plan["outcomes"])
        self._desk.say(
            f"found by e-mail, then by the customer number and helpdesk user that it led to: "
            f"{rows} rows in {len(plan['systems'])} systems"
        )
        self._approve(ref)
        self._await(ref, "ready")
        self.summary.package = self._stage.results / f"{ref}.zip"
        handed = self._desk.type("package", ref, "--to", str(self.summary.package))
        self.summary.passphrase = handed["passphrase"]
        self._desk.say(f"{ref} is answered and closed: {rows} rows, sealed until this moment")

    # ---- erasure

    def erasure(self) -> None:
        """Three people ask to be erased: one is in a dispute, two have invoices to be kept."""
        self._desk.heading("Erasure: tax law keeps, a legal hold keeps, the rest goes")
        numbers = (Shop.OLD_AND_NEW_INVOICES, Shop.LAST_DAY_OF_PERIOD, Shop.DISPUTED)
        disputed = self._stage.shop.person(Shop.DISPUTED).customer_number
        review = (datetime.now(UTC).date() + timedelta(days=180)).isoformat()
        self._desk.type(
            "hold", "place", "--customer-number", disputed, "--reason", "ER_LEGAL_CLAIMS",
            "--matter", "dispute-1", "--review", review,
        )  # fmt: skip
        file = self._stage.results / "erasures.csv"
        self._write_requests(file, numbers)
        taken = self._desk.type("submit", "--csv", str(file))
        refs = [row["case"] for row in taken["rows"]]
        for ref in refs:
            self._await(ref, "awaiting_approval")
            self._approve(ref)
        for ref, number in zip(refs, numbers, strict=True):
            self._await(ref, "ready")
            to = self._stage.results / f"{ref}.json"
            self._desk.type("certificate", ref, "--to", str(to))
            held = " (in a dispute)" if number == Shop.DISPUTED else ""
            told = f"{ref}{held}: {self._outcomes(ref)}"
            self._desk.say(told)
            self.summary.lines.append(told)

    def _write_requests(self, file: Path, numbers: Sequence[int]) -> None:
        out = StringIO()
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(("kind", "email", "country", "channel", "attest"))
        for number in numbers:
            email = self._stage.shop.person(number).email
            rows.writerow(("erasure", email, "DE", "mail", "passport"))
        write_privately(file, out.getvalue())

    def _outcomes(self, ref: str) -> str:
        """What became of a case's rows, with why and until when the kept ones stay."""
        with self._office.ledger.transaction() as cursor:
            job = reports.job(cursor, ref)
            found = reports.outcomes(cursor, job.id) if job else []
        gone: Counter[str] = Counter()
        kept: Counter[str] = Counter()
        for row in found:
            if row.outcome in _STAYS and row.ground:
                until = f" until {row.until_on}" if row.until_on else ""
                if row.first_until_on != row.until_on:
                    until = f" until {row.first_until_on} to {row.until_on}"
                kept[f"{_WHY.get(row.ground, row.ground)}{until}"] += row.rows
            else:
                gone[row.outcome] += row.rows
        parts = [f"{rows} rows {outcome}" for outcome, rows in sorted(gone.items())]
        parts += [f"{rows} stay: {why}" for why, rows in sorted(kept.items())]
        return ", ".join(parts)

    # ---- sweep

    def sweep(self) -> None:
        """What is older than the policy allows goes, once a second person has seen the counts."""
        self._desk.heading("Retention sweep: what was kept for too long")
        planned = self._desk.type("sweep", "plan", "de-shop", "--wait", "60")
        ref = planned["sweep"]
        self._desk.say(
            f"{ref}: {planned['rows']} rows are older than the policy allows, up to "
            f"{planned['share']:.0%} of a collection; nothing has changed yet"
        )
        self._desk.type("sweep", "approve", ref, "--yes", *self._as_berta)
        self._await(ref, "closed")
        certificate = self._stage.results / f"{ref}.json"
        self._desk.type("sweep", "certificate", ref, "--to", str(certificate))
        told = f"{ref} (sweep): {self._outcomes(ref)}"
        self._desk.say(told)
        self.summary.lines.append(told)

    # ---- a promise

    def promise(self) -> None:
        """The year ends, and with it the period of one kept invoice: the tick erases it."""
        self._desk.heading("Deferred erasure: the year ends, a kept invoice comes free")
        today = datetime.now(UTC).date()
        days = (date(today.year + 1, 1, 2) - today).days
        now = self._desk.type("clock", "advance", f"P{days}D")["now"]
        self._desk.say(f"in this ledger it is {now[:10]} now")
        self._desk.wait("a promise is carried out", lambda: "closed" in self._states("deferred"))
        with self._office.ledger.transaction() as cursor:
            cursor.execute("SELECT ref FROM jobs WHERE kind = 'deferred' ORDER BY id")
            refs = [row.ref for row in cursor.fetchall()]
        for ref in refs:
            told = f"{ref} (deferred): {self._outcomes(ref)}"
            self._desk.say(told)
            self.summary.lines.append(told)
        self._desk.wait("the nightly sweep fires", lambda: bool(self._fired()))
        self._desk.say(f"{self._fired()} is the nightly sweep; its schedule came due as well")

    def _fired(self) -> str:
        """The sweep that nobody but the schedule began."""
        with self._office.ledger.transaction() as cursor:
            cursor.execute("SELECT ref FROM jobs WHERE kind = 'sweep' AND submitted_by IS NULL")
            found = cursor.fetchone()
        return "" if found is None else str(found.ref)

    # ---- breach

    def breach(self) -> None:
        """A customer list leaks: duties on clocks at once, then the people, then the notices."""
        self._desk.heading("Breach: who must hear what by when, and the people are told")
        texts = self._stage.results / "breach-texts.yaml"
        write_privately(texts, _TEXTS)
        with self._office.ledger.transaction() as cursor:
            cursor.execute("SELECT business_now() AS now")
            now: datetime = cursor.fetchone().now
        declared = self._desk.type(
            "breach", "declare", "--leaked", "shop.customers:email,name",
            "--aware", (now - timedelta(hours=1)).isoformat(timespec="minutes"),
            "--until", self._when_there_were(_PEOPLE), "--readable", "--harm", "high",
            "--texts", str(texts),
        )  # fmt: skip
        ref = declared["case"]
        self._desk.say(f"{ref}: {len(declared['duties'])} duties stand on clocks already")
        self._desk.wait("the people are counted", lambda: bool(self._facts(ref).get("affected")))
        shown = self._desk.type("breach", "show", ref)
        self._desk.say(f"{shown['affected']['people']} people, {shown['reachable']} reachable")
        before = self._mails_to_people()
        self._desk.type("breach", "approve-notices", ref, "--yes", *self._as_berta)
        wanted = shown["reachable"]
        self._desk.wait("notices sent", lambda: self._mails_to_people() - before >= wanted)
        told = f"{ref} (breach): {self._mails_to_people() - before} people were written to"
        self._desk.say(told)
        self.summary.lines.append(told)

    def due(self) -> None:
        """Every open clock, soonest first."""
        self._desk.heading("What is due when")
        due = self._desk.type("due")
        for clock in due["clocks"]:
            act_by = clock["conservative_due_at"]
            by = local(act_by and datetime.fromisoformat(act_by), clock["zone"])
            self._tell_due(f"{by}  {clock['case']}  {clock['clock']}")
        for promise in due["promises"]:
            when = going(promise["due_on"], promise["last_due_on"])
            self._tell_due(f"{when}  {promise['case']}  erases the {promise['rows']} rows kept")

    def _tell_due(self, line: str) -> None:
        self.summary.due.append(line)
        self._desk.say(line)

    # ---- shared

    @property
    def _as_berta(self) -> tuple[str, str]:
        return "--key", str(self._stage.key_of("berta"))

    def _approve(self, ref: str) -> None:
        self._desk.type("approve", ref, "--yes", *self._as_berta)

    def _await(self, ref: str, state: str) -> None:
        self._desk.wait(f"{ref} {state}", lambda: self._state(ref) == state)

    def _state(self, ref: str) -> str:
        with self._office.ledger.transaction() as cursor:
            job = reports.job(cursor, ref)
        return job.state if job else ""

    def _facts(self, ref: str) -> dict[str, Any]:
        with self._office.ledger.transaction() as cursor:
            job = reports.job(cursor, ref)
        return dict(job.facts) if job else {}

    def _states(self, kind: str) -> list[str]:
        with self._office.ledger.transaction() as cursor:
            cursor.execute("SELECT state FROM jobs WHERE kind = %s", (kind,))
            return [row.state for row in cursor.fetchall()]

    def _code_for(self, ref: str) -> str:
        found: list[str] = []

        def arrived() -> bool:
            for file in self._stage.mails.glob("*.eml"):
                mail = message_from_bytes(file.read_bytes(), policy=default)
                body = mail.get_body()
                code = _CODE.search(body.get_content()) if body else None
                if code is not None and ref in str(mail["Subject"]):
                    found.append(code[0])
            return bool(found)

        self._desk.wait("the mail with the code", arrived)
        return found[-1]

    def _mails_to_people(self) -> int:
        """How many mails went to somebody who is not of the shop."""
        count = 0
        for file in self._stage.mails.glob("*.eml"):
            to = str(message_from_bytes(file.read_bytes(), policy=default)["To"])
            count += "@shop.example" not in to
        return count

    def _when_there_were(self, people: int) -> str:
        """The instant until which so many of today's customers existed."""
        connection = psycopg2.connect(self._stage.shop_dsn)
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT max(created_at) + interval '1 hour' FROM (SELECT created_at"
                    " FROM customers WHERE email NOT LIKE '%%@erased.invalid'"
                    " ORDER BY created_at LIMIT %s) AS first",
                    (people,),
                )
                found = cursor.fetchone()
        finally:
            connection.close()
        at: datetime = found[0] if found else datetime.now(UTC)
        return at.isoformat(timespec="minutes")
