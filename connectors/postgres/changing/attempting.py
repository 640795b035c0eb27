"""Statements that the server may refuse for a value, tried where its log hears nothing of it.

A server logs the errors it reports, and many quote the value: "invalid input syntax", "Failing row
contains", "Key (email)=(…) already exists". In: statements. Out: how many rows each touched, or
which of them was refused, as SQLSTATE and name of the constraint or column. The error is caught
inside the server (a PL/pgSQL block), so that it is neither logged nor sent; what was tried is
undone.

Errors that speak of the server or of other transactions are no refusals: they are raised as ever.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2.sql import SQL, Composable, Literal

from connectors.postgres.server.session import Session, refused

_TOLD = "dsr_worker.told"  # a setting of the transaction: no table is needed
_OPERATIONAL = "^(08|25|40|53|55|57|58)|^42501$"
"""SQLSTATEs that refuse no value: connection, transaction, resources, locks, rights."""

Step = Sequence[Composable]
"""Changes that are carried out as one statement: references between their rows are tested at its
end. An empty step does nothing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the server did not let through. `step` is one past the last for deferred constraints."""

    step: int
    state: str
    name: str  # of the constraint or the column

    def __str__(self) -> str:
        return f"{self.state} of {self.name}" if self.name else self.state


def carried_out(session: Session, statement: Composable) -> int:
    """Carry out one statement; how many rows it touched. Constraints stay as deferred as they are.

    Raises Permanent, or Configuration where the schema is another, with the constraint's name.
    """
    if session.explains:
        return session.run(statement)
    executed = _executed(session, statement)
    return int(_sole(session, f"{executed}; GET DIAGNOSTICS n = ROW_COUNT; told := to_jsonb(n);"))


def told(session: Session, query: Composable) -> Any:
    """Carry out a statement whose one row is one JSON value, and return it. Raises likewise."""
    if session.explains:
        return session.rows(query)[0][0]
    return _sole(session, f"{_executed(session, query)} INTO told;")


def attempt(session: Session, steps: Sequence[Step]) -> list[list[int]] | Refusal:
    """Carry out all steps, deferred constraints included, or none.

    The rows that each statement of each step touched, or why none was carried out.
    """
    if session.explains:
        return [[session.run(statement) for statement in step] for step in steps]
    parts = "".join(
        f"at := {n}; {_executed(session, _counting(step))} INTO touched;"
        " told := told || json_build_array(touched)::jsonb; "
        for n, step in enumerate(steps)
    )
    done: list[list[int]] | Refusal = _tried(
        session, f"{parts} at := {len(steps)}; SET CONSTRAINTS ALL IMMEDIATE;"
    )
    return done


def _sole(session: Session, body: str) -> Any:
    done = _tried(session, body)
    if isinstance(done, Refusal):
        raise refused(done.state, done.state, done.name)
    return done


def _tried(session: Session, body: str) -> Any:
    """The JSON that a block sets `told` to, or a Refusal, in one round trip."""
    block = (
        "DECLARE at int4 := 0; n int8; touched int8[]; told jsonb := '[]';"
        " code text; named text; field text;"
        f" BEGIN {body}"
        f" PERFORM set_config('{_TOLD}', json_build_object('told', told)::text, true);"
        " EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS"
        " code = RETURNED_SQLSTATE, named = CONSTRAINT_NAME, field = COLUMN_NAME;"
        f" IF code ~ '{_OPERATIONAL}' THEN RAISE; END IF;"
        f" PERFORM set_config('{_TOLD}', json_build_object("
        "'step', at, 'state', code, 'name', coalesce(nullif(named, ''), field))::text, true); END"
    )
    query = SQL("DO {}; SELECT current_setting({})").format(Literal(block), Literal(_TOLD))
    ((text,),) = session.rows(query)
    answer = json.loads(text)
    return answer["told"] if "told" in answer else Refusal(**answer)


def _executed(session: Session, statement: Composable) -> str:
    text = statement.as_string(session.connection)
    return f"EXECUTE {Literal(text).as_string(session.connection)}"


def _counting(step: Step) -> Composable:
    if not step:
        return SQL("SELECT '{}'::int8[]")
    parts = SQL(", ").join(
        SQL("dsr_part_{} AS ({} RETURNING 1)").format(SQL(str(n)), statement)
        for n, statement in enumerate(step)
    )
    counts = SQL(", ").join(
        SQL("(SELECT count(*) FROM dsr_part_{})").format(SQL(str(n))) for n in range(len(step))
    )
    return SQL("WITH {} SELECT ARRAY[{}]").format(parts, counts)
