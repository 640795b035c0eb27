"""Key templates: a key names exactly the identity in it, and listing never misses one."""

from __future__ import annotations

import re
from urllib.parse import quote

from hypothesis import assume, example, given
from hypothesis import strategies as st

from connectors.s3.templates import KeyTemplate, derived_key, derived_texts

TEMPLATES = (
    "customers/{id}/**",
    "customers/{id}/",
    "{id}",
    "img/{id}.jpg",
    "p/id={id}/*.gz",
    "x/{id}-photo/a",
)
INNER = ("exports/{year}/{id}/**", "a/*/dt=*/id={id}/*", "*/{id}.csv")
_signs = st.sampled_from(list("aA1_-.~@+%/= é\u0661*'\"{}"))
values = st.text(_signs, min_size=1, max_size=6)


def template(text: str) -> KeyTemplate:
    """A template of one identity."""
    return KeyTemplate(text, frozenset({"id"}))


def spellings(value: str) -> set[str]:
    """The ways in which stores write an identity into a key."""
    coded = quote(value, safe="")
    lower = re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), coded)
    hive = quote(value, safe="@+ ,;()é\u0661!$&<>")  # Hive and Spark leave these as they are
    return {coded, lower, hive} | ({value} if not set("/%") & set(value) else set())


@given(st.sampled_from(TEMPLATES), values, values)
@example("customers/{id}/**", "a@b", "a%40b")
@example("{id}", "7", "70")
def test_a_key_names_what_stands_in_it(text: str, value: str, other: str) -> None:
    """However it is written, this identity's prefixes find it, and it is no other's name."""
    assume(value not in {".", ".."})
    made = template(text)
    for spelled in spellings(value):
        whole = text.replace("**", "b").replace("*", "y").replace("{id}", spelled)
        assert made.identities_in(whole) == {"id": value}
        assert any(whole.startswith(stem) for stem in made.stems(value))
        if other != value:
            assert made.identities_in(whole) != {"id": other}


@given(st.sampled_from((*TEMPLATES, *INNER)), st.text(_signs, max_size=24))
def test_whatever_a_key_names_is_listed(text: str, tail: str) -> None:
    """A key that names somebody begins as the template does, and lies under that one's prefixes."""
    made = template(text)
    whole = made.before + tail
    named = made.identities_in(whole)
    if named is None:
        return
    assert whole.startswith(made.before)
    if made.leads:
        assert any(whole.startswith(stem) for stem in made.stems(named["id"]))
        alone = made.key_of(named["id"])
        assert alone is None or alone == whole or made.identities_in(alone) == named


@given(st.text(max_size=8))
def test_what_cannot_stand_in_a_key_has_no_prefix(value: str) -> None:
    """Controls, dots alone, nothing at all and half characters find nothing and raise nothing."""
    found = template("customers/{id}/").stems(value)
    hostile = value in {"", ".", ".."} or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value)
    if hostile or any(0xD800 <= ord(c) < 0xE000 for c in value):
        assert found == ()
    else:
        assert found
        assert all(stem.startswith("customers/") and stem != "customers/" for stem in found)


def test_the_null_of_a_partition_is_nobody() -> None:
    """Hive's name for null names nobody, and so does a segment that is only half decoded."""
    made = template("p/id={id}/*")
    for spelled in ("__HIVE_DEFAULT_PARTITION__", "%61nna", "a%", "%ff", "%00", ""):
        assert made.identities_in(f"p/id={spelled}/x") is None


def test_two_places_of_one_identity_must_agree() -> None:
    """A kind that stands twice in a key names somebody only where both say the same."""
    made = KeyTemplate("c/{id}/{id}.json", frozenset({"id"}))
    assert made.identities_in("c/7/7.json") == {"id": "7"}
    assert made.identities_in("c/7/8.json") is None


def test_what_is_derived_has_a_template_of_its_own() -> None:
    """Siblings are named from the template; within a person's folder they need none."""
    assert derived_texts("img/{id}.jpg", ("{stem}.thumb.jpg", "{key}.md5")) == (
        "img/{id}.thumb.jpg",
        "img/{id}.jpg.md5",
    )
    assert derived_texts("c/{id}/", ("{key}.md5", "small/{key}")) == ("small/c/{id}/**",)
    assert derived_key("a/b.c/d.tar.gz", "x/{stem}") == "x/a/b.c/d.tar"
    assert derived_key("a.b/noext", "{stem}.t") == "a.b/noext.t"
    assert derived_key("a/.hidden", "{stem}.t") == "a/.hidden.t"
