"""Following names from system to system without becoming somebody else."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_worker.contract import Collection, Field, Identity, Link, Parent, System, Taken
from dsr_worker.domain.resolution import (
    absorb,
    not_applicable,
    reached,
    rounds,
    start,
    to_ask,
)

EMAIL = Identity("email", "mara@mail.example")
NUMBER = Identity("customer_number", "7")
PHONE = Identity("phone", "030123456")


def _collection(
    name: str,
    takes: tuple[str, ...] = (),
    yields: tuple[str, ...] = (),
    *,
    person: bool = False,
    parent: str | None = None,
) -> Collection:
    names = {"id", *takes, *yields}
    return Collection(
        name,
        ("id",),
        {field: Field(field, "user") for field in sorted(names)},
        takes={kind: Taken(kind) for kind in takes},
        yields={kind: kind for kind in yields},
        person=person,
        parent=None if parent is None else Parent(parent, {"id": "id"}),
    )


def _system(name: str, *collections: Collection) -> System:
    return System(name, "memory", {c.name: c for c in collections})


SHOP = _system(
    "shop",
    _collection(
        "customers", ("email", "customer_number"), ("customer_number", "phone"), person=True
    ),
    _collection("orders", ("customer_number",)),
)
FILES = _system("files", _collection("objects", ("customer_number",)))
DESK = _system("desk", _collection("users", ("email",), ("zendesk_user", "email"), person=True))
SYSTEMS = {system.name: system for system in (SHOP, FILES, DESK)}


def _link(
    identity: Identity, key: str = "1", owners: int = 0, collection: str = "customers"
) -> Link:
    return Link("s1", identity, collection, (key,), "email", owners)


def test_rounds_start_from_the_verified_kind_and_end() -> None:
    """The first round asks those that take the verified kind; what tells nothing is never asked."""
    plan = rounds(SYSTEMS, ["email"])
    assert plan[0] == ("desk", "shop")
    assert plan[1] == ("desk", "shop")
    assert all("files" not in names for names in plan)


def test_rounds_follow_names_across_systems() -> None:
    """A kind that one system yields asks another in the next round."""
    first = _system("first", _collection("a", ("email",), ("badge",)))
    second = _system("second", _collection("b", ("badge",), ("locker",)))
    third = _system("third", _collection("c", parent="d"), _collection("d", ("locker",), ("x",)))
    systems = {s.name: s for s in (third, first, second)}
    assert rounds(systems, ["email"]) == (("first",), ("second",), ("third",))
    assert rounds(systems, ["phone"]) == ()


_kinds = st.sampled_from(["a", "b", "c", "d"])
_some = st.lists(_kinds, max_size=3, unique=True).map(tuple)


@given(st.lists(st.tuples(_some, _some), min_size=1, max_size=5), _some)
def test_rounds_end_and_reach_all(
    shapes: list[tuple[tuple[str, ...], tuple[str, ...]]], kinds: tuple[str, ...]
) -> None:
    """On any map, circles included, the rounds end and ask all that can be reached by kinds."""
    systems = {
        f"s{n}": _system(f"s{n}", _collection("rows", takes, yields))
        for n, (takes, yields) in enumerate(shapes)
    }
    asked = {name for names in rounds(systems, kinds) for name in names}
    known = set(kinds)
    for _ in shapes:
        for takes, yields in shapes:
            if known.intersection(takes):
                known |= set(yields)
    telling = {
        f"s{n}" for n, (takes, yields) in enumerate(shapes) if yields and known.intersection(takes)
    }
    assert asked == telling


def test_systems_that_take_no_known_kind_are_named() -> None:
    """A system where nothing can be found by these kinds is listed, not passed over."""
    assert not_applicable(SYSTEMS, ["email"]) == ("files",)
    assert not_applicable(SYSTEMS, ["email", "customer_number"]) == ()


def test_children_are_reached_through_their_parents() -> None:
    """A collection without identities of its own is reached through its parent."""
    system = _system("s", _collection("lines", parent="heads"), _collection("heads", ("email",)))
    assert {c.name for c in reached(system, ["email"])} == {"heads", "lines"}
    assert reached(system, ["phone"]) == ()


def test_names_follow_from_a_verified_one() -> None:
    """An uncontested identity becomes known, with its ground."""
    found = absorb(start([EMAIL]), SHOP, [_link(NUMBER), _link(PHONE)])
    assert found.identities == (NUMBER, EMAIL, PHONE)
    assert found.grounds[NUMBER].collection == "customers"
    assert found.grounds[NUMBER].via == "email"
    assert not found.contested
    assert not found.several_people
    assert not found.dropped


def test_a_shared_phone_never_leads_on() -> None:
    """An identity that somebody else carries is reported and does not become known (T5)."""
    found = absorb(start([EMAIL]), SHOP, [_link(NUMBER), _link(PHONE, owners=1)])
    assert PHONE not in found.known
    assert NUMBER in found.known
    assert found.contested
    assert not found.several_people
    assert not found.dropped
    later = absorb(found, DESK, [_link(PHONE, collection="users")])
    assert PHONE not in later.known


def test_contested_in_one_place_is_contested() -> None:
    """One place where others carry it is enough, whatever other places say."""
    links = [_link(PHONE), _link(PHONE, owners=2, collection="orders")]
    for order in permutations(links):
        assert PHONE not in absorb(start([EMAIL]), SHOP, order).known


def test_two_rows_of_people_stop_and_seed_nothing() -> None:
    """Two customers for one e-mail are two people until a human says otherwise."""
    links = [_link(NUMBER, "1"), _link(Identity("customer_number", "8"), "2")]
    found = absorb(start([EMAIL]), SHOP, links)
    assert found.several_people
    assert not found.contested
    assert not found.dropped
    assert found.several_people == {("shop", "customers")}
    assert found.known == {EMAIL}


def test_two_rows_of_people_are_seen_across_rounds() -> None:
    """The second person may turn up in a later round."""
    found = absorb(start([EMAIL]), SHOP, [_link(NUMBER, "1")])
    later = absorb(found, SHOP, [_link(Identity("email", "pia@mail.example"), "2")])
    assert later.several_people
    assert not later.contested
    assert not later.dropped
    assert Identity("email", "pia@mail.example") not in later.known


def test_too_many_names_are_no_longer_one_person() -> None:
    """A thousand customers behind one phone stop the case (T6)."""
    links = [_link(Identity("order", str(n)), collection="orders") for n in range(1000)]
    found = absorb(start([EMAIL]), SHOP, links)
    assert found.dropped
    assert not found.contested
    assert not found.several_people
    assert len(found.known) == 50


def test_links_of_two_subjects_are_refused() -> None:
    """Absorbing the links of two people at once would merge them."""
    other = Link("s2", PHONE, "customers", ("2",), "email")
    with pytest.raises(ValueError, match="one subject"):
        absorb(start([EMAIL]), SHOP, [_link(NUMBER), other])


def test_a_walk_starts_from_something_verified() -> None:
    """Without a verified identity there is nobody to resolve."""
    with pytest.raises(ValueError, match="verified"):
        start([])


_links = st.lists(
    st.builds(
        _link,
        st.builds(Identity, st.sampled_from(["phone", "order"]), st.sampled_from("abcdef")),
        st.sampled_from(["1", "2"]),
        st.integers(0, 1),
        st.sampled_from(["customers", "orders"]),
    ),
    max_size=8,
)


@given(_links, st.randoms())
def test_the_order_of_links_does_not_matter(links: list[Link], random: object) -> None:
    """The same answers in any order, or twice, give the same person."""
    shuffled = sorted(links, key=lambda _: random.random())  # type: ignore[attr-defined]  # hypothesis names no type
    once = absorb(start([EMAIL]), SHOP, links, limit=4)
    assert absorb(start([EMAIL]), SHOP, shuffled, limit=4) == once
    again = absorb(once, SHOP, links, limit=4)
    assert (again.known, again.contested, again.people) == (once.known, once.contested, once.people)


@given(_links)
def test_what_others_carry_is_never_known(links: list[Link]) -> None:
    """No link with another owner ever adds to the set."""
    found = absorb(start([EMAIL]), SHOP, links)
    assert not found.known & {link.identity for link in links if link.owners}


def test_systems_are_asked_only_what_is_new() -> None:
    """A system is asked about identities that it takes and was not asked about."""
    known = [EMAIL, NUMBER, PHONE]
    assert to_ask(SHOP, known) == (NUMBER, EMAIL)
    assert to_ask(SHOP, known, asked=[EMAIL]) == (NUMBER,)
    assert to_ask(FILES, [EMAIL]) == ()


def test_nothing_personal_in_texts() -> None:
    """The representation of a resolution hides values and keys."""
    found = absorb(start([EMAIL]), SHOP, [_link(NUMBER, "marker-key")])
    assert "mara" not in repr(found)
    assert "marker-key" not in repr(found)


def test_copies_of_one_person_are_one_person() -> None:
    """Rows that say whose copies they are count once; rows of two people do not."""
    copies = [replace(_link(NUMBER, key), person=("7",)) for key in ("monday", "tuesday")]
    assert not absorb(start([EMAIL]), SHOP, copies).several_people
    stranger = replace(_link(NUMBER, "tuesday"), person=("8",))
    assert absorb(start([EMAIL]), SHOP, [*copies, stranger]).several_people
