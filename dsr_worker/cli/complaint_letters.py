"""Letters about complaints: `dsr complaint letter`. Printed or in a new file; nothing is sent."""

from __future__ import annotations

from pathlib import Path

import click

from dsr_worker.cli import desk
from dsr_worker.cli.answers import reachable
from dsr_worker.cli.complaint_showing import KINDS
from dsr_worker.cli.desk import Opening, pass_opening
from dsr_worker.cli.faults import Fault
from dsr_worker.cli.output import json_option, note, show
from dsr_worker.cli.values import Word
from dsr_worker.fulfil.complaints.lettering import ComplaintLettering
from dsr_worker.letters.of_complaints import ComplaintLetter
from dsr_worker.package.handover import write_together


@click.command("letter")
@click.argument("complaint")
@click.option("--about", type=Word(*(about.value for about in ComplaintLetter)), required=True)
@click.option("--language", metavar="XX", help="Default: the language of the complaint.")
@click.option(
    "--to", "to", type=click.Path(path_type=Path, dir_okay=False), help="A new file instead."
)
@json_option
@pass_opening
def letter_command(
    opening: Opening,
    *,
    complaint: str,
    about: str,
    language: str | None,
    to: Path | None,
    as_json: bool,
) -> None:
    """Print the letter about a complaint, for you to read, complete and send."""
    target = None if to is None else reachable(to)
    if target is not None and target.exists():
        raise Fault("file", f"{target} exists and is never overwritten: give another name")
    with opening.office() as office:
        job = desk.job_of(office, complaint, KINDS)
        lettering = ComplaintLettering(office.ledger, office.files.organisation)
        letter = lettering.letter(job.ref, ComplaintLetter(about), language)
    if target is not None:
        write_together({target: letter.text.encode()})
    if letter.to_complete:
        note(f"{letter.to_complete} place(s) in [brackets] are for you to complete before sending")
    note("nothing was sent; say when it left: `dsr complaint acknowledge|deliver`")
    data = {
        "case": job.ref,
        "about": about,
        "language": letter.language,
        "text": letter.text,
        "to_complete": letter.to_complete,
        "file": target and str(target),
    }
    show(data, [letter.text.rstrip()] if target is None else [f"wrote {target}"], as_json=as_json)
