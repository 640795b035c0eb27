"""What a rectification may change in the rows of a restricted person, and whose rows these are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from dsr_worker.contract import (
    Action,
    Collection,
    Correction,
    Field,
    Identity,
    Restriction,
    RestrictionKind,
    Rule,
    Subject,
    System,
    Taken,
)
from dsr_worker.domain.decision import Bound, Term, compile_decisions
from dsr_worker.domain.explain import Surroundings, evaluate
from dsr_worker.domain.hold import Hold, PeopleHeld
from dsr_worker.domain.retention import Anchor, AnchorKind, CalendarPeriod
from dsr_worker.domain.rights import RESTRICTED, Verb, tables

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ANNA, BERT, CARL = (
    Subject(name, (Identity("email", f"{name}@mail.example"), Identity("phone", f"+49{n}")))
    for n, name in enumerate(("anna", "bert", "carl"))
)
NAMES = frozenset({"email", "doc", "doc->>phone"})
FIELDS = ("id", "email", "doc", "doc->>phone", "doc->>size", "note", "at")
ORDERS = Collection(
    "orders",
    ("id",),
    {name: Field(name, "user") for name in FIELDS},
    takes={"email": Taken("email"), "phone": Taken("doc->>phone")},
    clocks={"record_date": "at"},
)
TERM = Term(
    "DE.AO.147",
    "law",
    CalendarPeriod.parse("P8Y"),
    Anchor(AnchorKind.RECORD_DATE),
    "Europe/Berlin",
    "record_date",
)


def decided(
    *,
    asks: dict[str, set[str]],
    owner: Subject,
    restricted: tuple[Subject, ...],
    minimum: bool = False,
    keeps: frozenset[str] | None = None,
    at: str = "2026-01-01",
    located_for: str = "",
) -> Rule:
    """The rule of a row, where people of a batch ask for corrections of fields."""
    batch = [
        replace(
            person,
            corrections={"orders": tuple(Correction(name, "new") for name in sorted(fields))},
        )
        for person in (ANNA, BERT, CARL)
        if (fields := asks.get(person.ref))
    ]
    holds = [
        Hold(p.ref, f"C-{p.ref}", RESTRICTED, PeopleHeld(p.identities), date(2027, 1, 1))
        for p in restricted
    ]
    system = System("shop", "memory", {"orders": replace(ORDERS, kept_fields=keeps)})
    bound = {"orders": Bound((TERM,))} if minimum else {}
    table = tables(Verb.RECTIFY, compile_decisions(system, bound, NOW), batch, holds)["orders"]
    around = Surroundings(located_for or owner.ref, owners=frozenset(owner.identities))
    return evaluate(table, {"id": "1", "at": at}, around)


_asks = st.dictionaries(
    st.sampled_from(["anna", "bert", "carl"]), st.sets(st.sampled_from(FIELDS[1:6]), min_size=1)
)


@given(asks=_asks, restricted=st.sets(st.sampled_from([0, 1, 2])), owner=st.sampled_from([0, 1, 2]))
def test_only_the_names_of_a_restricted_persons_rows_stay(
    asks: dict[str, set[str]], restricted: set[int], owner: int
) -> None:
    """All else is put right at once; rows of people without a restriction lose nothing to it."""
    people = (ANNA, BERT, CARL)
    rule = decided(
        asks=asks, owner=people[owner], restricted=tuple(people[n] for n in sorted(restricted))
    )
    assert rule.action is Action.RECTIFY
    renaming = any(NAMES & fields for fields in asks.values())
    if owner in restricted and renaming:
        assert (rule.ground, rule.kept_fields) == (RESTRICTED, NAMES)
    else:
        assert (rule.ground, rule.kept_fields) == ("", frozenset())


def test_another_owner_does_not_rename_a_restricted_persons_row() -> None:
    """Bert's row is Anna's as well: what he asks for there may not hide it from her hold."""
    for located_for in "anna", "bert":
        rule = decided(
            asks={"bert": {"email", "note"}},
            owner=ANNA,
            restricted=(ANNA,),
            located_for=located_for,
        )
        assert (rule.ground, rule.kept_fields) == (RESTRICTED, NAMES)
        assert "note" not in rule.kept_fields


@given(at=st.sampled_from(["2026-01-01", "2001-01-01"]), named=st.booleans())
def test_a_period_keeps_what_it_keeps_under_a_restriction_too(at: str, *, named: bool) -> None:
    """Neither rule makes the other forgotten: what either holds back stays."""
    keeps = frozenset({"id", "note"}) if named else None
    rule = decided(
        asks={"anna": {"email", "note"}},
        owner=ANNA,
        restricted=(ANNA,),
        minimum=True,
        keeps=keeps,
        at=at,
    )
    if not named and at > "2010":
        assert (rule.action, rule.ground) == (Action.KEEP, "DE.AO.147")
    else:
        assert rule.action is Action.RECTIFY
        assert rule.kept_fields >= NAMES | ((keeps or NAMES) if at > "2010" else NAMES)


def test_a_name_in_common_keeps_no_row_restricted_that_is_not_the_others() -> None:
    """Anna and Bert share a phone: lifting hers frees what no name of his leads to."""
    shared = Identity("phone", "+49999")
    anna, bert = (replace(p, identities=(*p.identities, shared)) for p in (ANNA, BERT))
    move = Restriction(RestrictionKind.MOVE, collection="aside")
    moving = replace(ORDERS, restriction=move)
    aside = replace(ORDERS, name="aside")
    decisions = compile_decisions(
        System("shop", "memory", {"orders": moving, "aside": aside}), {}, NOW
    )
    his = Hold("H", "C-bert", RESTRICTED, PeopleHeld(bert.identities), date(2027, 1, 1))
    table = tables(Verb.LIFT, decisions, [anna], [his], {"C-anna"})["orders"]
    found = [
        evaluate(
            table, {"id": "1", "at": None}, Surroundings("anna", owners=frozenset(owners))
        ).action
        for owners in (ANNA.identities, (shared,), (*ANNA.identities, *BERT.identities))
    ]
    assert found == [Action.LIFT, Action.KEEP, Action.KEEP]
