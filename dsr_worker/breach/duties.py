"""A breach's duties as clocks: set in the declaring transaction, set again after every new fact.

In: a job's facts, the law packs kept with it. Out: one clock per recipient and jurisdiction. A duty
that certain facts turn off stays as a void clock with its reason; nothing is dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from dsr_worker.breach.leak import breach_facts
from dsr_worker.domain.breach import Duty, Recipient
from dsr_worker.domain.calendar import local_date
from dsr_worker.domain.headcount import DutyState
from dsr_worker.ledger import frozen, notices
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.intake import NewClock
from dsr_worker.organisation import Organisation
from dsr_worker.statutes import (
    LawPack,
    Market,
    UnknownNameError,
    breach_duties,
    load_pack,
    locality,
    market,
    pack_text_and_hash,
    packs,
    read_pack,
)

_INSTANT = timedelta(microseconds=1)


def keep_laws(cursor: Cursor, markets: Sequence[str]) -> list[dict[str, str]]:
    """Keep the law pack of each market by its hash; markets as the job's facts name them.

    Raises:
        UnknownNameError, ValueError: a market is no country that a law pack covers.

    """
    found, texts = [], {}
    for code in markets:
        where = market(code)
        text, digest = pack_text_and_hash(where.pack.name)
        texts[digest] = text
        found.append({"country": str(where.country), "law": where.pack.name, "hash": digest})
    frozen.keep_texts(cursor, texts)
    return found


def set_clocks(
    cursor: Cursor, job_id: int, facts: Mapping[str, Any], organisation: Organisation
) -> list[Duty]:
    """Judge the duties by these facts and set their clocks; every duty, soonest alert first."""
    aware_at = datetime.fromisoformat(facts["aware_at"])
    markets = [
        Market(_pack(cursor, where["hash"], where["law"]), where["country"])
        for where in facts["laws"]
    ]
    duties = [
        replace(duty, body=_body(duty, organisation))
        for duty in breach_duties(markets, aware_at, breach_facts(facts))
    ]
    clocks = [_clock(duty, aware_at) for duty in duties]
    notices.set_duties(cursor, job_id, clocks)
    return duties


def counts(duties: Sequence[Duty]) -> dict[str, int]:
    """How many duties stand in each state."""
    return dict(Counter(str(duty.state) for duty in duties))


def zone_of_duty(duty: Duty) -> str:
    """The zone in whose civil time a duty's due instant is told."""
    try:
        return locality(duty.jurisdiction).zone
    except UnknownNameError:
        if duty.jurisdiction in packs():
            return locality(load_pack(duty.jurisdiction).countries[0]).zone
        return "UTC"


def _clock(duty: Duty, aware_at: datetime) -> tuple[NewClock, str]:
    zone = zone_of_duty(duty)
    due_at, house_at = duty.due_at, duty.house_due_at
    clock = NewClock(
        name=duty.name,
        recipient=duty.body,
        citation=duty.citation,
        verified=duty.verified,
        zone=zone,
        started_at=aware_at,
        due_at=due_at,
        due_on=None if due_at is None else local_date(due_at - _INSTANT, zone),
        conservative_due_at=house_at,
        conservative_due_on=local_date(house_at - _INSTANT, zone),
        calendar_version=duty.calendar_version,
        condition=duty.condition,
        facts={
            "law": duty.law,
            "rule": duty.rule_id,
            "recipient": duty.recipient,
            "stage": duty.stage,
            "jurisdiction": duty.jurisdiction,
            "duty": duty.state,
            "reason": duty.reason,
            "trigger": duty.trigger,
            "contents": list(duty.contents),
        },
    )
    return clock, "void" if duty.state is DutyState.NOT_DUE else "running"


def _body(duty: Duty, organisation: Organisation) -> str:
    """The authority's own name where the organisation gives that of its lead authority."""
    at_home = duty.jurisdiction == organisation.establishment.country.partition("-")[0]
    if duty.recipient is Recipient.AUTHORITY and at_home and organisation.authority:
        return organisation.authority
    return duty.body


def _pack(cursor: Cursor, digest: str, law: str) -> LawPack:
    """The pack as it was at the declaration."""
    if pack_text_and_hash(law)[1] == digest:
        return load_pack(law)
    return read_pack(frozen.text(cursor, digest))
