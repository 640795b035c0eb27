"""Ending a restriction: `dsr lift`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from dsr_worker.cli import desk
from dsr_worker.cli.desk import Opening, acting, pass_opening
from dsr_worker.cli.output import json_option, show
from dsr_worker.cli.values import DAY
from dsr_worker.fulfil.lifting import LIFT, lift_digest


@click.command("lift")
@click.argument("case")
@click.option(
    "--informed-on", "informed_on", type=DAY, required=True, help="When you told the person."
)
@acting
@json_option
@pass_opening
def lift_command(
    opening: Opening,
    *,
    case: str,
    informed_on: date,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """End the restriction of a case, the person having been told before (Art. 18(3) GDPR).

    Whoever submitted the case cannot. It is a job of its own, with a certificate of its own.
    """
    with opening.office() as office:
        job = desk.job_of(office, case, ("restriction",))
        caller = desk.caller(office, actor, key_file)
        signed = caller.sign(LIFT, job.ref, lift_digest(job.ref, informed_on))
        began = office.liftings.lift(job.ref, informed_on, signed)
        desk.ring(office, began.ring)
    data = {"case": job.ref, "lifting": began.ref, "state": began.state, "by": caller.name}
    lines = [f"{began.ref} lifts the restriction of {job.ref}; it is {began.state} now."]
    show(data, lines, as_json=as_json)
