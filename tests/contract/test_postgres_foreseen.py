"""What a dry run refuses because the change would be: nobody approves what cannot be done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from connectors.postgres import Postgres
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Collection,
    DecisionTable,
    Identity,
    Mask,
    MaskKind,
    Outcome,
    Parent,
    Permanent,
    Receipt,
    Rule,
    Subject,
    SweepOrder,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import CUTOFF, database_of_a_module, execute
from tests.contract.postgres_tables import collection, connected, rows

ANNA, BERT = (Subject(name, (Identity("owner", name),)) for name in ("anna", "bert"))
KEEP = Rule("hold", Always(), Action.KEEP, "dispute")
NULL = Mask(MaskKind.NULL)
ROLE, PASSWORD = "dsr_foreseeing", "of-these-tests"

TABLES = """
CREATE TABLE t (id int PRIMARY KEY, owner text, at date DEFAULT '2010-01-01');
CREATE TABLE u (id int PRIMARY KEY, owner text, t_id int REFERENCES t);
INSERT INTO t VALUES (0, 'anna'), (1, 'anna'), (2, 'bert');
INSERT INTO u VALUES (1, 'anna', 1), (2, 'bert', 2);
"""


@pytest.fixture(scope="module")
def module_database(postgres_dsn: str) -> Iterator[str]:
    """One database for the module: a new one for every test would take most of the time."""
    with database_of_a_module(postgres_dsn) as dsn:
        execute(dsn, f"ALTER DATABASE {parse_dsn(dsn)['dbname']} SET synchronous_commit = off")
        yield dsn
        execute(dsn, f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


@pytest.fixture
def dsn(module_database: str) -> str:
    """A database with these tables alone."""
    execute(module_database, f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {TABLES}")
    return module_database


def mapped(dsn: str, *others: Collection) -> Postgres:
    """`t`, and what else is given."""
    return connected(dsn, collection("t", "at", clocks={"record_date": "at"}), *others)


def erased(
    postgres: Postgres, *people: Subject, dry_run: bool, **rules: tuple[Rule, ...]
) -> list[Receipt]:
    """Erase what is the people's, on paper or not."""
    tables = {name: DecisionTable(name, found) for name, found in rules.items()}
    keys = list(postgres.locate(people, TrialContext()))
    return list(postgres.erase(people, keys, TrialContext(tables=tables, dry_run=dry_run)))


@pytest.mark.parametrize("action", ["NO ACTION", "RESTRICT", "CASCADE", "NO ACTION DEFERRABLE"])
def test_a_reference_from_outside_the_map_is_foreseen(dsn: str, action: str) -> None:
    """The plan names the table and what to do; nothing was approved that the server refuses."""
    execute(dsn, f"CREATE TABLE beside (t_id int REFERENCES t ON DELETE {action})")
    postgres = mapped(dsn, collection("u", "t_id"))
    execute(dsn, "INSERT INTO beside VALUES (2), (NULL)")
    assert erased(postgres, ANNA, dry_run=True)
    execute(dsn, "INSERT INTO beside VALUES (0)")
    before = [rows(dsn, name) for name in ("t", "u", "beside")]
    with pytest.raises(Permanent, match=r"public\.beside.* nothing was changed\. Map public\.bes"):
        erased(postgres, ANNA, dry_run=True)
    with pytest.raises(Permanent):
        erased(postgres, ANNA, dry_run=False)
    assert [rows(dsn, name) for name in ("t", "u", "beside")] == before
    beside = collection("beside", key=("t_id",), owner=None, parent=Parent("t", {"t_id": "id"}))
    postgres = mapped(dsn, collection("u", "t_id"), beside)
    assert erased(postgres, ANNA, dry_run=True) == erased(postgres, ANNA, dry_run=False)


def test_a_reference_of_another_person_is_foreseen(dsn: str) -> None:
    """A row that is not to go holds the one it refers to, mapped or not; both together may go."""
    execute(dsn, "UPDATE u SET t_id = 0 WHERE owner = 'bert'")
    postgres = mapped(dsn, collection("u", "t_id"))
    with pytest.raises(Permanent, match=r"rows of public\.u that are not to go refer"):
        erased(postgres, ANNA, dry_run=True)
    assert erased(postgres, ANNA, BERT, dry_run=True)
    with pytest.raises(Permanent):
        erased(postgres, ANNA, dry_run=False)
    erased(postgres, ANNA, BERT, dry_run=False)


