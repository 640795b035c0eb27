"""`dsr statutes`: what the law says, row by row, with its source.

In: names. Out: laws with their clocks, duties, grounds and how sure we are of each; retention
rules; one row with all that stands behind it; all of it as a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from dsr_worker.cli.names import asking_the_law
from dsr_worker.cli.output import json_option, show, table

if TYPE_CHECKING:
    from dsr_worker.statutes import LawPack
    from dsr_worker.statutes.model import PackHead, SourcedRow

_FEW = 6


@click.group("statutes")
def statutes_command() -> None:
    """What the law says, row by row, each with its source and how sure we are of it."""


@statutes_command.command("list")
@json_option
def _list(*, as_json: bool) -> None:
    """List the laws that are known, and the retention rules."""
    from dsr_worker.statutes import retention_rules  # noqa: PLC0415 - read when asked
    from dsr_worker.statutes.load import heads  # noqa: PLC0415 - as above

    laws = [_head(head) for head in heads()]
    rules = [_retention(row) for row in retention_rules()]
    lines = table(
        ("law", "also", "applies to", "title", "countries"),
        (
            (law["law"], " ".join(law["aliases"]), law["applies"], law["title"], _few(law))
            for law in laws
        ),
    )
    lines += ["", *table(
        ("retention rule", "country", "at least", "at most", "nature", "in force", "standing"),
        (
            (r["rule"], r["country"], r["minimum"], r["maximum"], r["nature"], r["in_force"],
             r["standing"] if r["verified"] else "NOT VERIFIED")
            for r in rules
        ),
    )]  # fmt: skip
    show({"laws": laws, "retention": rules}, lines, as_json=as_json)


def _few(law: dict[str, Any]) -> str:
    countries = law["countries"]
    shown = " ".join(countries[:_FEW])
    return shown if len(countries) <= _FEW else f"{shown} … ({len(countries)})"


def _head(head: PackHead) -> dict[str, Any]:
    return {
        "law": head.name,
        "aliases": head.aliases,
        "version": head.version,
        "title": head.title,
        "applies": head.applies,
        "countries": head.countries,
        "excludes": head.excludes,
    }


def _retention(row: Any) -> dict[str, Any]:
    from dsr_worker.statutes import wording  # noqa: PLC0415 - read when asked

    return {
        "rule": row.id,
        "country": row.country,
        "title": row.title,
        "nature": row.nature,
        "in_force": wording.dates(row.effective_from, row.effective_to),
        "effective_from": row.effective_from,
        "effective_to": row.effective_to,
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

    with asking_the_law():
        pack = load_pack(law)
    counts = {
        "rights": sorted({right.value for row in pack.rights for right in row.provisions}),
        "breach_duties": len(pack.breach),
        "exemptions": len(pack.exemptions),
    }
    data = {**_head(pack), **counts, "pack": pack.model_dump(mode="json")}
    show(data, _lines(pack), as_json=as_json)


def _lines(pack: LawPack) -> Iterator[str]:
    from dsr_worker.statutes import wording  # noqa: PLC0415 - read when asked

    yield f"{pack.name}: {pack.title} (version {pack.version})"
    yield f"countries: {', '.join(pack.countries)}"
    yield ""
    for row in pack.rights:
        yield f"{', '.join(row.provisions)}  [{row.id}, {wording.in_force(row)}]"
        yield f"  answer       {_clock(row.respond)}"
        if row.acknowledge is not None:
            yield f"  acknowledge  {_clock(row.acknowledge)}"
        if row.appeal is not None:
            answer = row.appeal.answer
            told = "the law gives none" if answer is None else _clock(answer)
            yield f"  appeal       {told}; elsewhere: {row.appeal.channel}"
    for complaint in pack.complaints:
        yield f"complaint  [{complaint.id}, {wording.in_force(complaint)}]"
        yield f"  acknowledge  {_clock(complaint.acknowledge)}"
        yield f"  answer       {_clock(complaint.respond)}"
    for duty in pack.breach:
        stage = "" if duty.stage == "notice" else f", {duty.stage}"
        body = f" ({duty.body})" if duty.body else ""
        yield f"breach: {duty.recipient}{body}{stage}  [{duty.id}, {wording.in_force(duty)}]"
        yield f"  notify       {_clock(duty.clock, duty.after)}"
        yield f"  when         {duty.condition}"
        if duty.threshold is not None:
            yield f"  counts       {wording.threshold(duty)}"
    for again in pack.recurring:
        yield f"every {wording.period(again.every)}  [{again.id}, {wording.in_force(again)}]"
        yield f"  {again.what} {_source(again)}"
    for record in pack.records:
        yield f"records of {record.of}: {record.contents}, {record.period or 'no term'}"
        yield f"               {_source(record)}"
    yield ""
    yield from table(
        ("ground", "provision", "standing", "meaning"),
        ((g.code, g.citation, wording.standing(g), g.meaning) for g in pack.exemptions),
    )


def _clock(row: Any, after: str | None = None) -> str:
    from dsr_worker.statutes import wording  # noqa: PLC0415 - read when asked

    return f"{wording.clock(row, after)} {_source(row)}"


def _source(row: SourcedRow) -> str:
    from dsr_worker.statutes import wording  # noqa: PLC0415 - read when asked

    return f"({row.citation}; {wording.standing(row)})"


@statutes_command.command("explain")
@click.argument("row")
@json_option
def _explain(*, row: str, as_json: bool) -> None:
    """Explain one ROW: a clock, a duty, a ground (ER_LEGAL_CLAIMS) or a retention rule."""
    from dsr_worker.statutes.explaining import explained  # noqa: PLC0415 - read when asked

    with asking_the_law():
        found = explained(row)
    data = {"law": found.law, "row": row, "parts": [part.plain() for part in found.parts]}
    lines = [", ".join(filter(None, (row, found.law)))]
    for part in found.parts:
        lines += ["", part.name, *(f"  {label:<12} {text}" for label, text in part.lines())]
    show(data, lines, as_json=as_json)


@statutes_command.command("page")
@json_option
def _page(*, as_json: bool) -> None:
    """Print all laws as one page (docs/law-packs.md)."""
    from dsr_worker.statutes.page import page  # noqa: PLC0415 - read when asked

    text = page()
    show({"page": text}, text.splitlines(), as_json=as_json)
