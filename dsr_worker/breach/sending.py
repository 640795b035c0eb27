"""Performs `notify`: one approved notice to each person of a part of the frozen list.

In: steps at the desk, each with a part of the list. Out: mail, and what became of each. A row is
committed as `sending` before the mail server hears of it. When this process dies in between, nobody
can know whether the mail left: the row becomes `unknown` for a person to decide, and nothing is
doubled. The texts are those of the approval, checked by their hash.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsr_worker.breach import drafts
from dsr_worker.breach.assessing import CONTACT
from dsr_worker.breach.drafts import Drafts
from dsr_worker.contract import LeaseLost, Permanent
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.ledger import Ledger, notices
from dsr_worker.ledger.notices import Notice
from dsr_worker.ledger.rows import Event, StepResult
from dsr_worker.notify.mail import Mailer, MailSession, Sent
from dsr_worker.store import Store

PART_PEOPLE = 50
_MOST_ATTEMPTS = (
    50  # with waits of up to five minutes: about four hours of a mailbox that says later
)
_LONGEST_WAIT_S = 300.0
_FIRST_WAIT_S = 5.0
_GIVE_UP_AFTER = 3  # mails in a row that were not taken: the server is down, not the mailbox

_STATES = {
    Sent.SENT: "sent",
    Sent.REFUSED: "failed",
    Sent.UNKNOWN: "unknown",
    Sent.TRANSIENT: "listed",
}


class Sending:
    """The performer of `notify`. `part_people` notices make one step."""

    def __init__(
        self, ledger: Ledger, store: Store, mailer: Mailer, part_people: int = PART_PEOPLE
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._mailer = mailer
        self.part_people = part_people

    def notify(self, batch: Batch) -> Sequence[StepResult]:
        """Send the notices of every part over one connection."""
        texts = {member.claim.id: self._approved(member) for member in batch.members}
        with self._mailer.session() as session:
            return [
                self._part(batch, member, texts[member.claim.id], session)
                for member in batch.members
            ]

    def _part(
        self, batch: Batch, member: Member, texts: Drafts, session: MailSession
    ) -> StepResult:
        later = 0
        for notice in notices.take_part(self._ledger, member.claim, self.part_people):
            batch.ctx.check()
            sent = self._send(member, notice, texts, session)
            later = later + 1 if sent is Sent.TRANSIENT else 0
            if later == _GIVE_UP_AFTER:
                break
        return self._result(member)

    def _send(self, member: Member, notice: Notice, texts: Drafts, session: MailSession) -> Sent:
        address = member.key.open(notice.sealed, CONTACT).decode()
        message = self._mailer.message(
            address, texts.people[notice.language], f"notice-{notice.digest.hex()}"
        )
        if not notices.start(self._ledger, member.claim, notice.id):
            raise LeaseLost("this part of the list is somebody else's by now")
        sent = Sent.REFUSED if message is None else session.send(message)
        state = _STATES[sent]
        if sent is Sent.TRANSIENT and member.claim.attempt >= _MOST_ATTEMPTS:
            state = "failed"
        notices.record(self._ledger, notice.id, state)
        return sent

    def _approved(self, member: Member) -> Drafts:
        facts = member.job.facts
        texts = drafts.read(self._store, member.key, facts["approved"]["drafts"])
        if texts.hash != facts["approved"]["texts"]:
            message = "the texts in the store are not those that were approved"
            raise Permanent(message)
        return texts

    def _result(self, member: Member) -> StepResult:
        claim = member.claim
        counts = notices.counts_of_part(self._ledger, claim.id)
        if not counts.get("listed"):
            events = (_event(member, counts["sent"]),) if counts.get("sent") else ()
            return member.done(result=counts, events=events)
        return StepResult(
            claim,
            state="waiting",
            code="mail_transient",
            wait_s=min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(claim.attempt - 1, 10)),
            charge=-1 if claim.batch_size == 1 else 0,
        )


def _event(member: Member, sent: int) -> Event:
    return Event(
        "notice_sent",
        {
            "campaign": member.job.id,
            "recipient": "individuals",
            "recipients": sent,
            "channel": "email",
            "attempt": member.claim.attempt,
        },
    )
