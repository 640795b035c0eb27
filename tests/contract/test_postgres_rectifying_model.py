"""Random tables, people, rules and corrections against a model in plain Python.

The model knows no SQL: it walks over every row, every owner and every correction. What is in the
tables afterwards, every receipt, every refusal and what the dry runs say has to be the same.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from connectors.postgres import Postgres
from dsr_worker.contract import (
    Action,
    Always,
    Collection,
    Correction,
    DecisionTable,
    Field,
    HeldRows,
    HeldSubjects,
    Identity,
    NeedsHuman,
    Receipt,
    Rule,
    Since,
    Subject,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import execute, query
from tests.contract.postgres_tables import connected

PEOPLE = ("ann", "ben", "cat")
STRANGER = "dan"
CUTOFF = datetime(2020, 1, 1, tzinfo=UTC)

Stored = dict[str, str | None]
Count = tuple[str, str, str, str]
"""Person, collection, outcome, ground."""


def _whole(text: str) -> str:
    number = int(text)
    if not -(2**31) <= number < 2**31:
        raise ValueError
    return str(number)


def _truth(text: str) -> str:
    return {"true": "true", "yes": "true", "false": "false", "no": "false"}.get(text) or _no(text)


def _no(text: str) -> str:
    raise ValueError(text)


def _amount(text: str) -> str:
    number = Decimal(text)
    if number != round(number, 2) or abs(number) >= Decimal(10**4):
        raise ValueError
    return f"{number:.2f}"


def _short(text: str) -> str:
    return text if len(text) <= len("abc") else _no(text)


KINDS: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "text": (str, ("", "a", "A", "a'\\\t\n", "\\N", "%s")),
    "int": (_whole, ("0", "-1", "07", "7", "x", "2147483648")),
    "boolean": (_truth, ("true", "yes", "no", "false", "perhaps")),
    "numeric(6, 2)": (_amount, ("1", "1.00", "1.5", "-0.25", "1.005", "99999")),
    "varchar(3)": (_short, ("", "ab", "abc", "abcd")),
    "date": (lambda t: str(date.fromisoformat(t)), ("2020-01-31", "2021-02-28", "2021-02-30")),
    "citext": (str, ("a", "A", "b")),
}  # fmt: skip
"""What a column makes of a text, and texts to try."""


@dataclass
class Column:
    """A random column; `kept` by the statutory minimum."""

    name: str
    kind: str
    demanded: bool
    kept: bool

    def canonical(self, text: str | None) -> str | None:
        """What the column holds then. Raises ValueError where it cannot."""
        if text is None:
            return _no("null") if self.demanded else None
        try:
            return KINDS[self.kind][0](text)
        except ArithmeticError as error:
            raise ValueError from error


@dataclass
class Case:
    """A random database, request and rules."""

    chance: random.Random
    columns: dict[str, list[Column]] = field(default_factory=dict)
    rows: dict[tuple[str, int], Stored] = field(default_factory=dict)
    people: list[Subject] = field(default_factory=list)
    held_people: frozenset[str] = frozenset()
    held_values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        chance = self.chance
        for name in ("t0", "t1")[: chance.randint(1, 2)]:
            self.columns[name] = [
                Column(f"c{n}", chance.choice(list(KINDS)), chance.random() < 0.2,
                       chance.random() < 0.3)
                for n in range(chance.randint(1, 4))
            ]  # fmt: skip
            for key in range(chance.randint(0, 8)):
                self.rows[name, key] = self._row(self.columns[name])
        asked = {ref: self._corrections() for ref in PEOPLE}
        self.people = [Subject(ref, (Identity("who", ref),), asked[ref]) for ref in PEOPLE]
        if chance.random() < 0.3:
            self.held_people = frozenset({chance.choice(PEOPLE)})
        if chance.random() < 0.3:
            self.held_values = ("1", "2")

    def _row(self, columns: list[Column]) -> Stored:
        one = self.chance.choice((*PEOPLE, *PEOPLE, STRANGER))
        other = self.chance.choice((*PEOPLE, None, None, None, None, None))
        at = self.chance.choice(("2019-12-31", "2020-01-01", None))
        return {"one": one, "other": other, "at": at, **{c.name: self._good(c) for c in columns}}

    def _good(self, column: Column) -> str | None:
        while True:
            text = self._any(column)
            try:
                return column.canonical(text)
            except ValueError:
                continue

    def _any(self, column: Column) -> str | None:
        return self.chance.choice((*KINDS[column.kind][1], None))

    def _corrections(self) -> dict[str, tuple[Correction, ...]]:
        found: dict[str, tuple[Correction, ...]] = {}
        for name, columns in self.columns.items():
            chosen = [c for c in columns if self.chance.random() < 0.5]
            found[name] = tuple(self._correction(c) for c in chosen)
        return {name: some for name, some in found.items() if some}

    def _correction(self, column: Column) -> Correction:
        sound = self.chance.random() < 0.93
        value = self._good(column) if sound else self._any(column)
        was = self._good(column) if self.chance.random() < 0.5 else None
        return Correction(column.name, value, was)

    # ---- for the server

    def connector(self, dsn: str) -> Postgres:
        """Make and fill the tables."""
        collections = []
        for name, columns in self.columns.items():
            kinds = "".join(f", {c.name} {c.kind}{' NOT NULL' * c.demanded}" for c in columns)
            execute(
                dsn,
                f"CREATE TABLE {name} (id int PRIMARY KEY, one text, other text, at date{kinds})",
            )
            rows = [(key, *row.values()) for (at, key), row in self.rows.items() if at == name]
            places = ", ".join(["%s"] * (len(columns) + 4))
            execute(dsn, f"INSERT INTO {name} VALUES ({places})", rows)  # noqa: S608 - our own names
            fields = {
                f: Field(f, "user")
                for f in ("id", "one", "other", "at", *(c.name for c in columns))
            }
            taken = {"who": Taken("one"), "else": Taken("other")}
            collections.append(Collection(name, ("id",), fields, taken, source={"table": name}))
        return connected(dsn, *collections)

    def tables(self) -> dict[str, DecisionTable]:
        """The rules, a hold first."""
        found = {}
        for name, columns in self.columns.items():
            kept = frozenset(c.name for c in columns if c.kept)
            found[name] = DecisionTable(
                name,
                (
                    Rule("hold", HeldSubjects(self.held_people), Action.KEEP, "DISPUTE"),
                    Rule("hold", HeldRows("id", self.held_values), Action.KEEP, "RECALL"),
                    Rule("minimum", Since("at", CUTOFF), Action.RECTIFY, "tax", kept_fields=kept),
                    Rule("default", Always(), Action.RECTIFY),
                ),
            )
        return found

    def stored(self, dsn: str) -> dict[tuple[str, int], Stored]:
        """What is in the tables, as an export would tell it."""
        found: dict[tuple[str, int], Stored] = {}
        for name in self.columns:
            each = f"SELECT id, key, value FROM {name} t, json_each_text(row_to_json(t))"  # noqa: S608 - our own names
            for number, column, text in query(dsn, each):
                if column != "id":
                    found.setdefault((name, number), {})[column] = text
        return found


# ---- the model


@dataclass
class Model:
    """What has to come of a case."""

    case: Case
    refusals: set[tuple[str, str, str]] = field(default_factory=set)
    rows: dict[tuple[str, int], Stored] = field(default_factory=dict)
    counts: Counter[Count] = field(default_factory=Counter)
    values: Counter[Count] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for name, column, correction in self._asked():
            try:
                column.canonical(correction.value)
            except ValueError:
                self.refusals.add(("correction_refused", name, column.name))
        if not self.refusals:
            self.rows = {at: self._row(at, dict(row)) for at, row in self.case.rows.items()}

    def _asked(self) -> Iterator[tuple[str, Column, Correction]]:
        for person in self.case.people:
            for name, some in person.corrections.items():
                for correction in some:
                    yield name, self._column(name, correction), correction

    def _column(self, name: str, correction: Correction) -> Column:
        return next(c for c in self.case.columns[name] if c.name == correction.field)

    def _row(self, at: tuple[str, int], row: Stored) -> Stored:
        owners = [p for p in self.case.people if p.ref in {row["one"], row["other"]}]
        ground, kept = self._rule(at, row, owners)
        before, wanted = dict(row), dict[str, set[str | None]]()
        for person in owners:
            asked = person.corrections.get(at[0], ())
            allowed = [c for c in asked if kept is not None and c.field not in kept]
            about = [(c, self._column(at[0], c).canonical(c.value)) for c in allowed]
            about = [(c, new) for c, new in about if self._speaks(c, new, before[c.field])]
            for c, new in about:
                wanted.setdefault(c.field, set()).add(new)
            due = [c.field for c, new in about if before[c.field] != new]
            row |= {c.field: new for c, new in about}
            self._count(person.ref, at[0], kept, ground, asked, allowed, len(about), len(due))
        for name, texts in wanted.items():
            if len(texts) > 1:
                self.refusals.add(("corrections_contradict", at[0], name))
        return row

    def _rule(
        self, at: tuple[str, int], row: Stored, owners: list[Subject]
    ) -> tuple[str, frozenset[str] | None]:
        """The ground, and the fields that stay; None: all of them, by a hold."""
        if {p.ref for p in owners} & self.case.held_people:
            return "DISPUTE", None
        if str(at[1]) in self.case.held_values:
            return "RECALL", None
        if row["at"] is None or row["at"] >= "2020-01-01":
            return "tax", frozenset(c.name for c in self.case.columns[at[0]] if c.kept)
        return "", frozenset()

    def _speaks(self, correction: Correction, new: str | None, now: str | None) -> bool:
        return correction.was is None or now in {correction.was, new}

    def _count(
        self, ref: str, name: str, kept: frozenset[str] | None, ground: str,
        asked: tuple[Correction, ...], allowed: list[Correction], about: int, due: int,
    ) -> None:  # fmt: skip
        if kept is None:
            at = (ref, name, "retained", ground)
        elif about:
            at = (ref, name, "rectified", ground if len(allowed) < len(asked) else "")
        elif asked and not allowed:
            at = (ref, name, "retained", ground)
        else:
            at = (ref, name, "retained", "stated_otherwise")
        self.counts[at] += 1
        self.values[at] += due


def _counted(receipts: list[Receipt]) -> tuple[Counter[Count], Counter[Count]]:
    rows: Counter[Count] = Counter()
    values: Counter[Count] = Counter()
    for receipt in receipts:
        for o in receipt.outcomes:
            if o.rows:
                at = (str(receipt.subject_ref), receipt.collection, o.outcome.value, o.ground)
                rows[at] += o.rows
                values[at] += o.fields
    return rows, values


@pytest.fixture(scope="module")
def dsn(module_database: str) -> str:
    """One database for all cases."""
    execute(module_database, "CREATE EXTENSION citext")
    return module_database


@pytest.mark.parametrize("seed", range(40))
def test_what_is_put_right_is_what_a_plain_model_says(dsn: str, seed: int) -> None:
    """Tables, receipts, refusals, repeats and second looks are those of the model."""
    execute(dsn, "DROP TABLE IF EXISTS t0, t1")
    case = Case(random.Random(seed))
    postgres, model = case.connector(dsn), Model(case)
    # each person is looked for by either column
    people = [
        Subject(p.ref, (*p.identities, Identity("else", p.ref)), p.corrections) for p in case.people
    ]
    keys = list(postgres.locate(people, TrialContext()))
    tables = case.tables()

    def rectified(*, dry_run: bool = False, second_path: bool = False) -> list[Receipt]:
        ctx = TrialContext(tables=tables, dry_run=dry_run, second_path=second_path)
        return list(postgres.rectify(people, keys, ctx))

    before = case.stored(dsn)
    assert before == case.rows
    if model.refusals:
        for dry_run in True, False:
            with pytest.raises(NeedsHuman) as stopped:
                rectified(dry_run=dry_run)
            told = stopped.value.fields
            assert (stopped.value.code, told["collection"], told["field"]) in model.refusals
        assert case.stored(dsn) == before
        return
    assert _counted(rectified(dry_run=True)) == (model.counts, model.values)
    assert case.stored(dsn) == before
    assert _counted(rectified()) == (model.counts, model.values)
    assert case.stored(dsn) == model.rows
    again = Model(Case(random.Random(seed)))
    again.case.rows, again.counts, again.values = model.rows, Counter(), Counter()
    again.__post_init__()
    assert not +again.values
    assert _counted(rectified()) == (again.counts, again.values)
    looked = rectified(dry_run=True, second_path=True)
    assert _counted(looked) == (again.counts, again.values)
    assert case.stored(dsn) == model.rows


def test_the_cases_are_of_every_kind() -> None:
    """Most cases go through, and each refusal, outcome and ground is among them."""
    models = [Model(Case(random.Random(seed))) for seed in range(40)]
    refused = [m for m in models if m.refusals]
    assert 0 < len(refused) < len(models) / 2
    assert {code for m in refused for code, *_ in m.refusals} == {
        "correction_refused",
        "corrections_contradict",
    }
    through = [m for m in models if not m.refusals]
    assert {(o, g) for m in through for _, _, o, g in m.counts} == {
        ("rectified", ""),
        ("rectified", "tax"),
        ("retained", "tax"),
        ("retained", "stated_otherwise"),
        ("retained", "DISPUTE"),
        ("retained", "RECALL"),
    }
    assert sum(sum(m.values.values()) for m in through) > len(models)
