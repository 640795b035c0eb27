"""Rows to be put right, people who ask for it, and a rectification of them in a line."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.postgres import Postgres
from dsr_worker.contract import (
    Action,
    Always,
    Correction,
    DecisionTable,
    Identity,
    Receipt,
    Rule,
    Subject,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import execute

RECTIFY = Rule("default", Always(), Action.RECTIFY)
SECRET = "zq-secret-zq"


def person(owner: str, *corrections: Correction, at: str = "t") -> Subject:
    """Somebody who asks for these corrections in one collection."""
    asked = {at: corrections} if corrections else {}
    return Subject(owner, (Identity("owner", owner),), asked)


def rectified(
    postgres: Postgres, *people: Subject, rules: Sequence[Rule] = (), **given: TrialContext
) -> list[Receipt]:
    """Locate the people's rows and put them right; `rules` stand before the rule that does so."""
    ctx = given.get("ctx") or TrialContext()
    ctx.tables = {n: DecisionTable(n, (*rules, RECTIFY)) for n in postgres.system.collections}
    keys = list(postgres.locate(people, TrialContext()))
    return list(postgres.rectify(people, keys, ctx))


def insert(dsn: str, *stored: tuple[str | int | None, ...]) -> None:
    """Put rows into the table `t`."""
    places = ", ".join(["%s"] * len(stored[0]))
    execute(dsn, f"INSERT INTO t VALUES ({places})", stored)  # noqa: S608 - placeholders alone


def counted(receipts: Sequence[Receipt]) -> dict[tuple[str | None, str, str], tuple[int, int]]:
    """Rows and values by subject, outcome and ground."""
    return {
        (r.subject_ref, o.outcome.value, o.ground): (o.rows, o.fields)
        for r in receipts
        for o in r.outcomes
        if o.rows
    }
