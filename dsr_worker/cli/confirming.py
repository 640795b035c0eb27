"""Asking before what nobody can take back: what will happen is shown, then the question is put.

In: a job and a question. Out: nothing where it was agreed to; else a refusal. What changes rows, or
lets letters go (`confirm`), goes ahead only by a person at a terminal or by --yes. What says that
something has happened (`agree`) asks whoever sits at a terminal, and holds up no script.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli.faults import usage
from dsr_worker.cli.output import local
from dsr_worker.ledger import warnings
from dsr_worker.ledger.holds import GRACE_DAYS
from dsr_worker.ledger.reports import JobRow

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def confirm(lines: Sequence[str], question: str, *, yes: bool, as_json: bool) -> None:
    """Show and ask, unless it was said beforehand. Raises Fault where nobody can be asked."""
    if as_json and not yes:
        raise usage("with --json nobody is asked: look at what is to happen, then say --yes")
    if not as_json:
        for line in lines:
            click.echo(line)
    if yes:
        return
    try:
        agreed = click.confirm(question)
    except click.Abort:
        if at_terminal():
            raise
        message = "nobody can be asked without a terminal: look at what is shown, then say --yes"
        raise usage(message) from None
    if not agreed:
        raise click.Abort


def agree(
    office: Office,
    job: JobRow,
    question: str,
    *,
    held: Sequence[str] = (),
    yes: bool,
    as_json: bool,
) -> None:
    """Show what ends with a case, and ask whoever sits at a terminal. Raises Abort for a no."""
    if as_json or yes or not at_terminal():
        return
    confirm(list(_ending(office, job, held)), question, yes=False, as_json=False)


def at_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def _ending(office: Office, job: JobRow, held: Sequence[str]) -> Iterator[str]:
    yield f"{job.ref}: {job.kind}, {job.state}. It ends with this:"
    with office.ledger.transaction() as cursor:
        clocks = warnings.due_list(cursor, office.lead_time, job.ref)
    for clock in clocks:
        act_by = local(clock.conservative_due_at, clock.zone)
        yield f"  the clock {clock.clock} (act by {act_by})"
    for hold in held:
        yield f"  the hold {hold}: what it kept goes {GRACE_DAYS} days later"
