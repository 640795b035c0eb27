"""`dsr breach show`: a breach with its duties, its people and what is proposed to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.breach import BreachRefused
from dsr_worker.breach.duties import zone_of_duty
from dsr_worker.cli import desk
from dsr_worker.cli.desk import Opening, pass_opening
from dsr_worker.cli.output import json_option, local, show, table
from dsr_worker.domain.breach import Duty
from dsr_worker.ledger import notices, reports
from dsr_worker.ledger.reports import JobRow

KINDS = ("breach",)
_ERASED = (
    "are what is left of people erased earlier: they name nobody now, and nobody is written to. If"
    " the data leaked before they were erased, tell them in another way"
)


def duty_data(duty: Duty) -> dict[str, Any]:
    """A duty, as JSON."""
    return {
        "clock": duty.name,
        "recipient": duty.recipient,
        "jurisdiction": duty.jurisdiction,
        "body": duty.body,
        "state": duty.state,
        "reason": duty.reason,
        "due_at": duty.due_at,
        "act_by": duty.house_due_at,
        "zone": zone_of_duty(duty),
        "condition": duty.condition,
        "citation": duty.citation,
        "verified": duty.verified,
    }


def duty_lines(duties: Sequence[Mapping[str, Any]]) -> list[str]:
    """Duties as `duty_data` has them, as a table."""
    return table(
        ("clock", "tell", "act by", "the law says", "", "source"),
        (
            (
                d["clock"],
                d["body"],
                local(d["act_by"], d["zone"]),
                local(d["due_at"], d["zone"]),
                d["state"] + (f": {d['reason']}" if d["reason"] else ""),
                d["citation"] + ("" if d["verified"] else " NOT VERIFIED"),
            )
            for d in duties
        ),
    )


@click.command("show")
@click.argument("breach")
@click.option("--texts", "with_texts", is_flag=True, help="Print the notices as they stand.")
@json_option
@pass_opening
def show_command(opening: Opening, *, breach: str, with_texts: bool, as_json: bool) -> None:
    """Show a breach: its clocks, the people affected, the notices, what is missing."""
    with opening.office() as office:
        job = desk.job_of(office, breach, KINDS)
        with office.ledger.transaction() as cursor:
            clocks = [row._asdict() for row in reports.clocks(cursor, job.id)]
            tally = [row._asdict() for row in notices.tally(cursor, job.id)]
        data = {**_breach(job), "clocks": clocks, "notices": tally, **proposal_data(office, job)}
        if with_texts and job.closed_at is None:
            data["texts"] = _drafts(office, job)
    show(data, _show_lines(data), as_json=as_json)


def _breach(job: JobRow) -> dict[str, Any]:
    facts = job.facts
    shown = ("aware_at", "markets", "scopes", "categories", "encrypted", "key_taken", "harm")
    return {
        "case": job.ref,
        "state": job.state,
        **{name: facts.get(name) for name in (*shown, "affected")},
        "declared_by": job.submitted_by,
        "approved_by": job.approved_by,
    }


def proposal_data(office: Office, job: JobRow) -> dict[str, Any]:
    """What an approval would cover; nothing of it before people are counted or after the end."""
    try:
        proposal = office.breach_desk.proposal(job.ref)
    except BreachRefused:
        return {"hash": None, "people": None, "reachable": None, "missing": []}
    return {
        "hash": proposal.hash,
        "people": proposal.people,
        "reachable": proposal.reachable,
        "missing": list(proposal.gaps),
    }


def _drafts(office: Office, job: JobRow) -> dict[str, Any]:
    written = office.breach_desk.drafts(job.ref)
    return {
        "people": {k: {"subject": t.subject, "body": t.body} for k, t in written.people.items()},
        "reports": {k: {"subject": t.subject, "body": t.body} for k, t in written.reports.items()},
    }


def _show_lines(data: Mapping[str, Any]) -> Iterator[str]:
    yield f"{data['case']}: breach, {data['state']}, known since {data['aware_at']}"
    yield from table(
        ("clock", "tell", "", "act by", "source"),
        (
            (
                c["name"],
                c["recipient"],
                c["state"] + (f": {c['reason']}" if c["reason"] else ""),
                local(c["conservative_due_at"], c["zone"]) if c["conservative_due_at"] else "",
                c["citation"] + ("" if c["verified"] else " NOT VERIFIED"),
            )
            for c in data["clocks"]
        ),
    )
    found = data["affected"]
    if found is None:
        yield "The people affected are not counted yet."
    else:
        known = ", ".join(f"{place} {count}" for place, count in found["residences"].items())
        complete = "" if found["complete"] else f"; NOT COMPLETE: {_lacking(found)}"
        where = f"{known or 'none known'}, unknown {found['unknown']}"
        yield f"{found['people']} people ({where}){complete}"
        if found.get("erased_rows"):
            yield f"{found['erased_rows']} rows more {_ERASED}"
    for row in data["notices"]:
        yield f"notices {row['state']}: {row['people']} ({row['residence'] or 'residence unknown'})"
    if data["missing"]:
        yield f"missing texts: {', '.join(data['missing'])}; dsr breach write {data['case']} FILE"
    if data["hash"]:
        yield f"hash {data['hash']}"
    for part in ("people", "reports"):
        for name, text in data.get("texts", {}).get(part, {}).items():
            yield f"\n--- {part}: {name}\n{text['subject']}\n\n{text['body']}"


def _lacking(found: Mapping[str, Any]) -> str:
    """What keeps a count from being complete."""
    parts = [f"{system} has not answered" for system in found.get("silent", ())]
    parts += [
        f"{part['parts']} of {part['system']}.{part['collection']} cannot be read"
        f" ({part['ground']}; {', '.join(part['named'])})"
        for part in found.get("unseen", ())
    ]
    return ", ".join(parts) or "a system has not answered"
