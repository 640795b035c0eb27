"""What columns say together, where one by itself says too little.

In: a table and what each of its columns looks like. Out: the same, with what stands beside a name,
an address or a card, and without what only an organisation or a product would say of itself. Pure.
`state` alone is a status; beside `city` and `street` it is part of an address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from connectors.naming.classifying import (
    ROLE_MAILBOX,
    SURE,
    Look,
    Looks,
    Weight,
    alone,
    plainly_named,
)
from connectors.naming.forms import Seen
from connectors.naming.hints import means_person, vocabulary
from connectors.naming.words import (
    Part,
    is_of_a_catalogue,
    part_of_a_transaction,
    singular,
    worded,
    words,
)
from connectors.postgres.proposing.inventory import Column, Table, of_any_kind
from dsr_worker.contract import Evidence

_ADDRESS = ("user.contact.address", "user.location")
_REGIONS = worded("region state province county canton prefecture bundesland kanton")
_PLACES = worded("address street house city town district postal country latitude lat")
_CARD = worded("month year digit digits expiry expires expiration issue valid last4 last start")
_CARD_TABLES = (worded("credit card"), worded("debit card"), worded("payment card"))
_OPAQUE = worded("data payload content contents body value")
_REACHES = ("user.contact.phone_number", "user.contact.fax_number", "user.job_title")
_CHANGES = worded("audit change changelog history revision version")
_CHANGED = worded("after before change changed changes diff from new object old to value")
_DIGESTS = worded("checksum digest fingerprint hash md sha")
_FILES = _OPAQUE | worded("blob bytes file raw")
_FILE_NAMES = frozenset({("filename",), ("file", "name"), ("original", "filename")})
_DEVICES = worded("browser client device model name os platform")
_OPEN = worded("additional custom extra extras")
_OF_THINGS = worded("description image label name subtitle thumbnail title unit variant product")
_UPLOADS = worded("attachment document file image photo picture upload")
_VOUCHERS = (worded("gift card"), worded("voucher"), worded("store credit"))
_HELD_BY_ANY = ("user.authorization", "user.name", "user.contact")
_REACHING = frozenset({"inside.email", "inside.phone"})
_UPLOADED = frozenset({"beside.digest", "beside.size"})
_ITS_OWN = Evidence("name.name")
"""`name`: in a table of organisations or products, the name of that."""


def beside(table: Table, looks: Looks) -> Looks:
    """The looks, with those that only their neighbours give."""
    found = {name: dict(inner) for name, inner in looks.items()}
    for column in table.columns.values():
        own = found.get(column.name, {}).get(())
        nothing = own is None or own.weight is Weight.NONE
        if nothing and (look := _beside(table, column, looks)):
            found.setdefault(column.name, {})[()] = look
    return found


def in_a_persons_row(table: Table, looks: Looks, seen: Mapping[str, Seen]) -> Looks:
    """The looks, with what says something of a person in the person's own row only.

    Addresses of pages and pictures, each another, and documents for whatever else is known.
    """
    found = {name: dict(inner) for name, inner in looks.items()}
    for column in table.columns.values():
        inner = found.setdefault(column.name, {})
        if () in inner and inner[()].weight is not Weight.NONE:
            continue
        sample = seen.get(column.name, Seen())
        if sample.share("url") >= SURE and not sample.repeats:
            inner[()] = _look("user.content", 0.5, "person.url")
        elif _is_a_code(column, sample) and column.name not in table.key:
            inner[()] = _look("user.unique_id", 0.5, "person.code")
        elif column.document and _OPEN & set(vocabulary(column.name)):
            inner[()] = Look("user.content", 0.5, Weight.WITHIN, (Evidence("person.document"),))
    return found


def _is_a_code(column: Column, sample: Seen) -> bool:
    """Whether values tell rows apart as numbers of passports, cards and members do."""
    return sample.share("code") >= SURE and not sample.repeats and not plainly_named(column.name)


def describes_a_thing(table: Table, column: str) -> bool:
    """Whether a column of a line copies what was sold: the title beside a product's number."""
    said = set(vocabulary(column))
    line = part_of_a_transaction(table.at[1]) and any(map(is_of_a_catalogue, table.columns))
    return line and bool(said) and said <= _OF_THINGS


def on_their_own(table: Table, part: Part, looks: Looks) -> Looks:
    """What counts where no reference says whose a row is: less, and least of what is no person's.

    Prose, places and a plain `name` count beside a person only. A table of organisations keeps who
    is named to speak for them, with what reaches that person; a table of products or of what the
    software needs keeps addresses and numbers alone. Where a row may belong to any kind of thing,
    secrets, names and prose count as well.
    """
    own = [look for name, path, look in alone(looks) if look.evidence[:1] != (_ITS_OWN,)]
    named = any(look.category == "user.name" and look.sure >= SURE for look in own)
    person = named or any(look.form or _holds(look) for look in own)
    kept = {
        name: {
            path: look
            for path, look in inner.items()
            if _counts(look, part, named=named, person=person)
        }
        for name, inner in looks.items()
    }
    if part is not Part.OTHER or not any(of_any_kind(table, name) for name in table.columns):
        return kept
    return {name: inner | dict(_of_any(looks.get(name, {}))) for name, inner in kept.items()}


def _of_any(inner: Mapping[tuple[str, ...], Look]) -> Iterator[tuple[tuple[str, ...], Look]]:
    """What a row of any kind of owner would hold of a person, surely enough to be looked at."""
    for path, look in inner.items():
        secret = look.sure >= SURE and look.category.startswith(_HELD_BY_ANY)
        if look.evidence[:1] != (_ITS_OWN,) and (secret or look.free_text):
            told = (*look.evidence, Evidence("any_owner"))
            yield path, replace(look, sure=min(look.sure, 0.5), weight=Weight.ALONE, evidence=told)


