"""What a schema does by itself, beyond the plan: rules that rewrite, triggers, keys of two rows.

And what a row may hold that stops everybody's statements: escapes, clocks beyond all calendars.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from psycopg2.extensions import parse_dsn

from connectors.postgres import Postgres
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    Configuration,
    Correction,
    DecisionTable,
    Form,
    Identity,
    Key,
    Mask,
    MaskKind,
    Parent,
    Permanent,
    Restriction,
    RestrictionKind,
    Rule,
    Severity,
    Subject,
    SweepOrder,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import ERASE, NOTHING, execute, query
from tests.contract.postgres_tables import collection, connected, rows

ANNA, BERT = (Subject(name, (Identity("owner", name),)) for name in ("anna", "bert"))
RIGHTS = Rule("default", Always(), Action.RECTIFY)
RESTRICT = Rule("default", Always(), Action.RESTRICT)
OLD = Rule("limit", Before("at", datetime(2020, 1, 1, tzinfo=UTC)), Action.ERASE)
MASKING = Rule("default", Always(), Action.MASK, "", {"v": Mask(MaskKind.NULL)})
MOVE = Restriction(RestrictionKind.MOVE, collection="moved")

TABLES = """
CREATE TABLE t (id int PRIMARY KEY, owner text, v text, at timestamptz DEFAULT '2010-01-01');
CREATE TABLE u (id int PRIMARY KEY, owner text, v text);
CREATE TABLE moved (LIKE t INCLUDING ALL);
INSERT INTO t VALUES (1, 'anna', 'a'), (2, 'bert', 'b');
INSERT INTO u VALUES (1, 'anna', 'a'), (2, 'bert', 'b');
"""


@pytest.fixture
def dsn(module_database: str) -> str:
    """A database with these tables alone."""
    execute(module_database, NOTHING + TABLES)
    return module_database


def mapped(dsn: str, **config: object) -> Postgres:
    """The tables, of which one moves when it is restricted."""
    t = collection("t", "at", clocks={"record_date": "at"}, masks={"v": Mask(MaskKind.NULL)})
    moving = collection("u", "v")
    return connected(dsn, t, moving, collection("moved", "v"), **config)


def located(postgres: Postgres, *people: Subject) -> list[Key]:
    """The keys of everything of these people."""
    return list(postgres.locate(people, TrialContext()))


def erase(postgres: Postgres, *rules: Rule, dry_run: bool = False) -> object:
    """Erase what is Anna's, what is in `t` by these rules."""
    tables = {"t": DecisionTable("t", (*rules, ERASE))}
    ctx = TrialContext(tables=tables, dry_run=dry_run)
    return list(postgres.erase([ANNA], located(postgres, ANNA), ctx))


def plainly(postgres: Postgres) -> object:
    """Erase in one statement a collection."""
    return erase(postgres)


def row_by_row(postgres: Postgres) -> object:
    """Erase by rules that may keep rows."""
    young = Rule("hold", Before("at", datetime(2000, 1, 1, tzinfo=UTC)), Action.KEEP, "dispute")
    return erase(postgres, young)


def mask(postgres: Postgres) -> object:
    """Mask."""
    return erase(postgres, MASKING)


def sweep(postgres: Postgres, *, dry_run: bool = False) -> object:
    """Sweep `t`: Anna's row is old, Bert's is not."""
    order = SweepOrder("t", DecisionTable("t", (OLD,)), 100)
    ctx = TrialContext(tables={"t": order.table}, dry_run=dry_run)
    return list(postgres.sweep([order], ctx))


def rectify(postgres: Postgres) -> object:
    """Put a value of Anna's right."""
    asks = Subject("anna", ANNA.identities, {"t": (Correction("v", "new"),)})
    tables = {n: DecisionTable(n, (RIGHTS,)) for n in ("t", "u", "moved")}
    return list(postgres.rectify([asks], located(postgres, ANNA), TrialContext(tables=tables)))


def restrict(postgres: Postgres) -> object:
    """Move Anna's row out of `t`."""
    keep = DecisionTable("u", (Rule("default", Always(), Action.KEEP),))
    tables = {"t": DecisionTable("t", (RESTRICT,)), "u": keep, "moved": keep}
    return list(postgres.restrict([ANNA], located(postgres, ANNA), TrialContext(tables=tables)))


def moving(dsn: str) -> Postgres:
    """The tables, with a means of restriction."""
    t = collection("t", "v", "at", restriction=MOVE)
    return connected(dsn, t, collection("u", "v"), collection("moved", "v", "at"))


