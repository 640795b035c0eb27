"""Warnings of clocks: `dsr warnings`, `dsr warnings ack ID`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import desk
from dsr_worker.cli.desk import Caller, Opening, acting, pass_opening
from dsr_worker.cli.faults import not_found
from dsr_worker.cli.output import json_option, local, show, table
from dsr_worker.ledger import jobs, reports, warnings
from dsr_worker.ledger.reports import StandingWarning
from dsr_worker.people import accept

_ACKNOWLEDGE = "acknowledge"


@click.group("warnings", invoke_without_command=True)
@json_option
@pass_opening
@click.pass_context
def warnings_command(ctx: click.Context, opening: Opening, *, as_json: bool) -> None:
    """List warnings that nobody has acknowledged."""
    if ctx.invoked_subcommand is not None:
        return
    with opening.office() as office, office.ledger.transaction() as cursor:
        standing = reports.standing_warnings(cursor)
    data = {"warnings": [row._asdict() for row in standing]}
    show(data, _lines(standing), as_json=as_json)


def _lines(standing: Sequence[StandingWarning]) -> Iterator[str]:
    if not standing:
        yield "No warning stands."
        return
    yield from table(
        ("id", "case", "clock", "recipient", "threshold", "act by", "sent"),
        (
            (w.id, w.ref, w.clock, w.recipient, w.threshold, local(w.due_at, w.zone), w.sent)
            for w in standing
        ),
    )
    yield "Somebody who takes care of one says so: dsr warnings ack ID"


@warnings_command.command("ack")
@click.argument("warning", metavar="ID|CASE")
@acting
@json_option
@pass_opening
def _acknowledge(
    opening: Opening, *, warning: str, actor: str | None, key_file: Path | None, as_json: bool
) -> None:
    """Acknowledge a warning, or all of a case: it goes out no more. Later thresholds still warn."""
    with opening.office() as office:
        number = int(warning) if warning.isascii() and warning.isdigit() else None
        ref = _ref_of(office, number) if number is not None else desk.job_of(office, warning).ref
        caller = desk.caller(office, actor, key_file)
        count = _acknowledged(office, caller, ref, number)
    data = {"case": ref, "acknowledged": count, "by": caller.name}
    show(data, [f"{ref}: {count} warning(s) acknowledged by {caller.name}."], as_json=as_json)


def _ref_of(office: Office, number: int) -> str:
    with office.ledger.transaction() as cursor:
        ref = reports.warned_job(cursor, min(number, 2**62))
    if ref is None:
        raise not_found("there is no such warning; `dsr warnings` lists them")
    return ref


def _acknowledged(office: Office, caller: Caller, ref: str, number: int | None) -> int:
    signed = caller.sign(_ACKNOWLEDGE, ref)
    with office.ledger.transaction() as cursor:
        job = jobs.lock_ref(cursor, ref)
        if job is None:
            raise not_found("there is no such case")
        accept(cursor, signed, _ACKNOWLEDGE, ref)
        return warnings.acknowledge(cursor, job, signed.actor, signed.signature_hex, warning=number)
