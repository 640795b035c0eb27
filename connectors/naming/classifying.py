"""What a column or field holds, by its name, its type and what its sample looked like.

In: a column, what was seen of it. Out: `Look`s: a data category with evidence and a confidence,
for the column and for the places inside its documents. Pure. A name and a sample that agree are
sure; one alone is less; two that contradict each other are for a person to settle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Protocol

from connectors.naming.forms import Seen
from connectors.naming.hints import Hint, hint, names_a_person_elsewhere, names_a_thing
from connectors.naming.words import means_staff, worded, words
from dsr_worker.contract import Evidence

SURE = 0.7
"""Below this a proposal is marked `review`."""
_MOST, _SOME, _FEW = 0.8, 0.3, 0.1
_UNSURE = 0.5
_ENOUGH = 3  # values, before a sample says anything
ROLE_MAILBOX = "form.role_mailbox"
COMPANY = "form.company"


class Column(Protocol):
    """A column, or a field, as its store describes it; types by the names that Postgres gives."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def base(self) -> str:
        """The name of its type."""
        ...

    @property
    def kind(self) -> str:
        """The kind of its type: e for one of listed values, b for any other plain one."""
        ...

    @property
    def element(self) -> str | None:
        """The type of an array's elements; None where it is no array."""
        ...

    @property
    def textual(self) -> bool:
        """Whether it holds text of one line or many."""
        ...

    @property
    def document(self) -> bool:
        """Whether values have an inside: JSON, arrays, rows."""
        ...

    @property
    def instant(self) -> bool:
        """Whether a period can be counted from it."""
        ...


class Weight(IntEnum):
    """How personal a look is: alone, only within a person's rows, or not at all."""

    NONE = 0
    WITHIN = 1
    ALONE = 2


@dataclass(frozen=True, slots=True)
class Look:
    """What a column, or a place inside it, looks like."""

    category: str
    sure: float
    weight: Weight
    evidence: tuple[Evidence, ...] = ()
    free_text: bool = False
    third_party: bool = False
    inside: bool = False  # within an array, or where no path reaches

    @property
    def form(self) -> str | None:
        """The identity kind that it could be found by."""
        if self.inside:
            return None
        return {"user.contact.email": "email", "user.contact.phone_number": "phone"}.get(
            self.category
        )


_FORMS = {
    "email": ("user.contact.email", 0.95),
    "ip": ("user.device.ip_address", 0.9),
    "iban": ("user.financial.bank_account", 0.95),
    "card": ("user.financial.credit_card", 0.75),
    "phone": ("user.contact.phone_number", 0.6),
}
"""A form's category, and how sure it is without a name that says the same."""

_ONLY_WITHIN = frozenset(
    {
        "user.content",
        "user.contact.address.city",
        "user.contact.address.country",
        "user.contact.address.postal_code",
        "user.demographic.language",
        "user.demographic.gender",
        "user.location.imprecise",
        "user.location.precise",
        "user.financial",
        "user.job_title",
        "user.device.device_id",
        "user.authorization.credentials",
        "user.biometric",
    }
)
_DATES = frozenset({"user.demographic.date_of_birth"})
_NUMBERS = frozenset(
    {
        "user.contact.phone_number",
        "user.contact.fax_number",
        "user.financial",
        "user.financial.credit_card",
        "user.financial.bank_account",
        "user.government_id.national_identification_number",
        "user.location.precise",
        "user.authorization.password",
    }
)
_NUMERIC = frozenset({"int2", "int4", "int8", "numeric", "float4", "float8", "money"})
_PLAIN = worded(
    "amount class code currency flag format gross kind level locale method mode net number nr"
    " positions priority quantity rank rating rate score size sku source stage state status step"
    " tax total type unit vat version year points price stars items sort position weight hash"
    " checksum slug uri url event reason_code provider plan channel category tags carrier"
    " permalink shortcode blurhash settings preferences config configuration condition conditions"
    " criteria params query md5 sha digest"
)


def looks(column: Column, seen: Seen) -> dict[tuple[str, ...], Look]:
    """What a column looks like, by path within it; its own look is under ()."""
    found: dict[tuple[str, ...], Look] = {}
    if column.document:
        for path, leaf in seen.paths.items():
            look = _look(path[-1], leaf, hint(path[-1]))
            if look is not None and look.weight is not Weight.NONE:
                found[path] = _marked(look, path[-1])
        deep = _deep(column, seen)
        if deep is not None:
            found[()] = deep
        return found
    suggested = hint(column.name)
    if suggested is not None and not _fits(column, suggested):
        suggested = None
    look = _look(column.name, seen, suggested)
    if look is None and column.textual and names_a_person_elsewhere(column.name):
        evidence = (Evidence("name.elsewhere"),)
        look = Look("user.unique_id", 0.6, Weight.WITHIN, evidence)
    if look is None and column.base in {"inet", "cidr"}:
        evidence = (Evidence(f"type.{column.base}"),)
        look = Look("user.device.ip_address", 0.75, Weight.ALONE, evidence)
    if look is not None:
        found[()] = _marked(look, column.name)
    return found


