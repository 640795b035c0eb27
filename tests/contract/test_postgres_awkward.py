"""Awkward Postgres: falsy keys on every disposition, masks that may not fail in silence, and more.

Each test makes the few tables that it speaks of; a check, an erasure and plain reads tell the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from psycopg2.extensions import make_dsn

from connectors.postgres import Postgres
from dsr_worker.contract import (
    Action,
    Always,
    Configuration,
    ConnectorError,
    DecisionTable,
    Finding,
    HeldRows,
    HeldSubjects,
    Identity,
    Mask,
    MaskKind,
    Outcome,
    Parent,
    Permanent,
    Receipt,
    Rule,
    Severity,
    Since,
    Subject,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import ERASE, execute, outcomes, query
from tests.contract.postgres_tables import collection, connected, rows

NULL, YEAR, NETWORK = Mask(MaskKind.NULL), Mask(MaskKind.YEAR), Mask(MaskKind.NETWORK)
PSEUDONYM, TOMBSTONE = Mask(MaskKind.PSEUDONYM), Mask(MaskKind.TOMBSTONE)
ERASED = Mask(MaskKind.CONSTANT, "erased")
ANNA = Subject("anna", (Identity("owner", "anna"),))
HELD = Rule("hold", HeldSubjects(frozenset({"anna"})), Action.KEEP, "DISPUTE")
NEEDED = "needed_by_kept"


def erased(postgres: Postgres, *rules: Rule, at: str = "t", **others: Rule) -> list[Receipt]:
    """Locate Anna's rows and erase them under these rules."""
    tables = {at: DecisionTable(at, (*rules, ERASE))}
    tables |= {name: DecisionTable(name, (rule, ERASE)) for name, rule in others.items()}
    keys = list(postgres.locate([ANNA], TrialContext()))
    return list(postgres.erase([ANNA], keys, TrialContext(tables=tables)))


def masking(**masks: Mask) -> Rule:
    """The rule that masks every row."""
    return Rule("default", Always(), Action.MASK, "", masks)


def found(postgres: Postgres, word: str) -> Finding:
    """The one finding of the check that says `word`."""
    (finding,) = [f for f in postgres.check() if word in f.message]
    assert finding.remedy
    return finding


# ---- falsy keys

FALSY = {
    "bigint": ("0", "-1"),
    "numeric": ("0", "-0.5"),
    "text": ("", "0"),
    "boolean": ("false", "true"),
    "char(3)": ("", "0"),
    "bytea": ("\\x", "\\x00"),
    "double precision": ("0", "-1"),
    "date": ("0001-01-01", "1970-01-01"),
}
KEPT = Rule("minimum", Since("at", datetime(2020, 1, 1, tzinfo=UTC)), Action.KEEP, "tax")
DISPOSITIONS = {
    "erase": (ERASE, Outcome.ERASED),
    "mask": (masking(name=NULL), Outcome.MASKED),
    "minimum": (KEPT, Outcome.RETAINED),
    "held person": (HELD, Outcome.RETAINED),
    "held row": (None, Outcome.RETAINED),
}


@pytest.mark.parametrize("disposition", DISPOSITIONS)
@pytest.mark.parametrize("kind", FALSY)
def test_a_falsy_key_names_its_own_row_and_no_other(dsn: str, kind: str, disposition: str) -> None:
    """Of rows that share all but a falsy part of their key, Anna's alone is dealt with."""
    falsy, other = FALSY[kind]
    execute(
        dsn,
        f"CREATE TABLE t (a {kind}, b {kind}, owner text, name text, at timestamptz,"
        " PRIMARY KEY (a, b))",
    )
    keys = [(falsy, falsy), (falsy, other), (other, falsy), (other, other)]
    owned = [(*key, "bert" if n else "anna") for n, key in enumerate(keys)]
    execute(dsn, "INSERT INTO t VALUES (%s, %s, %s, 'name', '2024-01-01')", owned)
    before = rows(dsn)
    rule, outcome = DISPOSITIONS[disposition]
    rule = rule or Rule("hold", HeldRows("b", (falsy,)), Action.KEEP, "RECALL")
    mapped = collection("t", "at", key=("a", "b"), masks={"name": NULL})
    receipts = erased(connected(dsn, mapped), rule)
    assert outcomes(receipts) == {("anna", "t", outcome): 1}
    after = rows(dsn)
    if outcome is Outcome.RETAINED:
        assert after == before
    else:
        assert len(set(before) - set(after)) == 1
        assert query(dsn, "SELECT count(*) FROM t WHERE owner = 'bert' AND name = 'name'") == [(3,)]
        left = query(dsn, "SELECT name FROM t WHERE owner = 'anna'")
        assert left == ([] if outcome is Outcome.ERASED else [(None,)])


