"""The register of automated decisions: `dsr decisions`, a view of the chains of events.

In: the events that may record a decision which no person made, read by `evidence/automatic.py`.
Out: each with rule, versions, inputs by reference and reason, and for an adverse one the way to a
human: what the team does, and whom the person writes to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import desk, faults
from dsr_worker.cli.desk import Opening, pass_opening
from dsr_worker.cli.output import json_option, show
from dsr_worker.evidence import Decision, decisions, verify_chain
from dsr_worker.evidence.automatic import ADVERSE_KINDS, READERS
from dsr_worker.ledger import reports
from dsr_worker.ledger.reports import KnownEvent

_NEWEST = 500
_BY_WORD = "settle who it is by your own word: `dsr verify {case} --attest METHOD`"
_NEW_CODE = "`dsr verify {case} --send-code` sends a new code; or " + _BY_WORD
_LOOK = "`dsr status {case}` asks what a person has to settle, or says what helps"
_PLAN = "a second person looks at it again: `dsr plan {case}`, then `dsr approve {case}`"
_ANSWER = (
    "look at `dsr status {case}` before the answer leaves; where it is wrong, mend map, policy or"
    " names and `dsr submit` the request anew with the day on which it came (`--received`)"
)
_NAMES = (
    "look at the rows; where they are this person's, `dsr submit` a further request by a name that"
    " is theirs alone (a customer number), with the day on which it came (`--received`)"
)

WAYS: Mapping[str, str] = {
    "no_single_contact": _BY_WORD,
    "clock_stopped": (
        "where the question was not needed, `dsr resume {case} --ground identity` lets it go on as"
        " if it had been answered"
    ),
    "identity_unanswered": (
        "ask again (`dsr verify {case} --send-code`, or by letter and `--asked`), "
        + _BY_WORD
        + ", or `dsr refuse {case} --ground CODE`"
    ),
    "code_wrong": _NEW_CODE,
    "code_expired": _NEW_CODE,
    "code_used_up": _NEW_CODE,
    "code_none": _NEW_CODE,
    "contested": _NAMES,
    "law_without_right": (
        "ask a lawyer which law gives the person this right there, and add it: `dsr also {case}"
        " --law NAME --country CODE`"
    ),
    "several_people": "say who is meant: `dsr choose {case} KIND=VALUE`",
    "approval_voided": _PLAN,
    "nothing_found": _ANSWER,
    "denied": _ANSWER,
    "partly_granted": _ANSWER,
    "withheld": (
        "read the package's `withheld.json`; what is the person's own is handed over beside it, or"
        " `third_party` is taken out of the map and the request submitted anew"
    ),
    "incomplete": (
        "they are tried again by themselves; `dsr status {case}` says when and on which ground, and"
        " what a person can make readable before that"
    ),
    "kept": (
        "weigh the ground: `dsr plan {case}` names it. Where it does not hold, change policy or map"
        " or `dsr hold release`, and `dsr submit` the request anew"
    ),
    "dispute_held": (
        "`dsr complaint show {case}` says what is contested and names the hold; where nothing is,"
        " `dsr hold release HOLD` ends it before the complaint does"
    ),
    **dict.fromkeys(
        (
            "too_many_identities",
            "helpdesk_agent",
            "helpdesk_too_many_matches",
            "promise_exceeded",
            "access_unfinished",
            "found_again",
            "kept_without_day",
            "correction_refused",
            "corrections_contradict",
            "correction_not_granted",
            "cannot_rectify",
            "cannot_erase",
            "package_refused",
            "attachment_too_large",
            "unmapped_rows_left",
            "not_approved",
            "stopped",
        ),
        _LOOK,
    ),
}
"""The team's way from each adverse decision to one that a person makes."""


