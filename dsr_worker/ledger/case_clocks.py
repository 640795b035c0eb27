"""The clocks of cases beyond one answer's: many at once, those of our own, those of each law.

In: cases locked by the caller. Out: their clocks, set or ended. Each function is one statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dsr_worker.domain.clock import Due
from dsr_worker.ledger.cases import ANSWERS, CLOCK, ClockRow
from dsr_worker.ledger.connection import Cursor, Json, values
from dsr_worker.ledger.intake import CLOCK_COLUMNS, SET_CLOCK_ANEW, NewClock


def answers_of(cursor: Cursor, job_ids: Sequence[int]) -> dict[int, list[ClockRow]]:
    """The clocks by which these cases, locked by the caller, are to be answered; one statement."""
    cursor.execute(
        f"SELECT job_id, {CLOCK} FROM clocks WHERE job_id = ANY(%s) AND {ANSWERS}"  # noqa: S608 - fixed text
        " ORDER BY length(name), name",
        (list(job_ids),),
    )
    found: dict[int, list[ClockRow]] = {}
    for row in cursor.fetchall():
        found.setdefault(row.job_id, []).append(ClockRow(*row[1:]))
    return found


def laws_of(cursor: Cursor, job_id: int) -> list[ClockRow]:
    """One clock for each law under which a case stands, ended ones too; its own law's first."""
    cursor.execute(
        f"SELECT {CLOCK} FROM clocks WHERE job_id = %s"  # noqa: S608 - fixed text
        " AND (name = 'respond' OR name LIKE 'respond:%%') ORDER BY length(name), name",
        (job_id,),
    )
    return [ClockRow(*row) for row in cursor.fetchall()]


def appeal_name(number: int) -> str:
    """How the clocks of a case's appeal of this number begin; `:law` follows for further laws."""
    return "appeal" if number == 1 else f"appeal-{number}"


def appeals_of(cursor: Cursor, job_id: int, number: int) -> list[ClockRow]:
    """One clock for each law that gave an appeal, ended ones too; the case's own law's first."""
    name = appeal_name(number)
    cursor.execute(
        f"SELECT {CLOCK} FROM clocks WHERE job_id = %s AND split_part(name, ':', 1) = %s"  # noqa: S608 - fixed text
        " ORDER BY length(name), name",
        (job_id, name),
    )
    return [ClockRow(*row) for row in cursor.fetchall()]


def unanswered(cursor: Cursor, clock: str, limit: int = 100) -> list[int]:
    """Cases whose open clock of this name has passed while they wait for the person's answer."""
    cursor.execute(
        "SELECT j.id FROM clocks c JOIN jobs j ON j.id = c.job_id WHERE c.name = %s"
        " AND c.state = 'running' AND c.conservative_due_at <= business_now()"
        " AND j.closed_at IS NULL AND j.state = 'verifying' AND j.phase = 'await_code'"
        " ORDER BY j.id LIMIT %s",
        (clock, limit),
    )
    return [row.id for row in cursor.fetchall()]


def end_clock(cursor: Cursor, job_id: int, name: str) -> None:
    """End a clock of our own, which nobody outside waits for; one that has ended stays so."""
    cursor.execute(
        "UPDATE clocks SET settled_at = business_now(), state = 'met'"
        " WHERE job_id = %s AND name = %s AND settled_at IS NULL AND state <> 'void'",
        (job_id, name),
    )


def set_clocks(cursor: Cursor, turned: Sequence[tuple[int, str, Due, Mapping[str, Any]]]) -> None:
    """Set clocks to what was computed anew, each as (id, state, due, facts); one statement.

    `facts` are merged into those they have.
    """
    if not turned:
        return
    values(
        cursor,
        "UPDATE clocks c SET state = v.state, due_at = v.due_at, due_on = v.due_on,"
        " conservative_due_at = v.act_by, conservative_due_on = v.act_on,"
        " calendar_version = v.calendar, facts = c.facts || v.facts FROM (VALUES %s)"
        " AS v(id, state, due_at, due_on, act_by, act_on, calendar, facts) WHERE c.id = v.id",
        [
            (
                clock_id,
                state,
                due.due_at,
                due.due_on,
                due.conservative_due_at,
                due.conservative_due_on,
                due.calendar_version,
                Json(dict(facts)),
            )
            for clock_id, state, due, facts in turned
        ],
        template=(
            "(%s::bigint, %s, %s::timestamptz, %s::date, %s::timestamptz, %s::date, %s, %s::jsonb)"
        ),
    )


def start(cursor: Cursor, clocks: Sequence[tuple[int, NewClock]]) -> None:
    """Start clocks of many cases; one of the same name begins anew, whatever became of it."""
    if clocks:
        values(
            cursor,
            f"INSERT INTO clocks ({CLOCK_COLUMNS}) VALUES %s {SET_CLOCK_ANEW},"  # noqa: S608 - fixed text
            " started_at = excluded.started_at, state = 'running', settled_at = NULL",
            [(job_id, *c[:-1], Json(dict(c.facts))) for job_id, c in clocks],
        )
