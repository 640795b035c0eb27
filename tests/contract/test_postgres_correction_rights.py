"""Whether the role may put right what is asked is one question, whatever the number of fields."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from psycopg2.extensions import make_dsn
from psycopg2.sql import Composable

from connectors.postgres.server.session import Session
from dsr_worker.contract import (
    Action,
    Always,
    Correction,
    DecisionTable,
    Identity,
    NeedsHuman,
    Rule,
    Subject,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import execute
from tests.contract.postgres_tables import collection, connected, rows

ROLE, PASSWORD = "dsr_correcting", "of-these-tests"
ANNA = Subject("anna", (Identity("owner", "anna"),))
RIGHTS = Rule("default", Always(), Action.RECTIFY)


def test_rights_on_all_fields_are_one_question(
    database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked once for two collections and six fields; the first that lacks one is named."""
    dsn = database()
    execute(
        dsn,
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}';"
        "CREATE TABLE t (id int PRIMARY KEY, owner text, a text, b text, c text);"
        "CREATE TABLE u (id int PRIMARY KEY, owner text, a text, b text, c text);"
        f"GRANT ALL ON t, u TO {ROLE}; REVOKE UPDATE ON u FROM {ROLE};"
        f"GRANT UPDATE (a, c) ON u TO {ROLE}",
    )
    execute(dsn, "INSERT INTO t VALUES (1, 'anna')")
    execute(dsn, "INSERT INTO u VALUES (1, 'anna')")
    asked: list[str] = []
    ask = Session.rows

    def asking(session: Session, statement: Composable) -> list[tuple[object, ...]]:
        text = statement.as_string(session.connection)
        asked.extend([text] if "has_column_privilege" in text else [])
        return ask(session, statement)

    monkeypatch.setattr(Session, "rows", asking)
    try:
        postgres = connected(
            make_dsn(dsn, user=ROLE, password=PASSWORD),
            collection("t", "a", "b", "c"),
            collection("u", "a", "b", "c"),
        )
        corrections = tuple(Correction(name, "new") for name in "abc")
        asks = Subject("anna", ANNA.identities, {"t": corrections, "u": corrections})
        keys = list(postgres.locate([ANNA], TrialContext()))
        ctx = TrialContext(tables={name: DecisionTable(name, (RIGHTS,)) for name in "tu"})
        with pytest.raises(NeedsHuman) as stopped:
            list(postgres.rectify([asks], keys, ctx))
        assert len(asked) == 1
        assert stopped.value.code == "correction_not_granted"
        assert stopped.value.fields == {
            "collection": "u",
            "field": "b",
            "remedy": f'GRANT UPDATE ("b") ON "public"."u" TO "{ROLE}";',
        }
        assert rows(dsn) == [("(1,anna,,,)",)]
        execute(dsn, stopped.value.fields["remedy"])
        list(postgres.rectify([asks], keys, ctx))
        assert len(asked) == 2
        assert rows(dsn, "u") == [("(1,anna,new,new,new)",)]
    finally:
        execute(dsn, f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")
