"""What people decide about a case: verify, approve, choose, retry, withdraw, refuse, extend."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import desk
from dsr_worker.cli.desk import Caller, Opening, acting, pass_opening
from dsr_worker.cli.faults import Fault, usage
from dsr_worker.cli.names import kinds_of
from dsr_worker.cli.output import json_option, note, show, table
from dsr_worker.cli.values import CODE, Word, canonical, pair, stdin_text
from dsr_worker.domain.plan import upper_bound
from dsr_worker.domain.request import ANSWERED
from dsr_worker.fulfil import unrestricted
from dsr_worker.fulfil.decided import Decided
from dsr_worker.fulfil.decisions import EXTENSION_REASONS
from dsr_worker.fulfil.delivery import Delivered
from dsr_worker.fulfil.planning import AUTOMATIC, CORRECTED, free_text_notice
from dsr_worker.ledger.reports import JobRow
from dsr_worker.people import digest_of

CASES = ("access", "erasure", "rectification", "restriction", "deferred", "lifting")
_GROUND = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

Decision = Callable[[Office, Caller, str], Decided]


def _decide(
    opening: Opening,
    ref: str,
    actor: str | None,
    key_file: Path | None,
    decision: Decision,
    said: str,
    *,
    as_json: bool,
) -> None:
    """Open, sign, decide, ring, print."""
    with opening.office() as office:
        job = desk.job_of(office, ref, CASES)
        caller = desk.caller(office, actor, key_file)
        decided = decision(office, caller, job.ref)
        desk.ring(office, decided.ring)
    data = {"case": decided.ref, "state": decided.state, "by": caller.name}
    lines = [f"{decided.ref}: {said}; it is {decided.state} now.", *decided.details]
    show(data, lines, as_json=as_json)


@click.command("verify")
@click.argument("case")
@click.option("--send-code", is_flag=True, help="Send a (new) code to the contact on file.")
@click.option("--code", "entered", metavar="N", help="The code that the person gave you.")
@click.option("--attest", type=CODE, metavar="METHOD", help="You know who it is, and how you know.")
@acting
@json_option
@pass_opening
def verify_command(
    opening: Opening,
    *,
    case: str,
    send_code: bool,
    entered: str | None,
    attest: str | None,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Settle whether the requester is who they say: by code, or by your signed word."""
    if sum((send_code, entered is not None, attest is not None)) != 1:
        raise usage("give one of --send-code, --code N, --attest METHOD")

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        decisions = office.decisions
        if send_code:
            return decisions.send_code(ref, caller.sign("send-code", ref))
        if entered is not None:
            return decisions.enter_code(ref, entered, caller.sign("enter-code", ref))
        method = attest or ""
        signed = caller.sign("attest", ref, digest_of("attest", ref, method=method))
        return decisions.attest(ref, method, signed)

    said = (
        "a code is on its way if the person is on file" if send_code else "the person is verified"
    )
    _decide(opening, case, actor, key_file, decision, said, as_json=as_json)


# ---- the plan


@click.command("plan")
@click.argument("case")
@json_option
@pass_opening
def plan_command(opening: Opening, *, case: str, as_json: bool) -> None:
    """Show what is to happen to a person's data, or was: counts, grounds, what stays until when."""
    with opening.office() as office:
        job = desk.job_of(office, case, CASES)
    show(plan_data(job), plan_lines(job), as_json=as_json)


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
    if job.facts.get("approval") == AUTOMATIC:
        yield "approved by standing rule: nothing was counted beforehand"
    elif not data["outcomes"]:
        yield "nothing was found of this person in the systems asked"
    if notice := free_text_notice(data):
        yield notice
    if left := unrestricted.notice(job.ref, data):
        yield left
    if data["corrected"]:
        fields = (f"{name}.{field}" for name, some in data["corrected"].items() for field in some)
        yield f"to be put right: {', '.join(fields)}"
    if data["not_applicable"]:
        yield f"not applicable: {', '.join(map(_place, data['not_applicable']))}"
    if data["contested"]:
        yield f"contested (not used to find anything): {', '.join(data['contested'])}"
    yield f"hash {data['hash']}"


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
@click.option("--yes", is_flag=True, help="Do not ask.")
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
        lines = list(plan_lines(job))
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


def confirm(lines: list[str], question: str, *, yes: bool, as_json: bool) -> None:
    """Show and ask, unless it was said beforehand. Raises Fault where nobody can be asked."""
    if as_json and not yes:
        raise usage("with --json nobody is asked: look at the plan first, then say --yes")
    if not as_json:
        for line in lines:
            click.echo(line)
    if yes:
        return
    try:
        agreed = click.confirm(question)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        message = "nobody can be asked without a terminal: look at what is shown, then say --yes"
        raise usage(message) from None
    if not agreed:
        raise click.Abort


# ---- what stopped, and how a case may end


_ONE_EACH = (
    "a case is about one row of people: choose one of them, and where the others are the same"
    " person, submit a further request for each, such as `dsr submit --kind … --identities -` with"
    " its customer number"
)


