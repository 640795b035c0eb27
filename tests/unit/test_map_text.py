"""A proposed map is written so that the data map reads exactly the same back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dsr_worker.contract import (
    Collection,
    Evidence,
    Field,
    Form,
    Ground,
    LeftOut,
    Mask,
    MaskKind,
    Parent,
    Proposal,
    Restriction,
    RestrictionKind,
    System,
    Taken,
)
from dsr_worker.datamap import read_system
from dsr_worker.map_text import as_data, review_marks, written

HOSTILE = [
    'a"b', "a: b", "- x", "# no", "null", "Yes", "1.0", "a\nb",
    "\x85\x07\ud7ff", "ä{}[]", "*&!|>%@`", "\\", "😀", "\u2028",
]  # fmt: skip
names = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30),
)
masks = st.one_of(
    st.none(),
    st.just(Mask(MaskKind.NULL)),
    st.just(Mask(MaskKind.PSEUDONYM)),
    names.map(lambda text: Mask(MaskKind.CONSTANT, text)),
)


means = st.none() | st.just(Restriction(RestrictionKind.LIST, collection="below"))


@st.composite
def proposals(draw: st.DrawFn) -> Proposal:
    """Two collections with any names, the second below the first."""
    fields = {}
    for name in draw(st.lists(names, min_size=2, max_size=6, unique=True)):
        flags = draw(st.tuples(st.booleans(), st.booleans()))
        nulls = draw(st.frozensets(names, max_size=2))
        review = draw(st.booleans())
        fields[name] = Field(name, "user.name", draw(masks), *flags, nulls, review)
    key = next(iter(fields))
    fields[key] = Field(key, "user.unique_id")
    source = {"table": draw(names), "schema": draw(names)}
    above = Collection(
        "above", (key,), fields,
        takes={"email": Taken(key, Form.ASCII_CASE), "number": Taken(key)},
        yields={"number": key}, person=True, contact={"email": key}, residence=key,
        clocks={"record_date": key}, review=draw(st.booleans()), source=source,
        restriction=draw(means),
    )  # fmt: skip
    below = Collection("below", (key,), fields, parent=Parent("above", {key: key}), source=source)
    evidence = (Evidence("form.email", 3, 4), Evidence("name.email"))
    grounds = {("above", ""): Ground(0.9, evidence), ("above", key): Ground(0.5, evidence)}
    left = (LeftOut(draw(names), "view"),)
    return Proposal({"above": above, "below": below}, grounds, left)


@given(proposals(), st.dictionaries(names, names, max_size=2))
def test_what_is_written_is_read_back(proposal: Proposal, left_out: dict[str, str]) -> None:
    """No name, mask or mark is lost or changed on the way through the file, whatever it holds."""
    system = System("shop", "postgres", {}, parallel=3, left_out=left_out)
    config = {"dsn": {"env": "SHOP_DSN"}, "connect_timeout_s": 5, "idle": 1.5, "tls": True}
    found = read_system(written(system, config, proposal))
    assert dict(found.system.collections) == dict(proposal.collections)
    assert found.config == config
    assert found.system.left_out == left_out
    assert found.system.unreviewed == review_marks(proposal)
    assert (found.system.parallel, found.connector) == (3, "postgres")


@given(proposals())
def test_machines_are_told_the_same(proposal: Proposal) -> None:
    """The JSON of a proposal holds the file's own words."""
    above = proposal.collections["above"]
    data = as_data(above)
    assert list(data["fields"]) == list(above.fields)
    assert data.get("review", False) is above.review


def test_grounds_stand_beside_their_lines() -> None:
    """A reviewer sees codes, counts and the confidence at the very line they speak of."""
    fields = {"id": Field("id", "user.unique_id")}
    collection = Collection("people", ("id",), fields, review=True, source={"table": "people"})
    ground = Ground(0.55, (Evidence("form.email", 3, 4),))
    proposal = Proposal({"people": collection}, {("people", "id"): ground})
    text = written(System("shop", "postgres", {}), {}, proposal)
    assert "      id: user.unique_id  # form.email 3/4 (0.55)\n" in text
    assert "    review: true\n" in text