def unknown(column: Column, seen: Seen) -> bool:
    """Whether nobody can say what a column of a person's rows holds without looking."""
    said, plain = words(column.name), plainly_named(column.name)
    if column.document:
        return not plain and column.element not in _NUMERIC and not _kinds(seen)
    if seen.share("document") >= _MOST and _kinds(seen):
        return False
    if not column.textual or column.kind == "e" or plain or _of_a_thing(said):
        return False
    if seen.values < _ENOUGH:
        return True
    if said[-1] == "key":
        return seen.share("token") >= _MOST
    keys = (seen.share(form) for form in ("uuid", "number", "code", "mail_id"))
    return not seen.repeats and max(keys) < _MOST


def plainly_named(name: str) -> bool:
    """Whether a column's name says that it holds an amount, a kind, a state or a setting."""
    return bool(set(words(name)) & _PLAIN)


def _kinds(seen: Seen) -> bool:
    """Whether a document holds nothing but numbers and single words of a short list."""
    parts = [*seen.paths.values(), *(p for p in (seen.elements, seen.hidden) if p is not None)]
    told = [part for part in parts if part.values]
    return bool(told) and all(
        max(p.share("number"), p.share("code")) >= _MOST
        or (p.repeats and p.share("words") + p.share("prose") < _FEW)
        for p in told
    )


def _of_a_thing(said: tuple[str, ...]) -> bool:
    """Whether a name is plainly that of a thing: `fee_name`; a file's may be a person's work."""
    return said[-1] == "name" and len(said) > 1 and names_a_thing(said)


def _marked(look: Look, name: str) -> Look:
    named = look.category.startswith(("user.name", "user.contact"))
    return replace(look, third_party=named and means_staff(words(name)))


def _fits(column: Column, suggested: Hint) -> bool:  # noqa: PLR0911 - a table of types
    """Whether a type can hold what the name promises: `email_verified_at` is no address."""
    if column.textual:
        return True
    if column.kind == "e":
        return suggested.category == "user.demographic.gender"
    if column.base in _NUMERIC:
        return suggested.category in _NUMBERS and not suggested.free_text
    if column.instant:
        return suggested.category in _DATES
    if column.base in {"inet", "cidr"}:
        return suggested.category == "user.device.ip_address"
    if column.base == "point":
        return suggested.category == "user.location.precise"
    return column.base == "bytea" and suggested.category in {
        "user.biometric", "user.content", "user.authorization.password",
        "user.authorization.credentials",
    }  # fmt: skip


def _look(name: str, seen: Seen, suggested: Hint | None) -> Look | None:
    by_form = _by_form(seen)
    if by_form is not None:
        return _agreed(by_form, suggested, seen)
    embedded = _embedded(seen)
    if suggested is None and seen.naming >= max(_ENOUGH, _MOST * seen.nameable):
        evidence = (Evidence("contains.name", seen.naming, seen.nameable),)
        return Look("user.account.username", 0.75, Weight.WITHIN, evidence)
    if suggested is None:
        if embedded and not set(words(name)) & {"hash", "token"} and seen.share("mail_id") < _MOST:
            return Look("user.content", 0.6, Weight.ALONE, embedded, free_text=True)
        if seen.values >= _ENOUGH and seen.share("prose") >= 0.5:  # noqa: PLR2004 - most of it
            evidence = (_counted("form.prose", seen, "prose"),)
            return Look("user.content", 0.6, Weight.WITHIN, evidence, free_text=True)
        return _in_text(seen)
    return _by_name(suggested, seen, embedded)


def _in_text(seen: Seen) -> Look | None:
    """What stands in documents that a text column holds."""
    if seen.elements is None or seen.share("document") < _MOST:
        return None
    addresses = seen.elements.forms.get("ip", 0) + seen.elements.inside.get("ip", 0)
    if addresses:
        evidence = (Evidence("deep.ip", addresses, seen.elements.values),)
        return Look("user.content", _UNSURE, Weight.ALONE, evidence, free_text=True)
    if seen.elements.share("prose") >= _SOME:
        evidence = (_counted("deep.prose", seen.elements, "prose"),)
        return Look("user.content", _UNSURE, Weight.WITHIN, evidence, free_text=True)
    return None


def _by_form(seen: Seen) -> tuple[str, float] | None:
    """The form that most values have, or many of them have where it matters."""
    if seen.values < _ENOUGH:
        return None
    for form in _FORMS:
        share = seen.share(form)
        if share >= _MOST or (form == "email" and share >= _SOME):
            return form, share
    return None


