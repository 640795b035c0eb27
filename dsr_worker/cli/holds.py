"""Legal holds: `dsr hold place|list|review|release`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import desk
from dsr_worker.cli.complaining import not_found_in
from dsr_worker.cli.desk import Opening, acting, pass_opening
from dsr_worker.cli.faults import REFUSED, usage
from dsr_worker.cli.names import kinds_of, place
from dsr_worker.cli.output import json_option, show, table
from dsr_worker.cli.values import DAY, REFERENCE, canonical, identity_options, stated
from dsr_worker.contract import System
from dsr_worker.domain.hold import DatasetHeld, PeopleHeld, RowsHeld, Scope
from dsr_worker.fulfil.holding import Placed, hold_digest
from dsr_worker.ledger import holds
from dsr_worker.people import digest_of

_ROW_PARTS = 3


@click.group("hold")
def hold_command() -> None:
    """Keep data from being erased while a legal hold stands."""


@hold_command.command("place")
@identity_options
@click.option("--rows", multiple=True, metavar="SYSTEM.COLLECTION.FIELD=VALUE")
@click.option("--dataset", metavar="SYSTEM[.COLLECTION]")
@click.option(
    "--reason", required=True, metavar="CODE", help="A ground of a law, such as ER_LEGAL_CLAIMS."
)
@click.option(
    "--matter", type=REFERENCE, required=True, metavar="ID", help="An opaque id of the dispute."
)
@click.option("--review", "review_on", type=DAY, required=True, help="When a person looks again.")
@acting
@json_option
@pass_opening
@click.pass_context
def _place(ctx: click.Context, opening: Opening, /, **options: Any) -> None:
    """Hold a person, rows of one collection, or a whole dataset. It stands from this moment."""
    named = stated(options)
    rows: Sequence[str] = options["rows"]
    if sum((bool(named), bool(rows), options["dataset"] is not None)) != 1:
        raise usage("hold a person (--email …), --rows or a --dataset: one of them")
    with opening.office() as office:
        scope = _scope(office, named, rows, options["dataset"])
        caller = desk.caller(office, options["actor"], options["key_file"])
        decided = (options["reason"], options["matter"], options["review_on"])
        signed = caller.sign("place-hold", "new", hold_digest(scope, *decided))
        placed = _placed(office, scope, options, signed)
    data = {
        "hold": placed.ref,
        "reason": options["reason"],
        "review_on": options["review_on"],
        "not_found_in": list(placed.unseen),
        "rules_out": sorted(placed.rules.out),
        "rules_left": sorted(placed.rules.failed),
    }
    lines = [f"{placed.ref} stands: nothing under it is erased. Review on {options['review_on']}."]
    lines += not_found_in(placed.unseen)
    lines += map(_rules_out, data["rules_out"])
    lines += map(_rules_left, data["rules_left"])
    show(data, lines, as_json=options["as_json"])
    if placed.rules.failed:
        ctx.exit(REFUSED)


def _rules_out(system: str) -> str:
    return (
        f"Retention rules of its own were taken out of {system}; a store may need some minutes"
        f" until none of them runs. What is due there goes by sweeps now."
    )


def _rules_left(system: str) -> str:
    return (
        f"NOT YET IN {system}: its store could not be reached, and its own retention rules may"
        " still let rows go. They are taken out as soon as it answers; take them out by hand now."
    )


def _placed(office: Office, scope: Scope, options: dict[str, Any], signed: Any) -> Placed:
    review_on: date = options["review_on"]
    with _plain_refusals():
        return office.holding.place(scope, options["reason"], options["matter"], review_on, signed)


@contextmanager
def _plain_refusals() -> Iterator[None]:
    """Tell the domain's own refusals of what was given as wrong input."""
    try:
        yield
    except ValueError as error:
        if type(error) is ValueError:  # the domain's own plain refusals
            raise usage(str(error)) from None
        raise


def _scope(
    office: Office, named: list[tuple[str, str]], rows: Sequence[str], dataset: str | None
) -> Scope:
    systems = office.files.maps.by_name
    if named:
        kinds = kinds_of(systems)
        return PeopleHeld(canonical(named, office.files.organisation.claims.rules, kinds))
    if dataset is not None:
        name, dot, collection = dataset.partition(".")
        place(systems, name, collection if dot else None)
        return DatasetHeld(name, collection or None)
    return _rows(systems, rows)


