"""What names of tables and references say: their words, and what those words usually stand for.

In: names as the catalogue has them, in any spelling. Out: words, the part a table plays, what a
reference means. Pure: nothing is read, and a name alone never decides; the samples do. What names
of columns promise stands in `hints`.
"""

from __future__ import annotations

import re
from enum import StrEnum

_BORDERS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9À-ɏ]+")
_ENDS = (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("people", "person"))


def worded(text: str) -> frozenset[str]:
    """A set of words, written in one line."""
    return frozenset(text.split())


class Part(StrEnum):
    """What rows of a table are, as far as its name tells."""

    CUSTOMER = "customer"
    STAFF = "staff"
    ORGANISATION = "organisation"
    REFERENCE = "reference"  # what customers are referred to: products, countries
    SYSTEM = "system"  # what the software needs to run: settings, jobs, webhooks, channels
    OTHER = "other"


def words(name: str) -> tuple[str, ...]:
    """The words of a name, lowered: `billToEmail` and `BILL_TO_EMAIL` are bill, to, email."""
    spaced = name if not name.isupper() else name.lower()
    return tuple(part.lower() for part in _BORDERS.split(spaced) if part)


def singular(word: str) -> str:
    """A word's singular, roughly: customers, countries, addresses, people."""
    for ending, replaced in _ENDS:
        if word.endswith(ending):
            return word[: -len(ending)] + replaced
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


CUSTOMERS = worded(
    "account buyer client contact customer consumer donor guest kunde member patient party patron"
    " people person profile shopper subscriber student user kunden mitglied client cliente"
)
STAFF = worded(
    "admin administrator agent clerk employee mitarbeiter operator personnel seller staff"
    " salesperson technician teacher worker"
)
ORGANISATIONS = worded(
    "agency branch brand business carrier company dealer department"
    " distributor enterprise institution location manufacturer merchant"
    " organisation organization partner provider publisher retailer school server shipper shop"
    " store supplier team tenant university vendor warehouse workspace office"
)
REFERENCES = worded(
    "actor album article artist attribute author book catalog catalogue category city color"
    " colour country coupon currency discount feature film genre holiday"
    " inventory item language material media_type option plan price"
    " product promotion rate region role rule sku state status"
    " tag tax territory timezone title track translation type unit variant version zone"
)
SYSTEMS = worded(
    "app application automation bot calendar channel config configuration flag gateway hook inbox"
    " integration job lock macro migration module oauth parameter permission portal"
    " queue scheduler schema setting sla template trigger webhook"
)
_OF_A_SYSTEM = worded("channel gateway integration webhook")
"""First words that make a table the software's own: `channel_email`."""
_TRANSACTIONS = worded(
    "basket booking cart checkout claim invoice line order payment purchase refund rental return"
    " shipment subscription wishlist"
)
"""Words before `item` and the like: parts of what somebody did, and no catalogue's."""
_MEMBERSHIPS = worded("collaborator member membership participant role seat user")
_SOLD = worded("article film product sku track variant")
_STRICT_CUSTOMERS = worded(
    "buyer client contact consumer customer donor guest kunde lead patient shopper subscriber"
)
_WORKS = worded("answer avatar comment draft feedback message note post reply review upload vote")
_WEAK_PEOPLE = worded("account party profile")
"""Last words that mean people only where no other word says what they are of."""


def part_of(table: str) -> Part:
    """What the rows of a table are, by the last word of its name."""
    found = words(table)
    if not found:
        return Part.OTHER
    last = singular(found[-1])
    if last == "group" and len(found) > 1:
        of = part_of(found[-2])
        return Part.REFERENCE if of in {Part.CUSTOMER, Part.STAFF} else of
    if last in STAFF or (len(found) > 1 and singular(found[0]) in STAFF and last in CUSTOMERS):
        return Part.STAFF
    if len(found) > 1 and singular(found[0]) in _OF_A_SYSTEM:
        return Part.SYSTEM
    for names, part in (
        (SYSTEMS, Part.SYSTEM),
        (CUSTOMERS, Part.CUSTOMER),
        (ORGANISATIONS, Part.ORGANISATION),
        (REFERENCES, Part.REFERENCE),
    ):
        if last in names:
            return part
    return Part.OTHER