@pytest.mark.parametrize(
    ("kind", "falsy"), [("bigint", "0"), ("text", ""), ("boolean", "false"), ("bigint", "-1")]
)
def test_rows_below_a_falsy_key_go_with_it(dsn: str, kind: str, falsy: str) -> None:
    """A parent's key of 0, '' or false leads to its own children, and a null leads nowhere."""
    other = "true" if kind == "boolean" else "8"
    execute(
        dsn,
        f"CREATE TABLE p (id {kind} PRIMARY KEY, owner text);"
        f"CREATE TABLE c (id int PRIMARY KEY, up {kind} REFERENCES p)",
    )
    execute(dsn, "INSERT INTO p VALUES (%s, %s)", [(falsy, "anna"), (other, "bert")])
    execute(dsn, "INSERT INTO c VALUES (%s, %s)", [(0, falsy), (1, other), (2, None)])
    child = collection("c", "up", owner=None, parent=Parent("p", {"up": "id"}))
    receipts = erased(connected(dsn, collection("p"), child), at="p")
    assert outcomes(receipts) == {("anna", "p", "erased"): 1, ("anna", "c", "erased"): 1}
    assert [key for (key,) in query(dsn, "SELECT id FROM c ORDER BY id")] == [1, 2]


def test_empty_and_null_names_are_nobodys(dsn: str) -> None:
    """Rows without an owner's name belong to nobody, whatever a request came with."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text)")
    execute(dsn, "INSERT INTO t VALUES (%s, %s)", [(1, ""), (2, None), (3, " ")])
    nobody = Subject("n", tuple(Identity("owner", v) for v in ("", " ", "\t")))
    assert not list(connected(dsn, collection("t")).locate([nobody], TrialContext()))


def test_a_null_in_a_key_is_refused(dsn: str) -> None:
    """A key that may be null names no row: the check says so, and nothing is erased by it."""
    execute(
        dsn,
        "CREATE TABLE t (a int, b int, owner text, UNIQUE (a, b));"
        " INSERT INTO t VALUES (1, NULL, 'anna'), (1, NULL, 'bert')",
    )
    postgres = connected(dsn, collection("t", key=("a", "b")))
    assert found(postgres, "a key column may be null").severity is Severity.ERROR
    before = rows(dsn)
    with pytest.raises(Permanent, match="NOT NULL"):
        erased(postgres)
    assert rows(dsn) == before


def test_a_field_is_masked_by_its_whole_name(dsn: str) -> None:
    """Neither a longer name nor a longer path that begins alike is touched."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, cookie text, cookie_id text, doc jsonb);"
        """INSERT INTO t VALUES (1, 'anna', 'c', 'i', '{"mail": "a", "mail_ok": true}')""",
    )
    mapped = collection("t", "cookie_id", masks={"cookie": NULL, "doc->>mail": NULL})
    erased(connected(dsn, mapped), masking(cookie=NULL, **{"doc->>mail": NULL}))
    left = query(dsn, "SELECT cookie, cookie_id, doc FROM t")
    assert left == [(None, "i", {"mail_ok": True})]


# ---- masks that cannot be

