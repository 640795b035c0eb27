"""`dsr retention rules`: which collections a store lets go by itself, and which are swept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import desk, remedies
from dsr_worker.cli.confirming import confirm, yes_option
from dsr_worker.cli.connector_checks import reached
from dsr_worker.cli.desk import Opening, acting, pass_opening
from dsr_worker.cli.faults import REFUSED, Fault, usage
from dsr_worker.cli.names import place
from dsr_worker.cli.output import json_option, show, table
from dsr_worker.contract import Change, NeedsHuman, StandingCheck
from dsr_worker.ledger.reports import Stop
from dsr_worker.sweep.decisions import Decided
from dsr_worker.sweep.rules import Planned

_SIGNS: Mapping[Change, str] = {
    Change.ADD: "+",
    Change.REPLACE: "~",
    Change.TAKE_OUT: "-",
    Change.KEEP: "=",
    Change.FOREIGN: " ",
}
_WHY: Mapping[str, str] = {
    "held": "a legal hold or a restriction stands, which no store knows",
    "family": "its rows go or stay with parents or children",
    "masks": "the limit masks, and a store's rule can only let a whole row go",
    "year_end": "the limit counts from a year's end, which is no number of days",
    "several_clocks": "limits and minimums count from different fields",
    "limit_ends": "a limit goes out of force on a day that the store does not know",
    "s3-rows-in-shared-objects": "each record of a shared object has a clock of its own",
    "s3-clock-inside-objects": "the clock is not the object's own date",
    "s3-lifecycle-not-declared": "the map does not say `lifecycle: true` in its `source`",
    "s3-whole-bucket": "its keys begin with the identity: a rule would be the whole bucket's",
    "s3-prefix-below-person": "a prefix cannot say what stands behind the identity",
    "s3-prefixes-overlap": "another collection's keys begin alike",
    "s3-versions-stay": "the bucket keeps versions: a rule would only hide them",
    "s3-copies-stay": "the bucket has copies, in which a rule of this one expires nothing",
    "s3-no-lifecycle": "the endpoint has no lifecycle rules",
    "s3-objects-of-none": "objects that are not the collection's lie under its prefix",
    "s3-sweep-first": "rows are due already: sweep them first, under the brake, then look again",
}
_FAULTS: Mapping[str, str] = {
    "s3-rule-not-there": "the rule is not in the bucket",
    "s3-rule-otherwise": "the rule in the bucket is another",
    "s3-collection-unmapped": "the map has no such collection any more",
}


@click.group("retention")
def retention_command() -> None:
    """What stores let go by themselves, by rules made from the retention policies."""


@retention_command.command("rules")
@click.argument("system")
@click.option("--apply", "applying", is_flag=True, help="Propose the diff, or approve and install.")
@click.option("--verify", "verifying", is_flag=True, help="List what should have gone and has not.")
@click.option("--hash", "plan_hash", metavar="HASH", help="Only if the plan still has this hash.")
@yes_option
@acting
@json_option
@pass_opening
@click.pass_context
def _rules(
    ctx: click.Context,
    opening: Opening,
    *,
    system: str,
    applying: bool,
    verifying: bool,
    plan_hash: str | None,
    yes: bool,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Show what the policies would change in the rules of SYSTEM's own store.

    With --apply one person proposes the diff and a second approves it, which installs it. Rules of
    others are never touched. Whatever no rule suffices for goes by sweeps.
    """
    if applying and verifying:
        raise usage("--apply writes, --verify reads: choose one of them")
    with opening.office() as office:
        place(office.files.maps.by_name, system, None)
        if verifying:
            ctx.exit(_verified(office, system, as_json=as_json))
        with _met(system):
            planned = office.standing_rules.planned(system)
        if not applying:
            show(_data(planned), _lines(planned), as_json=as_json)
            return
        if plan_hash not in (None, planned.hash):
            raise Fault("plan_changed", "the plan has another hash by now: look at it again")
        if not planned.plan.changes:
            show(_data(planned), [*_lines(planned), "Nothing to change."], as_json=as_json)
            return
        caller = desk.caller(office, actor, key_file)
        second = planned.proposed_by not in (None, caller.name)
        question = "Approve and install?" if second else "Propose this?"
        confirm(list(_lines(planned)), question, yes=yes, as_json=as_json)
        with _met(system, planned.ref):
            decided = _decided(office, planned, caller, second=second)
    data = {**_data(planned), "record": decided.ref, "state": decided.state, "by": caller.name}
    show(data, [_said(decided, system)], as_json=as_json)