def means_customer(found: tuple[str, ...]) -> bool:
    """Whether some word stands for a customer."""
    return any(singular(word) in CUSTOMERS for word in found)


def serves_customers(table: str) -> bool:
    """Whether a table is called after customers and nobody else: `contacts`, and not `users`."""
    return bool(words(table)) and singular(words(table)[-1]) in _STRICT_CUSTOMERS


def means_membership(table: str) -> bool:
    """Whether a table says who belongs to what: `account_users`, `memberships`."""
    return bool(_MEMBERSHIPS & set(map(singular, words(table))))


def is_called_users(table: str) -> bool:
    """Whether a table is called `users`, whoever they are."""
    return bool(words(table)) and singular(words(table)[-1]) == "user"


def people_by_name_alone(table: str) -> bool:
    """Whether a table's name means people without further signs: no `report_profiles`."""
    found = tuple(map(singular, words(table)))
    return len(found) == 1 or found[-1] not in _WEAK_PEOPLE or found[-2] in CUSTOMERS


def part_of_a_transaction(table: str) -> bool:
    """Whether rows are part of what somebody did: `line_items`, `order_discounts`."""
    return any(singular(word) in _TRANSACTIONS for word in words(table)[:-1])


def is_of_a_catalogue(name: str) -> bool:
    """Whether a column refers to what is sold: `variant_id`, `sku`."""
    return bool(_SOLD & set(map(singular, words(name))))


def is_a_transaction(word: str) -> bool:
    """Whether a table's last word is what somebody did: an order, a payment."""
    return word in _TRANSACTIONS


def means_staff(found: tuple[str, ...]) -> bool:
    """Whether some word stands for somebody who works here."""
    return any(singular(word) in STAFF for word in found)


REFERRING = worded("id ids key no nr num number ref reference uuid guid code fk pk")


def referred(name: str) -> tuple[str, ...]:
    """The words of what a column refers to: `customer_id` says customer; empty for no reference."""
    found = words(name)
    if len(found) > 1 and found[-1] in REFERRING:
        return found[:-1]
    if len(found) == 1 and found[0].endswith("id") and len(found[0]) > 4:  # noqa: PLR2004 - customerid
        return (found[0][:-2],)
    return ()


_DOERS = worded(
    "approved assigned cancelled canceled changed checked closed created deleted edited entered"
    " handled issued last locked modified processed published reviewed sent signed updated"
    " verified"
)


def says_who_did_it(name: str) -> bool:
    """Whether a reference tells who worked on a row rather than whose it is: `created_by`."""
    found = words(name)
    by = "by" in found and (found[0] in _DOERS or found[-1] == "by" or found[-2:] == ("by", "id"))
    return by or bool({"assignee", "approver", "reviewer", "moderator", "manager"} & set(found))


def says_who_made_it(name: str) -> bool:
    """Whether a reference tells who made a row: `created_by_id`."""
    found = words(name)
    return "by" in found and found[0] in {"created", "inserted", "added"}


def is_somebodys_work(table: str) -> bool:
    """Whether rows are what a person wrote or put up, whoever keeps them: comments, drafts."""
    return bool(_WORKS & set(map(singular, words(table))))


def says_who_changed_it(name: str) -> bool:
    """Whether a column tells who last changed a row, which makes it kept up and not done once."""
    found = words(name)
    return "by" in found and found[0] in {"changed", "edited", "modified", "updated"}


def means_who_serves(found: tuple[str, ...]) -> bool:
    """Whether a reference more likely names who serves than who is served: `owner_id`."""
    return means_staff(found) or bool({"owner", "responsible", "assigned", "rep"} & set(found))