UNFIT = {
    "pseudonym of a number": ("int", "7", PSEUDONYM),
    "tombstone of a date": ("date", "2000-01-01", TOMBSTONE),
    "text for a number": ("int", "7", ERASED),
    "text for a truth": ("boolean", "true", ERASED),
    "no value of an enum": ("mood", "low", ERASED),
    "too long a constant": ("varchar(3)", "abc", ERASED),
    "too long a pseudonym": ("varchar(10)", "abc", PSEUDONYM),
    "too long for a domain": ("short", "abc", PSEUDONYM),
    "against a domain": ("short", "abc", Mask(MaskKind.CONSTANT, "no")),
    "null in a domain": ("short", "abc", NULL),
    "null where none may be": ("text NOT NULL", "abc", NULL),
    "one constant for all": ("text UNIQUE", "abc", ERASED),
    "a generated column": ("text GENERATED ALWAYS AS (owner) STORED", None, ERASED),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_mask_that_does_not_fit_is_refused_and_never_left_out(dsn: str, case: str) -> None:
    """The check names it; an erasure that needs it changes nothing at all."""
    kind, value, mask = UNFIT[case]
    execute(
        dsn,
        "CREATE TYPE mood AS ENUM ('low');"
        "CREATE DOMAIN short AS varchar(5) NOT NULL CHECK (VALUE <> 'no');"
        f"CREATE TABLE t (id int PRIMARY KEY, owner text, name text, v {kind});",
    )
    for n, stored in enumerate((value, "abd" if value == "abc" else value)):
        given = "DEFAULT" if stored is None else f"'{stored}'"
        execute(dsn, f"INSERT INTO t VALUES ({n}, 'anna', 'Anna', {given})")  # noqa: S608 - our own values
    before = rows(dsn)
    postgres = connected(dsn, collection("t", masks={"name": NULL, "v": mask}))
    errors = [f for f in postgres.check() if f.severity is Severity.ERROR]
    assert {f.subject for f in errors} == {"t.v"}
    assert all(f.remedy for f in errors)
    with pytest.raises(ConnectorError) as refusal:
        erased(postgres, masking(name=NULL, v=mask))
    assert isinstance(refusal.value, Permanent | Configuration)
    assert rows(dsn) == before


@pytest.mark.parametrize("mask", [YEAR, NETWORK], ids=str)
def test_nothing_is_left_of_a_number_that_a_mask_cannot_make_general(dsn: str, mask: Mask) -> None:
    """The check says that there is no year and no network of it; a mask leaves nothing of it."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text, v int)")
    execute(dsn, "INSERT INTO t VALUES (1, 'anna', 1987)")
    postgres = connected(dsn, collection("t", masks={"v": mask}))
    assert found(postgres, f"no {mask.kind} of it").severity is Severity.ERROR
    erased(postgres, masking(v=mask))
    assert rows(dsn) == [("(1,anna,)",)]


def test_a_check_constraint_refuses_a_mask_by_its_name(dsn: str) -> None:
    """The refusal names the constraint, no value, and says what to do."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, mail text,"
        " CONSTRAINT a_mail CHECK (mail LIKE '%@%'));"
        " INSERT INTO t VALUES (1, 'anna', 'anna@mail.example')",
    )
    before = rows(dsn)
    with pytest.raises(Permanent, match=r"a_mail.*give the masked fields masks") as refusal:
        erased(connected(dsn, collection("t", masks={"mail": ERASED})), masking(mail=ERASED))
    assert "anna" not in str(refusal.value)
    assert rows(dsn) == before
    erased(connected(dsn, collection("t", masks={"mail": TOMBSTONE})), masking(mail=TOMBSTONE))
    assert rows(dsn) != before


