"""What people decide about a case: verify, choose, retry, withdraw, refuse."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import desk
from dsr_worker.cli.confirming import agree, yes_option
from dsr_worker.cli.desk import Caller, Opening, acting, pass_opening
from dsr_worker.cli.faults import usage
from dsr_worker.cli.names import kinds_of
from dsr_worker.cli.output import json_option, show
from dsr_worker.cli.values import CODE, INSTANT, canonical, pair, stdin_text
from dsr_worker.domain.request import State
from dsr_worker.domain.rights import RESTRICTED
from dsr_worker.fulfil.decided import Decided
from dsr_worker.fulfil.decisions import refusal_digest
from dsr_worker.fulfil.delivery import Delivered
from dsr_worker.ledger import holds
from dsr_worker.people import digest_of

CASES = ("access", "erasure", "rectification", "restriction", "deferred", "lifting")
_GROUND = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

Decision = Callable[[Office, Caller, str], Decided]


def decide(
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
@click.option("--asked", is_flag=True, help="You asked for more, by letter or otherwise.")
@click.option("--at", type=INSTANT, help="When you asked (with --asked); default: now.")
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
    asked: bool,
    at: datetime | None,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Settle whether the requester is who they say: by code, or by your signed word."""
    if sum((send_code, entered is not None, attest is not None, asked)) != 1:
        raise usage("give one of --send-code, --code N, --attest METHOD, --asked")
    if at is not None and not asked:
        raise usage("--at says when you asked: give --asked with it")

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        decisions = office.decisions
        if send_code:
            return decisions.send_code(ref, caller.sign("send-code", ref))
        if entered is not None:
            return decisions.enter_code(ref, entered, caller.sign("enter-code", ref))
        if asked:
            stated = digest_of("asked", ref, at="" if at is None else at.isoformat())
            return decisions.asked(ref, at, caller.sign("asked", ref, stated))
        method = attest or ""
        signed = caller.sign("attest", ref, digest_of("attest", ref, method=method))
        return decisions.attest(ref, method, signed)

    said = "the person is verified"
    if send_code:
        said = "a code is on its way if the person is on file"
    elif asked:
        said = "the person was asked who they are"
    decide(opening, case, actor, key_file, decision, said, as_json=as_json)


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

    decide(opening, case, actor, key_file, decision, "who is meant is settled", as_json=as_json)


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


_WITHDRAWN = "Has the person withdrawn it?"


def _restricting(office: Office, ref: str) -> list[str]:
    """The holds by which a restriction protects what it restricts."""
    with office.ledger.transaction() as cursor:
        return [hold.ref for hold in holds.of_matter(cursor, ref, RESTRICTED)]


@click.command("withdraw")
@click.argument("case")
@yes_option
@acting
@json_option
@pass_opening
def withdraw_command(
    opening: Opening,
    *,
    case: str,
    yes: bool,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Record that the person has withdrawn the request: nothing further happens."""

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        job = desk.job_of(office, ref)
        if job.closed_at is None:
            held = _restricting(office, ref)
            agree(office, job, _WITHDRAWN, held=held, yes=yes, as_json=as_json)
        return office.decisions.withdraw(ref, caller.sign("withdraw", ref))

    decide(opening, case, actor, key_file, decision, "withdrawn", as_json=as_json)


_REFUSAL_LEFT = "Has the letter of refusal left?"


@click.command("refuse")
@click.argument("case")
@click.option(
    "--ground",
    "grounds",
    multiple=True,
    metavar="CODE",
    help="Why, as a code of the law: `dsr statutes show LAW`; one for each law (repeat).",
)
@click.option("--delivered", is_flag=True, help="The letter of refusal has been sent: close.")
@yes_option
@acting
@json_option
@pass_opening
def refuse_command(
    opening: Opening,
    *,
    case: str,
    grounds: tuple[str, ...],
    delivered: bool,
    yes: bool,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Refuse a request on a ground; then, with --delivered, record that the letter left."""
    if bool(grounds) == delivered:
        raise usage("give --ground CODE to refuse, then --delivered once your letter has left")
    if not all(map(_GROUND.fullmatch, grounds)):
        raise usage("--ground is a code such as ANY_UNFOUNDED; prose belongs in the letter")

    if delivered:
        with opening.office() as office:
            job = desk.job_of(office, case, CASES)
            caller = desk.caller(office, actor, key_file)
            if job.state == State.REFUSED:
                agree(office, job, _REFUSAL_LEFT, yes=yes, as_json=as_json)
            done = office.delivery.refusal(job.ref, caller.sign("hand-over", job.ref))
        show(closed_data(done, caller), closed_lines(done), as_json=as_json)
        return

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        ground, *further = grounds
        signed = caller.sign("refuse", ref, refusal_digest(ref, ground, further))
        return office.decisions.refuse(ref, ground, signed, further)

    said = "refused; write to the person, then say so with --delivered"
    decide(opening, case, actor, key_file, decision, said, as_json=as_json)


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
    state = "is closed" if done.state == "closed" else "is answered, and goes on with what is owed"
    yield f"{done.ref} {state}{f'; clocks: {ended}' if ended else ''}."
    if done.state != "closed":
        yield f"next: dsr status {done.ref}"