@click.command("choose")
@click.argument("case")
@click.argument("identities", metavar="KIND=VALUE", nargs=-1, required=True)
@acting
@json_option
@pass_opening
def choose_command(
    opening: Opening,
    *,
    case: str,
    identities: tuple[str, ...],
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Settle who is meant where an identity led to several people. KIND=- reads it from stdin.

    Where several rows are one person, who registered again, choose one of them here and submit a
    further request for each of the others.
    """
    if len(identities) > 1:
        raise usage(_ONE_EACH)
    kind, value = pair(identities[0], "the identity")
    text = stdin_text().partition("\n")[0].rstrip("\r") if value == "-" else value

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        kinds = kinds_of(office.files.maps.by_name)
        (named,) = canonical([(kind, text)], office.files.organisation.claims.rules, kinds)
        stated = digest_of("choose", ref, kind=named.kind, value=named.value)
        signed = caller.sign("choose", ref, stated)
        return office.decisions.choose(ref, named.kind, named.value, signed)

    _decide(opening, case, actor, key_file, decision, "who is meant is settled", as_json=as_json)


@click.command("retry")
@click.argument("case")
@acting
@json_option
@pass_opening
def retry_command(
    opening: Opening, *, case: str, actor: str | None, key_file: Path | None, as_json: bool
) -> None:
    """Try again what stopped or failed, after its cause was mended."""
    with opening.office() as office:
        job = desk.job_of(office, case)
        caller = desk.caller(office, actor, key_file)
        decided = office.decisions.retry(job.ref, caller.sign("retry", job.ref))
        desk.ring(office, decided.ring)
    data = {"case": job.ref, "state": decided.state, "systems": decided.ring, "by": caller.name}
    where = f" in {', '.join(decided.ring)}" if decided.ring else ""
    lines = [f"{job.ref}: tried again{where}; it is {decided.state} now."]
    show(data, lines, as_json=as_json)


@click.command("withdraw")
@click.argument("case")
@acting
@json_option
@pass_opening
def withdraw_command(
    opening: Opening, *, case: str, actor: str | None, key_file: Path | None, as_json: bool
) -> None:
    """Record that the person has withdrawn the request: nothing further happens."""

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        return office.decisions.withdraw(ref, caller.sign("withdraw", ref))

    _decide(opening, case, actor, key_file, decision, "withdrawn", as_json=as_json)


@click.command("refuse")
@click.argument("case")
@click.option(
    "--ground", metavar="CODE", help="Why, as a code of the law: `dsr statutes show LAW`."
)
@click.option("--delivered", is_flag=True, help="The letter of refusal has been sent: close.")
@acting
@json_option
@pass_opening
def refuse_command(
    opening: Opening,
    *,
    case: str,
    ground: str | None,
    delivered: bool,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Refuse a request on a ground; then, with --delivered, record that the letter left."""
    if (ground is None) == (not delivered):
        raise usage("give --ground CODE to refuse, then --delivered once your letter has left")
    if ground is not None and _GROUND.fullmatch(ground) is None:
        raise usage("--ground is a code such as ANY_UNFOUNDED; prose belongs in the letter")

    if delivered:
        with opening.office() as office:
            job = desk.job_of(office, case, CASES)
            caller = desk.caller(office, actor, key_file)
            done = office.delivery.refusal(job.ref, caller.sign("hand-over", job.ref))
        show(closed_data(done, caller), closed_lines(done), as_json=as_json)
        return

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        stated = ground or ""
        signed = caller.sign("refuse", ref, digest_of("refuse", ref, ground=stated))
        return office.decisions.refuse(ref, stated, signed)

    said = "refused; write to the person, then say so with --delivered"
    _decide(opening, case, actor, key_file, decision, said, as_json=as_json)


@click.command("extend")
@click.argument("case")
@click.option("--reason", type=Word(*EXTENSION_REASONS), required=True)
@acting
@json_option
@pass_opening
def extend_command(
    opening: Opening,
    *,
    case: str,
    reason: str,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Extend the time to answer, the person having been told; refused outside the legal window."""

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        signed = caller.sign("extend", ref, digest_of("extend", ref, reason=reason))
        return office.decisions.extend(ref, reason, signed)

    _decide(opening, case, actor, key_file, decision, "extended", as_json=as_json)


def closed_data(done: Delivered, caller: Caller) -> dict[str, Any]:
    """An answer that left, as JSON."""
    return {
        "case": done.ref,
        "files": [str(file) for file in done.files],
        "clocks": [{"clock": name, "state": state} for name, state in done.clocks],
        "by": caller.name,
    }


def closed_lines(done: Delivered) -> Iterator[str]:
    """An answer that left, as text."""
    for file in done.files:
        yield f"wrote {file}"
    ended = ", ".join(f"{name} {state}" for name, state in done.clocks)
    yield f"{done.ref} is closed{f'; clocks: {ended}' if ended else ''}."
