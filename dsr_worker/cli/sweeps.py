"""Retention sweeps: `dsr sweep …`, and approvals that stand: `dsr standing …`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import desk
from dsr_worker.cli.answers import reachable
from dsr_worker.cli.confirming import confirm, yes_option
from dsr_worker.cli.desk import Opening, acting, pass_opening
from dsr_worker.cli.faults import Fault, not_found, usage
from dsr_worker.cli.names import policy as known_policy
from dsr_worker.cli.output import json_option, show, table
from dsr_worker.cli.values import CODE, INSTANT
from dsr_worker.cli.waiting import next_step, waits_for
from dsr_worker.domain.plan import upper_bound
from dsr_worker.domain.request import State
from dsr_worker.evidence import render_certificate
from dsr_worker.ledger import answers, reports, schedules, sweeps
from dsr_worker.ledger.reports import JobRow
from dsr_worker.package.handover import write_together
from dsr_worker.sweep.decisions import standing_digest

_KINDS = (sweeps.SWEEP,)
_POLL_S = 0.5


@click.group("sweep")
def sweep_command() -> None:
    """Let go what was kept for longer than a policy allows: count, approve, carry out, certify."""


@sweep_command.command("plan")
@click.argument("policy")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 3600),
    default=20,
    show_default=True,
    help="Seconds to wait for workers to count.",
)
@acting
@json_option
@pass_opening
def _plan(
    opening: Opening,
    *,
    policy: str,
    wait_s: float,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Start a sweep of a policy: workers count what would go, nothing changes yet."""
    with opening.office() as office:
        known_policy(office.files.policies.by_name, policy)
        caller = desk.caller(office, actor, key_file)
        found = office.sweeps.policy(policy)
        started = office.sweeps.start(policy, caller.sign("sweep", policy, found.hash))
        desk.ring(office, started.ring)
        job = _counted(office, started.ref, wait_s)
    show(_data(job), _lines(job), as_json=as_json)


def _counted(office: Office, ref: str, wait_s: float) -> JobRow:
    until = time.monotonic() + wait_s
    while True:
        job = desk.job_of(office, ref)
        if job.state != State.PLANNING or time.monotonic() >= until:
            return job
        time.sleep(_POLL_S)


@sweep_command.command("status")
@click.argument("sweep", required=False)
@json_option
@pass_opening
def _status(opening: Opening, *, sweep: str | None, as_json: bool) -> None:
    """Show a sweep's plan and outcome; without one, open sweeps, schedules, standing approvals."""
    with opening.office() as office:
        if sweep is not None:
            job = desk.job_of(office, sweep, _KINDS)
            with office.ledger.transaction() as cursor:
                done = [row._asdict() for row in reports.outcomes(cursor, job.id)]
            show({**_data(job), "done": done}, [*_lines(job), *_done(done)], as_json=as_json)
            return
        with office.ledger.transaction() as cursor:
            rows = [row for row in reports.open_jobs(cursor) if row.kind == sweeps.SWEEP]
            fires = schedules.listed(cursor)
            standing = sweeps.standing(cursor, list(office.files.policies.by_name))
    open_now = [
        {
            "sweep": row.ref,
            "policy": row.facts.get("policy"),
            "state": row.state,
            "stopped": row.facts.get("stopped"),
            "waits_for": waits_for(row),
            "next": next_step(row),
        }
        for row in rows
    ]
    data = {
        "sweeps": open_now,
        "schedules": [row._asdict() for row in fires],
        "standing": {name: [r._asdict() for r in rows] for name, rows in standing.items()},
    }
    show(data, _overview(data), as_json=as_json)


def _overview(data: Mapping[str, Any]) -> Iterator[str]:
    yield from table(
        ("open sweep", "policy", "state", "why", "waits for", "next"),
        (
            (s["sweep"], s["policy"], s["state"], s["stopped"], s["waits_for"], s["next"])
            for s in data["sweeps"]
        ),
    )
    yield ""
    yield from table(
        ("schedule", "cron", "zone", "next"),
        ((s["name"], s["cron"], s["zone"], s["next_fire_at"]) for s in data["schedules"]),
    )
    yield ""
    yield from standing_lines(data["standing"])


