"""`dsr appeal`: a person appeals against the answer; somebody else decides; the letter leaves."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import desk
from dsr_worker.cli.cases import closed_data, closed_lines, decide
from dsr_worker.cli.confirming import agree, yes_option
from dsr_worker.cli.desk import Caller, Opening, acting, pass_opening
from dsr_worker.cli.faults import usage
from dsr_worker.cli.output import json_option, show
from dsr_worker.cli.values import INSTANT, Word
from dsr_worker.domain.request import State, Verdict
from dsr_worker.fulfil.decided import Decided
from dsr_worker.people import digest_of

_ONE_OF = "give one of --received AT, --decide VERDICT, --withdrawn, --delivered"


@click.command("appeal")
@click.argument("case")
@click.option("--received", type=INSTANT, help="An appeal came: when, with offset.")
@click.option("--late-accepted", is_flag=True, help="Take it although its time is over.")
@click.option(
    "--decide",
    "verdict",
    type=Word(*(verdict.value for verdict in Verdict)),
    help="How it is decided; not by whoever gave the answer.",
)
@click.option("--withdrawn", is_flag=True, help="The person has withdrawn the appeal.")
@click.option("--delivered", is_flag=True, help="The letter on the appeal has been sent.")
@yes_option
@acting
@json_option
@pass_opening
def appeal_command(
    opening: Opening,
    *,
    case: str,
    received: datetime | None,
    late_accepted: bool,
    verdict: str | None,
    withdrawn: bool,
    delivered: bool,
    yes: bool,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Take in, decide and close an appeal against the answer, where the law of the case gives one.

    Granted, the request is begun anew; dismissed, its letter is owed (`dsr letter`).
    """
    if sum((received is not None, verdict is not None, withdrawn, delivered)) != 1:
        raise usage(_ONE_OF)
    if late_accepted and received is None:
        raise usage("--late-accepted goes with --received AT")
    if delivered:
        _letter_left(opening, case, actor, key_file, yes=yes, as_json=as_json)
        return

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        if received is not None:
            stated = digest_of("appeal", ref, at=received.isoformat(), late=late_accepted)
            signed = caller.sign("appeal", ref, stated)
            return office.appeals.receive(ref, received, signed, late=late_accepted)
        if verdict is not None:
            stated = digest_of("decide-appeal", ref, verdict=verdict)
            signed = caller.sign("decide-appeal", ref, stated)
            return office.appeals.decide(ref, Verdict(verdict), signed)
        return office.appeals.withdraw(ref, caller.sign("withdraw-appeal", ref))

    said = "the appeal was withdrawn" if withdrawn else f"the appeal is {verdict}"
    said = "the appeal is taken in" if received is not None else said
    decide(opening, case, actor, key_file, decision, said, as_json=as_json)


def _letter_left(
    opening: Opening,
    case: str,
    actor: str | None,
    key_file: Path | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    with opening.office() as office:
        job = desk.job_of(office, case)
        caller = desk.caller(office, actor, key_file)
        if job.state == State.APPEAL_ANSWERED:
            agree(office, job, "Has the letter on the appeal left?", yes=yes, as_json=as_json)
        done = office.appeals.delivered(job.ref, caller.sign("hand-over", job.ref))
    show(closed_data(done, caller), closed_lines(done), as_json=as_json)