def _holds(look: Look) -> bool:
    return any(evidence.code in _REACHING for evidence in look.evidence)


def _counts(look: Look, part: Part, *, named: bool, person: bool) -> bool:
    code = look.evidence[0].code if look.evidence else ""
    if code in _UPLOADED:
        return True
    if part is Part.ORGANISATION:
        return _speaks_for_it(look, code, named=named)
    if part in {Part.REFERENCE, Part.SYSTEM}:
        held = code.startswith(("inside.", "form.")) and code != "form.prose"
        return (held or look.form == "email") and not _of_a_role(look)
    return look.weight is Weight.ALONE or (look.free_text and code != "form.prose") or person


def _speaks_for_it(look: Look, code: str, *, named: bool) -> bool:
    """Whether a look in an organisation's row is of the person who speaks for it."""
    if look.category == "user.name":
        return code != _ITS_OWN.code
    reaches = look.category in _REACHES or _of_a_role(look)
    return _holds(look) or (named if reaches else look.form == "email")


def _of_a_role(look: Look) -> bool:
    return any(evidence.code == ROLE_MAILBOX for evidence in look.evidence)


def _beside(table: Table, column: Column, looks: Looks) -> Look | None:
    said = vocabulary(column.name)
    if not said or column.document or said[-1] in {"id", "at"}:
        return None
    own = {name: inner[()] for name, inner in looks.items() if () in inner}
    return (
        (_completing(table, said, own) if column.textual else None)
        or _in_table(table, column, said)
        or _of_its_kind(table, column, said)
        or _file(table, column, said)
    )


def _completing(table: Table, said: tuple[str, ...], own: Mapping[str, Look]) -> Look | None:
    """What completes a neighbour: a number at a provider, a region, a title, an extension."""
    if said == ("uid",) and {"provider", "issuer"} & set(table.columns):
        return _look("user.unique_id", 0.6, "beside.provider")
    plain = tuple(word for word in said if word != "name")
    if plain[-1:] and plain[-1] in _REGIONS and _addressed(plain[:-1], own):
        return _look("user.contact.address", 0.75, "beside.address")
    if said[-1] == "title" and all(map(means_person, said[:-1])) and _named(own):
        return _look("user.job_title", 0.65, "beside.name")
    if said[-1] == "extension" and any(look.form == "phone" for look in own.values()):
        return _look("user.contact.phone_number", 0.65, "beside.phone")
    return None


def _in_table(table: Table, column: Column, said: tuple[str, ...]) -> Look | None:
    """What the table's name makes of a column: the end of a card's validity, a session's data."""
    in_table = vocabulary(table.at[1])
    if any(_within(wanted, in_table) for wanted in _CARD_TABLES) and set(said) & _CARD:
        return _look("user.financial.credit_card", 0.75, "table.card") if _plain(column) else None
    if _within(frozenset({"session"}), in_table) and _OPAQUE & set(said) and column.textual:
        return Look("user.content", 0.5, Weight.ALONE, (Evidence("table.session"),))
    if _CHANGES & {singular(word) for word in in_table[-1:]} and set(said) <= _CHANGED:
        return Look("user.content", 0.5, Weight.ALONE, (Evidence("table.changes"),))
    return None


def _of_its_kind(table: Table, column: Column, said: tuple[str, ...]) -> Look | None:
    """What is somebody's by what its table holds: uploads, vouchers, devices."""
    in_table = vocabulary(table.at[1])
    if not column.textual:
        return None
    if said == ("url",) and _UPLOADS & {singular(word) for word in in_table[-1:]}:
        return _look("user.content", 0.5, "table.upload")
    if said == ("code",) and any(_within(wanted, in_table) for wanted in _VOUCHERS):
        return _look("user.financial", 0.5, "table.voucher")
    if "device" in map(singular, in_table) and _DEVICES & set(said):
        return _look("user.device", 0.65, "table.device")
    return None


def _file(table: Table, column: Column, said: tuple[str, ...]) -> Look | None:
    """What somebody may have uploaded: bytes beside their digest, a file's name beside its size."""
    beside = {word for name in table.columns for word in vocabulary(name)}
    if column.base == "bytea" and _FILES & set(said) and _DIGESTS & beside:
        return Look("user.content", 0.5, Weight.ALONE, (Evidence("beside.digest"),))
    if column.textual and words(column.name) in _FILE_NAMES and {"size", "bytes", "mime"} & beside:
        return Look("user.content", 0.5, Weight.ALONE, (Evidence("beside.size"),))
    return None


def _look(category: str, sure: float, code: str) -> Look:
    return Look(category, sure, Weight.WITHIN, (Evidence(code),))


def _within(wanted: frozenset[str], said: tuple[str, ...]) -> bool:
    return wanted <= {word.removesuffix("s") for word in said}


def _plain(column: Column) -> bool:
    return column.textual or column.family == "int" or column.instant


def _addressed(prefix: tuple[str, ...], own: Mapping[str, Look]) -> bool:
    """Whether columns of the same beginning hold other parts of an address."""
    parts = {
        name
        for name, look in own.items()
        if look.category.startswith(_ADDRESS) and _begins(vocabulary(name), prefix)
    }
    return len(parts) > 1


def _begins(said: tuple[str, ...], prefix: tuple[str, ...]) -> bool:
    return said[: len(prefix)] == prefix and bool({*said[len(prefix) :][:1]} & _PLACES)


def _named(own: Mapping[str, Look]) -> bool:
    return any(
        look.category == "user.name" and look.evidence[:1] != (_ITS_OWN,) for look in own.values()
    )
