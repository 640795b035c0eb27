"""What a person's names are equal to: never somebody else's."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_worker.domain import identity
from dsr_worker.domain.identity import (
    ClaimRules,
    IdentityRefused,
    ascii_lower,
    canonical_stored,
    claimed,
)

KINDS = ("email", "phone", "customer_number")

REFUSED = [
    ("email", "", "empty"),
    ("email", "  \t", "empty"),
    ("email", "\u00a0", "empty"),
    ("email", "null", "null_like"),
    ("email", "NULL", "null_like"),
    ("email", "none", "null_like"),
    ("email", "None", "null_like"),
    ("email", "n/a", "null_like"),
    ("email", "N/A", "null_like"),
    ("email", "nan", "null_like"),
    ("email", "unknown", "null_like"),
    ("email", "undefined", "null_like"),
    ("email", "-", "null_like"),
    ("email", "0", "null_like"),
    ("email", "000", "null_like"),
    ("email", "none@none.example", "null_like"),
    ("email", "%", "wildcard"),
    ("email", "%%", "wildcard"),
    ("email", "*", "wildcard"),
    ("email", "_", "wildcard"),
    ("email", "%@%", "wildcard"),
    ("email", "*@*.*", "wildcard"),
    ("email", "%@mail.example", "wildcard"),
    ("email", "a" * 10_000 + "@mail.example", "too_long"),
    ("email", "ö" * 200 + "@mail.example", "too_long"),
    ("email", "mara", "malformed"),
    ("email", "@mail.example", "malformed"),
    ("email", "mara@", "malformed"),
    ("email", "mara@localhost", "malformed"),
    ("email", "mara@mail..example", "malformed"),
    ("email", "mara@[127.0.0.1]", "malformed"),
    ("email", "mara@-.example", "malformed"),
    ("email", "mara@%.example", "malformed"),
    ("email", "mara@MÜLLER.example", "malformed"),
    ("email", "Mara <mara@mail.example>", "malformed"),
    ("email", "mara@mail.example, pia@mail.example", "malformed"),
    ("email", "mara pia@mail.example", "malformed"),
    ("email", "mara@mail.example'; DROP TABLE customers;--", "malformed"),
    ("email", "mara\u200b@mail.example", "hidden_characters"),
    ("email", "mara\u202e@mail.example", "hidden_characters"),
    ("email", "mara\x00@mail.example", "hidden_characters"),
    ("email", "mara@mail.example\r\nBcc: pia@mail.example", "hidden_characters"),
    ("email", "mara@m\u00adail.example", "hidden_characters"),
    ("email", "mara@m\u0430il.example", "mixed_script"),
    ("email", "mara@\u043cail.example", "mixed_script"),
    ("email", "mi\u212ae@mail.example", "mixed_script"),
    ("email", "mike@mail.e\u212aample", "mixed_script"),
    ("email", "noreply@mail.example", "role_address"),
    ("email", "No-Reply+x@mail.example", "role_address"),
    ("email", "postmaster@mail.example", "role_address"),
    ("phone", "", "empty"),
    ("phone", "0", "null_like"),
    ("phone", "00000000", "null_like"),
    ("phone", "unknown", "null_like"),
    ("phone", "%", "wildcard"),
    ("phone", "+49 (0)30 123456", "malformed"),
    ("phone", "1234", "malformed"),
    ("phone", "+1234567890123456", "malformed"),
    ("phone", "030 123456 ext 7", "malformed"),
    ("phone", "+49\u066030123456", "malformed"),
    ("phone", "++49 30 123456", "malformed"),
    ("customer_number", "", "empty"),
    ("customer_number", "null", "null_like"),
    ("customer_number", "n/a", "null_like"),
    ("customer_number", "_", "wildcard"),
    ("customer_number", "%", "wildcard"),
    ("customer_number", "1%", "characters"),
    ("customer_number", "../10", "path"),
    ("customer_number", "10/", "path"),
    ("customer_number", "..", "path"),
    ("customer_number", "..\\10", "path"),
    ("customer_number", "1 OR 1=1", "characters"),
    ("customer_number", "1' OR '1'='1", "characters"),
    ("customer_number", "Robert'); DROP TABLE customers;--", "characters"),
    ("customer_number", "\u0661", "characters"),
    ("customer_number", "1" * 65, "characters"),
    ("customer_number", "x" * 10_240, "too_long"),
    ("Kind!", "1", "kind"),
]

ACCEPTED = [
    ("email", "Anna@Shop.Example", "anna@shop.example"),
    ("email", " mara@mail.example\n", "mara@mail.example"),
    ("email", "a_b@mail.example", "a_b@mail.example"),
    ("email", "mara+news@mail.example", "mara+news@mail.example"),
    ("email", "m.a.r.a@mail.example", "m.a.r.a@mail.example"),
    ("email", "o'brien@mail.example", "o'brien@mail.example"),
    ("email", '"Mara Pia"@mail.example', '"mara pia"@mail.example'),
    ("email", "mara@müller.example", "mara@xn--mller-kva.example"),
    ("email", "mara@xn--mller-kva.example", "mara@xn--mller-kva.example"),
    ("email", "MÜLLER@mail.example", "mÜller@mail.example"),
    ("email", "mu\u0308ller@mail.example", "m\u00fcller@mail.example"),
    ("phone", "+49 (30) 123-456", "+4930123456"),
    ("phone", "030/123456", "030123456"),
    ("customer_number", "0", "0"),
    ("customer_number", "007", "007"),
    ("customer_number", "A_b-1", "A_b-1"),
]

DIFFERENT = [
    ("email", "mara@mail.example", "mara+x@mail.example"),
    ("email", "mara@mail.example", "m.ara@mail.example"),
    ("email", "mike@mail.example", "mi\u212ae@mail.example"),
    ("email", "straße@mail.example", "strasse@mail.example"),
    ("email", "\u017fam@mail.example", "sam@mail.example"),
    ("email", "ﬁn@mail.example", "fin@mail.example"),
    ("email", "Österreich@mail.example", "österreich@mail.example"),
    ("email", "m\u0430ra@mail.example", "mara@mail.example"),
    ("email", "mara\u200b@mail.example", "mara@mail.example"),
    ("email", "İ@mail.example", "i@mail.example"),
    ("email", "a@straße.example", "a@strasse.example"),
    ("email", "a_b@mail.example", "axb@mail.example"),
    ("phone", "+49 30 123456", "030 123456"),
    ("phone", "+49 30 123456", "49 30 123456"),
    ("customer_number", "1", "01"),
    ("customer_number", "A1", "a1"),
    ("customer_number", "17", " 17"),
]


@pytest.mark.parametrize(("kind", "value", "code"), REFUSED)
def test_hostile_claims_are_refused_with_a_code_and_a_remedy(
    kind: str, value: str, code: str
) -> None:
    """What cannot name one person is refused, and the refusal never repeats the value."""
    with pytest.raises(IdentityRefused) as refused:
        claimed(kind, value)
    assert refused.value.code == code
    assert refused.value.remedy
    if len(value.strip()) > 8:
        assert value not in str(refused.value)


@pytest.mark.parametrize(("kind", "value", "canonical"), ACCEPTED)
def test_claims_take_their_canonical_form(kind: str, value: str, canonical: str) -> None:
    """Only case of ASCII letters, composition, IDNA and a phone's punctuation are evened out."""
    assert claimed(kind, value).value == canonical