@click.command("decisions")
@click.argument("case", required=False)
@click.option("--adverse", is_flag=True, help="Only decisions against the person.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="From this day on (UTC).")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=_NEWEST,
    show_default=True,
    help="Without CASE: the newest so many.",
)
@json_option
@pass_opening
@click.pass_context
def decisions_command(
    ctx: click.Context,
    opening: Opening,
    *,
    case: str | None,
    adverse: bool,
    since: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List what was decided without a person: rule, versions, inputs, reason, the way to a human.

    With CASE the decisions of that job alone, whose chain is checked on the way.
    """
    kinds = ADVERSE_KINDS if adverse else READERS
    start = None if since is None else since.replace(tzinfo=UTC)
    with opening.office() as office:
        bad = None if case is None else _first_bad(office, case)
        if case is None:
            events = reports.newest_events(office.ledger, kinds, start)
            found = list(islice(_decided(events, adverse=adverse), limit + 1))
            found, more = sorted(found[:limit], key=_place), len(found) > limit
        else:
            with office.ledger.transaction() as cursor:
                events = iter(reports.events_of(cursor, kinds, case))
            found, more = list(_decided(events, adverse=adverse)), False
            found = [one for one in found if start is None or _at(one[0]) >= start]
        person = _contact(office)
    listed = [_listed(known, decision, person) for known, decision in found]
    data = {
        "decisions": listed,
        "more": more,
        "verified": None if case is None else bad is None,
    }
    show(data, _lines(listed, bad, more=more), as_json=as_json)
    ctx.exit(faults.OK if bad is None else faults.REFUSED)


def _decided(
    events: Iterator[KnownEvent], *, adverse: bool
) -> Iterator[tuple[KnownEvent, Decision]]:
    """What the events record, in their order; with `adverse` what is against the person alone."""
    for known in events:
        for decision in _of(known):
            if decision.meaning.adverse or not adverse:
                yield known, decision


def _place(one: tuple[KnownEvent, Decision]) -> tuple[datetime, str, int]:
    known, _ = one
    return _at(known), known.ref, known.event["seq"]


def _at(known: KnownEvent) -> datetime:
    return datetime.fromisoformat(known.event["at"])


def _first_bad(office: Office, case: str) -> int | None:
    job = desk.job_of(office, case)
    with office.ledger.transaction() as cursor:
        chain = reports.events(cursor, job.id)
    return verify_chain(chain, job=str(job.id), head=job.head_hash)


def _of(known: KnownEvent) -> list[Decision]:
    event = known.event
    return decisions(event["kind"], event["actor"], event["body"])


def _contact(office: Office) -> dict[str, str | None]:
    """Whom the person writes to: as the organisation's answers name it."""
    controller = office.files.organisation.controller
    return {
        "contact": controller.contact,
        "data_protection_officer": controller.data_protection_officer,
    }


def _listed(
    known: KnownEvent, decision: Decision, person: Mapping[str, str | None]
) -> dict[str, Any]:
    event, meaning = known.event, decision.meaning
    way = None
    if meaning.adverse:
        way = {"team": WAYS[decision.rule].format(case=known.ref), "person": dict(person)}
    return {
        "case": known.ref,
        "seq": event["seq"],
        "at": event["at"],
        "rule": decision.rule,
        "effect": meaning.effect.value,
        "adverse": meaning.adverse,
        "reason": meaning.reason,
        "versions": dict(decision.versions),
        "inputs": dict(decision.inputs),
        "to_a_human": way,
    }


def _lines(listed: Sequence[Mapping[str, Any]], bad: int | None, *, more: bool) -> Iterator[str]:
    if more:
        yield f"There are earlier ones: these are the newest {len(listed)}; `--limit` shows more."
    for entry in listed:
        against = ", against the person" if entry["adverse"] else ""
        head = f"{entry['at'][:19]}Z  {entry['case']}/{entry['seq']}"
        yield f"{head}  {entry['rule']} ({entry['effect']}{against}): {entry['reason']}"
        yield f"    inputs   {_told(entry['inputs'])}"
        yield f"    by       {_told(entry['versions']) or 'not recorded by that release'}"
        if entry["to_a_human"]:
            person = entry["to_a_human"]["person"]
            yield f"    team     {entry['to_a_human']['team']}"
            yield f"    person   writes to {' or '.join(filter(None, person.values()))}"
    if bad is not None:
        yield f"THE CHAIN IS BROKEN at event {bad}: it was changed after it was written."
    elif not listed:
        yield "Nothing was decided without a person."


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_short(value)}" for key, value in values.items())


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_short(part)}" for key, part in value.items()) or "none"
    if isinstance(value, list):
        return " ".join(_short(part) for part in value) or "none"
    text = str(value)
    is_digest = len(text) >= 32 and set(text) <= set("0123456789abcdef")  # noqa: PLR2004 - digests are longer
    return f"{text[:12]}…" if is_digest else text
