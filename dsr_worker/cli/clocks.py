"""The time to answer a case: acknowledged, `also`, `pause`, `resume`, `extend`, `dsr replay`.

In: a case and what happened with the person, or nothing. Out: the clock anew, by the law of the
case; or what today's packs would make of the clocks that run.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli.cases import CASES, decide
from dsr_worker.cli.desk import Caller, Opening, acting, job_of, pass_opening
from dsr_worker.cli.faults import usage
from dsr_worker.cli.output import json_option, show, table
from dsr_worker.cli.values import INSTANT, Word
from dsr_worker.domain import complaint
from dsr_worker.domain.period import PauseGround
from dsr_worker.fulfil.clocks import ACKNOWLEDGE, EXTENSION_REASONS
from dsr_worker.fulfil.decided import Decided
from dsr_worker.fulfil.laws import ALSO
from dsr_worker.people import digest_of

if TYPE_CHECKING:
    from dsr_worker.fulfil.replaying import Replayed

_GROUND = click.option(
    "--ground",
    type=Word(*(ground.value for ground in PauseGround)),
    required=True,
    help="What the person is asked for: identity, fee, clarification.",
)


def _turn(action: str, said: str, **options: Any) -> None:
    ground, at = options["ground"], options["at"]

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        stated = "" if at is None else at.isoformat()
        signed = caller.sign(action, ref, digest_of(action, ref, ground=ground, at=stated))
        turn: Callable[..., Decided] = getattr(office.clocks, action)
        return turn(ref, ground, at, signed)

    decide(
        options["opening"],
        options["case"],
        options["actor"],
        options["key_file"],
        decision,
        said,
        as_json=options["as_json"],
    )


@click.command("also")
@click.argument("case")
@click.option("--country", metavar="CODE", help="Where the person may live: DE, GB-ENG, US-CA.")
@click.option("--law", metavar="NAME", help="That law, where a country alone does not name it.")
@acting
@json_option
@pass_opening
def also_command(
    opening: Opening,
    *,
    case: str,
    country: str | None,
    law: str | None,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Add the law of a further country to an open case: its clocks count from the receipt."""
    if country is None and law is None:
        raise usage("name a --country (such as CH), a --law (such as ch-fadp), or both")

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        stated = digest_of(ALSO, ref, country=country or "", law=law or "")
        return office.laws.also(ref, country, law, caller.sign(ALSO, ref, stated))

    decide(opening, case, actor, key_file, decision, "a law was added", as_json=as_json)


@click.command("acknowledge")
@click.argument("case")
@click.option("--sent", "at", type=INSTANT, help="When it left; default: now.")
@acting
@json_option
@pass_opening
def acknowledge_command(
    opening: Opening,
    *,
    case: str,
    at: datetime | None,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Record that the acknowledgement of a request has left, where a law asks for one."""

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        stated = digest_of(ACKNOWLEDGE, ref, at="" if at is None else at.isoformat())
        return office.clocks.acknowledge(ref, at, caller.sign(ACKNOWLEDGE, ref, stated))

    decide(opening, case, actor, key_file, decision, "is acknowledged", as_json=as_json)


@click.command("pause")
@click.argument("case")
@_GROUND
@click.option("--asked", "at", type=INSTANT, help="When the person was asked; default: now.")
@acting
@json_option
@pass_opening
def pause_command(
    opening: Opening,
    *,
    case: str,
    ground: str,
    at: datetime | None,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Stop the clock while the person answers, where the law of the case stops it for that."""
    given = {"case": case, "ground": ground, "at": at, "actor": actor, "key_file": key_file}
    _turn("pause", "its clock stands", opening=opening, as_json=as_json, **given)


@click.command("resume")
@click.argument("case")
@_GROUND
@click.option("--answered", "at", type=INSTANT, help="When the person answered; default: now.")
@acting
@json_option
@pass_opening
def resume_command(
    opening: Opening,
    *,
    case: str,
    ground: str,
    at: datetime | None,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Let the clock go on, the person having answered: anew or where it stood, as the law says."""
    given = {"case": case, "ground": ground, "at": at, "actor": actor, "key_file": key_file}
    _turn("resume", "its clock goes on", opening=opening, as_json=as_json, **given)


@click.command("extend")
@click.argument("case")
@click.option("--reason", type=Word(*EXTENSION_REASONS), required=True)
@acting
@json_option
@pass_opening
def extend_command(
    opening: Opening,
    *,
    case: str,
    reason: str,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Extend the time to answer, the person having been told; refused outside the legal window."""

    def decision(office: Office, caller: Caller, ref: str) -> Decided:
        signed = caller.sign("extend", ref, digest_of("extend", ref, reason=reason))
        return office.clocks.extend(ref, reason, signed)

    decide(opening, case, actor, key_file, decision, "extended", as_json=as_json)


@click.command("replay")
@click.argument("case", required=False)
@json_option
@pass_opening
def replay_command(opening: Opening, *, case: str | None, as_json: bool) -> None:
    """Say which open clocks would be due on other days by today's law packs (or one CASE).

    Cases are judged by the pack of their first day: nothing moves.
    """
    from dsr_worker.fulfil.replaying import replayed  # noqa: PLC0415 - read when asked

    with opening.office() as office:
        if case is not None:
            case = job_of(office, case, (*CASES, complaint.KIND)).ref
        found = [row for row in replayed(office.ledger) if case in {None, row.ref}]
    moved = [row for row in found if row.moves]
    stuck = [row for row in found if row.frozen is None]
    lines = table(
        ("case", "law", "frozen pack", "due", "act by", "today's pack", "due", "act by"),
        (_cells(row) for row in (found if case else moved)),
    )
    count = f"{len(moved)} of {len(found)} open clock(s) would be due on another day."
    untold = [
        "",
        f"{len(stuck)} open clock(s) not computable from their frozen pack keep their dates:",
        *(f"  {row.ref} {row.clock} ({row.law or 'no law'}): {row.why}" for row in stuck),
    ]
    data = {
        "clocks": [row.plain() for row in found],
        "moved": len(moved),
        "not_computable": len(stuck),
    }
    text = [*(lines if moved or case else ()), count, *(untold if stuck else ())]
    show(data, text, as_json=as_json)


def _cells(row: Replayed) -> tuple[object, ...]:
    return (
        row.ref,
        row.law,
        row.frozen.version if row.frozen else "not computable",
        row.frozen and row.frozen.due_on,
        row.frozen and row.frozen.conservative_due_on,
        row.today.version if row.today else "says nothing of it any more",
        row.today and row.today.due_on,
        row.today and row.today.conservative_due_on,
    )
