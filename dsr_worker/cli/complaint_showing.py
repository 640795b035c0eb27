"""A complaint as people see it: where it stands, its hold, its notes, what comes next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import desk
from dsr_worker.cli.desk import Opening, pass_opening
from dsr_worker.cli.output import json_option, local, show
from dsr_worker.domain.complaint import KIND
from dsr_worker.fulfil.complaints.disputes import HOLD
from dsr_worker.ledger import holds, reports
from dsr_worker.ledger.reports import JobRow

KINDS = (KIND,)
_NEXT: Mapping[str, str] = {
    "received": "dsr complaint acknowledge {ref} --delivered",
    "acknowledged": "dsr complaint investigate {ref}",
    "investigating": "dsr complaint resolve {ref} --outcome OUTCOME",
    "escalated": "dsr complaint resolve {ref} --outcome OUTCOME",
    "referred": "dsr complaint resolve {ref} --outcome OUTCOME",
    "resolved": "dsr complaint deliver {ref}",
}
_GONE_ON = frozenset({"investigating", "escalated", "referred"})
_WAITS: Mapping[str, str] = {
    "received": "its acknowledgement",
    "acknowledged": "an investigation",
    "investigating": "your decision",
    "escalated": "a higher level's decision",
    "referred": "a body outside the house",
    "resolved": "the letter with its outcome",
}


def next_of(ref: str, state: str) -> str | None:
    """The command that takes a complaint further; None once it has ended."""
    found = _NEXT.get(state)
    return None if found is None else found.format(ref=ref)


def awaited(state: str) -> str:
    """What a complaint waits for, in words."""
    return _WAITS.get(state, state)


@click.command("show")
@click.argument("complaint")
@click.option("--notes", "with_notes", is_flag=True, help="With its notes, in the clear.")
@json_option
@pass_opening
def show_command(opening: Opening, *, complaint: str, with_notes: bool, as_json: bool) -> None:
    """Show what a complaint is about, what is contested, its hold, its clocks and notes."""
    with opening.office() as office:
        job = desk.job_of(office, complaint, KINDS)
        data = _data(office, job, with_notes=with_notes)
    show(data, _lines(data), as_json=as_json)


def _data(office: Office, job: JobRow, *, with_notes: bool) -> dict[str, Any]:
    facts = job.facts
    with office.ledger.transaction() as cursor:
        clocks = [row._asdict() for row in reports.clocks(cursor, job.id)]
    notes = office.complaint_desk.notes(job.ref)
    return {
        "case": job.ref,
        "state": job.state,
        "topic": facts["topic"],
        "dispute": facts["dispute"],
        "about": facts["about"],
        "acknowledged": bool(facts.get("acknowledged")),
        "outcome": facts.get("outcome"),
        "referred_to": facts.get("referred_to"),
        "hold": facts.get(HOLD),
        "hold_stands": standing_hold(office, job) is not None,
        "clocks": clocks,
        "notes": [_note(note, whole=with_notes) for note in notes],
        "owed": _owed(job),
        "next": next_of(job.ref, job.state),
    }


def standing_hold(office: Office, job: JobRow) -> str | None:
    """The hold of a complaint's dispute, where it stands."""
    hold: str | None = job.facts.get(HOLD)
    with office.ledger.transaction() as cursor:
        return hold if hold is not None and holds.stands(cursor, hold) else None


def _owed(job: JobRow) -> str | None:
    """The acknowledgement, where people went on without one; the outcome's letter does for it."""
    if job.facts.get("acknowledged") or job.state not in _GONE_ON:
        return None
    return _NEXT["received"].format(ref=job.ref)


def _note(note: Any, *, whole: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"note": note.number, "at": note.made_at}
    return {**told, "text": note.text} if whole else told


def _lines(data: Mapping[str, Any]) -> Iterator[str]:
    about = f", about {data['about']}" if data["about"] else ""
    yield f"{data['case']}: {data['topic']}{about}, {data['state']}"
    if data["dispute"]:
        released = "" if data["hold_stands"] or not data["hold"] else ", released"
        yield f"dispute     contested; placed: {data['hold'] or 'no hold'}{released}"
    if data["outcome"]:
        yield f"outcome     {data['outcome']}"
    if data["referred_to"]:
        yield f"referred    to the {data['referred_to']}"
    for clock in data["clocks"]:
        due = local(clock["conservative_due_at"], clock["zone"])
        yield f"clock       {clock['name']}: {clock['state']}, act by {due}; {clock['citation']}"
    for note in data["notes"]:
        yield f"note {note['note']:<6} {note['at']:%Y-%m-%d %H:%M} UTC"
        if "text" in note:
            yield note["text"] or "(destroyed with the key of the case)"
    if data["owed"]:
        yield f"owed        its acknowledgement: {data['owed']}"
    if data["next"]:
        yield f"next        {data['next']}"