def test_a_reference_that_a_mask_takes_away_is_in_nobodys_way(dsn: str) -> None:
    """The row stays, refers no more, and what it referred to goes, on paper as well."""
    u = collection("u", masks={"t_id": NULL})
    masking = Rule("default", Always(), Action.MASK, "needed", {"t_id": NULL})
    postgres = mapped(dsn, u)
    said = erased(postgres, ANNA, dry_run=True, u=(masking,))
    assert said == erased(postgres, ANNA, dry_run=False, u=(masking,))
    assert rows(dsn, "u") == [("(1,anna,)",), ("(2,bert,2)",)]


def test_a_kept_row_still_spares_what_it_refers_to(dsn: str) -> None:
    """What stays on a ground of its own keeps its target: no refusal, masked or kept instead."""
    postgres = mapped(dsn, collection("u", "t_id"))
    said = erased(postgres, ANNA, dry_run=True, u=(KEEP,))
    outcomes = {(r.collection, o.outcome, o.rows) for r in said for o in r.outcomes}
    assert outcomes >= {("t", Outcome.RETAINED, 1), ("t", Outcome.ERASED, 1)}


def test_what_the_role_may_not_read_is_left_to_the_server(dsn: str) -> None:
    """A plan does not fail for want of a right that only foreseeing takes."""
    execute(
        dsn,
        f"DO $$BEGIN CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}';"
        " EXCEPTION WHEN duplicate_object THEN NULL; END$$;"
        "CREATE TABLE beside (t_id int REFERENCES t);"
        "CREATE TABLE secured (t_id int REFERENCES t);"
        " ALTER TABLE secured ENABLE ROW LEVEL SECURITY;"
        f"GRANT ALL ON t, u, secured TO {ROLE}; GRANT USAGE ON SCHEMA public TO {ROLE}",
    )
    execute(dsn, "INSERT INTO beside VALUES (0); INSERT INTO secured VALUES (1)")

    postgres = mapped(make_dsn(dsn, user=ROLE, password=PASSWORD), collection("u", "t_id"))
    assert erased(postgres, ANNA, dry_run=True)
    with pytest.raises(Permanent, match="23503"):
        erased(postgres, ANNA, dry_run=False)


def test_a_second_look_foresees_nothing(dsn: str) -> None:
    """By the second path nothing is about to change: what refers is `recheck`'s to tell."""
    execute(dsn, "CREATE TABLE beside (t_id int REFERENCES t); INSERT INTO beside VALUES (0)")
    postgres = mapped(dsn, collection("u", "t_id"))
    keys = list(postgres.locate([ANNA], TrialContext()))
    assert list(postgres.erase([ANNA], keys, TrialContext(dry_run=True, second_path=True)))


# ---- sweeps


@pytest.mark.parametrize("young", [True, False])
def test_a_sweep_foresees_a_key_of_two_heirs(dsn: str, *, young: bool) -> None:
    """Of two rows of one key a sweep takes neither, and its dry run says so."""
    execute(dsn, "CREATE TABLE heir () INHERITS (t); DROP TABLE u")
    at = "2025-01-01" if young else "2010-01-01"
    execute(dsn, "INSERT INTO heir VALUES (0, 'carl', %s)", [(at,)])
    postgres = mapped(dsn)
    old = Rule("limit", Before("at", CUTOFF), Action.ERASE)
    order = SweepOrder("t", DecisionTable("t", (old, KEEP)), 100)
    before = rows(dsn)
    for dry_run in (True, False):
        ctx = TrialContext(tables={"t": order.table}, dry_run=dry_run)
        with pytest.raises(Permanent, match="keys name"):
            list(postgres.sweep([order], ctx))
    assert rows(dsn) == before
    execute(dsn, "UPDATE heir SET id = 7")
    dry = TrialContext(tables={"t": order.table}, dry_run=True)
    said = list(postgres.sweep([order], dry))
    assert said == list(postgres.sweep([order], TrialContext(tables={"t": order.table})))
