"""Breaches: declare, show, write, judge, approve the notices, record who was told, close."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.breach import BreachRefused, Declared, Leak
from dsr_worker.breach import desk as rooms
from dsr_worker.breach.course import BreachState
from dsr_worker.breach.declaring import DECLARE
from dsr_worker.breach.duties import clock_name, zone_of_duty
from dsr_worker.cli import desk
from dsr_worker.cli.desk import Opening, acting, pass_opening
from dsr_worker.cli.faults import usage
from dsr_worker.cli.names import asking_the_law, near, place
from dsr_worker.cli.output import json_option, local, show, table
from dsr_worker.cli.plans import confirm
from dsr_worker.cli.values import INSTANT, KEY, Word
from dsr_worker.contract import LeakScope, System
from dsr_worker.documents import read_file
from dsr_worker.domain.breach import Duty, Harm, Role
from dsr_worker.ledger import notices, reports
from dsr_worker.ledger.reports import JobRow
from dsr_worker.statutes import breach_duties, canonical_country, market

_KINDS = ("breach",)
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_ERASED = (
    "are what is left of people erased earlier: they name nobody now, and nobody is written to. If"
    " the data leaked before they were erased, tell them in another way"
)


@click.group("breach")
def breach_command() -> None:
    """When data has leaked: who must hear what by when, who is affected, notices."""


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
        "duties": [_duty(duty) for duty in declared.duties],
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
        texts=_texts(options["texts"]),
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


def _texts(file: Path | None) -> dict[str, dict[str, str]]:
    if file is None:
        return {}
    plain = read_file(file).data
    for parts in plain.values():
        if not isinstance(parts, dict) or not all(isinstance(t, str) for t in parts.values()):
            raise usage("--texts is YAML: a language, in it parts (nature, …), in each its text")
    return plain


def _duty(duty: Duty) -> dict[str, Any]:
    return {
        "clock": clock_name(duty),
        "recipient": duty.recipient,
        "jurisdiction": duty.jurisdiction,
        "body": duty.body,
        "state": duty.state,
        "reason": duty.reason,
        "due_at": duty.due_at,
        "act_by": duty.house_due_at,
        "zone": zone_of_duty(duty),
        "condition": duty.condition,
        "citation": duty.citation,
        "verified": duty.verified,
    }


def _declared_lines(declared: Declared) -> Iterator[str]:
    again = " (it was declared before under this key)" if declared.repeated else ""
    yield f"{declared.ref}{again}"
    yield from _duty_lines([_duty(duty) for duty in declared.duties])
    yield f"next: dsr breach show {declared.ref}"


def _duty_lines(duties: Sequence[Mapping[str, Any]]) -> list[str]:
    return table(
        ("clock", "tell", "act by", "the law says", "", "source"),
        (
            (
                d["clock"],
                d["body"],
                local(d["act_by"], d["zone"]),
                local(d["due_at"], d["zone"]),
                d["state"],
                d["citation"] + ("" if d["verified"] else " NOT VERIFIED"),
            )
            for d in duties
        ),
    )


# ---- looking


@breach_command.command("show")
@click.argument("breach")
@click.option("--texts", "with_texts", is_flag=True, help="Print the notices as they stand.")
@json_option
@pass_opening
def _show(opening: Opening, *, breach: str, with_texts: bool, as_json: bool) -> None:
    """Show a breach: its clocks, the people affected, the notices, what is missing."""
    with opening.office() as office:
        job = desk.job_of(office, breach, _KINDS)
        with office.ledger.transaction() as cursor:
            clocks = [row._asdict() for row in reports.clocks(cursor, job.id)]
            tally = [row._asdict() for row in notices.tally(cursor, job.id)]
        data = {**_breach(job), "clocks": clocks, "notices": tally, **_proposal(office, job)}
        if with_texts and job.closed_at is None:
            data["texts"] = _drafts(office, job)
    show(data, _show_lines(data), as_json=as_json)


def _breach(job: JobRow) -> dict[str, Any]:
    facts = job.facts
    shown = ("aware_at", "markets", "scopes", "categories", "encrypted", "key_taken", "harm")
    return {
        "case": job.ref,
        "state": job.state,
        **{name: facts.get(name) for name in (*shown, "affected")},
        "declared_by": job.submitted_by,
        "approved_by": job.approved_by,
    }


def _proposal(office: Office, job: JobRow) -> dict[str, Any]:
    """What an approval would cover; nothing of it before people are counted or after the end."""
    try:
        proposal = office.breach_desk.proposal(job.ref)
    except BreachRefused:
        return {"hash": None, "people": None, "reachable": None, "missing": []}
    return {
        "hash": proposal.hash,
        "people": proposal.people,
        "reachable": proposal.reachable,
        "missing": list(proposal.gaps),
    }


def _drafts(office: Office, job: JobRow) -> dict[str, Any]:
    written = office.breach_desk.drafts(job.ref)
    return {
        "people": {k: {"subject": t.subject, "body": t.body} for k, t in written.people.items()},
        "reports": {k: {"subject": t.subject, "body": t.body} for k, t in written.reports.items()},
    }


def _show_lines(data: Mapping[str, Any]) -> Iterator[str]:
    yield f"{data['case']}: breach, {data['state']}, known since {data['aware_at']}"
    yield from table(
        ("clock", "tell", "", "act by", "source"),
        (
            (
                c["name"],
                c["recipient"],
                c["state"],
                local(c["conservative_due_at"], c["zone"]) if c["conservative_due_at"] else "",
                c["citation"] + ("" if c["verified"] else " NOT VERIFIED"),
            )
            for c in data["clocks"]
        ),
    )
    found = data["affected"]
    if found is None:
        yield "The people affected are not counted yet."
    else:
        known = ", ".join(f"{place} {count}" for place, count in found["residences"].items())
        complete = "" if found["complete"] else "; NOT COMPLETE: a system has not answered"
        where = f"{known or 'none known'}, unknown {found['unknown']}"
        yield f"{found['people']} people ({where}){complete}"
        if found.get("erased_rows"):
            yield f"{found['erased_rows']} rows more {_ERASED}"
    for row in data["notices"]:
        yield f"notices {row['state']}: {row['people']} ({row['residence'] or 'residence unknown'})"
    if data["missing"]:
        yield f"missing texts: {', '.join(data['missing'])}; dsr breach write {data['case']} FILE"
    if data["hash"]:
        yield f"hash {data['hash']}"
    for part in ("people", "reports"):
        for name, text in data.get("texts", {}).get(part, {}).items():
            yield f"\n--- {part}: {name}\n{text['subject']}\n\n{text['body']}"


# ---- deciding


@breach_command.command("write")
@click.argument("breach")
@click.argument("file", type=_FILE)
@acting
@json_option
@pass_opening
def _write(
    opening: Opening,
    *,
    breach: str,
    file: Path,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Put texts (YAML: language, part, text) into the notices, in place of the earlier ones."""
    texts = _texts(file)
    with opening.office() as office:
        job = desk.job_of(office, breach, _KINDS)
        caller = desk.caller(office, actor, key_file)
        signed = caller.sign(rooms.WRITE, job.ref, rooms.digest_of(texts))
        office.breach_desk.write(job.ref, texts, signed)
        data = {"case": job.ref, "by": caller.name, **_proposal(office, job)}
    missing = ", ".join(data["missing"]) or "nothing"
    show(data, [f"{job.ref}: written; missing: {missing}."], as_json=as_json)