def test_an_exclusion_constraint_holds(dsn: str) -> None:
    """Two rows of one constant are refused whole and foretold; what goes takes its range along."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, room text, during daterange,"
        " CONSTRAINT no_clash EXCLUDE (room WITH =), EXCLUDE USING gist (during WITH &&));"
        "INSERT INTO t VALUES (1, 'anna', 'r1', '[2024-01-01,2024-02-01)'),"
        " (2, 'anna', 'r2', '[2024-02-01,2024-03-01)'), (3, 'bert', 'r3', '[2024-03-01,infinity)')",
    )
    postgres = connected(dsn, collection("t", "during", masks={"room": ERASED}))
    assert "no_clash" in found(postgres, "exclusion").message
    before = rows(dsn)
    with pytest.raises(Permanent, match="no_clash"):
        erased(postgres, masking(room=ERASED))
    assert rows(dsn) == before
    assert outcomes(erased(postgres)) == {("anna", "t", "erased"): 2}
    assert rows(dsn) == before[2:]


@pytest.mark.parametrize(
    "body", ["NEW.name := OLD.name", "NEW.name := upper(NEW.name)", "NEW := OLD"]
)
def test_a_trigger_that_undoes_a_mask_is_refused(dsn: str, body: str) -> None:
    """A mask that does not stay in place is no mask; the check names the trigger before."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, name text);"
        "CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$BEGIN {body}; RETURN NEW; END$$;"
        "CREATE TRIGGER undo BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION undo()",
    )
    execute(dsn, "INSERT INTO t VALUES (1, 'anna', 'Anna')")
    postgres = connected(dsn, collection("t", masks={"name": PSEUDONYM}))
    assert "undo" in found(postgres, "trigger").message
    before = rows(dsn)
    with pytest.raises(Permanent, match="did not stay in place"):
        erased(postgres, masking(name=PSEUDONYM))
    assert rows(dsn) == before


GENERAL = {
    "date": ("date", "1987-05-12", YEAR, "1987-01-01"),
    "timestamptz": ("timestamptz", "1987-12-31 23:30:00-05", YEAR, "1988-01-01 00:00:00+00"),
    "timestamp": ("timestamp", "1987-05-12 10:11:12", YEAR, "1987-01-01 00:00:00"),
    "date in text": ("text", "1987-05-12", YEAR, "1987-01-01"),
    "no date in text": ("text", "in May", YEAR, None),
    "inet": ("inet", "203.0.113.77", NETWORK, "203.0.113.0/24"),
    "inet of a host in a net": ("inet", "10.1.2.3/8", NETWORK, "10.1.2.0/24"),
    "cidr": ("cidr", "203.0.113.64/26", NETWORK, "203.0.113.0/24"),
    "IPv6": ("inet", "2001:db8:1:2::5", NETWORK, "2001:db8:1::/48"),
    "address in text": ("text", "203.0.113.77", NETWORK, "203.0.113.0/24"),
    "no address in text": ("text", "localhost", NETWORK, None),
}


@pytest.mark.parametrize("case", GENERAL)
def test_generalising_masks_leave_the_year_or_the_network(dsn: str, case: str) -> None:
    """What is general stays, what is no date or address goes, and a repeat changes nothing."""
    kind, value, mask, general = GENERAL[case]
    execute(
        dsn,
        f"CREATE TABLE t (id int PRIMARY KEY, owner text, v {kind}, doc jsonb)",
    )
    execute(dsn, "INSERT INTO t VALUES (1, 'anna'), (2, 'bert')")
    execute(
        dsn,
        "UPDATE t SET v = %s, doc = jsonb_build_object('v', %s::text, 'w', 1)",
        [(value, value)],
    )
    (before,) = query(dsn, "SELECT v::text FROM t WHERE id = 2")[0]
    masks = {"v": mask, "doc->>v": mask}
    postgres = connected(dsn, collection("t", masks=masks))
    assert not [f for f in postgres.check() if f.severity is Severity.ERROR]
    receipts = erased(postgres, masking(**masks))
    assert sum(o.fields for r in receipts for o in r.outcomes) == 2
    left = query(dsn, "SET timezone = 'UTC'; SELECT v::text, doc FROM t WHERE id = 1")
    written = mask.generalised(value)
    assert left == [(general, {"v": written, "w": 1})]
    (other,) = query(dsn, "SELECT v::text, doc->>'v' FROM t WHERE id = 2")
    assert other == (before, value)
    again = erased(postgres, masking(**masks))
    assert sum(o.fields for r in again for o in r.outcomes) == 0


# ---- references