def _decided(office: Office, planned: Planned, caller: desk.Caller, *, second: bool) -> Decided:
    system = planned.system
    if second:
        signed = caller.sign("approve-rules", system, planned.hash)
        return office.standing_rules.approve(system, planned.hash, signed)
    signed = caller.sign("propose-rules", system, planned.hash)
    return office.standing_rules.propose(system, planned.hash, signed)


@contextmanager
def _met(system: str, record: str | None = None) -> Iterator[None]:
    """Ask the store; what it needs a person for is told as a refusal, with its remedy."""
    with reached():
        try:
            yield
        except NeedsHuman as error:
            stop = Stop(system, "rules", "needs_human", error.code, "", error.fields)
            (told,) = remedies.put(record or "CASE", [stop])
            raise Fault(error.code, told["remedy"] or error.code) from None


def _said(decided: Decided, system: str) -> str:
    if decided.state == "proposed":
        return (
            f"{decided.ref}: proposed; nothing has changed. Next: a second person says"
            f" dsr retention rules {system} --apply"
        )
    return f"{decided.ref}: installed and read back. Later: dsr retention rules {system} --verify"


# ---- the diff


def _data(planned: Planned) -> dict[str, Any]:
    return {
        "system": planned.system,
        "hash": planned.hash,
        "proposed_by": planned.proposed_by,
        "ways": [
            {**asdict(way), "way": "rule" if way.rule else "sweep"} for way in planned.plan.ways
        ],
        "diff": [asdict(diff) for diff in planned.plan.diffs],
    }


def _lines(planned: Planned) -> Iterator[str]:
    yield from table(
        ("collection", "goes by", "after", "why"),
        (
            (
                way.collection,
                "rule" if way.rule else "sweep",
                f"{way.after_days} days" if way.rule else "",
                "" if way.rule else _WHY.get(way.reason, way.reason),
            )
            for way in planned.plan.ways
        ),
    )
    yield ""
    for diff in planned.plan.diffs:
        name = diff.rule or "(no id)"
        if diff.change is Change.REPLACE:
            yield f"- {name}  {diff.was}"
        sign = "+" if diff.change is Change.REPLACE else _SIGNS[diff.change]
        yield f"{sign} {name}  {diff.becomes or diff.was}"
        if diff.reaches:
            reaches = ", ".join(diff.reaches)
            yield f"  somebody else's, and lets go of {reaches} whatever holds and policies say"
    yield f"hash {planned.hash}"
    if planned.proposed_by:
        yield f"proposed by {planned.proposed_by}; a second person says --apply"


# ---- what is left


def _verified(office: Office, system: str, *, as_json: bool) -> int:
    with _met(system):
        checks = office.standing_rules.verify(system)
    sound = all(check.sound for check in checks)
    data = {"system": system, "sound": sound, "rules": [_check(check) for check in checks]}
    lines = table(
        ("collection", "rule", "rows", "due", "overdue", "oldest", ""),
        (
            (
                c.collection,
                c.rule,
                c.rows,
                c.due,
                c.overdue,
                f"{c.oldest_at:%Y-%m-%d}" if c.oldest_at else "",
                "; ".join(_FAULTS.get(code, _WHY.get(code, code)) for code in c.faults),
            )
            for c in checks
        ),
    )
    show(data, lines if checks else ["No rule of ours stands there."], as_json=as_json)
    return 0 if sound else REFUSED


def _check(check: StandingCheck) -> dict[str, Any]:
    return {**asdict(check), "sound": check.sound}
