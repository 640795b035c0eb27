"""What columns say together, where one by itself says too little.

In: a table and what each of its columns looks like. Out: the same, with what stands beside a name,
an address or a card, and without what only an organisation or a product would say of itself. Pure.
`state` alone is a status; beside `city` and `street` it is part of an address.
"""

from __future__ import annotations

from connectors.postgres.proposing.classifying import SURE, Look, Looks, Weight, alone
from connectors.postgres.proposing.inventory import Column, Table
from connectors.postgres.proposing.words import Part, means_person, part_of, vocabulary, worded
from dsr_worker.contract import Evidence

_ADDRESS = ("user.contact.address", "user.location")
_REGIONS = worded("region state province county canton prefecture bundesland kanton")
_PLACES = worded("address street house city town district postal country latitude lat")
_CARD = worded("month year digit digits expiry expires expiration issue valid last4 last start")
_CARD_TABLES = (worded("credit card"), worded("debit card"), worded("payment card"))
_OPAQUE = worded("data payload content contents body value")
_REACHES = ("user.contact.phone_number", "user.contact.fax_number", "user.job_title")
_ITS_OWN = Evidence("name.name")
"""`name`: in a table of organisations or products, the name of that."""


def beside(table: Table, looks: Looks) -> Looks:
    """The looks, with those that only their neighbours give."""
    found = {name: dict(inner) for name, inner in looks.items()}
    for column in table.columns.values():
        if () not in found.get(column.name, {}) and (look := _beside(table, column, looks)):
            found.setdefault(column.name, {})[()] = look
    return found


def on_their_own(table: Table, looks: Looks) -> Looks:
    """What counts where no reference says whose a row is: less, and least of what is no person's.

    Prose, places and a plain `name` count beside a person only. A table of organisations keeps who
    is named to speak for them, with what reaches that person; a table of products keeps addresses
    and numbers alone.
    """
    part = part_of(table.at[1])
    own = [look for name, path, look in alone(looks) if look.evidence[:1] != (_ITS_OWN,)]
    named = any(look.category == "user.name" and look.sure >= SURE for look in own)
    person = named or any(look.form for look in own)
    return {
        name: {
            path: look
            for path, look in inner.items()
            if _counts(look, part, named=named, person=person)
        }
        for name, inner in looks.items()
    }


def _counts(look: Look, part: Part, *, named: bool, person: bool) -> bool:
    code = look.evidence[0].code if look.evidence else ""
    held = code.startswith(("inside.", "form.")) and code != "form.prose"
    if part is Part.REFERENCE:
        return held or look.form == "email"
    if part is Part.ORGANISATION:
        if look.category == "user.name":
            return code != _ITS_OWN.code
        inside = any(e.code.startswith("inside.") for e in look.evidence)
        return look.form == "email" or inside or (named and look.category in _REACHES)
    if look.weight is Weight.ALONE or (look.free_text and code != "form.prose"):
        return True
    return person


def _beside(table: Table, column: Column, looks: Looks) -> Look | None:
    said = vocabulary(column.name)
    if not said or column.document or said[-1] in {"id", "at"}:
        return None
    words = tuple(word for word in said if word != "name")
    own = {name: inner[()] for name, inner in looks.items() if () in inner}
    if not column.textual:
        return _in_table(table, column, said)
    if words[-1:] and words[-1] in _REGIONS and _addressed(words[:-1], own):
        return _look("user.contact.address", 0.75, "beside.address")
    if said[-1] == "title" and all(map(means_person, said[:-1])) and _named(own):
        return _look("user.job_title", 0.65, "beside.name")
    if said[-1] == "extension" and any(look.form == "phone" for look in own.values()):
        return _look("user.contact.phone_number", 0.65, "beside.phone")
    return _in_table(table, column, said)


def _in_table(table: Table, column: Column, said: tuple[str, ...]) -> Look | None:
    """What the table's name makes of a column: the end of a card's validity, a session's data."""
    in_table = vocabulary(table.at[1])
    if any(_within(wanted, in_table) for wanted in _CARD_TABLES) and set(said) & _CARD:
        return _look("user.financial.credit_card", 0.75, "table.card") if _plain(column) else None
    if _within(frozenset({"session"}), in_table) and _OPAQUE & set(said) and column.textual:
        return Look("user.content", 0.5, Weight.ALONE, (Evidence("table.session"),))
    return None


def _look(category: str, sure: float, code: str) -> Look:
    return Look(category, sure, Weight.WITHIN, (Evidence(code),))


def _within(wanted: frozenset[str], said: tuple[str, ...]) -> bool:
    return wanted <= {word.removesuffix("s") for word in said}


def _plain(column: Column) -> bool:
    return column.textual or column.family == "int" or column.instant


def _addressed(prefix: tuple[str, ...], own: dict[str, Look]) -> bool:
    """Whether columns of the same beginning hold other parts of an address."""
    parts = {
        name
        for name, look in own.items()
        if look.category.startswith(_ADDRESS) and _begins(vocabulary(name), prefix)
    }
    return len(parts) > 1


def _begins(said: tuple[str, ...], prefix: tuple[str, ...]) -> bool:
    return said[: len(prefix)] == prefix and bool({*said[len(prefix) :][:1]} & _PLACES)


def _named(own: dict[str, Look]) -> bool:
    return any(
        look.category == "user.name" and look.evidence[:1] != (_ITS_OWN,) for look in own.values()
    )
