"""Ending a case with what is left of it: `dsr leave`."""

from __future__ import annotations

from pathlib import Path

import click

from dsr_worker.cli import desk
from dsr_worker.cli.cases import CASES
from dsr_worker.cli.desk import Opening, acting, pass_opening
from dsr_worker.cli.output import json_option, show
from dsr_worker.fulfil.leaving import LEAVE


@click.command("leave")
@click.argument("case")
@acting
@json_option
@pass_opening
def leave_command(
    opening: Opening, *, case: str, actor: str | None, key_file: Path | None, as_json: bool
) -> None:
    """End a case that changed rows and cannot go on: certify what was done, name what was not.

    Nothing more is changed. Where rows were located somebody looks once more; then the certificate
    is made, and is handed over as any.
    """
    with opening.office() as office:
        job = desk.job_of(office, case, CASES)
        caller = desk.caller(office, actor, key_file)
        decided = office.leavings.leave(job.ref, caller.sign(LEAVE, job.ref))
        desk.ring(office, decided.ring)
    data = {
        "case": job.ref,
        "state": decided.state,
        "left": list(decided.details),
        "by": caller.name,
    }
    lines = [f"{job.ref}: left; it is {decided.state} now.", *decided.details]
    show(data, lines, as_json=as_json)