def test_rows_in_a_circle_go_together(dsn: str) -> None:
    """Neither deferrable nor nullable: one statement erases the circle, and the other one stays."""
    execute(
        dsn,
        "CREATE TABLE a (id int PRIMARY KEY, owner text, b int NOT NULL);"
        "CREATE TABLE b (id int PRIMARY KEY, owner text, c int NOT NULL);"
        "CREATE TABLE c (id int PRIMARY KEY, owner text, a int NOT NULL);"
        "INSERT INTO a VALUES (1, 'anna', 1), (2, 'bert', 2);"
        "INSERT INTO b VALUES (1, 'anna', 1), (2, 'bert', 2);"
        "INSERT INTO c VALUES (1, 'anna', 1), (2, 'bert', 2);"
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b ON DELETE RESTRICT;"
        "ALTER TABLE b ADD FOREIGN KEY (c) REFERENCES c;"
        "ALTER TABLE c ADD FOREIGN KEY (a) REFERENCES a ON DELETE CASCADE",
    )
    postgres = connected(dsn, collection("a", "b"), collection("b", "c"), collection("c", "a"))
    assert set(outcomes(erased(postgres)).values()) == {1}
    assert [query(dsn, f"SELECT id FROM {t}") for t in "abc"] == [[(2,)]] * 3  # noqa: S608 - our own names


def test_what_a_kept_row_refers_to_by_a_foreign_key_stays_masked(dsn: str) -> None:
    """An order inside its period keeps its address, which no parent of the map leads to."""
    execute(
        dsn,
        "CREATE TABLE addresses (id int PRIMARY KEY, owner text, street text);"
        "CREATE TABLE orders (id int PRIMARY KEY, owner text, at date, ship_to int"
        " REFERENCES addresses);"
        "INSERT INTO addresses VALUES (0, 'anna', 's 0'), (1, 'anna', 's 1'), (2, 'bert', 's 2');"
        "INSERT INTO orders VALUES (1, 'anna', '2024-01-01', 0), (2, 'anna', '2001-01-01', 1)",
    )
    postgres = connected(
        dsn, collection("addresses", masks={"street": NULL}), collection("orders", "at", "ship_to")
    )
    receipts = erased(postgres, orders=KEPT)
    assert outcomes(receipts) == {
        ("anna", "orders", "retained"): 1,
        ("anna", "orders", "erased"): 1,
        ("anna", "addresses", "masked"): 1,
        ("anna", "addresses", "erased"): 1,
    }
    address = next(r for r in receipts if r.collection == "addresses")
    assert {o.ground for o in address.outcomes} == {"", NEEDED}
    assert query(dsn, "SELECT id, street FROM addresses ORDER BY id") == [(0, None), (2, "s 2")]


@pytest.mark.parametrize("rule", ["NO ACTION", "RESTRICT", "CASCADE", "SET NULL"])
def test_what_goes_is_in_no_masks_way(dsn: str, rule: str) -> None:
    """A kept person's natural key is masked although carts that go still refer by it."""
    execute(
        dsn,
        "CREATE TABLE people (id int PRIMARY KEY, owner text, mail text UNIQUE, at date);"
        "CREATE TABLE carts (id int PRIMARY KEY, owner text,"
        f" mail text REFERENCES people (mail) ON UPDATE {rule})",
    )
    execute(
        dsn,
        "INSERT INTO people VALUES (1, 'anna', 'a@mail.example', '2024-01-01');"
        "INSERT INTO carts VALUES (1, 'anna', 'a@mail.example'), (2, 'anna', NULL)",
    )
    kept = Rule("minimum", KEPT.when, Action.MASK, "tax", {"mail": TOMBSTONE})
    postgres = connected(
        dsn, collection("people", "at", masks={"mail": TOMBSTONE}), collection("carts", "mail")
    )
    assert outcomes(erased(postgres, people=kept)) == {
        ("anna", "people", "masked"): 1,
        ("anna", "carts", "erased"): 2,
    }
    ((mail,),) = query(dsn, "SELECT mail FROM people")
    assert TOMBSTONE.holds(mail)
    assert rows(dsn, "carts") == []


