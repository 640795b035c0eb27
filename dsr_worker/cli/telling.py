"""How things stand and what happened: `dsr status`, `dsr explain`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import awaiting, desk, faults, held, questions, regimes, remedies, story
from dsr_worker.cli.desk import Opening, pass_opening
from dsr_worker.cli.output import going, json_option, local, remaining, show, table
from dsr_worker.cli.waiting import next_step, waits_for
from dsr_worker.contract import is_remainder
from dsr_worker.domain.forecast import Forecast
from dsr_worker.domain.rights import LIFTING_FACT
from dsr_worker.evidence import verify_chain
from dsr_worker.fulfil import mentioning
from dsr_worker.fulfil.asking import IDENTITY_UNANSWERED
from dsr_worker.fulfil.protecting import LIFTED_AT
from dsr_worker.fulfil.remaining import REMAINING
from dsr_worker.ledger import holds, reports, warnings
from dsr_worker.ledger.intake import OURSELVES
from dsr_worker.ledger.reports import JobRow, OpenJob, Stop
from dsr_worker.ledger.warnings import DueRow


@click.command("status")
@click.argument("case", required=False)
@json_option
@pass_opening
def status_command(opening: Opening, *, case: str | None, as_json: bool) -> None:
    """Show open jobs, or one: where each stands, what it waits for, what to do next."""
    with opening.office() as office:
        if case is None:
            with office.ledger.transaction() as cursor:
                rows = _in_one_zone(office, reports.open_jobs(cursor))
                reviews = holds.to_review(cursor)
            jobs = [{**_job(row), "next": _next(office, row)} for row in rows]
            data = {"jobs": jobs, "reviews": [review._asdict() for review in reviews]}
            show(data, [*_overview(rows, jobs), *map(_review_line, reviews)], as_json=as_json)
            return
        data = _one(office, case)
    show(data, _one_lines(data), as_json=as_json)


def _job(row: OpenJob) -> dict[str, Any]:
    return {
        "case": row.ref,
        "kind": row.kind,
        "state": row.state,
        "phase": row.phase,
        "due_at": row.due_at,
        "zone": row.zone,
        "remaining_s": None if row.due_at is None else row.due_at - row.now,
        "waits_for": waits_for(row),
        "stuck": row.stuck,
        "next": next_step(row),
    }


def _in_one_zone(office: Office, rows: Sequence[OpenJob]) -> list[OpenJob]:
    """A breach's clocks are of many places; it is told in the zone of our own establishment."""
    own = office.files.organisation.establishment.zone
    return [row._replace(zone=own) if row.kind == "breach" else row for row in rows]


def _next(office: Office, row: OpenJob) -> str | None:
    """The next command; a breach's depends on its texts as well."""
    if any(code.rpartition(":")[2] in remedies.NEVER_BY_RETRY for code in row.stuck):
        return f"dsr status {row.ref}"  # which tells the remedy
    found = next_step(row)
    approves = found == f"dsr breach approve-notices {row.ref}"
    if approves and office.breach_desk.proposal(row.ref).gaps:
        return f"dsr breach write {row.ref} FILE"
    return found


