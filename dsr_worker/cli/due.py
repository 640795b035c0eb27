"""`dsr due`: every open clock, soonest first; and what the law would say of a request or a breach.

The what-if (`--law`, `--country`) asks the law packs alone: no ledger, no key, no service.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from dsr_worker.cli.faults import usage
from dsr_worker.cli.names import asking_the_law, near
from dsr_worker.cli.output import going, json_option, local, remaining, show, table
from dsr_worker.cli.values import INSTANT, instant

if TYPE_CHECKING:
    from dsr_worker.domain.breach import BreachFacts, Duty
    from dsr_worker.domain.recurring import Recurrence
    from dsr_worker.ledger.reports import Promised
    from dsr_worker.ledger.warnings import DueRow
    from dsr_worker.statutes import ClockSpec, LawPack, Market


@click.command("due")
@click.option("--law", metavar="NAME", help="What would this law say? Such as eu-gdpr.")
@click.option(
    "--right", metavar="RIGHT", help="access, erasure, … complaint (with --law or --country)."
)
@click.option("--country", metavar="CODE", help="Where the person lives: DE, GB-ENG, US-CA.")
@click.option("--received", type=INSTANT, help="When the request came, with offset.")
@click.option("--appealed", type=INSTANT, help="When a refusal was appealed, with offset.")
@click.option("--zone", metavar="ZONE", help="Zone of the civil date; default: the country's.")
@click.option("--breach", is_flag=True, help="Duties of a breach instead of a request's clocks.")
@click.option("--aware", type=INSTANT, help="When the breach became known, with offset.")
@click.option(
    "--started",
    multiple=True,
    metavar="EVENT=INSTANT",
    help="What else happened in a breach, such as determination=… (repeat).",
)
@click.option(
    "--told",
    multiple=True,
    metavar="RECIPIENT=INSTANT",
    help="When somebody was told of it, such as individuals=… (repeat).",
)
@click.option("--ics", is_flag=True, help="Print the open clocks as a calendar (iCalendar).")
@json_option
@click.pass_context
def due_command(ctx: click.Context, /, *, ics: bool, as_json: bool, **options: Any) -> None:
    """List open clocks and promised erasures; or, with --law or --country, compute a what-if."""
    if not any(options.values()):
        _open_clocks(ctx, ics=ics, as_json=as_json)
        return
    if ics:
        raise usage("--ics is for the open clocks: leave the what-if's options out")
    if options["law"] is None and options["country"] is None:
        raise usage("name a --law (such as eu-gdpr) or a --country (such as DE)")
    with asking_the_law():
        if options["breach"]:
            _breach(options, as_json=as_json)
        else:
            _request(options, as_json=as_json)


# ---- the open clocks


def _open_clocks(ctx: click.Context, *, ics: bool, as_json: bool) -> None:
    from dsr_worker.cli.desk import Opening  # noqa: PLC0415 - the what-if starts without a ledger
    from dsr_worker.ledger import reports, sweeps, warnings  # noqa: PLC0415 - as above
    from dsr_worker.statutes import recurring  # noqa: PLC0415 - as above

    with ctx.ensure_object(Opening).office() as office, office.ledger.transaction() as cursor:
        rows = warnings.due_list(cursor, office.lead_time)
        promised = reports.promised(cursor)
        declared = office.files.organisation.declared
        again = recurring(declared, sweeps.business_now(cursor)) if declared else []
    if ics:
        from dsr_worker.notify.calendar import ics as calendar  # noqa: PLC0415 - where it is asked for

        click.echo(calendar(rows, again), nl=False)
        return
    data = {
        "clocks": [_clock(row) for row in rows],
        "forecasts": warnings.forecasts(rows),
        "promises": [_promise(row) for row in promised],
        "recurring": [_again(one) for one in again],
    }
    lines = [*_clock_lines(rows), *map(_promise_line, promised), *map(_again_line, again)]
    show(data, lines, as_json=as_json)


def _again(one: Recurrence) -> dict[str, Any]:
    return {
        "law": one.law,
        "row": one.row_id,
        "what": one.what,
        "every": f"{one.every.amount} {one.every.unit}",
        "due_on": one.due_on,
        "due_at": one.due_at,
        "zone": one.zone,
        "citation": one.citation,
        "verified": one.verified,
    }


def _again_line(one: Recurrence) -> str:
    unverified = "" if one.verified else " NOT VERIFIED"
    return f"{one.law} by {one.due_on}: {one.what} ({one.citation}{unverified})"


def _promise(row: Promised) -> dict[str, Any]:
    plain = row._asdict()
    plain["case"] = plain.pop("ref")
    return plain


def _promise_line(row: Promised) -> str:
    when, grounds = going(row.due_on, row.last_due_on), ", ".join(row.grounds)
    return f"{row.ref} promised to erase {row.rows} row(s) of {row.system} {when} ({grounds})"


def _clock(row: DueRow) -> dict[str, Any]:
    plain = row._asdict()
    plain["case"] = plain.pop("ref")
    plain["remaining_s"] = plain.pop("remaining")
    because = plain.pop("because")
    plain["why"] = None if row.kind == "breach" else _why(because)
    return plain


_COLUMNS = (
    *("case", "clock", "recipient", "act by", "left", "statute says"),
    *("forecast", "why", "stuck"),
)


def _why(because: dict[str, Any] | None) -> str:
    from dsr_worker.cli import regimes  # noqa: PLC0415 - the what-if starts without a ledger

    return regimes.reason(because)


def _clock_lines(rows: list[DueRow]) -> Iterator[str]:
    if not rows:
        yield "No clock is open."
        return
    yield from table(
        (
            *("case", "clock", "recipient", "act by", "left", "statute says"),
            *("forecast", "owed", "why", "stuck"),
        ),
        (
            (
                row.ref,
                row.clock,
                row.recipient,
                local(row.conservative_due_at, row.zone),
                remaining(row.remaining),
                local(row.due_at, row.zone) + ("" if row.verified else " NOT VERIFIED"),
                row.forecast,
                (row.owed or "").replace("_", " "),
                _why(row.because) if row.because else "",
                ", ".join(row.stuck),
            )
            for row in rows
        ),
    )


# ---- what the law would say


_COMPLAINT = "complaint"
_CALLED = {"deletion": "erasure", "complaints": _COMPLAINT}
"""Other words for what a person asks."""


def _request(options: dict[str, Any], *, as_json: bool) -> None:
    from dsr_worker.statutes import ClockKind, applicable  # noqa: PLC0415 - read when asked

    right, received = options["right"], options["received"]
    if right is None or received is None:
        raise usage("the what-if of a request needs --right and --received")
    pack = applicable(options["country"], options["law"])
    right = _CALLED.get(right, right)
    specs, appeal = _specs(pack, right, options)
    by_kind = {spec.kind: spec for spec in specs}
    answer, acknowledge = by_kind[ClockKind.RESPOND], by_kind.get(ClockKind.ACKNOWLEDGE)
    due, extended = answer.due, answer.extended_due
    data = {
        "law": pack.name,
        "right": right,
        "country": answer.country,
        "received_at": received,
        "due_on": due.due_on,
        "due_at": due.due_at,
        "conservative_due_on": due.conservative_due_on,
        "conservative_due_at": due.conservative_due_at,
        "extended_due_on": extended and extended.due_on,
        "conservative_extended_due_on": extended and extended.conservative_due_on,
        "extension_notice_by": answer.extension_notice_by,
        "acknowledge_by": acknowledge and acknowledge.due.due_on,
        "conservative_acknowledge_by": acknowledge and acknowledge.due.conservative_due_on,
        "appeal_due_on": appeal and appeal.due.due_on,
        "extended_appeal_due_on": appeal and appeal.extended_due and appeal.extended_due.due_on,
        "citation": answer.citation,
        "standing": answer.standing,
        "verified": all(spec.verified for spec in (*specs, *filter(None, [appeal]))),
        "estimated": due.estimated,
        "checked_on": answer.checked_on,
        "zone": due.zone,
        "calendar": due.calendar,
        "calendar_version": due.calendar_version,
    }
    show(data, _request_lines(data), as_json=as_json)


def _specs(
    pack: LawPack, right: str, options: dict[str, Any]
) -> tuple[list[ClockSpec], ClockSpec | None]:
    """The clocks of a request or a complaint, and that of an appeal where one was lodged."""
    from dsr_worker.statutes import (  # noqa: PLC0415 - read when asked
        UnknownNameError,
        appeal_clock,
        request_clocks,
    )

    asked = (options["country"], options["received"])
    if right == _COMPLAINT:
        return _complaint(pack, options), None
    known = {own.value for row in pack.rights for own in row.provisions}
    if known and right not in known:
        raise UnknownNameError(f"right under {pack.name}", right, {*known, _COMPLAINT})
    specs = request_clocks(pack, right, *asked, options["zone"])
    if options["appealed"] is None:
        return specs, None
    return specs, appeal_clock(pack, right, *asked, options["appealed"], options["zone"])


def _complaint(pack: LawPack, options: dict[str, Any]) -> list[ClockSpec]:
    from dsr_worker.statutes import complaint_clocks  # noqa: PLC0415 - read when asked

    if options["appealed"] is not None:
        raise usage("--appealed is for a refusal of a request: a complaint has no appeal here")
    specs = complaint_clocks(pack, options["country"], options["received"], options["zone"])
    if specs:
        return specs
    days = [row.effective_from for row in pack.complaints if row.effective_from]
    since = f" before {min(days)}" if days else ""
    raise usage(
        f"{pack.name} sets no date for a complaint to whoever holds the data{since}; your own"
        " timetable holds (complaints in organisation.yaml)"
    )


def _request_lines(data: dict[str, Any]) -> Iterator[str]:
    yield f"{data['law']}, {data['right']}, {data['country']} ({data['zone']})"
    yield f"answer by        {data['due_on'] or 'no number in the law'}"
    yield f"act by           {data['conservative_due_on']}"
    if data["extended_due_on"]:
        told = data["extension_notice_by"]
        yield f"extended         {data['extended_due_on']} (the person told by {told})"
    if data["acknowledge_by"]:
        warned = data["conservative_acknowledge_by"]
        yield f"acknowledge by   {data['acknowledge_by']}, act by {warned}"
    if data["appeal_due_on"]:
        yield f"appeal answered  {data['appeal_due_on']}"
    yield f"source           {data['citation']} ({data['standing']}, {data['checked_on']})"
    if not data["verified"]:
        yield "NOT VERIFIED: nobody has read a source for a row of this answer"
    if data["estimated"]:
        yield "ESTIMATED: a holiday on the way is announced later and may move the date"


def _breach(options: dict[str, Any], *, as_json: bool) -> None:
    from dsr_worker.domain.calendar import CALENDAR_VERSION  # noqa: PLC0415 - read when asked
    from dsr_worker.statutes import breach_duties, locality, market  # noqa: PLC0415 - as above

    aware: datetime | None = options["aware"]
    if aware is None:
        raise usage("the what-if of a breach needs --aware")
    where = market(options["country"], options["law"])
    duties = breach_duties([where], aware, _facts(options, where), options["zone"])
    zone = locality(where.country or where.pack.countries[0], options["zone"]).zone
    data = {
        "law": where.pack.name,
        "country": where.country,
        "aware_at": aware,
        "verified": all(duty.verified for duty in duties),
        "zone": zone,
        "calendar_version": CALENDAR_VERSION,
        "obligations": [_obligation(duty, where, zone) for duty in duties],
    }
    show(data, _breach_lines(data, duties), as_json=as_json)


def _facts(options: dict[str, Any], where: Market) -> BreachFacts:
    from dsr_worker.domain.breach import BreachFacts, Notice, Recipient  # noqa: PLC0415 - as above
    from dsr_worker.domain.period import StartKind  # noqa: PLC0415 - as above

    events = (kind.value for kind in StartKind if kind is not StartKind.AFTER_OTHER_NOTICE)
    started = _instants("--started", options["started"], frozenset(events))
    rules = (row.id for row in where.pack.breach)
    told = _instants("--told", options["told"], frozenset((*Recipient, *rules)))
    return BreachFacts(
        events={StartKind(name): at for name, at in started.items()},
        notices_sent={
            Notice(where.pack.name, where.jurisdiction, name): at for name, at in told.items()
        },
    )


def _instants(option: str, given: tuple[str, ...], known: frozenset[str]) -> dict[str, datetime]:
    found = {}
    for text in given:
        name, _, at = text.partition("=")
        if name not in known:
            raise usage(f"{option}: write NAME=INSTANT; {near(name, known)}")
        found[name] = instant(at, option)
    return found


def _obligation(duty: Duty, where: Market, zone: str) -> dict[str, Any]:
    sources = {row.id: row.weaker for row in where.pack.breach}
    source = sources.get(duty.rule_id)  # a duty of our own has none
    return {
        "recipient": duty.recipient,
        "stage": duty.stage,
        "body": duty.body,
        "jurisdiction": duty.jurisdiction,
        "row": duty.rule_id,
        "due_on": _last_on(duty.due_at, zone),
        "due_at": _last(duty.due_at, zone),
        "act_by_on": _last_on(duty.house_due_at, zone),
        "act_by": _last(duty.house_due_at, zone),
        "state": duty.state,
        "condition": duty.condition,
        "citation": duty.citation,
        "standing": source and source.standing,
        "verified": duty.verified,
        "checked_on": source and source.checked_on,
        "calendar_version": duty.calendar_version,
    }


def _last(end_at: datetime | None, zone: str) -> datetime | None:
    """The end of a period as civil time; of one that ends with a day, that day's last second."""
    from dsr_worker.domain.calendar import day_ended  # noqa: PLC0415 - as above

    if end_at is None:
        return None
    last_at = end_at if day_ended(end_at, zone) is None else end_at - timedelta(seconds=1)
    return last_at.astimezone(ZoneInfo(zone))


def _last_on(end_at: datetime | None, zone: str) -> date | None:
    last = _last(end_at, zone)
    return None if last is None else last.date()


def _breach_lines(data: dict[str, Any], duties: list[Duty]) -> Iterator[str]:
    yield f"{data['law']}: duties of a breach known since {data['aware_at'].isoformat()}"
    yield from table(
        ("recipient", "body", "due", "act by", "source"),
        (
            (
                duty.recipient,
                duty.body,
                local(duty.due_at, data["zone"]),
                local(duty.house_due_at, data["zone"]),
                duty.citation + ("" if duty.verified else " NOT VERIFIED"),
            )
            for duty in duties
        ),
    )
