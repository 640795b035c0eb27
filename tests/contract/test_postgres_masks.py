"""A mask holds, or the erasure is refused: none fails in silence."""

from __future__ import annotations

import pytest

from dsr_worker.contract import Configuration, ConnectorError, Mask, MaskKind, Permanent, Severity
from tests.contract.postgres_erasures import (
    ERASED,
    NETWORK,
    NULL,
    PSEUDONYM,
    TOMBSTONE,
    YEAR,
    erased,
    found,
    masking,
)
from tests.contract.postgres_shop import execute, outcomes, query
from tests.contract.postgres_tables import collection, connected, rows

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