WAYS: dict[str, tuple[Callable[[str], Postgres], Callable[[Postgres], object]]] = {
    "plainly": (mapped, plainly),
    "row by row": (mapped, row_by_row),
    "masking": (mapped, mask),
    "sweeping": (mapped, sweep),
    "rectifying": (mapped, rectify),
    "restricting": (moving, restrict),
}

# ---- rows that the map reaches in two ways


@pytest.mark.parametrize("change", [erase, sweep])
@pytest.mark.parametrize("also", ["", "CREATE TABLE heir () INHERITS (t)"])
def test_a_row_of_two_collections_is_never_changed(
    dsn: str, also: str, change: Callable[..., object]
) -> None:
    """What one collection keeps would go as the other's: nothing changes, on paper neither."""
    execute(dsn, also or "SELECT 1")
    source = {"table": "heir" if also else "t"}
    whole = collection("t", "at", clocks={"record_date": "at"})
    postgres = connected(dsn, whole, collection("again", "v", source=source))
    assert [f.subject for f in postgres.check() if "erased twice" in f.message]
    before = rows(dsn)
    for dry_run in (True, False):
        with pytest.raises(Configuration, match=r"nothing was changed\. Map the table once"):
            change(postgres, dry_run=dry_run)
    assert rows(dsn) == before


@pytest.mark.parametrize("change", [erase, sweep])
def test_a_row_of_several_owners_is_never_changed(dsn: str, change: Callable[..., object]) -> None:
    """A parent that is named by columns which are not unique is nobody certain."""
    whole = collection("t", "at", clocks={"record_date": "at"})
    below = collection("u", "v", owner=None, parent=Parent("t", {"owner": "owner"}))
    postgres, before = connected(dsn, whole, below), rows(dsn, "u")
    with pytest.raises(Configuration, match="several owners; nothing was changed"):
        change(postgres)
    assert rows(dsn, "u") == before
    execute(dsn, "CREATE UNIQUE INDEX ON t (owner)")
    change(postgres)
    assert ("(1,anna,a)",) not in rows(dsn, "u")


# ---- rules that rewrite


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("event", ["DELETE", "UPDATE"])
def test_a_rule_that_rewrites_stops_every_change(dsn: str, way: str, event: str) -> None:
    """A rule may erase anybody's rows uncounted: the check names it, nothing changes, all reads."""
    also = "DO ALSO DELETE FROM u WHERE owner = 'bert'"
    execute(dsn, f"CREATE RULE also AS ON {event} TO t {also}")
    made, change = WAYS[way]
    postgres = made(dsn)
    (finding,) = [f for f in postgres.check() if "rule also" in f.message]
    assert (finding.subject, finding.severity) == ("t", Severity.ERROR)
    assert 'DROP RULE "also" ON "public"."t";' in finding.remedy
    before = rows(dsn), rows(dsn, "u")
    with pytest.raises(Configuration, match=r"rule also .* nothing was changed"):
        change(postgres)
    assert (rows(dsn), rows(dsn, "u")) == before
    assert len(located(postgres, ANNA)) == 2
    execute(dsn, "DROP RULE also ON t")
    change(postgres)


def test_a_dry_run_knows_of_the_rules(dsn: str) -> None:
    """What would be refused is refused on paper as well."""
    execute(dsn, "CREATE RULE also AS ON DELETE TO t DO ALSO DELETE FROM u WHERE owner = 'bert'")
    for change in erase, sweep:
        with pytest.raises(Configuration, match="rule also"):
            change(mapped(dsn), dry_run=True)


def test_a_rule_of_a_partition_or_heir_counts(dsn: str) -> None:
    """Whatever holds rows of the table may be written to by itself."""
    execute(
        dsn,
        "CREATE TABLE heir () INHERITS (u);"
        "CREATE RULE also AS ON DELETE TO heir DO ALSO DELETE FROM t WHERE owner = 'bert'",
    )
    postgres = mapped(dsn)
    assert [f.subject for f in postgres.check() if "rule also" in f.message] == ["u"]
    with pytest.raises(Configuration, match=r"of public\.heir"):
        plainly(postgres)


def test_a_rule_counts_where_a_foreign_key_changes_rows(dsn: str) -> None:
    """SET NULL is an UPDATE, which a rule of the referring table rewrites."""
    execute(
        dsn,
        "ALTER TABLE u ADD t_id int REFERENCES t ON DELETE SET NULL;"
        "CREATE RULE also AS ON UPDATE TO u DO ALSO DELETE FROM moved",
    )
    t = collection("t", "v")
    with pytest.raises(Configuration, match=r"of public\.u"):
        plainly(connected(dsn, t))