@breach_command.command("judge")
@click.argument("breach")
@click.option("--harm", type=Word(*(h.value for h in Harm)))
@click.option("--encrypted/--readable", "encrypted", default=None)
@click.option("--key-taken/--key-safe", "key_taken", default=None)
@acting
@json_option
@pass_opening
def _judge(
    opening: Opening,
    *,
    breach: str,
    harm: str | None,
    encrypted: bool | None,
    key_taken: bool | None,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Add what is known by now; every duty is judged anew. Only certainty turns one off."""
    given = {"harm": harm, "encrypted": encrypted, "key_taken": key_taken}
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise usage(
            "say what is known: --harm, --encrypted or --readable, --key-taken or --key-safe"
        )
    with opening.office() as office:
        job = desk.job_of(office, breach, _KINDS)
        caller = desk.caller(office, actor, key_file)
        signed = caller.sign(rooms.JUDGE, job.ref, rooms.digest_of(changes))
        duties = [_duty(duty) for duty in office.breach_desk.judge(job.ref, changes, signed)]
    data = {"case": job.ref, "duties": duties, "by": caller.name}
    show(data, _duty_lines(duties), as_json=as_json)


@breach_command.command("go-on")
@click.argument("breach")
@acting
@json_option
@pass_opening
def _go_on(
    opening: Opening, *, breach: str, actor: str | None, key_file: Path | None, as_json: bool
) -> None:
    """Assess without systems that are stuck. The count stays incomplete and turns no duty off."""
    with opening.office() as office:
        job = desk.job_of(office, breach, _KINDS)
        caller = desk.caller(office, actor, key_file)
        left_out = office.breach_desk.go_on_without(job.ref, caller.sign(rooms.GO_ON, job.ref))
        desk.ring(office, ("desk",))
    data = {"case": job.ref, "left_out": left_out, "by": caller.name}
    show(data, [f"{job.ref}: assessed without {', '.join(left_out)}."], as_json=as_json)


@breach_command.command("approve-notices")
@click.argument("breach")
@click.option(
    "--hash", "agreed", metavar="HASH", help="Only if texts and list still have this hash."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@acting
@json_option
@pass_opening
def _approve(
    opening: Opening,
    *,
    breach: str,
    agreed: str | None,
    yes: bool,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Let the notices go out, one to each person of the frozen list. Never by who declared."""
    with opening.office() as office:
        job = desk.job_of(office, breach, _KINDS)
        caller = desk.caller(office, actor, key_file)
        proposal = office.breach_desk.proposal(job.ref)
        whole = agreed or proposal.hash
        if job.state != BreachState.AWAITING_APPROVAL:
            raise BreachRefused(f"{job.ref} is {job.state}; there is nothing to approve now")
        if whole != proposal.hash:
            raise BreachRefused("texts or list have changed since: look at them and sign anew")
        confirm(
            _approval_lines(proposal),
            f"Send {proposal.reachable} notices?",
            yes=yes,
            as_json=as_json,
        )
        ring = office.breach_desk.approve_notices(
            job.ref, caller.sign(rooms.APPROVE, job.ref, whole)
        )
        desk.ring(office, ring)
    data = {
        "case": job.ref,
        "hash": whole,
        "people": proposal.people,
        "notices": proposal.reachable,
        "by": caller.name,
    }
    show(data, [f"{job.ref}: {proposal.reachable} notices go out."], as_json=as_json)


def _approval_lines(proposal: rooms.Proposal) -> list[str]:
    texts = proposal.drafts.people.items()
    lines = [f"--- {language}\n{text.subject}\n\n{text.body}" for language, text in texts]
    lines.append(f"{proposal.people} people, of whom {proposal.reachable} can be written to")
    if proposal.gaps:
        lines.append(f"missing: {', '.join(proposal.gaps)}")
    return [*lines, f"hash {proposal.hash}"]


@breach_command.command("told")
@click.argument("breach")
@click.argument("clock", metavar="CLOCK")
@click.option("--at", "at", type=INSTANT, required=True, help="When they were told, with offset.")
@acting
@json_option
@pass_opening
def _told(
    opening: Opening,
    *,
    breach: str,
    clock: str,
    at: datetime,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Record that a recipient was told, such as the authority by its form: its clock ends."""
    with opening.office() as office:
        job = desk.job_of(office, breach, _KINDS)
        with office.ledger.transaction() as cursor:
            clocks = {row.name for row in reports.clocks(cursor, job.id)}
        if clock not in clocks:
            raise usage(f"this breach has no such clock; {near(clock, clocks)}")
        caller = desk.caller(office, actor, key_file)
        signed = caller.sign(rooms.MARK, job.ref, rooms.marked_hash(clock, at))
        state = office.breach_desk.mark_notified(job.ref, clock, at, signed)
    data = {"case": job.ref, "clock": clock, "state": state, "by": caller.name}
    show(data, [f"{job.ref}: {clock} is {state}."], as_json=as_json)


@breach_command.command("unknown")
@click.argument("breach")
@click.argument("verdict", type=Word("again", "sent"), metavar="again|sent")
@acting
@json_option
@pass_opening
def _unknown(
    opening: Opening,
    *,
    breach: str,
    verdict: str,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Say of notices that may have left: send them again, or count them as sent."""
    with opening.office() as office:
        job = desk.job_of(office, breach, _KINDS)
        caller = desk.caller(office, actor, key_file)
        signed = caller.sign(rooms.DECIDE_UNKNOWN, job.ref, verdict)
        count, ring = office.breach_desk.decide_unknown(
            job.ref, again=verdict == "again", signed=signed
        )
        desk.ring(office, ring)
    data = {"case": job.ref, "notices": count, "verdict": verdict, "by": caller.name}
    show(data, [f"{job.ref}: {count} notice(s): {verdict}."], as_json=as_json)


@breach_command.command("close")
@click.argument("breach")
@acting
@json_option
@pass_opening
def _close(
    opening: Opening, *, breach: str, actor: str | None, key_file: Path | None, as_json: bool
) -> None:
    """Close a breach whose clocks have all ended."""
    with opening.office() as office:
        job = desk.job_of(office, breach, _KINDS)
        caller = desk.caller(office, actor, key_file)
        office.breach_desk.close(job.ref, caller.sign(rooms.CLOSE, job.ref))
    show({"case": job.ref, "state": "closed"}, [f"{job.ref} is closed."], as_json=as_json)
