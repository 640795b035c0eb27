"""`dsr breach`: the group of its commands, and declaring one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.breach import Declared, Leak
from dsr_worker.breach.declaring import DECLARE
from dsr_worker.cli import breach_deciding as deciding
from dsr_worker.cli import breach_showing as showing
from dsr_worker.cli import desk
from dsr_worker.cli.breach_deciding import texts_of
from dsr_worker.cli.breach_showing import duty_data, duty_lines
from dsr_worker.cli.desk import Opening, acting, pass_opening
from dsr_worker.cli.faults import usage
from dsr_worker.cli.names import asking_the_law, place
from dsr_worker.cli.output import json_option, show
from dsr_worker.cli.values import INSTANT, KEY, Word
from dsr_worker.contract import LeakScope, System
from dsr_worker.domain.breach import Harm, Role
from dsr_worker.statutes import breach_duties, canonical_country, market

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group("breach")
def breach_command() -> None:
    """When data has leaked: who must hear what by when, who is affected, notices."""


for _command in (
    showing.show_command,
    deciding.write_command,
    deciding.judge_command,
    deciding.go_on_command,
    deciding.approve_command,
    deciding.told_command,
    deciding.unknown_command,
    deciding.close_command,
):
    breach_command.add_command(_command)


@breach_command.command("declare")
@click.option(
    "--leaked",
    multiple=True,
    required=True,
    metavar="SYSTEM[.COLLECTION[:FIELD,FIELD]]",
    help="What leaked; repeat it. Without fields: all of the collection.",
)
@click.option("--aware", type=INSTANT, required=True, help="When you became aware, with offset.")
@click.option("--from", "from_at", type=INSTANT, help="Only rows that existed since then.")
@click.option("--until", "until_at", type=INSTANT, help="Only rows that existed until then.")
@click.option(
    "--market", "markets", multiple=True, metavar="CODE", help="DE, GB-ENG …; default: your own."
)
@click.option("--encrypted/--readable", "encrypted", default=None, help="Left out: not known.")
@click.option("--key-taken/--key-safe", "key_taken", default=None, help="Left out: not known.")
@click.option("--harm", type=Word(*(h.value for h in Harm)), help="Left out: not judged yet.")
@click.option("--role", type=Word(*(r.value for r in Role)), default=Role.CONTROLLER.value)
@click.option("--lead-country", metavar="CODE", help="Main establishment; default: your own.")
@click.option("--texts", type=_FILE, help="YAML: language, then part, then text (docs/breach.md).")
@click.option(
    "--idempotency-key", "idempotency_key", type=KEY, metavar="KEY", help="Same key, same breach."
)
@acting
@json_option
@pass_opening
def _declare(opening: Opening, /, **options: Any) -> None:
    """Declare a breach: every duty stands on a clock at once, then the people are sought."""
    with opening.office() as office:
        caller = desk.caller(office, options["actor"], options["key_file"])
        leak = _leak(office, options)
        declared = office.declaring.declare(leak, caller.sign(DECLARE, "new", leak.digest()))
        desk.ring(office, declared.ring)
    data = {
        "case": declared.ref,
        "repeated": declared.repeated,
        "duties": [duty_data(duty) for duty in declared.duties],
    }
    show(data, _declared_lines(declared), as_json=options["as_json"])


def _leak(office: Office, options: Mapping[str, Any]) -> Leak:
    systems = office.files.maps.by_name
    since, until = window = (options["from_at"], options["until_at"])
    if since is not None and until is not None and until < since:
        raise usage("--until lies before --from: the window holds nothing")
    scopes: dict[str, tuple[LeakScope, ...]] = {}
    for text in options["leaked"]:
        name, found = _scopes(systems, text, window)
        scopes[name] = (*scopes.get(name, ()), *found)
    _ask_the_law(office, options)
    harm = options["harm"]
    return Leak(
        scopes=scopes,
        aware_at=options["aware"],
        markets=tuple(options["markets"]),
        encrypted=options["encrypted"],
        key_taken=options["key_taken"],
        harm=None if harm is None else Harm(harm),
        role=Role(options["role"]),
        lead_country=options["lead_country"],
        texts=texts_of(options["texts"]),
        idempotency_key=options["idempotency_key"],
    )


def _ask_the_law(office: Office, options: Mapping[str, Any]) -> None:
    """Raise a fault of the input where a market, the lead country or the day fits no law."""
    own = office.files.organisation
    with asking_the_law():
        if options["lead_country"] is not None:
            canonical_country(options["lead_country"])
        markets = [market(code) for code in options["markets"] or own.markets]
        breach_duties(markets, options["aware"])


def _scopes(
    systems: Mapping[str, System], text: str, window: tuple[datetime | None, datetime | None]
) -> tuple[str, tuple[LeakScope, ...]]:
    where, _, fields = text.partition(":")
    name, dot, collection = where.partition(".")
    named = tuple(part.strip() for part in fields.split(",") if part.strip())
    place(systems, name, collection if dot else None, named)
    if named and not collection:
        raise usage("--leaked: fields belong to one collection: SYSTEM.COLLECTION:FIELD,FIELD")
    wanted = [collection] if collection else list(systems[name].collections)
    return name, tuple(LeakScope(one, named, *window) for one in wanted)


def _declared_lines(declared: Declared) -> Iterator[str]:
    again = " (it was declared before under this key)" if declared.repeated else ""
    yield f"{declared.ref}{again}"
    yield from duty_lines([duty_data(duty) for duty in declared.duties])
    yield f"next: dsr breach show {declared.ref}"