def _data(job: JobRow) -> dict[str, Any]:
    plan = job.plan or {}
    return {
        "sweep": job.ref,
        "policy": job.facts.get("policy"),
        "policy_hash": job.facts.get("policy_hash"),
        "trigger": job.facts.get("trigger"),
        "state": job.state,
        "stopped": job.facts.get("stopped"),
        "hash": job.plan_hash,
        "rows": plan.get("rows"),
        "share": plan.get("share"),
        "outcomes": [
            {**part, "at_most": upper_bound(part["rows"])} for part in plan.get("outcomes", ())
        ],
        "samples": plan.get("samples", {}),
        "cannot_sweep": job.facts.get("cannot_sweep", []),
        "approved_by": job.approved_by,
        "remaining": job.facts.get("remaining"),
    }


def _lines(job: JobRow) -> Iterator[str]:
    data = _data(job)
    yield f"{job.ref}: sweep of {data['policy']}, {job.state}"
    if job.plan is None:
        yield f"workers count; see: dsr sweep status {job.ref}"
        return
    yield from table(
        ("system", "collection", "outcome", "rows", "at most", "ground"),
        (
            (p["system"], p["collection"], p["outcome"], p["rows"], p["at_most"], p["ground"])
            for p in data["outcomes"]
        ),
    )
    yield f"{data['rows']} row(s) go, at most {data['share']:.2%} of a collection"
    if data["stopped"]:
        yield f"stopped for a person: {data['stopped']}"
    if job.state == State.AWAITING_APPROVAL:
        yield f"hash {job.plan_hash}"
        yield f"next: a second person says dsr sweep approve {job.ref}"


def _done(done: list[dict[str, Any]]) -> list[str]:
    if not done:
        return []
    rows = ((o["system"], o["collection"], o["outcome"], o["rows"], o["ground"]) for o in done)
    return ["", *table(("system", "collection", "was", "rows", "ground"), rows)]


