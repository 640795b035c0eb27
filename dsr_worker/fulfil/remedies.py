"""What a person can do against an answer, by each law of the case: told, and kept on record.

In: a case, when its answer left. Out: each law's remedies as codes of its pack, and the last day
for an appeal to us. A case is judged by the pack of its first day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from dsr_worker.domain.calendar import local_date
from dsr_worker.domain.retention import CalendarPeriod
from dsr_worker.fulfil.clocks import law_text_of
from dsr_worker.ledger import case_clocks
from dsr_worker.ledger.cases import ClockRow
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Event, Job
from dsr_worker.statutes import LawPack, appeal_until, locality, read_pack, rights_row
from dsr_worker.statutes.model import RightsRow

_APPEAL = "appeal"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What one law gives against an answer."""

    pack: LawPack
    row: RightsRow
    country: str | None
    zone: str
    suffix: str
    """How the names of this law's clocks end: nothing for the case's own law."""
    facts: Mapping[str, Any]
    """What a clock of this law keeps to be computed anew."""
    until_on: date | None
    """The last day for an appeal to us; None where there is none, or nothing limits it."""

    @property
    def gives_appeal(self) -> bool:
        """Whether this law gives an appeal to whoever answered."""
        return self.row.appeal is not None and self.row.appeal.answer is not None

    @property
    def channel(self) -> str:
        """Where the person may turn beside us."""
        return "" if self.row.appeal is None else self.row.appeal.channel

    def event(self, kind: str, stated: Sequence[str]) -> Event:
        """The event that says what the person was told; `stated`: the grounds of a refusal."""
        codes = [*self.row.refusal.contents, *([_APPEAL] if self.gives_appeal else [])]
        body = {"row": self.row.id, "remedies": codes, "until_on": self.until_on}
        grounds = grounds_by(self.pack, kind, stated)
        told: dict[str, Any] = {"ground": grounds[0]} if grounds else {}
        if len(grounds) > 1:
            told["grounds"] = [code.lower() for code in grounds]
        return Event("remedies_told", {**body, "regime": self.pack.name, **told})


def grounds_by(pack: LawPack, kind: str, stated: Sequence[str]) -> tuple[str, ...]:
    """Those of the stated grounds on which a law refuses such a request."""
    known = pack.refusing(kind)
    return tuple(code for code in stated if code in known)


def stated_grounds(body: Mapping[str, Any]) -> list[str]:
    """The grounds of a refusal, as laws write them, from the event that records it."""
    return [code.upper() for code in body.get("grounds", [body.get("reason", "")]) if code]


def remedies(
    cursor: Cursor, job: Job, answered_at: datetime, file_within: CalendarPeriod
) -> list[Remedy]:
    """What each law of a case gives against its answer; its own law's first."""
    return list(_remedies(cursor, job, answered_at, file_within))


def _remedies(
    cursor: Cursor, job: Job, answered_at: datetime, file_within: CalendarPeriod
) -> Iterator[Remedy]:
    for clock in case_clocks.laws_of(cursor, job.id):
        pack = read_pack(law_text_of(cursor, job, clock))
        country = clock.facts.get("country", job.country)
        zone = clock.facts.get("zone", job.zone) or locality(country or pack.countries[0]).zone
        received_on = local_date(job.received_at or answered_at, zone)
        row = rights_row(pack, job.kind, received_on)
        found = Remedy(pack, row, country, zone, _suffix(clock), _kept(clock), None)
        if not found.gives_appeal:
            yield found
            continue
        until_on = appeal_until(row, local_date(answered_at, zone), file_within)
        yield Remedy(pack, row, country, zone, found.suffix, found.facts, until_on)


def _suffix(clock: ClockRow) -> str:
    _, colon, law = clock.name.partition(":")
    return colon + law


def _kept(clock: ClockRow) -> dict[str, Any]:
    names = ("law", "law_hash", "country", "zone")
    return {name: clock.facts[name] for name in names if name in clock.facts}