def _overview(rows: Sequence[OpenJob], jobs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not rows:
        yield "Nothing is open."
        return
    yield from table(
        ("case", "kind", "state", "act by", "left", "waits for", "next"),
        (
            (
                row.ref,
                row.kind,
                row.state,
                local(row.due_at, row.zone or "UTC") if row.due_at else "",
                remaining(row.due_at - row.now) if row.due_at else "",
                waits_for(row),
                job["next"] or "",
            )
            for row, job in zip(rows, jobs, strict=True)
        ),
    )


def _review_line(review: holds.Review) -> str:
    return (
        f"review      {review.hold} (matter {review.matter}) was to be looked at again on"
        f" {review.review_on}: `dsr hold review {review.hold} --review DATE` where it is still"
        f" needed, `dsr hold release {review.hold}` where not"
    )


_OF_OUTCOME = (
    "system",
    "collection",
    "outcome",
    "rows",
    "ground",
    "first_until_on",
    "until_on",
)
_TOLD = {Forecast.AT_RISK, Forecast.STUCK, Forecast.LATE, Forecast.OVERDUE}


def _one(office: Office, case: str) -> dict[str, Any]:
    job = desk.job_of(office, case)
    with office.ledger.transaction() as cursor:
        open_now = _in_one_zone(office, reports.open_jobs(cursor, job.ref))
        promises = [row._asdict() for row in reports.promised(cursor, job.ref)]
        promises += _unshown(job)
        clocks = [_clock(job, row._asdict()) for row in reports.clocks(cursor, job.id)]
        outcomes = [row._asdict() for row in reports.outcomes(cursor, job.id)]
        answer = reports.answer(cursor, job.id)
        stops = reports.stops(cursor, job.id)
        again = reports.looked_again(cursor, job.id)
        open_clocks = warnings.due_list(cursor, office.lead_time, job.ref)
        first = [awaiting.accesses(cursor, row, office.lead_time) for row in open_now]
        holds = held.standing(cursor, job)
    data = {
        "case": job.ref,
        "kind": job.kind,
        "state": job.state,
        "phase": job.phase,
        "law": job.law,
        "country": job.country,
        "received_at": job.received_at,
        "submitted_by": job.submitted_by,
        "approved_by": job.approved_by,
        "closed_at": job.closed_at,
        "clocks": clocks,
        "forecast": {row.clock: row.forecast for row in open_clocks},
        "owed": _owed(open_clocks),
        "residence": regimes.residence(job.facts, {clock["law"] for clock in clocks}),
        "outcomes": outcomes,
        "promises": promises,
        "mentions": mentioning.mentioned(again),
        "answer": None if answer is None else answer._asdict(),
        "waits_for": None,
        "access_first": next(iter(first), None),
        "holds": holds,
        "stuck": (),
        "stops": _stops(job, stops) if open_now else [],
        "questions": questions.put(job.ref, stops) if open_now else [],
        "next": None,
        "restriction": _restriction(job),
    }
    if open_now:
        data |= _job(open_now[0]) | {"next": _next(office, open_now[0])}
    return data


def _owed(rows: Sequence[DueRow]) -> list[dict[str, Any]]:
    """What only a person can do for a case, each with the soonest clock that waits for it."""
    soonest: dict[str, DueRow] = {}
    for row in rows:
        if row.owed is not None:
            soonest.setdefault(row.owed, row)
    return [
        {"what": what, "by": row.conservative_due_at, "zone": row.zone}
        for what, row in soonest.items()
    ]


def _clock(job: JobRow, clock: dict[str, Any]) -> dict[str, Any]:
    """A clock, the law by which it runs, and why; the duties of a breach have their own reasons.

    A clock that only we set ourselves runs by none.
    """
    because = clock.pop("because")
    if clock["recipient"] == OURSELVES:
        return {**clock, "law": None, "why": None}
    asked = job.received_at is not None and job.law is not None
    why = regimes.reason(because) if asked else None
    return {**clock, "law": clock["law"] or job.law, "why": why}


def _unshown(job: JobRow) -> list[dict[str, Any]]:
    """What an answered access case still owes: as a promise is told."""
    if job.state != "answered_with_remainders" or REMAINING not in job.facts:
        return []
    return [
        {
            "ref": job.ref,
            "system": part["system"],
            "due_on": date.fromisoformat(part["due_on"]),
            "last_due_on": date.fromisoformat(part["last_due_on"]),
            "rows": part["rows"],
            "grounds": [part["ground"]],
        }
        for part in job.facts[REMAINING]["parts"]
    ]


def _stops(job: JobRow, stops: Sequence[Stop]) -> list[dict[str, Any]]:
    asks = job.state == "needs_human" or job.phase == IDENTITY_UNANSWERED
    whole = remedies.of_job(job.ref, job.phase) if asks else []
    return [*whole, *remedies.put(job.ref, stops)]


def _restriction(job: JobRow) -> dict[str, Any] | None:
    """Whether what a case restricted is restricted still, and which job ends or ended it."""
    if job.kind != "restriction":
        return None
    return {"lifting": job.facts.get(LIFTING_FACT), "lifted_at": job.facts.get(LIFTED_AT)}


def _restriction_line(case: str, restriction: Mapping[str, Any], state: str) -> str | None:
    if restriction["lifted_at"]:
        return f"lifted      {restriction['lifted_at'][:10]}, by {restriction['lifting']}"
    if restriction["lifting"]:
        return f"being lifted by {restriction['lifting']}"
    if state in {"ready", "delivered", "closed"}:
        return f"stands until `dsr lift {case} --informed-on DATE`"
    return None


def _one_lines(data: Mapping[str, Any]) -> Iterator[str]:
    closed = f", closed {data['closed_at']:%Y-%m-%d}" if data["closed_at"] else ""
    yield f"{data['case']}: {data['kind']}, {data['state']}{closed}"
    if data["waits_for"]:
        yield f"waits for   {data['waits_for']}"
    for owed in data["owed"]:
        yield f"owed        {owed['what'].replace('_', ' ')}, by {local(owed['by'], owed['zone'])}"
    yield from awaiting.lines(data["access_first"])
    yield from held.lines(data["holds"])
    yield from _stop_lines(data["stops"])
    for question in data["questions"]:
        yield f"question    {question['text']}"
    if data["next"] and data["next"] != f"dsr status {data['case']}":
        yield f"next        {data['next']}"
    told = data["restriction"] and _restriction_line(
        data["case"], data["restriction"], data["state"]
    )
    if told:
        yield told
    for clock in data["clocks"]:
        mark = "" if clock["verified"] else "  NOT VERIFIED"
        due = local(clock["conservative_due_at"], clock["zone"])
        source = f"{clock['citation']}{mark}"
        foreseen = data["forecast"].get(clock["name"])
        state = clock["state"] + (f" ({foreseen})" if foreseen in _TOLD else "")
        why = f" ({clock['law']}, {clock['why']})" if clock["why"] else ""
        yield f"clock       {clock['name']}: {state}, act by {due}; {source}{why}"
    yield from regimes.lines(data["case"], data["residence"])
    if data["outcomes"]:
        yield from table(
            ("system", "collection", "outcome", "rows", "ground", "first until", "last until"),
            ([outcome[of] for of in _OF_OUTCOME] for outcome in data["outcomes"]),
        )
    for promise in data["promises"]:
        yield _promise_line(promise)
    yield from filter(None, [mentioning.notice(data["mentions"])])
    answer = data["answer"]
    if answer:
        left = answer["handed_over_at"]
        gone = answer["destroyed_at"]
        fate = f"handed over {left:%Y-%m-%d}" if left else "not handed over"
        fate += f", destroyed {gone:%Y-%m-%d}" if gone else ""
        yield f"answer      {answer['kind']}, {answer['size_bytes']} bytes, {fate}"


def _promise_line(promise: Mapping[str, Any]) -> str:
    when = going(promise["due_on"], promise["last_due_on"])
    refused = [ground for ground in promise["grounds"] if is_remainder(ground)]
    rows = f"{promise['rows']} row(s) of {promise['system']}"
    if refused:
        return f"remainder   {rows}: {', '.join(refused)}; tried again {when}"
    return f"promised    {rows} go {when}"


def _stop_lines(stops: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for stop in stops:
        where = ":".join(filter(None, (stop["system"], stop["action"], stop["code"])))
        if stop["error"]:
            yield f"error       {where}: {stop['error']}"
        if stop["remedy"]:
            yield f"remedy      {where}: {stop['remedy']}"


# ---- the story


@click.command("explain")
@click.argument("case")
@json_option
@pass_opening
@click.pass_context
def explain_command(ctx: click.Context, opening: Opening, *, case: str, as_json: bool) -> None:
    """Tell the story of a job from its chain of events, and check the chain."""
    with opening.office() as office:
        job = desk.job_of(office, case)
        with office.ledger.transaction() as cursor:
            chain = reports.events(cursor, job.id)
    bad = verify_chain(chain, job=str(job.id), head=job.head_hash)
    told = [story.told(json.loads(link.event)) for link in chain]
    data = {
        "case": job.ref,
        "kind": job.kind,
        "state": job.state,
        "verified": bad is None,
        "first_bad": bad,
        "events": told,
    }
    lines = [f"{job.ref}: {job.kind}, {job.state}"]
    lines += [f"{e['seq']:>4}  {e['at'][:19]}Z  {e['actor']:<12} {e['text']}" for e in told]
    lines.append(
        f"{len(chain)} events; the chain holds."
        if bad is None
        else f"THE CHAIN IS BROKEN at event {bad}: it was changed after it was written."
    )
    show(data, lines, as_json=as_json)
    ctx.exit(faults.OK if bad is None else faults.REFUSED)
