"""The plan of a case, shown and approved: `dsr plan`, `dsr approve`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import desk, held, regimes
from dsr_worker.cli.cases import CASES
from dsr_worker.cli.confirming import confirm, yes_option
from dsr_worker.cli.desk import Opening, acting, pass_opening
from dsr_worker.cli.faults import Fault
from dsr_worker.cli.output import json_option, note, show, table
from dsr_worker.domain.plan import upper_bound
from dsr_worker.domain.request import ANSWERED
from dsr_worker.fulfil import mentioning, unrestricted
from dsr_worker.fulfil.planning import AUTOMATIC
from dsr_worker.fulfil.plans import CORRECTED, FOUND, free_text_notice
from dsr_worker.ledger.reports import JobRow


@click.command("plan")
@click.argument("case")
@json_option
@pass_opening
def plan_command(opening: Opening, *, case: str, as_json: bool) -> None:
    """Show what is to happen to a person's data, or was: counts, grounds, what stays until when."""
    with opening.office() as office:
        job = desk.job_of(office, case, CASES)
        holds = _holds(office, job)
    show(
        {**plan_data(job), "holds": holds}, [*plan_lines(job), *held.lines(holds)], as_json=as_json
    )


def _holds(office: Office, job: JobRow) -> list[dict[str, Any]]:
    with office.ledger.transaction() as cursor:
        return held.standing(cursor, job)


def plan_data(job: JobRow) -> dict[str, Any]:
    """A case's plan as JSON. Raises Fault before there is one."""
    plan = job.plan or {}
    if "outcomes" not in plan:
        message = f"{job.ref} is {job.state}: there is no plan yet; `dsr status {job.ref}` says why"
        raise Fault("no_plan", message)
    return {
        "case": job.ref,
        "kind": job.kind,
        "state": job.state,
        "hash": job.plan_hash,
        "outcomes": [
            {**part, "at_most": upper_bound(part["rows"])} for part in plan.get("outcomes", ())
        ],
        "systems": plan.get("systems", []),
        "not_applicable": plan.get("not_applicable", []),
        "contested": plan.get("contested", []),
        "corrected": plan.get(CORRECTED, {}),
        "free_texts": plan.get("free_texts", {}),
        "not_restricted": unrestricted.places(plan),
        "cutoffs": plan.get("cutoffs", {}),
        "residence": regimes.found(job.facts),
        "versions": plan.get("versions", {}),
        "decided_at": plan.get("decided_at"),
        "submitted_by": job.submitted_by,
        "approved_by": job.approved_by,
    }


def plan_lines(job: JobRow) -> Iterator[str]:
    """A case's plan as text."""
    data = plan_data(job)
    yield f"{job.ref}: {job.kind}, {job.state}"
    if job.state in ANSWERED:
        yield f"this is what was planned; what was done: `dsr status {job.ref}`"
    yield from table(
        ("system", "collection", "outcome", "rows", "at most", "ground", "until"),
        (_part(part) for part in data["outcomes"]),
    )
    yield from _withheld(data)
    if job.facts.get("approval") == AUTOMATIC:
        yield "approved by standing rule: nothing was counted beforehand"
    elif not data["outcomes"]:
        yield "nothing was found of this person in the systems asked"
    if notice := free_text_notice(data):
        yield notice
    if job.kind == "erasure" and job.state not in ANSWERED:
        yield mentioning.FORETOLD
    if left := unrestricted.notice(job.ref, data):
        yield left
    if data["corrected"]:
        fields = (f"{name}.{field}" for name, some in data["corrected"].items() for field in some)
        yield f"to be put right: {', '.join(fields)}"
    if data["not_applicable"]:
        yield f"not applicable: {', '.join(map(_place, data['not_applicable']))}"
    if data["contested"]:
        yield f"contested (not used to find anything): {', '.join(data['contested'])}"
    yield from regimes.lines(job.ref, data["residence"])
    yield f"hash {data['hash']}"


def _withheld(data: Mapping[str, Any]) -> Iterator[str]:
    """What an access cannot show yet, as far as listings tell."""
    parts = [part for part in data["outcomes"] if part["outcome"] == FOUND and part["ground"]]
    if parts and data["state"] not in ANSWERED:
        rows = sum(part["rows"] for part in parts)
        yield (
            f"{rows} row(s) are there and cannot be shown now (their ground says why): the package"
            " names them, and the case goes on until they can be"
        )


def _part(part: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        part["system"],
        part["collection"],
        part["outcome"],
        part["rows"],
        part["at_most"],
        part.get("ground", ""),
        part.get("until") or "",
    )


def _place(place: object) -> str:
    return place if isinstance(place, str) else ".".join(map(str, place))  # type: ignore[call-overload]  # a pair from JSON


@click.command("approve")
@click.argument("case")
@click.option("--hash", "plan_hash", metavar="HASH", help="Only if the plan still has this hash.")
@yes_option
@acting
@json_option
@pass_opening
def approve_command(
    opening: Opening,
    *,
    case: str,
    plan_hash: str | None,
    yes: bool,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Approve a plan as it stands now. Whoever submitted a case never approves it."""
    with opening.office() as office:
        job = desk.job_of(office, case, CASES)
        lines = [*plan_lines(job), *held.lines(_holds(office, job))]
        if job.plan_hash is None:
            raise Fault("no_plan", f"{job.ref} is {job.state}: there is no plan to approve now")
        agreed = plan_hash or job.plan_hash
        office.decisions.check_approval(job.ref, agreed)
        caller = desk.caller(office, actor, key_file)
        language = job.facts.get("language")
        for line in office.texts.warnings(job.kind, language, job.law, job.country):
            note(line)
        confirm(lines, "Approve this plan?", yes=yes, as_json=as_json)
        decided = office.decisions.approve(job.ref, agreed, caller.sign("approve", job.ref, agreed))
        desk.ring(office, decided.ring)
    data = {
        "case": job.ref,
        "state": decided.state,
        "hash": agreed,
        "by": caller.name,
        "not_restricted": unrestricted.places(job.plan or {}),
    }
    show(
        data, [f"{job.ref}: approved by {caller.name}; it is {decided.state} now."], as_json=as_json
    )
