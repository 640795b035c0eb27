"""`dsr statutes`: what the law packs say, with sources. Needs no ledger, key or service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from dsr_worker.cli.output import json_option, show, table

if TYPE_CHECKING:
    from dsr_worker.statutes import LawPack


@click.group("statutes")
def statutes_command() -> None:
    """What the law says, row by row, each with its source and how sure we are of it."""


@statutes_command.command("list")
@json_option
def _list(*, as_json: bool) -> None:
    """List the laws that are known, and the retention rules."""
    from dsr_worker.statutes import load_pack, packs, retention_rules  # noqa: PLC0415 - read when asked

    laws = [_head(load_pack(name)) for name in packs()]
    rules = [_retention(row) for row in retention_rules()]
    lines = table(
        ("law", "version", "title", "countries"),
        ((law["law"], law["version"], law["title"], _few(law["countries"])) for law in laws),
    )
    lines += ["", *table(
        ("retention rule", "country", "at least", "at most", "standing"),
        ((r["rule"], r["country"], r["minimum"], r["maximum"], r["standing"]) for r in rules),
    )]  # fmt: skip
    show({"laws": laws, "retention": rules}, lines, as_json=as_json)


def _few(countries: tuple[str, ...]) -> str:
    shown = " ".join(countries[:6])
    return shown if len(countries) <= 6 else f"{shown} … ({len(countries)})"  # noqa: PLR2004 - fits a line


def _head(pack: LawPack) -> dict[str, Any]:
    return {
        "law": pack.name,
        "version": pack.version,
        "title": pack.title,
        "countries": pack.countries,
        "rights": sorted({right.value for row in pack.rights for right in row.provisions}),
        "breach_duties": len(pack.breach),
        "exemptions": len(pack.exemptions),
    }


def _retention(row: Any) -> dict[str, Any]:
    return {
        "rule": row.id,
        "country": row.country,
        "title": row.title,
        "minimum": row.minimum,
        "maximum": row.maximum,
        "anchor": row.anchor,
        "citation": row.citation,
        "standing": row.standing,
        "verified": row.verified,
    }


@statutes_command.command("show")
@click.argument("law")
@json_option
def _show(*, law: str, as_json: bool) -> None:
    """Show a law's rows: clocks, breach duties, grounds, each with its source."""
    from dsr_worker.statutes import load_pack  # noqa: PLC0415 - read when asked

    pack = load_pack(law)
    show({**_head(pack), "pack": pack.model_dump(mode="json")}, _lines(pack), as_json=as_json)


def _lines(pack: LawPack) -> Iterator[str]:
    yield f"{pack.name}: {pack.title} (version {pack.version})"
    yield f"countries: {', '.join(pack.countries)}"
    yield ""
    for row in pack.rights:
        yield f"{', '.join(row.provisions)}  [{row.id}, since {row.effective_from}]"
        yield f"  answer       {_clock(row.respond)}"
        if row.acknowledge is not None:
            yield f"  acknowledge  {_clock(row.acknowledge)}"
    for complaint in pack.complaints:
        yield f"complaint  [{complaint.id}, since {complaint.effective_from}]"
        yield f"  answer       {_clock(complaint.respond)}"
    for duty in pack.breach:
        yield f"breach: {duty.recipient}  [{duty.id}, since {duty.effective_from}]"
        yield f"  notify       {_clock(duty.clock)}"
        yield f"  when         {duty.condition}"
    yield ""
    yield from table(
        ("ground", "provision", "standing", "meaning"),
        ((g.code, g.citation, g.standing, g.meaning) for g in pack.exemptions),
    )


def _clock(row: Any) -> str:
    period = f"{row.period.amount} {row.period.unit}"
    if row.period.unit == "none":
        period = "no number"
    longer = f", at most {row.extension.amount} {row.extension.unit} more" if row.extension else ""
    mark = "" if row.verified else ", NOT VERIFIED"
    return f"{period}{longer} ({row.citation}; {row.standing}, {row.checked_on}{mark})"
