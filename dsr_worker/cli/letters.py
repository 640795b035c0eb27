"""Letters to the person: `dsr letter`. Printed or written to a new file; nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from dsr_worker.cli import desk
from dsr_worker.cli.answers import reachable
from dsr_worker.cli.cases import CASES
from dsr_worker.cli.desk import Opening, pass_opening
from dsr_worker.cli.faults import Fault
from dsr_worker.cli.output import json_option, note, show
from dsr_worker.cli.values import Word
from dsr_worker.fulfil.clocks import EXTENSION_REASONS
from dsr_worker.fulfil.lettering import Lettering
from dsr_worker.letters import About, Letter
from dsr_worker.package.handover import write_together

_KINDS = CASES[:4]  # what a person asked for; promises and liftings are the house's own


@click.command("letter")
@click.argument("case")
@click.option("--about", type=Word(*(about.value for about in About)), required=True)
@click.option("--language", metavar="XX", help="Default: the language of the case.")
@click.option("--reason", type=Word(*EXTENSION_REASONS), help="Of an extension still to come.")
@click.option(
    "--to", "to", type=click.Path(path_type=Path, dir_okay=False), help="A new file instead."
)
@json_option
@pass_opening
def letter_command(
    opening: Opening,
    *,
    case: str,
    about: str,
    language: str | None,
    reason: str | None,
    to: Path | None,
    as_json: bool,
) -> None:
    """Print the letter that the laws of a case ask for, for you to read, complete and send."""
    target = None if to is None else reachable(to)
    if target is not None and target.exists():
        raise Fault("file", f"{target} exists and is never overwritten: give another name")
    with opening.office() as office:
        job = desk.job_of(office, case, _KINDS)
        lettering = Lettering(office.ledger, office.files.organisation, office.materials)
        letter = lettering.letter(job.ref, About(about), language, reason)
    if target is not None:
        write_together({target: letter.text.encode()})
    for line in _notes(letter):
        note(line)
    data = {
        "case": job.ref,
        "about": about,
        "language": letter.language,
        "laws": list(letter.laws),
        "text": letter.text,
        "to_complete": letter.to_complete,
        "in_english": list(letter.in_english),
        "file": target and str(target),
    }
    show(data, [letter.text.rstrip()] if target is None else [f"wrote {target}"], as_json=as_json)


def _notes(letter: Letter) -> Iterator[str]:
    if len(letter.laws) > 1:
        yield f"this letter goes by {', '.join(letter.laws)}"
    if letter.to_complete:
        yield f"{letter.to_complete} place(s) in [brackets] are for you to complete before sending"
    if letter.in_english:
        told = ", ".join(letter.in_english)
        yield f"no words in `{letter.language}` for: {told}; told in English, translate them"
    yield "nothing was sent; the authority's name is as its law pack writes it"