def _agreed(by_form: tuple[str, float], suggested: Hint | None, seen: Seen) -> Look:
    form, share = by_form
    category, sure = _FORMS[form]
    named = () if suggested is None else (Evidence(suggested.code),)
    evidence = (*named, _counted(f"form.{form}", seen, form))
    if share < _MOST:
        sure = 0.6
    elif suggested is not None and suggested.category == category:
        sure = 0.98
    elif suggested is not None and suggested.sure >= SURE and form not in {"email", "iban"}:
        category, sure = suggested.category, 0.6  # name and sample say different things
    weight = Weight.ALONE if form != "phone" or sure >= SURE else Weight.WITHIN
    roles = seen.inside.get("role_mailbox", 0)
    if form == "email" and roles >= _MOST * seen.forms["email"]:
        told = (*evidence, Evidence(ROLE_MAILBOX, roles, seen.values))
        return Look(category, _UNSURE, Weight.WITHIN, told)
    return Look(category, sure, weight, evidence)


def _by_name(suggested: Hint, seen: Seen, embedded: tuple[Evidence, ...]) -> Look:
    category = suggested.category
    sure, counted = _borne_out(suggested, seen)
    weight = Weight.WITHIN
    if embedded or (sure >= SURE and category not in _ONLY_WITHIN):
        weight = Weight.ALONE
    if suggested.free_text:
        sure = max(sure, SURE) if embedded or seen.share("prose") > 0 else sure
    if sure < _SOME:
        weight = Weight.NONE
    free = suggested.free_text or bool(embedded)
    evidence = (Evidence(suggested.code), *embedded, *counted)
    return Look(category, round(sure, 2), weight, evidence, free_text=free)


def _borne_out(suggested: Hint, seen: Seen) -> tuple[float, tuple[Evidence, ...]]:
    """How sure a name is after its sample, and what was counted."""
    sure, category = suggested.sure, suggested.category
    if category == "user.device.ip_address" and (held := seen.inside.get("ip", 0)):
        return sure, (Evidence("inside.ip", held, seen.values),)  # several in one value
    if category in {form for form, _ in _FORMS.values()} and seen.values >= _ENOUGH:
        form = next(f for f, (c, _) in _FORMS.items() if c == category)
        if form in {"email", "ip"} or seen.share("word") > _SOME:
            sure = min(sure, _UNSURE)  # the name promises what the sample does not show
        return sure, (_counted(f"form.{form}", seen, form),)
    if category == "user.name" and seen.share("company") >= _SOME:
        return min(sure, _UNSURE), (_counted(COMPANY, seen, "company"),)
    if category == "user.contact.address.country" and seen.share("country") >= _MOST:
        return 0.95, (_counted("form.country", seen, "country"),)
    if seen.values < _ENOUGH:
        return min(sure, 0.85), (Evidence("no_sample"),)
    kind = seen.repeats and sure < SURE and not (suggested.free_text and seen.share("prose"))
    return (_FEW if kind else sure), ()


def _embedded(seen: Seen) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(f"inside.{form}", matched, seen.values)
        for form, matched in sorted(seen.inside.items())
        if matched and form in {"email", "phone"}
    )


def _deep(column: Column, seen: Seen) -> Look | None:
    """What lies in a document where no path leads: in arrays, under keys that are data."""
    evidence: list[Evidence] = []
    weight = Weight.NONE
    for code, part in (("array", seen.elements), ("deep", seen.hidden)):
        if part is None:
            continue
        for form in ("email", "phone", "ip", "iban"):
            matched = part.forms.get(form, 0) + part.inside.get(form, 0)
            if matched:
                evidence.append(Evidence(f"{code}.{form}", matched, part.values))
                weight = Weight.ALONE
    suggested = hint(column.name)
    if suggested is not None and suggested.sure >= SURE:
        evidence.insert(0, Evidence(suggested.code))
        weight = max(weight, Weight.ALONE)
    if seen.forms.get("cut"):
        evidence.append(Evidence("document.cut", seen.forms["cut"], seen.values))
        weight = max(weight, Weight.WITHIN)
    if weight is Weight.NONE:
        return None
    category = suggested.category if suggested else "user.content"
    return Look(category, 0.5, weight, tuple(evidence), inside=True)


def _counted(code: str, seen: Seen, form: str) -> Evidence:
    return Evidence(code, seen.forms.get(form, 0), seen.values)


Looks = Mapping[str, Mapping[tuple[str, ...], Look]]
"""Of one table: column, path within it, look."""


def alone(looks: Looks) -> list[tuple[str, tuple[str, ...], Look]]:
    """The looks of a table that make its rows a person's by themselves."""
    return [
        (name, path, look)
        for name, inner in looks.items()
        for path, look in inner.items()
        if look.weight is Weight.ALONE
    ]
