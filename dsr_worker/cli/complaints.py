"""`dsr complaint`: what people decide about a complaint, step by step until its letter left."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import complaint_letters, complaint_showing, desk
from dsr_worker.cli.complaining import read_text
from dsr_worker.cli.complaint_showing import KINDS, next_of, standing_hold
from dsr_worker.cli.confirming import agree, yes_option
from dsr_worker.cli.desk import Caller, Opening, acting, pass_opening
from dsr_worker.cli.faults import usage
from dsr_worker.cli.output import json_option, show
from dsr_worker.cli.values import CODE, Word
from dsr_worker.domain.complaint import Outcome, State
from dsr_worker.fulfil.complaints.desk import NOTE, RECIPIENTS
from dsr_worker.fulfil.decided import Decided
from dsr_worker.people import digest_of

_Decision = Callable[[Office, Caller, str], Decided]


@click.group("complaint")
def complaint_command() -> None:
    """What happens to a complaint: acknowledged, investigated, decided, told, closed."""


complaint_command.add_command(complaint_showing.show_command)
complaint_command.add_command(complaint_letters.letter_command)


def _decide(opening: Opening, options: dict[str, Any], decision: _Decision, said: str) -> None:
    """Open, sign, decide, print."""
    with opening.office() as office:
        job = desk.job_of(office, options["complaint"], KINDS)
        caller = desk.caller(office, options["actor"], options["key_file"])
        decided = decision(office, caller, job.ref)
    following = next_of(decided.ref, decided.state)
    data = {
        "case": decided.ref,
        "state": decided.state,
        "next": following,
        "details": list(decided.details),
        "by": caller.name,
    }
    lines = [f"{decided.ref}: {said}; it is {decided.state} now.", *decided.details]
    if following:
        lines.append(f"next: {following}")
    show(data, lines, as_json=options["as_json"])


def _signed(caller: Caller, verb: str, ref: str, **decided: object) -> Any:
    return caller.sign(verb, ref, digest_of(verb, ref, **decided))


_OPEN = frozenset(State) - {State.CLOSED, State.WITHDRAWN}


def _agree(
    office: Office, ref: str, question: str, states: Collection[str], options: dict[str, Any]
) -> None:
    """Ask before a complaint ends, where it can end so."""
    job = desk.job_of(office, ref)
    if job.state not in states:
        return
    hold = standing_hold(office, job)
    held = [] if hold is None else [hold]
    agree(office, job, question, held=held, yes=options["yes"], as_json=options["as_json"])


@complaint_command.command("note")
@click.argument("complaint")
@click.option(
    "--text",
    "text_source",
    metavar="FILE|-",
    required=True,
    help="What was found, in a file or on stdin; it is sealed.",
)
@acting
@json_option
@pass_opening
def _note(opening: Opening, /, **options: Any) -> None:
    """Add a sealed note to the investigation's log; the events name its number alone."""
    with opening.office() as office:
        job = desk.job_of(office, options["complaint"], KINDS)
        caller = desk.caller(office, options["actor"], options["key_file"])
        text = read_text(options["text_source"])
        signed = _signed(caller, NOTE, job.ref, text=text)
        number = office.complaint_desk.note(job.ref, text, signed)
    data = {"case": job.ref, "note": number, "by": caller.name}
    show(data, [f"{job.ref}: note {number} is kept."], as_json=options["as_json"])


@complaint_command.command("acknowledge")
@click.argument("complaint")
@click.option("--delivered", is_flag=True, help="The letter of acknowledgement has left.")
@acting
@json_option
@pass_opening
def _acknowledge(opening: Opening, /, **options: Any) -> None:
    """Record that the acknowledgement left: its clocks end."""
    if not options["delivered"]:
        raise usage(
            "only a letter that left is an acknowledgement: `dsr complaint letter COMPLAINT"
            " --about acknowledgement` writes it, then say --delivered"
        )

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        return office.complaint_desk.acknowledge(ref, _signed(caller, "acknowledge", ref))

    _decide(opening, options, decision, "its receipt is acknowledged")


@complaint_command.command("investigate")
@click.argument("complaint")
@acting
@json_option
@pass_opening
def _investigate(opening: Opening, /, **options: Any) -> None:
    """Begin to investigate; or again, before the letter with the outcome has left."""

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        return office.complaint_desk.investigate(ref, _signed(caller, "investigate", ref))

    _decide(opening, options, decision, "the investigation has begun")


@complaint_command.command("escalate")
@click.argument("complaint")
@click.option("--to", "level", type=CODE, required=True, help="The higher level, such as board.")
@acting
@json_option
@pass_opening
def _escalate(opening: Opening, /, **options: Any) -> None:
    """Hand a complaint to a higher level of the house."""
    level = options["level"]

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        signed = _signed(caller, "escalate", ref, level=level)
        return office.complaint_desk.escalate(ref, level, signed)

    _decide(opening, options, decision, f"it is before {level}")


@complaint_command.command("refer")
@click.argument("complaint")
@click.option("--to", "to", type=Word(*RECIPIENTS), required=True, help="Of the timetable or law.")
@acting
@json_option
@pass_opening
def _refer(opening: Opening, /, **options: Any) -> None:
    """Record that a complaint is before a body outside the house; its hold stays or is placed."""
    to = options["to"]

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        return office.complaint_desk.refer(ref, to, _signed(caller, "refer", ref, to=to))

    _decide(opening, options, decision, f"it is before the {to}")


@complaint_command.command("resolve")
@click.argument("complaint")
@click.option("--outcome", type=Word(*(one.value for one in Outcome)), required=True)
@acting
@json_option
@pass_opening
def _resolve(opening: Opening, /, **options: Any) -> None:
    """Decide how a complaint ends. It stays open until the letter that says so has left."""
    outcome = options["outcome"]

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        signed = _signed(caller, "resolve", ref, outcome=outcome)
        return office.complaint_desk.resolve(ref, outcome, signed)

    _decide(opening, options, decision, outcome)


@complaint_command.command("deliver")
@click.argument("complaint")
@yes_option
@acting
@json_option
@pass_opening
def _deliver(opening: Opening, /, **options: Any) -> None:
    """Record that the letter with the outcome left: clocks and hold end, it is closed."""

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        _agree(office, ref, "Has the letter with the outcome left?", {State.RESOLVED}, options)
        return office.complaint_desk.deliver(ref, _signed(caller, "deliver", ref))

    _decide(opening, options, decision, "the outcome was told")


@complaint_command.command("withdraw")
@click.argument("complaint")
@yes_option
@acting
@json_option
@pass_opening
def _withdraw(opening: Opening, /, **options: Any) -> None:
    """Record that the person no longer complains: nothing is owed, the hold ends."""

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        _agree(office, ref, "Does the person no longer complain?", _OPEN, options)
        return office.complaint_desk.withdraw(ref, _signed(caller, "withdraw", ref))

    _decide(opening, options, decision, "it was withdrawn")