@sweep_command.command("approve")
@click.argument("sweep")
@click.option("--hash", "plan_hash", metavar="HASH", help="Only if the plan still has this hash.")
@yes_option
@acting
@json_option
@pass_opening
def _approve(
    opening: Opening,
    *,
    sweep: str,
    plan_hash: str | None,
    yes: bool,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Approve a sweep's plan as it was counted; workers carry it out. Never by who started it."""
    with opening.office() as office:
        job = desk.job_of(office, sweep, _KINDS)
        if job.plan_hash is None:
            raise Fault("no_plan", f"{job.ref} is {job.state}: there is no plan to approve now")
        caller = desk.caller(office, actor, key_file)
        agreed = plan_hash or job.plan_hash
        confirm(list(_lines(job)), "Approve this sweep?", yes=yes, as_json=as_json)
        signed = caller.sign("approve", job.ref, agreed)
        decided = office.sweeps.approve(job.ref, agreed, signed)
        desk.ring(office, decided.ring)
    data = {"sweep": job.ref, "state": decided.state, "hash": agreed, "by": caller.name}
    show(
        data, [f"{job.ref}: approved by {caller.name}; it is {decided.state} now."], as_json=as_json
    )


@sweep_command.command("again")
@click.argument("sweep")
@acting
@json_option
@pass_opening
def _again(
    opening: Opening, *, sweep: str, actor: str | None, key_file: Path | None, as_json: bool
) -> None:
    """Count anew by today's files and day; an approval is void with it."""
    with opening.office() as office:
        job = desk.job_of(office, sweep, _KINDS)
        caller = desk.caller(office, actor, key_file)
        decided = office.sweeps.plan_again(job.ref, caller.sign("plan-again", job.ref))
        desk.ring(office, decided.ring)
    data = {"sweep": job.ref, "state": decided.state, "by": caller.name}
    show(data, [f"{job.ref} is counted anew."], as_json=as_json)


@sweep_command.command("abandon")
@click.argument("sweep")
@click.option(
    "--reason",
    type=CODE,
    metavar="CODE",
    help="Why, in a word of your own, such as wrong_policy or not_now.",
)
@acting
@json_option
@pass_opening
def _abandon(
    opening: Opening,
    *,
    sweep: str,
    reason: str | None,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """End a sweep. What it did until now is certified; what it did not reach stays."""
    if reason is None:
        raise usage("say why, in a code of your own for the record, such as --reason wrong_policy")
    with opening.office() as office:
        job = desk.job_of(office, sweep, _KINDS)
        caller = desk.caller(office, actor, key_file)
        decided = office.sweeps.abandon(job.ref, reason, caller.sign("abandon", job.ref))
        desk.ring(office, decided.ring)
    data = {"sweep": job.ref, "state": decided.state, "by": caller.name}
    show(data, [f"{job.ref} is abandoned; it is {decided.state} now."], as_json=as_json)


@sweep_command.command("certificate")
@click.argument("sweep")
@click.option(
    "--to", "to", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A new file."
)
@json_option
@pass_opening
def _certificate(opening: Opening, *, sweep: str, to: Path, as_json: bool) -> None:
    """Write a sweep's signed certificate, and a page beside it. It holds no personal data."""
    target = reachable(to)
    page = target.with_suffix(".html")
    if target == page:
        raise usage("--to names the JSON file, such as sweep.json; the page goes beside it")
    with opening.office() as office:
        found = desk.job_of(office, sweep, _KINDS)
        ref = found.ref
        with office.ledger.transaction() as cursor:
            answer = answers.of(cursor, found.id)
        if answer is None:
            raise not_found(f"{ref} has no certificate yet; `dsr sweep status {ref}` says why")
        content = office.delivery.read_certificate(answer)
    write_together({target: content, page: render_certificate(content).encode()})
    data = {"sweep": ref, "files": [str(target), str(page)]}
    show(data, [f"wrote {target}", f"wrote {page}"], as_json=as_json)


# ---- approvals that stand


@click.group("standing")
def standing_command() -> None:
    """Let scheduled sweeps of one policy go on by themselves inside limits."""


@standing_command.command("approve")
@click.argument("policy")
@click.option("--rows", type=click.IntRange(0), required=True, help="At most so many rows.")
@click.option("--share", type=click.FloatRange(0, 1), required=True, help="Of a collection: 0.02.")
@click.option("--until", "expires_at", type=INSTANT, help="When it ends; default: until revoked.")
@acting
@json_option
@pass_opening
def _grant(
    opening: Opening,
    *,
    policy: str,
    rows: int,
    share: float,
    expires_at: datetime | None,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Approve scheduled sweeps of exactly this policy, as its file stands, inside these limits."""
    with opening.office() as office:
        known_policy(office.files.policies.by_name, policy)
        caller = desk.caller(office, actor, key_file)
        found = office.sweeps.policy(policy)
        digest = standing_digest(found.hash, rows, share, expires_at)
        signed = caller.sign("grant", policy, digest)
        decided = office.sweeps.grant(policy, rows, share, signed, expires_at)
    data = {
        "record": decided.ref,
        "policy": policy,
        "policy_hash": found.hash,
        "rows": rows,
        "share": share,
        "expires_at": expires_at,
        "by": caller.name,
    }
    said = f"Scheduled sweeps of {policy} go on by themselves up to {rows} rows and {share:.2%}."
    lines = [said, "A change of the policy's file ends this; the first sweep still asks a person."]
    show(data, lines, as_json=as_json)


@standing_command.command("revoke")
@click.argument("policy")
@acting
@json_option
@pass_opening
def _revoke(
    opening: Opening, *, policy: str, actor: str | None, key_file: Path | None, as_json: bool
) -> None:
    """End every standing approval of a policy."""
    with opening.office() as office:
        caller = desk.caller(office, actor, key_file)
        decided = office.sweeps.revoke(policy, caller.sign("revoke", policy))
    data = {"record": decided.ref, "policy": policy, "by": caller.name}
    show(data, ["Every sweep of this policy asks a person from now on."], as_json=as_json)


@standing_command.command("list")
@json_option
@pass_opening
def _list(opening: Opening, *, as_json: bool) -> None:
    """List standing approvals of the policies in force."""
    with opening.office() as office, office.ledger.transaction() as cursor:
        found = sweeps.standing(cursor, list(office.files.policies.by_name))
    standing = {name: [row._asdict() for row in rows] for name, rows in found.items()}
    show({"standing": standing}, standing_lines(standing), as_json=as_json)


def standing_lines(standing: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """Standing approvals as a table."""
    return table(
        ("standing approval", "rows", "share", "by", "until", ""),
        (
            (
                name,
                row["max_rows"],
                f"{row['max_share']:.2%}",
                row["approved_by"],
                row["expires_at"] or "it is revoked",
                "revoked" if row["revoked_at"] else "",
            )
            for name, rows in standing.items()
            for row in rows
        ),
    )
