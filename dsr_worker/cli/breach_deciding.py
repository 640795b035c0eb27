"""What people decide about a breach: texts, harm, notices, who was told, when it is over."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from dsr_worker.breach import BreachRefused
from dsr_worker.breach import desk as rooms
from dsr_worker.breach.course import BreachState
from dsr_worker.cli import desk
from dsr_worker.cli.breach_showing import KINDS, duty_data, duty_lines, proposal_data
from dsr_worker.cli.confirming import confirm, yes_option
from dsr_worker.cli.desk import Opening, acting, pass_opening
from dsr_worker.cli.faults import usage
from dsr_worker.cli.names import near
from dsr_worker.cli.output import json_option, show
from dsr_worker.cli.values import INSTANT, Word
from dsr_worker.documents import read_file
from dsr_worker.domain.breach import Harm
from dsr_worker.ledger import reports

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


def texts_of(file: Path | None) -> dict[str, dict[str, str]]:
    """The texts by language that a file holds; none without a file."""
    if file is None:
        return {}
    plain = read_file(file).data
    for parts in plain.values():
        if not isinstance(parts, dict) or not all(isinstance(t, str) for t in parts.values()):
            raise usage("--texts is YAML: a language, in it parts (nature, …), in each its text")
    return plain


@click.command("write")
@click.argument("breach")
@click.argument("file", type=_FILE)
@acting
@json_option
@pass_opening
def write_command(
    opening: Opening,
    *,
    breach: str,
    file: Path,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Put texts (YAML: language, part, text) into the notices, in place of the earlier ones."""
    texts = texts_of(file)
    with opening.office() as office:
        job = desk.job_of(office, breach, KINDS)
        caller = desk.caller(office, actor, key_file)
        signed = caller.sign(rooms.WRITE, job.ref, rooms.digest_of(texts))
        office.breach_desk.write(job.ref, texts, signed)
        data = {"case": job.ref, "by": caller.name, **proposal_data(office, job)}
    missing = ", ".join(data["missing"]) or "nothing"
    show(data, [f"{job.ref}: written; missing: {missing}."], as_json=as_json)


