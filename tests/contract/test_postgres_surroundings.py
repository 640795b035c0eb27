"""What lies around a table: row security, views, triggers, histories, large objects, collations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg2.extensions import make_dsn

from dsr_worker.contract import Configuration, Permanent, Severity
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_erasures import ANNA, ERASED, NULL, PSEUDONYM, erased, found, masking
from tests.contract.postgres_shop import execute, outcomes, query
from tests.contract.postgres_tables import collection, connected, rows


@pytest.fixture
def awkward(dsn: str) -> Iterator[str]:
    """A role that owns nothing."""
    execute(dsn, "CREATE ROLE awkward LOGIN")
    yield "awkward"
    execute(dsn, "DROP OWNED BY awkward; DROP ROLE awkward")


def test_row_security_never_hides_rows_in_silence(dsn: str, awkward: str) -> None:
    """A role that policies restrict is refused, unless the policies are said to be the border."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, tenant int);"
        "INSERT INTO t VALUES (1, 'anna', 1), (2, 'anna', 2);"
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY one ON t USING (tenant = 1);"
        "GRANT USAGE ON SCHEMA public TO awkward;"
        "GRANT SELECT, UPDATE, DELETE ON t TO awkward",
    )
    restricted = make_dsn(dsn, user=awkward)
    postgres = connected(restricted, collection("t", "tenant"))
    assert found(postgres, "row security").severity is Severity.ERROR
    with pytest.raises(Configuration, match="run the check"):
        list(postgres.locate([ANNA], TrialContext()))
    obeying = connected(restricted, collection("t", "tenant"), obey_row_security=True)
    assert found(obeying, "row security").severity is Severity.WARNING
    assert outcomes(erased(obeying)) == {("anna", "t", "erased"): 1}
    assert rows(dsn) == [("(2,anna,2)",)]
    by_owner = connected(dsn, collection("t")).check()
    assert not [f for f in by_owner if f.subject == "t" and "security" in f.message]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("VIEW t AS SELECT * FROM b", "it is a view. Map the table behind"),
        ("MATERIALIZED VIEW t AS SELECT * FROM b", "it is a materialised view. Map"),
        ("SEQUENCE t", "it is a sequence. Map"),
        ("TABLE elsewhere (id int)", "no table public.t$"),
    ],
)
def test_a_view_is_no_table(dsn: str, made: str, told: str) -> None:
    """What is no table is refused by its kind, with what to map: what it hides would stay."""
    execute(dsn, f"CREATE TABLE b (id int, owner text); CREATE {made}")
    with pytest.raises(Configuration, match=rf"no table public\.t.*{told}|{told}"):
        list(connected(dsn, collection("t")).locate([ANNA], TrialContext()))


def test_copies_in_materialised_views_are_told_or_refreshed(dsn: str) -> None:
    """A view on a view holds a copy too; with `refresh_views` both are renewed, lower one first."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text); INSERT INTO t VALUES (1, 'anna');"
        "CREATE VIEW plain AS SELECT * FROM t; CREATE MATERIALIZED VIEW zz AS SELECT * FROM plain;"
        "CREATE MATERIALIZED VIEW aa AS SELECT * FROM zz",
    )
    postgres = connected(dsn, collection("t"))
    told = [f.message for f in postgres.check() if "materialised" in f.message]
    assert ["public.zz" in told[0], "public.aa" in told[1]] == [True, True]
    refreshing = connected(dsn, collection("t"), refresh_views=True)
    assert not [f for f in refreshing.check() if "materialised" in f.message]
    erased(refreshing)
    assert rows(dsn, "aa") == rows(dsn, "zz") == []


def test_derived_words_are_renewed_or_told(dsn: str) -> None:
    """A generated or trigger-kept tsvector follows the mask; one that nothing renews is told."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, body text, words tsvector,"
        " made tsvector GENERATED ALWAYS AS (to_tsvector('simple', body)) STORED);"
        "INSERT INTO t VALUES (1, 'anna', 'secret', 'secret')",
    )
    mapped = collection("t", masks={"body": ERASED})
    assert found(connected(dsn, mapped), "words").subject == "t.words"
    masks = {"body": ERASED, "words": NULL}
    postgres = connected(dsn, collection("t", masks=masks))
    assert not [f for f in postgres.check() if "words" in f.message]
    erased(postgres, masking(**masks))
    assert query(dsn, "SELECT body, words, made::text FROM t") == [("erased", None, "'erased':1")]
    execute(
        dsn,
        "UPDATE t SET body = 'secret'; CREATE TRIGGER keep BEFORE UPDATE ON t FOR EACH ROW"
        " EXECUTE FUNCTION tsvector_update_trigger(words, 'pg_catalog.simple', body)",
    )
    postgres = connected(dsn, mapped)
    assert not [
        f for f in postgres.check() if f.severity is not Severity.OK and "slow" in f.message
    ]
    assert not [f for f in postgres.check() if "words" in f.message or "trigger" in f.message]
    erased(postgres, masking(body=ERASED))
    assert query(dsn, "SELECT words::text FROM t") == [("'erased':1",)]