def _rows(systems: dict[str, System], rows: Sequence[str]) -> RowsHeld:
    """One hold over rows of one place; several values of it may be given."""
    places, values = set(), []
    for row in rows:
        where, equals, value = row.partition("=")
        parts = where.split(".", _ROW_PARTS - 1)
        if not equals or len(parts) != _ROW_PARTS or not value:
            raise usage("--rows is written SYSTEM.COLLECTION.FIELD=VALUE")
        places.add(tuple(parts))
        values.append(value)
    if len(places) != 1:
        raise usage("one hold is over one field of one collection; place several of one --matter")
    ((name, collection, field),) = places
    place(systems, name, collection, [field])
    return RowsHeld(name, collection, field, tuple(values))


_COLUMNS = (
    *("hold", "scope", "system", "collection", "reason", "matter"),
    *("review_on", "placed_at", "placed_by"),
)


@hold_command.command("list")
@json_option
@pass_opening
def _list(opening: Opening, *, as_json: bool) -> None:
    """List the holds that stand, and when what released ones kept goes on."""
    with opening.office() as office, office.ledger.transaction() as cursor:
        standing = [dict(zip(_COLUMNS, row, strict=True)) for row in holds.listed(cursor)]
        released = holds.going_on(cursor)
    data = {"holds": standing, "released": [row._asdict() for row in released]}
    show(data, [*_lines(standing), *map(_goes_on, released)], as_json=as_json)


def _goes_on(freed: holds.GoesOn) -> str:
    cases = ", ".join(freed.cases)
    return (
        f"{freed.hold} is released; {freed.rows} row(s) that it kept in {cases} are erased on"
        f" {freed.due_on} unless another hold keeps them"
    )


def _lines(standing: list[dict[str, Any]]) -> list[str]:
    if not standing:
        return ["No hold stands."]
    return table(
        ("hold", "on", "reason", "matter", "review on", "placed", "by"),
        (
            (
                row["hold"],
                row["scope"]
                + (f" {row['system']}" if row["system"] else "")
                + (f".{row['collection']}" if row["collection"] else ""),
                row["reason"],
                row["matter"],
                row["review_on"],
                f"{row['placed_at']:%Y-%m-%d}",
                row["placed_by"],
            )
            for row in standing
        ),
    )


@hold_command.command("review")
@click.argument("hold")
@click.option("--review", "review_on", type=DAY, required=True, help="When a person looks again.")
@acting
@json_option
@pass_opening
def _review(
    opening: Opening,
    *,
    hold: str,
    review_on: date,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Say that you looked at a hold again and that it stands, until the next review."""
    with opening.office() as office:
        job = desk.job_of(office, hold, ("hold",))
        caller = desk.caller(office, actor, key_file)
        stated = digest_of("review-hold", job.ref, review_on=review_on.isoformat())
        signed = caller.sign("review-hold", job.ref, stated)
        with _plain_refusals():
            office.holding.review(job.ref, review_on, signed)
    data = {"hold": job.ref, "review_on": review_on, "by": caller.name}
    show(data, [f"{job.ref} stands. Review on {review_on}."], as_json=as_json)


@hold_command.command("release")
@click.argument("hold")
@acting
@json_option
@pass_opening
def _release(
    opening: Opening, *, hold: str, actor: str | None, key_file: Path | None, as_json: bool
) -> None:
    """Release a hold. What erasures left under it goes on 14 days later, what a sweep left with it.

    A hold placed anew within the 14 days keeps it again.
    """
    with opening.office() as office:
        job = desk.job_of(office, hold, ("hold",))
        caller = desk.caller(office, actor, key_file)
        freed = office.holding.release(job.ref, caller.sign("release-hold", job.ref))
    data = {
        "hold": job.ref,
        "released": True,
        "due_on": freed and freed.due_on,
        "cases": freed.cases if freed else [],
        "rows": freed.rows if freed else 0,
    }
    nothing = (
        f"{job.ref} is released; no promised erasure goes on by that: none waited for it, or"
        " another hold keeps it (`dsr hold list`)."
    )
    show(data, [_goes_on(freed) if freed else nothing], as_json=as_json)
