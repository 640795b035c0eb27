"""Whether the log still is what it was: `dsr evidence verify`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import desk, faults
from dsr_worker.cli.desk import Opening, pass_opening
from dsr_worker.cli.output import json_option, show
from dsr_worker.engine.sealing import EVERY_S
from dsr_worker.evidence import Checkpoint, verify_chain
from dsr_worker.evidence.checkpoints import (
    PREFIX,
    copy_name,
    flaw,
    flaw_of_copy,
    flaw_of_more,
    flaw_of_silence,
    read_checkpoint,
)
from dsr_worker.ledger import checkpoints, reports
from dsr_worker.store import BlobMissing


@click.group("evidence")
def evidence_command() -> None:
    """Check the log of events."""


@evidence_command.command("verify")
@click.argument("case", required=False)
@json_option
@pass_opening
@click.pass_context
def _verify(ctx: click.Context, opening: Opening, *, case: str | None, as_json: bool) -> None:
    """Check the chain of one job, or all chains and the signed checkpoints over them.

    Checkpoints must be signed by this installation's keys and be the same in the checkpoint store.
    """
    with opening.office() as office:
        if case is None:
            checked, problem = _all_chains(office)
            sealed, unsealed = _checkpoints(office)
            problem = problem or unsealed
        else:
            job = desk.job_of(office, case)
            checked, sealed = 1, None
            problem = _chain(office, reports.Head(job.id, job.ref, job.head_hash))
    data = {"valid": problem is None, "chains": checked, "checkpoints": sealed, "problem": problem}
    kept = "" if sealed is None else f" and {sealed} signed checkpoint(s)"
    show(data, [problem or f"{checked} chain(s){kept} hold."], as_json=as_json)
    ctx.exit(faults.OK if problem is None else faults.REFUSED)


def _all_chains(office: Office) -> tuple[int, str | None]:
    checked = 0
    for head in reports.heads(office.ledger):
        problem = _chain(office, head)
        if problem is not None:
            return checked, problem
        checked += 1
    return checked, None


def _chain(office: Office, head: reports.Head) -> str | None:
    with office.ledger.transaction() as cursor:
        cursor.execute("SELECT head_hash FROM jobs WHERE id = %s", (head.id,))
        now = bytes(cursor.fetchone().head_hash)
        chain = reports.events(cursor, head.id)
    bad = verify_chain(chain, job=str(head.id), head=now)
    return None if bad is None else f"the chain of {head.ref} is broken at event {bad}"


def _checkpoints(office: Office) -> tuple[int, str | None]:
    """How many checkpoints hold, and what is wrong with the first that does not."""
    numbers = set(_copies(office))  # before the ledger is read: what is copied is in the ledger
    with office.ledger.transaction() as cursor:
        bodies = reports.checkpoint_bodies(cursor)
        last = checkpoints.last(cursor)
        patience_s = EVERY_S if last is None else 2 * EVERY_S
        overdue = checkpoints.overdue(cursor, patience_s)
    before = None
    for held, body in enumerate(bodies):
        point = read_checkpoint(body)
        if point is None:
            return held, f"checkpoint {held + 1} is not readable"
        with office.ledger.transaction() as cursor:
            leaves = checkpoints.covered(cursor, point.number)
        problem = flaw(point, before, leaves, office.keys.public_keys)
        if problem is None and not (last and _is_on_its_way(office, point, last)):
            problem = flaw_of_copy(point, _copy(office, point.number))
        if problem is not None:
            return held, problem
        before = point
    held = len(bodies)
    return held, flaw_of_more(numbers, held) or flaw_of_silence(overdue, held)


def _copies(office: Office) -> Iterator[int]:
    """The numbers of the checkpoints in the checkpoint store."""
    for name in office.checkpoints.names(PREFIX):
        number = name.removeprefix(PREFIX).removesuffix(".json")
        if number.isdecimal():
            yield int(number)


def _copy(office: Office, number: int) -> bytes | None:
    try:
        with office.checkpoints.open(copy_name(number)) as file:
            return file.read()
    except BlobMissing:
        return None


def _is_on_its_way(office: Office, point: Checkpoint, last: checkpoints.Last) -> bool:
    """Whether it is the newest, committed just now: the next sealing copies it at the latest."""
    is_new = point.number == last.number and last.age_s < EVERY_S
    return is_new and not office.checkpoints.exists(copy_name(point.number))
