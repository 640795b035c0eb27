"""Decision tables against an independent reading of the rules, on random maps, holds and rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_worker.contract import (
    Action,
    Collection,
    DecisionTable,
    Field,
    Identity,
    Mask,
    MaskKind,
    Outcome,
    Parent,
    Restriction,
    RestrictionKind,
    Subject,
    System,
    Taken,
)
from dsr_worker.domain.decision import Bound, Term, compile_decisions
from dsr_worker.domain.explain import Surroundings, evaluate
from dsr_worker.domain.hold import DatasetHeld, Hold, PeopleHeld, RowsHeld, Scope
from dsr_worker.domain.plan import Plan, PlannedOutcome, approval_voided, upper_bound
from dsr_worker.domain.retention import Anchor, AnchorKind, CalendarPeriod
from dsr_worker.domain.rights import NO_MEANS, RESTRICTED, Verb, tables
from tests.examples import examples

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/Los_Angeles", "Pacific/Kiritimati")
NULL = Mask(MaskKind.NULL)
PEOPLE = [Subject(f"s{n}", (Identity("email", f"p{n}@mail.example"),)) for n in range(3)]


def _collection(name: str, parent: str | None) -> Collection:
    masked = {"name": Field("name", "user.name", NULL)}
    plain = {f: Field(f, "user.content") for f in ("id", "up", "at", "net")}
    return Collection(
        name,
        ("id",),
        plain | masked,
        takes={"email": Taken("name")} if parent is None else {},
        parent=None if parent is None else Parent(parent, {"up": "id"}),
        clocks={"record_date": "at"},
        kept_fields=frozenset({"id", "up", "at", "net"}),
    )


NAMES = ("top", "middle", "bottom")
SYSTEM = System(
    "shop",
    "memory",
    {n: _collection(n, None if i == 0 else NAMES[i - 1]) for i, n in enumerate(NAMES)},
)


@dataclass
class Row:
    """A row of the model: its owner, its clock, and the rows below it."""

    id: str
    owner: Subject
    at: datetime | None
    children: list[Row] = field(default_factory=list)


_EARLIEST = datetime(2010, 1, 1, tzinfo=UTC)
_instants = st.none() | st.timedeltas(timedelta(0), NOW - _EARLIEST).map(_EARLIEST.__add__)


def _rows(depth: int) -> st.SearchStrategy[Row]:
    below = st.just([]) if depth == 0 else st.lists(_rows(depth - 1), max_size=2)
    return st.builds(Row, st.sampled_from("abcdef"), st.sampled_from(PEOPLE), _instants, below)


_periods = st.sampled_from(["P1Y", "P8Y", "P90D", "P6M"])
_anchors = st.sampled_from([AnchorKind.RECORD_DATE, AnchorKind.CALENDAR_YEAR_END])


def _term(period: str, anchor: AnchorKind, zone: str, action: Action = Action.ERASE) -> Term:
    parsed = CalendarPeriod.parse(period)
    return Term(f"law/{period}", "law", parsed, Anchor(anchor), zone, "record_date", action)


_zones = st.sampled_from(ZONES)
_terms = st.builds(_term, _periods, _anchors, _zones)
_bounds = st.dictionaries(
    st.sampled_from(NAMES), st.builds(Bound, st.lists(_terms, max_size=2).map(tuple))
)
_scopes: st.SearchStrategy[Scope] = st.one_of(
    st.sampled_from(PEOPLE).map(lambda person: PeopleHeld(person.identities)),
    st.builds(
        lambda name, value: RowsHeld("shop", name, "id", (value,)),
        st.sampled_from(NAMES),
        st.sampled_from("abcdef"),
    ),
    st.sampled_from(NAMES).map(lambda name: DatasetHeld("shop", name)),
)
_holds = st.lists(
    st.builds(
        lambda n, scope, released: Hold(
            f"h{n}", "m", "ER_LEGAL_CLAIMS", scope, date(2027, 1, 1), NOW if released else None
        ),
        st.integers(0, 99),
        _scopes,
        st.booleans(),
    ),
    max_size=3,
)


def _is_held(row: Row, name: str, holds: list[Hold]) -> bool:
    for hold in holds:
        if hold.released_at is not None:
            continue
        scope = hold.scope
        if isinstance(scope, PeopleHeld) and set(scope.identities) & set(row.owner.identities):
            return True
        if isinstance(scope, RowsHeld) and scope.collection == name and row.id in scope.values:
            return True
        if isinstance(scope, DatasetHeld) and scope.collection == name:
            return True
    return False


def _inside(row: Row, terms: tuple[Term, ...]) -> bool:
    """Whether any period still runs, by the last day of keeping and not by a cut-off."""
    return any(
        row.at is None or term.ends_on(row.at) >= NOW.astimezone(ZoneInfo(term.zone)).date()
        for term in terms
    )


def _check_erasure(
    row: Row,
    depth: int,
    tables: dict[str, DecisionTable],
    bound: dict[str, Bound],
    holds: list[Hold],
) -> bool:
    """Compare a row with the model, children first; return whether it stays."""
    name = NAMES[depth]
    staying = [_check_erasure(c, depth + 1, tables, bound, holds) for c in row.children]
    around = Surroundings(
        row.owner.ref, staying_children=frozenset({NAMES[depth + 1]} if any(staying) else ())
    )
    rule = evaluate(tables[name], {"id": row.id, "at": row.at}, around)
    if _is_held(row, name, holds):
        assert (rule.code, rule.action) == ("hold", Action.KEEP)
        return True
    if _inside(row, bound.get(name, Bound()).minimums):
        assert (rule.code, rule.action, dict(rule.masks)) == (
            "minimum",
            Action.MASK,
            {"name": NULL},
        )
        return True
    if any(staying):
        assert (rule.code, rule.action) == ("needed", Action.MASK)
        return True
    assert (rule.code, rule.action) == ("default", Action.ERASE)
    return False


@settings(max_examples=examples(200))
@given(_rows(2), _bounds, _holds)
def test_erasure_agrees_with_the_plain_order(
    row: Row, bound: dict[str, Bound], holds: list[Hold]
) -> None:
    """Hold, then minimum, then needed, then erase: on every tree of rows."""
    tables = compile_decisions(SYSTEM, bound, NOW).erasure(PEOPLE, holds)
    _check_erasure(row, 0, tables, bound, holds)


@settings(max_examples=examples(200))
@given(
    row=_rows(0),
    minimums=st.lists(_terms, max_size=2),
    holds=_holds,
    names_kept=st.booleans(),
    restricted=st.booleans(),
)
def test_rectification_agrees_with_the_plain_order(
    *, row: Row, minimums: list[Term], holds: list[Hold], names_kept: bool, restricted: bool
) -> None:
    """Hold, then what a minimum keeps unaltered, then put right; a restriction hinders none."""
    if restricted:
        person = PeopleHeld(row.owner.identities)
        holds = [*holds, Hold("r", "C-1", RESTRICTED, person, date(2027, 1, 1))]
    kept = frozenset({"id", "up", "at", "net"}) if names_kept else None
    collection = replace(SYSTEM.collections["bottom"], kept_fields=kept)
    system = replace(SYSTEM, collections={**SYSTEM.collections, "bottom": collection})
    decisions = compile_decisions(system, {"bottom": Bound(tuple(minimums))}, NOW)
    table = tables(Verb.RECTIFY, decisions, PEOPLE, holds)["bottom"]
    rule = evaluate(table, {"id": row.id, "at": row.at}, Surroundings(row.owner.ref))
    holding = [hold for hold in holds if hold.reason != RESTRICTED]
    if _is_held(row, "bottom", holding):
        assert (rule.code, rule.action) == ("hold", Action.KEEP)
    elif _inside(row, tuple(minimums)):
        action = Action.RECTIFY if names_kept else Action.KEEP
        assert (rule.code, rule.action, rule.kept_fields) == (
            "minimum",
            action,
            kept or frozenset(),
        )
        assert rule.ground in {term.ground for term in minimums}
    else:
        assert (rule.action, rule.ground, rule.kept_fields) == (Action.RECTIFY, "", frozenset())


@given(
    row=_rows(0),
    bound=_bounds,
    holds=_holds,
    means=st.booleans(),
    verb=st.sampled_from([Verb.RESTRICT, Verb.LIFT]),
)
def test_means_alone_decide_a_restriction(
    *, row: Row, bound: dict[str, Bound], holds: list[Hold], means: bool, verb: Verb
) -> None:
    """Neither holds nor periods hinder storing on; without means a row is kept and said so."""
    flag = Restriction(RestrictionKind.FLAG, "net") if means else None
    top = replace(SYSTEM.collections["top"], restriction=flag)
    system = replace(SYSTEM, collections={**SYSTEM.collections, "top": top})
    person = PeopleHeld(row.owner.identities)
    own = Hold("r", "C-1", RESTRICTED, person, date(2027, 1, 1))
    decisions = compile_decisions(system, bound, NOW)
    table = tables(verb, decisions, PEOPLE, [*holds, own], {"C-1"})["top"]
    rule = evaluate(table, {"id": row.id, "at": row.at}, Surroundings(row.owner.ref))
    done = Action.RESTRICT if verb is Verb.RESTRICT else Action.LIFT
    assert (rule.action, rule.ground) == ((done, "") if means else (Action.KEEP, NO_MEANS))


@pytest.mark.parametrize("others", ["subjects", "strangers"])
def test_what_another_restricts_is_not_freed(others: str) -> None:
    """A second case of the same person, or of another owner of the row, keeps it restricted."""
    owner = PEOPLE[0]
    second = Hold("r", "C-2", RESTRICTED, PeopleHeld(owner.identities), date(2027, 1, 1))
    batch = [owner] if others == "subjects" else PEOPLE[1:]
    decisions = compile_decisions(SYSTEM, {}, NOW)
    table = tables(Verb.LIFT, decisions, batch, [second], {"C-1"})["top"]
    around = Surroundings(owner.ref, owners=frozenset(owner.identities))
    rule = evaluate(table, {"id": "a", "at": None}, around)
    assert (rule.code, rule.action, rule.ground) == ("hold", Action.KEEP, RESTRICTED)


def test_a_lifting_under_way_keeps_nothing_restricted() -> None:
    """Two cases of one person lifted at once keep no row for each other; a third one does."""
    owner = PEOPLE[0]
    held = PeopleHeld(owner.identities)
    both = [Hold(f"r{n}", f"C-{n}", RESTRICTED, held, date(2027, 1, 1)) for n in (1, 2)]
    flag = Restriction(RestrictionKind.FLAG, "net")
    top = replace(SYSTEM.collections["top"], restriction=flag)
    system = replace(SYSTEM, collections={**SYSTEM.collections, "top": top})
    decisions = compile_decisions(system, {}, NOW)
    around = Surroundings(owner.ref, owners=frozenset(owner.identities))
    found = [
        evaluate(
            tables(Verb.LIFT, decisions, [owner], both, ending)["top"],
            {"id": "a", "at": None},
            around,
        ).action
        for ending in ({"C-1", "C-2"}, {"C-1"}, {"C-2"})
    ]
    assert found == [Action.LIFT, Action.KEEP, Action.KEEP]


def test_only_rows_of_whom_another_case_restricts_stay() -> None:
    """A row of somebody else is freed, and one that two own stays whoever else is in the batch."""
    one, other = PEOPLE[:2]
    hold = Hold("r", "C-2", RESTRICTED, PeopleHeld(one.identities), date(2027, 1, 1))
    flag = Restriction(RestrictionKind.FLAG, "net")
    top = replace(SYSTEM.collections["top"], restriction=flag)
    system = replace(SYSTEM, collections={**SYSTEM.collections, "top": top})
    table = tables(Verb.LIFT, compile_decisions(system, {}, NOW), PEOPLE, [hold], {"C-1"})["top"]
    row = {"id": "a", "at": None}
    theirs = [frozenset(other.identities), frozenset(one.identities + other.identities)]
    found = [evaluate(table, row, Surroundings(other.ref, owners=o)).action for o in theirs]
    assert found == [Action.LIFT, Action.KEEP]
    named_once = evaluate(table, row, Surroundings(one.ref, owners=theirs[0]))
    assert named_once.action is Action.LIFT


@settings(max_examples=examples(200))
@given(
    st.sampled_from("abcdef"),
    st.sampled_from(PEOPLE),
    _instants,
    st.lists(_terms, max_size=2),
    st.lists(
        st.builds(_term, _periods, _anchors, _zones, st.sampled_from([Action.MASK, Action.ERASE])),
        max_size=2,
    ),
    _holds,
)
def test_sweep_agrees_with_the_plain_order(
    id_: str,
    owner: Subject,
    at: datetime | None,
    minimums: list[Term],
    limits: list[Term],
    holds: list[Hold],
) -> None:
    """A sweep touches a row exactly when a limit is over, no minimum runs and no hold stands."""
    row = Row(id_, owner, at)
    bound = {"bottom": Bound(tuple(minimums), tuple(limits))}
    tables = compile_decisions(SYSTEM, bound, NOW).sweep(holds)
    if not limits:
        assert tables == {}
        return
    owners = frozenset(row.owner.identities)
    rule = evaluate(tables["bottom"], {"id": row.id, "at": row.at}, Surroundings(owners=owners))
    over = [t for t in limits if row.at is not None and not _inside(row, (t,))]
    if _is_held(row, "bottom", holds) or _inside(row, tuple(minimums)) or not over:
        assert rule.action is Action.KEEP
    else:
        erases = any(term.action is Action.ERASE for term in over)
        assert rule.action is (Action.ERASE if erases else Action.MASK)


@given(_bounds, _holds)
def test_every_table_decides_every_row(bound: dict[str, Bound], holds: list[Hold]) -> None:
    """The last rule of every table matches all rows, and only the last."""
    for table in compile_decisions(SYSTEM, bound, NOW).erasure(PEOPLE, holds).values():
        assert [rule.code for rule in table.rules].index("default") == len(table.rules) - 1


_counts = st.fixed_dictionaries(
    {outcome: st.integers(0, 400) for outcome in ("erased", "masked", "retained")}
)


def _plan(rows: dict[str, int]) -> Plan:
    place = ("shop", "top")
    parts = tuple(PlannedOutcome(*place, Outcome(n), "", count) for n, count in rows.items())
    return Plan(frozenset(), frozenset({place}), parts)


@given(_counts, st.integers(0, 400), st.integers(0, 400), st.integers(0, 400))
def test_rows_that_fare_better_never_void(
    rows: dict[str, int], spared: int, softened: int, vanished: int
) -> None:
    """However many rows vanish, are masked instead of erased, or stay instead: it stands."""
    spared = min(spared, rows["erased"])
    softened = min(softened, rows["erased"] - spared)
    left = rows["erased"] - spared - softened
    now = {
        "erased": left - min(vanished, left),
        "masked": rows["masked"] + softened,
        "retained": rows["retained"] + spared,
    }
    assert approval_voided(_plan(rows), _plan(now)) == ()


@given(_counts, _counts)
def test_no_more_rows_go_than_the_bound(approved: dict[str, int], now: dict[str, int]) -> None:
    """Whatever stands, no more rows are erased, or changed at all, than the bound allows."""
    if approval_voided(_plan(approved), _plan(now)) == ():
        assert now["erased"] <= upper_bound(approved["erased"])
        changed = now["erased"] + now["masked"]
        assert changed <= upper_bound(approved["erased"] + approved["masked"])


@given(_instants, _terms, st.timedeltas(timedelta(0), timedelta(days=5000)))
def test_minimums_only_ever_end(at: datetime | None, term: Term, later: timedelta) -> None:
    """A row that a minimum no longer protects is not protected by it at any later instant."""
    bound = {"bottom": Bound((term,))}
    row = {"at": at}
    first = evaluate(compile_decisions(SYSTEM, bound, NOW).erasure()["bottom"], row)
    then = evaluate(compile_decisions(SYSTEM, bound, NOW + later).erasure()["bottom"], row)
    assert first.code == "minimum" or then.code == "default"