@click.command("judge")
@click.argument("breach")
@click.option("--harm", type=Word(*(h.value for h in Harm)))
@click.option("--encrypted/--readable", "encrypted", default=None)
@click.option("--key-taken/--key-safe", "key_taken", default=None)
@acting
@json_option
@pass_opening
def judge_command(
    opening: Opening,
    *,
    breach: str,
    harm: str | None,
    encrypted: bool | None,
    key_taken: bool | None,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Add what is known by now; every duty is judged anew. Only certainty turns one off."""
    given = {"harm": harm, "encrypted": encrypted, "key_taken": key_taken}
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise usage(
            "say what is known: --harm, --encrypted or --readable, --key-taken or --key-safe"
        )
    with opening.office() as office:
        job = desk.job_of(office, breach, KINDS)
        caller = desk.caller(office, actor, key_file)
        signed = caller.sign(rooms.JUDGE, job.ref, rooms.digest_of(changes))
        duties = [duty_data(duty) for duty in office.breach_desk.judge(job.ref, changes, signed)]
    data = {"case": job.ref, "duties": duties, "by": caller.name}
    show(data, duty_lines(duties), as_json=as_json)


@click.command("go-on")
@click.argument("breach")
@acting
@json_option
@pass_opening
def go_on_command(
    opening: Opening, *, breach: str, actor: str | None, key_file: Path | None, as_json: bool
) -> None:
    """Assess without systems that are stuck. The count stays incomplete and turns no duty off."""
    with opening.office() as office:
        job = desk.job_of(office, breach, KINDS)
        caller = desk.caller(office, actor, key_file)
        left_out = office.breach_desk.go_on_without(job.ref, caller.sign(rooms.GO_ON, job.ref))
        desk.ring(office, ("desk",))
    data = {"case": job.ref, "left_out": left_out, "by": caller.name}
    show(data, [f"{job.ref}: assessed without {', '.join(left_out)}."], as_json=as_json)


@click.command("approve-notices")
@click.argument("breach")
@click.option(
    "--hash", "agreed", metavar="HASH", help="Only if texts and list still have this hash."
)
@yes_option
@acting
@json_option
@pass_opening
def approve_command(
    opening: Opening,
    *,
    breach: str,
    agreed: str | None,
    yes: bool,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Let the notices go out, one to each person of the frozen list. Never by who declared."""
    with opening.office() as office:
        job = desk.job_of(office, breach, KINDS)
        caller = desk.caller(office, actor, key_file)
        proposal = office.breach_desk.proposal(job.ref)
        whole = agreed or proposal.hash
        if job.state != BreachState.AWAITING_APPROVAL:
            raise BreachRefused(f"{job.ref} is {job.state}; there is nothing to approve now")
        if whole != proposal.hash:
            raise BreachRefused("texts or list have changed since: look at them and sign anew")
        confirm(
            _approval_lines(proposal),
            f"Send {proposal.reachable} notices?",
            yes=yes,
            as_json=as_json,
        )
        ring = office.breach_desk.approve_notices(
            job.ref, caller.sign(rooms.APPROVE, job.ref, whole)
        )
        desk.ring(office, ring)
    data = {
        "case": job.ref,
        "hash": whole,
        "people": proposal.people,
        "notices": proposal.reachable,
        "by": caller.name,
    }
    show(data, [f"{job.ref}: {proposal.reachable} notices go out."], as_json=as_json)


def _approval_lines(proposal: rooms.Proposal) -> list[str]:
    texts = proposal.drafts.people.items()
    lines = [f"--- {language}\n{text.subject}\n\n{text.body}" for language, text in texts]
    lines.append(f"{proposal.people} people, of whom {proposal.reachable} can be written to")
    if proposal.gaps:
        lines.append(f"missing: {', '.join(proposal.gaps)}")
    return [*lines, f"hash {proposal.hash}"]


@click.command("told")
@click.argument("breach")
@click.argument("clock", metavar="CLOCK")
@click.option("--at", "at", type=INSTANT, required=True, help="When they were told, with offset.")
@acting
@json_option
@pass_opening
def told_command(
    opening: Opening,
    *,
    breach: str,
    clock: str,
    at: datetime,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Record that a recipient was told, such as the authority by its form: its clock ends."""
    with opening.office() as office:
        job = desk.job_of(office, breach, KINDS)
        with office.ledger.transaction() as cursor:
            clocks = {row.name for row in reports.clocks(cursor, job.id)}
        if clock not in clocks:
            raise usage(f"this breach has no such clock; {near(clock, clocks)}")
        caller = desk.caller(office, actor, key_file)
        signed = caller.sign(rooms.MARK, job.ref, rooms.marked_hash(clock, at))
        state = office.breach_desk.mark_notified(job.ref, clock, at, signed)
    data = {"case": job.ref, "clock": clock, "state": state, "by": caller.name}
    show(data, [f"{job.ref}: {clock} is {state}."], as_json=as_json)


@click.command("unknown")
@click.argument("breach")
@click.argument("verdict", type=Word("again", "sent"), metavar="again|sent")
@acting
@json_option
@pass_opening
def unknown_command(
    opening: Opening,
    *,
    breach: str,
    verdict: str,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Say of notices that may have left: send them again, or count them as sent."""
    with opening.office() as office:
        job = desk.job_of(office, breach, KINDS)
        caller = desk.caller(office, actor, key_file)
        signed = caller.sign(rooms.DECIDE_UNKNOWN, job.ref, verdict)
        count, ring = office.breach_desk.decide_unknown(
            job.ref, again=verdict == "again", signed=signed
        )
        desk.ring(office, ring)
    data = {"case": job.ref, "notices": count, "verdict": verdict, "by": caller.name}
    show(data, [f"{job.ref}: {count} notice(s): {verdict}."], as_json=as_json)


@click.command("close")
@click.argument("breach")
@acting
@json_option
@pass_opening
def close_command(
    opening: Opening, *, breach: str, actor: str | None, key_file: Path | None, as_json: bool
) -> None:
    """Close a breach whose clocks have all ended."""
    with opening.office() as office:
        job = desk.job_of(office, breach, KINDS)
        caller = desk.caller(office, actor, key_file)
        office.breach_desk.close(job.ref, caller.sign(rooms.CLOSE, job.ref))
    show({"case": job.ref, "state": "closed"}, [f"{job.ref} is closed."], as_json=as_json)