def test_a_rule_on_insert_counts_where_rows_are_written(dsn: str) -> None:
    """A rule on INSERT concerns the tables that rows move to, and those that they leave."""
    execute(dsn, "CREATE RULE also AS ON INSERT TO moved DO ALSO INSERT INTO u VALUES (NEW.id + 8)")
    assert not [f for f in mapped(dsn).check() if "rule also" in f.message]
    postgres = moving(dsn)
    assert [f.subject for f in postgres.check() if "rule also" in f.message] == ["moved"]
    with pytest.raises(Configuration, match="rule also"):
        restrict(postgres)
    execute(dsn, "ALTER TABLE moved DISABLE RULE also")
    restrict(postgres)


# ---- triggers that erase


def trigger(table: str, event: str, body: str, *, when: str = "AFTER") -> str:
    """A trigger that does this for each row."""
    return (
        f"CREATE FUNCTION acts() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body};"
        f" RETURN coalesce(NEW, OLD); END$$; CREATE TRIGGER acts {when} {event} ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION acts();"
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_trigger_that_erases_other_peoples_rows_is_refused(dsn: str, way: str) -> None:
    """What the server counts as erased may not be more than was planned, whoever erased it."""
    event = "UPDATE" if way in {"masking", "rectifying"} else "DELETE"
    execute(dsn, trigger("t", event, "DELETE FROM u WHERE owner = 'bert'"))
    made, change = WAYS[way]
    postgres = made(dsn)
    (finding,) = [f for f in postgres.check() if "trigger acts" in f.message]
    assert "other people's or held rows" in finding.message
    before = rows(dsn), rows(dsn, "u")
    with pytest.raises(Permanent, match="a trigger erased 1 rows of u beyond the plan"):
        change(postgres)
    assert (rows(dsn), rows(dsn, "u")) == before
    execute(dsn, "UPDATE u SET owner = 'carl' WHERE owner = 'bert'")
    change(postgres)


def test_a_deferred_trigger_is_counted_too(dsn: str) -> None:
    """Triggers that wait for the end of the transaction run before the counts are compared."""
    made = trigger("t", "DELETE", "DELETE FROM u WHERE owner = 'bert'")
    deferred = made.replace("CREATE TRIGGER", "CREATE CONSTRAINT TRIGGER")
    execute(dsn, deferred.replace("FOR EACH", "DEFERRABLE INITIALLY DEFERRED FOR EACH"))
    for change in plainly, row_by_row, sweep:
        with pytest.raises(Permanent, match="beyond the plan"):
            change(mapped(dsn))


def test_a_trigger_may_not_erase_in_the_same_table(dsn: str) -> None:
    """Beside the planned rows of a table no other row of it may go, partitions included."""
    execute(
        dsn,
        "DROP TABLE u; CREATE TABLE u (id int, owner text, v text) PARTITION BY LIST (owner);"
        "CREATE TABLE u_anna PARTITION OF u FOR VALUES IN ('anna');"
        "CREATE TABLE u_rest PARTITION OF u DEFAULT;"
        "INSERT INTO u VALUES (1, 'anna', 'a'), (2, 'bert', 'b')",
    )
    execute(dsn, trigger("u_anna", "DELETE", "DELETE FROM u WHERE owner = 'bert'"))
    with pytest.raises(Permanent, match="erased 1 rows of u beyond"):
        plainly(mapped(dsn))
    assert query(dsn, "SELECT count(*) FROM u") == [(2,)]


def test_a_server_that_counts_nothing_is_told(dsn: str) -> None:
    """Without `track_counts` nothing can be compared: the check warns, and erasing goes on."""
    name = parse_dsn(dsn)["dbname"]
    execute(dsn, f"ALTER DATABASE {name} SET track_counts = off")
    try:
        postgres = mapped(dsn)
        (finding,) = [f for f in postgres.check() if "track_counts" in f.message]
        assert finding.severity is Severity.WARNING
        plainly(postgres)
        assert rows(dsn, "u") == [("(2,bert,b)",)]
    finally:
        execute(dsn, f"ALTER DATABASE {name} RESET track_counts")
    assert not [f for f in mapped(dsn).check() if "track_counts" in f.message]


# ---- keys of two rows


@pytest.mark.parametrize("other", ["bert", "anna"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_key_of_two_heirs_is_refused_for_both_people(
    dsn: str, other: str, *, dry_run: bool
) -> None:
    """Of whom each row is cannot be told: neither goes, nor is a number below zero counted."""
    execute(dsn, "CREATE TABLE heir () INHERITS (u)")
    execute(dsn, "INSERT INTO heir VALUES (1, %s, 'h')", [(other,)])
    postgres = connected(dsn, collection("u", "v"))
    before = rows(dsn, "u")
    ctx = TrialContext(dry_run=dry_run)
    for people in ([ANNA, BERT], [ANNA]):
        with pytest.raises(Permanent, match="keys name"):
            list(postgres.erase(people, [*located(postgres, *people)], ctx))
    assert rows(dsn, "u") == before
    execute(dsn, "UPDATE heir SET id = 7")
    list(postgres.erase([ANNA], located(postgres, ANNA), ctx))


# ---- what a row may hold

HOSTILE = {
    r'{"mail": "anna", "x": "a\u0000b"}': True,
    r'{"mail": "an\u0000na"}': True,
    r'{"mail": "anna", "x": "\\\u0000\u0000"}': True,
    r'{"mail": "anna", "x": "\\u0000"}': True,
    r'{"mail": "anna\\u0000"}': False,
}


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("row", HOSTILE)
def test_an_escape_that_no_text_holds_stops_nobody(dsn: str, row: str, *, indexed: bool) -> None:
    """A `json` column may hold the escape of NUL: the row is found by its other keys, and told."""
    execute(dsn, "CREATE TABLE d (id int PRIMARY KEY, doc json)")
    if indexed:
        execute(dsn, "CREATE INDEX ON d ((doc ->> 'mail')) WHERE id > 9")
    execute(dsn, "INSERT INTO d VALUES (%s, %s)", [(1, row), (2, '{"mail": "anna"}')])
    mail = Taken("doc->>mail", Form.ASCII_CASE)
    masks = {"doc->>mail": Mask(MaskKind.NULL)}
    d = collection("d", "doc", owner=None, masks=masks)
    d = type(d)("d", ("id",), d.fields, takes={"owner": mail}, source=d.source)
    postgres = connected(dsn, d)
    found = {r.key: r.body for r in postgres.find([ANNA], TrialContext())}
    assert set(found) == {("1",), ("2",)} if HOSTILE[row] else {("2",)}
    if HOSTILE[row]:
        assert row.encode() in bytes(found["1",])
    keys = located(postgres, ANNA)
    rule = Rule("default", Always(), Action.MASK, "", masks)
    list(postgres.erase([ANNA], keys, TrialContext(tables={"d": DecisionTable("d", (rule,))})))
    assert len(located(postgres, ANNA)) == 0
    assert query(dsn, "SELECT count(*) FROM d WHERE doc::text LIKE '%anna\"%'") == [(0,)]


ENDS = {
    ("timestamptz", "12000-01-01 00:00:00+00"): datetime.max.replace(tzinfo=UTC),
    ("timestamp", "294276-12-31 23:59:59"): datetime.max.replace(tzinfo=UTC),
    ("date", "5874897-12-31"): datetime.max.replace(tzinfo=UTC),
    ("date", "10000-01-01"): datetime.max.replace(tzinfo=UTC),
    ("timestamptz", "0044-03-15 00:00:00+00 BC"): datetime.min.replace(tzinfo=UTC),
    ("date", "4713-01-01 BC"): datetime.min.replace(tzinfo=UTC),
    ("date", "2024-02-29"): datetime(2024, 2, 29, tzinfo=UTC),
    ("timestamptz", "infinity"): None,
    ("date", "-infinity"): None,
}


@pytest.mark.parametrize(("kind", "written"), ENDS)
def test_a_clock_beyond_the_calendar_is_told_by_its_end(dsn: str, kind: str, written: str) -> None:
    """The server's years reach from before 1 to beyond 9999; the receipt's instants do not."""
    execute(dsn, f"CREATE TABLE c (id int PRIMARY KEY, owner text, at {kind})")
    execute(dsn, "INSERT INTO c VALUES (1, 'anna', %s)", [(written,)])
    c = collection("c", "at", clocks={"record_date": "at"})
    postgres = connected(dsn, c)
    keep = Rule("hold", Always(), Action.KEEP, "tax", clock="at")
    tables = {"c": DecisionTable("c", (keep,))}
    for dry_run in (False, True):
        ctx = TrialContext(tables=tables, dry_run=dry_run)
        (receipt,) = postgres.erase([ANNA], located(postgres, ANNA), ctx)
        (told,) = receipt.outcomes
        assert (told.latest_at, told.earliest_at) == (ENDS[kind, written],) * 2
        assert told.rows == 1
