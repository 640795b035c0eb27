"""Performs `affected` and `assess`: who was hit, counted once each, and what that changes.

In: batches at systems (`affected`), then at the desk (`assess`). Out: sealed spools of people, the
frozen list of whom to tell, counts per residence, duties judged anew. A system that cannot say, or
did not, or could not look into all of it, leaves the count incomplete, and an incomplete count
turns no duty off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from dsr_worker.breach import duties
from dsr_worker.breach.drafts import Writer
from dsr_worker.breach.leak import scopes_of
from dsr_worker.breach.people import Digest, People, Person, by_residence, joining_kinds
from dsr_worker.contract import (
    Affected,
    AffectedPerson,
    Identity,
    Record,
    Unseen,
    body_of,
    content_of,
)
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.engine.crash import crash_point
from dsr_worker.ledger import Ledger, jobs, notices
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.notices import Listed
from dsr_worker.ledger.rows import Event, Spool, StepResult
from dsr_worker.organisation import Organisation
from dsr_worker.spool import Frame, RecordSpool, read_records
from dsr_worker.store import Store, new_name
from dsr_worker.vault import CaseKey

CONTACT = "notice contact"
_PEOPLE = "people"
_CHECK_EVERY = 1_000
_LIST_ROWS = 1_000
_MOST_NAMED = 20


class Assessing:
    """The performers that find out who is affected."""

    def __init__(self, ledger: Ledger, store: Store, organisation: Organisation) -> None:
        self._ledger = ledger
        self._store = store
        self._organisation = organisation
        self._writer = Writer(organisation)

    def affected(self, batch: Batch) -> Sequence[StepResult]:
        """Ask a system for everybody in the leaked scopes; one sealed segment per breach."""
        return [self._affected(batch, member) for member in batch.members]

    def _affected(self, batch: Batch, member: Member) -> StepResult:
        connector = batch.connector
        if not isinstance(connector, Affected):
            return member.done(result={"answered": False})
        ctx = batch.ctx.for_members([member])
        ref = member.subject.ref
        entries = 0
        unseen: dict[tuple[str, str], set[str]] = {}
        name = new_name(_PEOPLE, ctx.now.date())
        with RecordSpool(self._store, name, {ref: member.key}) as spool:
            for found in connector.affected(scopes_of(member.job.facts, ctx.system.name), ctx):
                if isinstance(found, Unseen):
                    unseen.setdefault((found.collection, found.ground), set()).add(found.digest)
                    continue
                if entries % _CHECK_EVERY == 0:
                    ctx.check()
                entries += 1
                spool.add(Record(ref, found.collection, (), _body(found)))
            frame = spool.finish()[ref]
        crash_point("after-spool")
        result = {"answered": True, "entries": entries}
        told = {"unseen": _unseen(ctx.system.name, unseen)} if unseen else {}
        return member.done(result=result | told, spools=(Spool(_PEOPLE, frame.to_json()),))

    def assess(self, batch: Batch) -> Sequence[StepResult]:
        """Join the systems' answers into people and judge the duties by their numbers."""
        return [self._assess(batch, member) for member in batch.members]

    def _assess(self, batch: Batch, member: Member) -> StepResult:
        job = member.job
        people = self._people(batch, member)
        known, unknown = by_residence(people)
        answers = {s: batch.results.get((job.id, "affected", s), {}) for s in job.facts["scopes"]}
        silent = sorted(system for system, told in answers.items() if not told.get("answered"))
        unseen = [part for told in answers.values() for part in told.get("unseen", ())]
        complete = not silent and not unseen
        found = {
            "people": sum(known.values()) + unknown,
            "residences": known,
            "unknown": unknown,
            "complete": complete,
            "rows": people.rows,
            "erased_rows": people.erased_rows,
            **({"silent": silent} if silent else {}),
            **({"unseen": unseen} if unseen else {}),
        }
        self._enlist(batch, member, people)
        event = Event(
            "breach_assessed",
            {
                "affected": people.rows,
                "people": found["people"],
                "residences": {k.lower(): n for k, n in known.items()} | {"unknown": unknown},
                "systems": sorted(job.facts["scopes"]),
                "complete": complete,
                "duties": self._standing(member, found),
            },
        )
        return member.done(
            result={"affected": found},
            events=(event,),
            also=partial(self._judge, job.id, found),
        )

    def _judge(self, job_id: int, found: dict[str, Any], cursor: Cursor) -> None:
        """Set the clocks by the facts of this moment: people may have added some meanwhile."""
        facts = {**notices.facts(cursor, job_id), "affected": found}
        duties.set_clocks(cursor, job_id, facts, self._organisation)

    def _people(self, batch: Batch, member: Member) -> People:
        people = People(joining_kinds(batch.frozen.systems), _digest_under(member.key))
        for frame in batch.frames(member, _PEOPLE):
            system = batch.frozen.systems[frame["system"]]
            for number, record in enumerate(
                read_records(self._store, Frame.from_json(frame), member.key)
            ):
                if number % _CHECK_EVERY == 0:
                    batch.ctx.check()
                entry = content_of(record.body)
                people.add(
                    [Identity(kind, value) for kind, value in entry["i"]],
                    entry["r"],
                    entry["n"],
                    place=f"{system.name}:{number}",
                    preferred=system.collections[record.collection].person,
                )
        return people

    def _enlist(self, batch: Batch, member: Member, people: People) -> None:
        """Put everybody on the list, in parts. A repeat meets the same digests and adds nobody."""
        listed = (self._listed(member, person) for person in people)
        for part in _parts(listed, _LIST_ROWS):
            batch.ctx.check()
            notices.enlist(self._ledger, member.job.id, part)

    def _listed(self, member: Member, person: Person) -> Listed:
        sealed = None if person.email is None else member.key.seal(person.email.encode(), CONTACT)
        return Listed(
            person.digest,
            sealed,
            self._writer.language_of(person.residence),
            person.residence,
        )

    def _standing(self, member: Member, found: dict[str, Any]) -> dict[str, int]:
        """How the duties stand with these numbers; their clocks show it at once."""
        with self._ledger.transaction() as cursor:
            job = jobs.lock(cursor, [member.job.id])[member.job.id]
            facts = {**job.facts, "affected": found}
            standing = duties.set_clocks(cursor, job.id, facts, self._organisation)
        return duties.counts(standing)


def _digest_under(key: CaseKey) -> Digest:
    """Digests of 128 bits under the breach's own key: the same in every attempt, gone with it."""

    def digest(kind: str, value: str) -> bytes:
        halves = (key.pseudonym(f"{half}\0{kind}\0{value}")[-16:] for half in "12")
        return bytes.fromhex("".join(halves))

    return digest


def _unseen(system: str, found: Mapping[tuple[str, str], Collection[str]]) -> list[dict[str, Any]]:
    """What of a system could not be looked into: how much, on what ground, and some of it named."""
    return [
        {
            "system": system,
            "collection": collection,
            "ground": ground,
            "parts": len(digests),
            "named": sorted(digests)[:_MOST_NAMED],
        }
        for (collection, ground), digests in sorted(found.items())
    ]


def _body(person: AffectedPerson) -> bytes:
    entry = {
        "i": [[i.kind, i.value] for i in person.identities],
        "r": person.residence,
        "n": person.rows,
    }
    return body_of(entry)


def _parts(people: Iterator[Listed], size: int) -> Iterator[list[Listed]]:
    while part := list(islice(people, size)):
        yield part