@pytest.mark.parametrize(("kind", "one", "other"), DIFFERENT)
def test_look_alikes_stay_different_people(kind: str, one: str, other: str) -> None:
    """Two values that two people can own never have one canonical form."""
    assert canonical_stored(kind, one) != canonical_stored(kind, other)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("email", v) for v in ("", " ", "null", "NONE", "unknown", "0", "mara", "@", "a@")),
        *(("phone", v) for v in ("", "0", "000000", "n/a", "1234", "030 1 or 2", "030123,030124")),
        *(("customer_number", v) for v in ("", " \t", "null", "unknown")),
    ],
)
def test_stored_placeholders_name_nobody(kind: str, value: str) -> None:
    """A placeholder in a table is shared by many rows and equals no claim."""
    assert canonical_stored(kind, value) is None


@pytest.mark.parametrize("code_point", ["\u212a", "\u037e", "\u1fef"])
def test_composition_never_makes_ascii(code_point: str) -> None:
    """The three letters that NFC turns into ASCII are kept as they are."""
    assert unicodedata.normalize("NFC", code_point).isascii()
    canonical = canonical_stored("email", f"a{code_point}b@mail.example")
    assert canonical is not None
    assert code_point in canonical


def test_no_other_letter_becomes_ascii_by_composition() -> None:
    """The list of letters that NFC turns into ASCII is complete for this Unicode version."""
    letters = (chr(number) for number in range(0x80, 0x110000))
    found = {letter for letter in letters if unicodedata.normalize("NFC", letter).isascii()}
    assert found == {"\u212a", "\u037e", "\u1fef"}


def test_houses_add_their_own_denied_addresses() -> None:
    """The deny list is the house's to set, by mailbox and by whole domain."""
    rules = ClaimRules(frozenset({"kasse"}), frozenset({"shop.example"}))
    for value in ("Kasse@mail.example", "mara@Shop.Example"):
        with pytest.raises(IdentityRefused, match="role_address"):
            claimed("email", value, rules)
    assert claimed("email", "noreply@mail.example", rules).value == "noreply@mail.example"


@given(st.sampled_from(KINDS), st.text(max_size=60))
def test_canonical_forms_are_idempotent(kind: str, value: str) -> None:
    """The canonical form of a canonical form is itself."""
    canonical = canonical_stored(kind, value)
    if canonical is not None:
        assert canonical_stored(kind, canonical) == canonical


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_local_parts_merge_only_by_ascii_case_and_composition(one: str, other: str) -> None:
    """Equal canonical mail means equal text after ASCII lowering and canonical composition."""
    forms = [canonical_stored("email", f"x{text}y@mail.example") for text in (one, other)]
    if forms[0] is not None and forms[0] == forms[1]:
        plain = [
            unicodedata.normalize("NFC", ascii_lower(unicodedata.normalize("NFC", text)))
            for text in (f"x{one}y", f"x{other}y")
        ]
        assert plain[0] == plain[1]


@given(st.emails())
def test_ascii_case_never_matters_in_mail(address: str) -> None:
    """An address on file in other ASCII case is found."""
    upper = "".join(c.upper() if c.isascii() else c for c in address)
    assert canonical_stored("email", upper) == canonical_stored("email", address)


@given(st.sampled_from(KINDS), st.text(max_size=40))
def test_claims_are_refused_or_canonical(kind: str, value: str) -> None:
    """Whatever is stated ends as a refusal or as a value that equals itself on file."""
    try:
        identity = claimed(kind, value)
    except IdentityRefused:
        return
    assert canonical_stored(kind, identity.value) == identity.value


@given(st.text(alphabet="aZ0._-@+%\\\"' \u00fc\u212a\x00\x7f", max_size=12))
def test_a_plain_address_is_what_the_long_way_makes_of_it(text: str) -> None:
    """The short way for addresses in plain ASCII changes nothing about what is equal."""
    told = canonical_stored("email", text)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(identity, "_PLAIN_MAIL", re.compile("(?!)"))
        assert canonical_stored("email", text) == told