def test_a_history_that_a_trigger_writes_is_told_and_found_again(dsn: str) -> None:
    """What an erasure itself copies into a mapped history is seen by the second look."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text);"
        "CREATE TABLE history (n int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, owner text);"
        "CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO history (owner) VALUES (OLD.owner); RETURN OLD; END$$;"
        "CREATE TRIGGER remember AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION remember();"
        "INSERT INTO t VALUES (1, 'anna'); INSERT INTO history (owner) VALUES ('anna'), ('bert')",
    )
    postgres = connected(dsn, collection("t"), collection("history", key=("n",)))
    assert "remember" in found(postgres, "history or audit").message
    keys = list(postgres.locate([ANNA], TrialContext()))
    list(postgres.erase([ANNA], keys, TrialContext()))
    again = list(postgres.recheck([ANNA], keys, TrialContext(second_path=True)))
    assert [(k.collection, k.key) for k in again] == [("history", ("3",))]
    list(postgres.erase([ANNA], again, TrialContext()))
    assert not list(postgres.recheck([ANNA], keys, TrialContext(second_path=True)))


def test_soft_deleted_rows_are_rows(dsn: str) -> None:
    """What an application only hides is found and erased like anything else."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, deleted_at timestamptz);"
        "CREATE UNIQUE INDEX ON t (owner) WHERE deleted_at IS NULL;"
        "INSERT INTO t VALUES (1, 'anna', NULL), (2, 'anna', now()), (3, 'anna', now())",
    )
    assert outcomes(erased(connected(dsn, collection("t", "deleted_at")))) == {
        ("anna", "t", "erased"): 3
    }


def test_a_soft_delete_by_trigger_is_no_erasure(dsn: str) -> None:
    """A trigger that hides a row instead of letting it go rolls everything back."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, gone boolean);"
        "CREATE FUNCTION hide() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN UPDATE t SET gone = true WHERE id = OLD.id; RETURN NULL; END$$;"
        "CREATE TRIGGER hide BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION hide();"
        "INSERT INTO t VALUES (1, 'anna', NULL)",
    )
    before = rows(dsn)
    with pytest.raises(Permanent):
        erased(connected(dsn, collection("t")))
    assert rows(dsn) == before


def test_a_row_that_a_trigger_rewrites_meanwhile_goes_all_the_same(dsn: str) -> None:
    """Rows go by their address; one that moved since it was locked is reached by its key."""
    execute(
        dsn,
        "CREATE TABLE people (id int PRIMARY KEY, owner text, carts int);"
        "CREATE TABLE carts (id int PRIMARY KEY, owner text, person int REFERENCES people);"
        "CREATE FUNCTION recount() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " UPDATE people SET carts = carts - 1 WHERE id = OLD.person; RETURN NULL; END$$;"
        "CREATE TRIGGER recount AFTER DELETE ON carts FOR EACH ROW EXECUTE FUNCTION recount();"
        "INSERT INTO people VALUES (0, 'anna', 2), (1, 'bert', 2), (2, 'anna', 0);"
        "INSERT INTO carts VALUES (1, 'anna', 0), (2, 'anna', 0), (3, 'bert', 1), (4, 'bert', 1)",
    )
    postgres = connected(dsn, collection("people", "carts"), collection("carts", "person"))
    assert outcomes(erased(postgres)) == {
        ("anna", "people", "erased"): 2,
        ("anna", "carts", "erased"): 2,
    }
    assert rows(dsn, "people") == [("(1,bert,2)",)]
    assert rows(dsn, "carts") == [("(3,bert,1)",), ("(4,bert,1)",)]


def test_large_objects_go_with_the_last_row_that_names_them(dsn: str) -> None:
    """Declared columns take their objects along; one that another's row names stays."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, scan oid);"
        "INSERT INTO t VALUES (1, 'anna', lo_from_bytea(0, 'own')),"
        " (2, 'anna', lo_from_bytea(0, 'shared')), (3, 'anna', 0), (4, 'anna', NULL);"
        "INSERT INTO t SELECT 5, 'bert', scan FROM t WHERE id = 2",
    )
    assert found(connected(dsn, collection("t", "scan")), "large objects").subject == "t.scan"
    mapped = collection("t", "scan", source={"large_objects": ["scan"]})
    erased(connected(dsn, mapped))
    assert query(
        dsn, "SELECT convert_from(lo_get(m.oid), 'UTF8') FROM pg_largeobject_metadata m"
    ) == [("shared",)]
    masked = collection("t", masks={"scan": NULL}, source={"large_objects": ["scan"]})
    execute(dsn, "UPDATE t SET owner = 'anna'")
    erased(connected(dsn, masked), masking(scan=NULL))
    assert query(dsn, "SELECT count(*) FROM pg_largeobject_metadata") == [(0,)]
    assert rows(dsn) == [("(5,anna,)",)]


@pytest.mark.parametrize("kind", ["extensions.citext", "text COLLATE folded"])
def test_names_match_exactly_whatever_a_column_calls_equal(dsn: str, kind: str) -> None:
    """`Anna` of another is not anna, though the column's own equality says so; masks fit there."""
    needs = {
        "extensions.citext": "SELECT FROM pg_available_extensions WHERE name = 'citext'",
        "text COLLATE folded": "SELECT FROM pg_collation WHERE collname = 'de-x-icu'",
    }
    if not query(dsn, needs[kind]):
        pytest.skip(f"this build of Postgres has no {kind}")
    if kind.startswith("text"):
        folding = "provider = icu, locale = 'und-u-ks-level2', deterministic = false"
        execute(dsn, f"CREATE COLLATION folded ({folding})")
    else:
        execute(dsn, "CREATE SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions")
    execute(
        dsn,
        f"CREATE TABLE t (id {kind} PRIMARY KEY, owner {kind}, name {kind})",
    )
    execute(dsn, "INSERT INTO t VALUES ('a', 'anna', 'A'), ('b', 'Anna', 'B'), ('', 'anna', 'C')")
    postgres = connected(dsn, collection("t", masks={"name": PSEUDONYM}))
    assert {k.key for k in postgres.locate([ANNA], TrialContext())} == {("a",), ("",)}
    receipts = erased(postgres, masking(name=PSEUDONYM))
    assert outcomes(receipts) == {("anna", "t", "masked"): 2}
    erased(postgres)
    assert rows(dsn) == [("(b,Anna,B)",)]