def test_set_null_never_changes_a_protected_row(dsn: str) -> None:
    """Another's row that a hold protects is not changed; a free one is as its schema says."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text, brought_by int REFERENCES t"
        " ON DELETE SET NULL); INSERT INTO t VALUES (1, 'anna', NULL), (2, 'bert', 1)",
    )
    postgres = connected(dsn, collection("t", "brought_by"))
    before = rows(dsn)
    with pytest.raises(Permanent, match="a hold or a minimum protects"):
        erased(postgres, Rule("hold", HeldRows("id", ("2",)), Action.KEEP, "RECALL"))
    assert rows(dsn) == before
    erased(postgres)
    assert rows(dsn) == [("(2,bert,)",)]


@pytest.mark.parametrize("target", ["t_1", "t"])
def test_a_cascade_is_seen_through_partitions(dsn: str, target: str) -> None:
    """A reference to one partition alone reaches beyond the plan as well."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text) PARTITION BY LIST (id);"
        "CREATE TABLE t_1 PARTITION OF t FOR VALUES IN (1);"
        "CREATE TABLE t_2 PARTITION OF t FOR VALUES IN (2);"
        f"CREATE TABLE logins (id int PRIMARY KEY, t int REFERENCES {target} ON DELETE CASCADE)",
    )
    execute(dsn, "INSERT INTO t VALUES (1, 'anna'), (2, 'bert'); INSERT INTO logins VALUES (1, 1)")
    postgres = connected(dsn, collection("t"))
    with pytest.raises(Permanent, match="CASCADE"):
        erased(postgres)
    assert found(postgres, "CASCADE").severity is Severity.ERROR
    assert query(dsn, "SELECT count(*) FROM logins") == [(1,)]
    mapped = connected(dsn, collection("t"), collection("logins", owner=None, parent=None))
    with pytest.raises(Permanent, match="CASCADE"):
        erased(mapped)


def test_a_mask_may_move_a_row_to_another_partition(dsn: str) -> None:
    """The masked row is the same row wherever it lies now."""
    execute(
        dsn,
        "CREATE TABLE t (id int, owner text, place text) PARTITION BY LIST (place);"
        "CREATE TABLE t_de PARTITION OF t FOR VALUES IN ('DE');"
        "CREATE TABLE t_rest PARTITION OF t DEFAULT;"
        "INSERT INTO t VALUES (1, 'anna', 'DE'), (2, 'bert', 'DE')",
    )
    postgres = connected(dsn, collection("t", masks={"place": ERASED}))
    assert outcomes(erased(postgres, masking(place=ERASED))) == {("anna", "t", "masked"): 1}
    assert rows(dsn, "t_rest") == [("(1,anna,erased)",)]
    assert rows(dsn, "t_de") == [("(2,bert,DE)",)]


def test_heirs_that_share_a_key_are_refused(dsn: str) -> None:
    """Inherited tables share no unique key: two rows of one key are not told apart, none goes."""
    execute(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, owner text); CREATE TABLE heir () INHERITS (t);"
        "INSERT INTO t VALUES (1, 'anna'); INSERT INTO heir VALUES (1, 'bert'), (2, 'anna')",
    )
    postgres = connected(dsn, collection("t"))
    assert found(postgres, "inherits").severity is Severity.WARNING
    before = rows(dsn)
    with pytest.raises(Permanent, match="keys name"):
        erased(postgres)
    assert rows(dsn) == before
    execute(dsn, "UPDATE heir SET id = 3 WHERE owner = 'bert'")
    erased(postgres)
    assert rows(dsn) == [("(3,bert)",)]


def test_a_table_that_is_mapped_twice_is_an_error(dsn: str) -> None:
    """A part that has a collection of its own would be erased twice."""
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, owner text); CREATE TABLE h () INHERITS (t)")
    errors = [
        f
        for f in connected(dsn, collection("t"), collection("h")).check()
        if "erased twice" in f.message
    ]
    assert [(f.subject, f.severity) for f in errors] == [("t", Severity.ERROR)]


# ---- what lies around


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
