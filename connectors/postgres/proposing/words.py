"""What names of tables and columns say: their words, and what those words usually stand for.

In: names as the catalogue has them, in any spelling. Out: words, a category of the vocabulary, the
part a table plays. Pure: nothing is read, and a name alone never decides; the samples do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_BORDERS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9À-ɏ]+")
_MANY_DIGITS = re.compile(r"[0-9]{2}")
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
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Hint:
    """What a column's name suggests; `sure` from 0 to 1, without any sample."""

    category: str
    sure: float
    code: str
    free_text: bool = False


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


_CUSTOMERS = worded(
    "account buyer client contact customer consumer donor guest kunde member patient party patron"
    " people person profile shopper subscriber student user kunden mitglied client cliente"
)
_STAFF = worded(
    "admin administrator agent clerk employee mitarbeiter operator personnel seller staff"
    " salesperson technician teacher worker"
)
_ORGANISATIONS = worded(
    "agency app application bot branch brand business carrier company dealer department"
    " distributor enterprise gateway integration institution location manufacturer merchant"
    " organisation organization partner provider publisher retailer school server shipper shop"
    " store supplier team tenant university vendor warehouse webhook office"
)
_REFERENCES = worded(
    "actor album article artist attribute author book catalog catalogue category city color"
    " colour config configuration country coupon currency discount feature film genre holiday"
    " inventory item language material media_type migration option permission plan price"
    " product promotion rate region role rule schema setting shipping_method sku state status"
    " tag tax template territory timezone title track translation type unit variant version"
    " zone schema_migrations"
)


def part_of(table: str) -> Part:
    """What the rows of a table are, by the last word of its name."""
    found = words(table)
    if not found:
        return Part.OTHER
    last = singular(found[-1])
    if last == "group" and len(found) > 1:
        of = part_of(found[-2])
        return Part.REFERENCE if of in {Part.CUSTOMER, Part.STAFF} else of
    if last in _STAFF or (len(found) > 1 and singular(found[0]) in _STAFF and last in _CUSTOMERS):
        return Part.STAFF
    for names, part in (
        (_CUSTOMERS, Part.CUSTOMER),
        (_ORGANISATIONS, Part.ORGANISATION),
        (_REFERENCES, Part.REFERENCE),
    ):
        if last in names:
            return part
    return Part.OTHER


def means_customer(found: tuple[str, ...]) -> bool:
    """Whether some word stands for a customer."""
    return any(singular(word) in _CUSTOMERS for word in found)


def means_person(word: str) -> bool:
    """Whether a word before `title`, `name` or the like makes it a person's."""
    return singular(word) in _PEOPLE_FIELDS | _CUSTOMERS | _STAFF


def names_a_thing(found: tuple[str, ...]) -> bool:
    """Whether `…_name` plainly names a thing: a fee, a column, a country."""
    said = {singular(word) for word in found[:-1]}
    personal = any(word in _NAMES_OF or means_person(word) for word in found[:-1])
    return bool(said & (_THINGS | _REFERENCES)) and not personal


def names_a_person_elsewhere(name: str) -> bool:
    """Whether a text column is called like a person's number in another system: `payer_id`."""
    found = words(name)
    return len(found) > 1 and found[-1] in {"id", "uid", "uuid"} and bool(set(found) & _ELSEWHERE)


def means_staff(found: tuple[str, ...]) -> bool:
    """Whether some word stands for somebody who works here."""
    return any(singular(word) in _STAFF for word in found)


_REFERRING = worded("id ids key no nr num number ref reference uuid guid code fk pk")


def referred(name: str) -> tuple[str, ...]:
    """The words of what a column refers to: `customer_id` says customer; empty for no reference."""
    found = words(name)
    if len(found) > 1 and found[-1] in _REFERRING:
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


_NAMES_OF = worded("first last given family middle maiden sur full nick user display fore")
_PEOPLE_FIELDS = worded(
    "account addressee agent author bill billing bearer buyer caller card cardholder client contact"
    " customer delivery guest holder member owner payer person recipient sender ship shipping"
    " signatory subscriber to user contactperson employee"
)
_JOINED = {
    word: tuple(parts.split())
    for word, parts in {
        "firstname": "first name", "lastname": "last name", "surname": "last name",
        "fullname": "full name", "username": "user name", "nickname": "nick name",
        "givenname": "given name", "familyname": "family name", "forename": "first name",
        "middlename": "middle name", "displayname": "display name", "screenname": "display name",
        "contactname": "contact name", "customername": "customer name",
        "companyname": "company name",
        "emailaddress": "email", "mail": "email", "emails": "email", "phonenumber": "phone",
        "telephone": "phone", "tel": "phone", "mobile": "phone", "cell": "phone", "fax": "fax",
        "cellphone": "phone", "handy": "phone", "telefon": "phone", "msisdn": "phone",
        "phones": "phone", "postcode": "postal code", "zip": "postal code", "plz": "postal code",
        "zipcode": "postal code", "postalcode": "postal code", "birthday": "birth",
        "birthdate": "birth", "dob": "birth", "born": "birth", "geburtsdatum": "birth",
        "ipaddress": "ip", "useragent": "user agent", "adresse": "address", "strasse": "street",
        "straße": "street", "stadt": "city", "ort": "city", "vorname": "first name",
        "nachname": "last name", "passwort": "password", "passwd": "password", "pwd": "password",
        "addr": "address", "address1": "address", "address2": "address", "addressline": "address",
        "addressline1": "address", "addressline2": "address", "bemerkung": "note",
        "kommentar": "note",
    }.items()
}  # fmt: skip
_EXACT: tuple[tuple[frozenset[str], str, float], ...] = tuple(
    (worded(wanted), category, sure)
    for wanted, category, sure in (
        ("email", "user.contact.email", 0.9),
        ("fax", "user.contact.fax_number", 0.9),
        ("phone", "user.contact.phone_number", 0.9),
        ("password", "user.authorization.password", 0.95),
        ("passphrase", "user.authorization.password", 0.95),
        ("pin", "user.authorization.password", 0.7),
        ("totp", "user.authorization.credentials", 0.9),
        ("otp", "user.authorization.credentials", 0.9),
        ("salt", "user.authorization.credentials", 0.8),
        ("security answer", "user.authorization.credentials", 0.9),
        ("access token", "user.authorization.credentials", 0.9),
        ("refresh token", "user.authorization.credentials", 0.9),
        ("session token", "user.authorization.credentials", 0.9),
        ("reset token", "user.authorization.credentials", 0.9),
        ("token", "user.authorization.credentials", 0.7),
        ("session id", "user.device.cookie_id", 0.8),
        ("private key", "user.authorization.credentials", 0.8),
        ("public key", "user.authorization.credentials", 0.7),
        ("api key", "user.authorization.credentials", 0.8),
        ("auth key", "user.authorization.credentials", 0.8),
        ("secret", "user.authorization.credentials", 0.75),
        ("birth place", "user.demographic", 0.9),
        ("birth", "user.demographic.date_of_birth", 0.9),
        ("gender", "user.demographic.gender", 0.9),
        ("sex", "user.demographic.gender", 0.9),
        ("salutation", "user.demographic.gender", 0.8),
        ("nationality", "user.demographic", 0.9),
        ("religion", "user.demographic.religious_belief", 0.9),
        ("ethnicity", "user.demographic.race_ethnicity", 0.9),
        ("marital", "user.demographic.marital_status", 0.9),
        ("ssn", "user.government_id.national_identification_number", 0.95),
        ("national id", "user.government_id.national_identification_number", 0.9),
        ("social security", "user.government_id.national_identification_number", 0.95),
        ("passport", "user.government_id.passport_number", 0.9),
        ("license plate", "user.government_id.vehicle_registration", 0.9),
        ("driver license", "user.government_id.drivers_license_number", 0.9),
        ("tax id", "user.government_id", 0.8),
        ("vat id", "user.government_id", 0.75),
        ("iban", "user.financial.bank_account", 0.95),
        ("bic", "user.financial.bank_account", 0.8),
        ("bank account", "user.financial.bank_account", 0.9),
        ("account ref", "user.financial.bank_account", 0.75),
        ("routing number", "user.financial.bank_account", 0.8),
        ("credit card", "user.financial.credit_card", 0.9),
        ("card number", "user.financial.credit_card", 0.9),
        ("cvv", "user.financial.credit_card", 0.95),
        ("credit limit", "user.financial", 0.75),
        ("salary", "user.financial", 0.8),
        ("user agent", "user.device", 0.9),
        ("device", "user.device.device_id", 0.75),
        ("fingerprint", "user.device.device_id", 0.8),
        ("cookie", "user.device.cookie_id", 0.85),
        ("ip", "user.device.ip_address", 0.9),
        ("latitude", "user.location.precise", 0.75),
        ("longitude", "user.location.precise", 0.75),
        ("lat", "user.location.precise", 0.7),
        ("lng", "user.location.precise", 0.7),
        ("avatar", "user.content", 0.75),
        ("photo", "user.biometric", 0.7),
        ("picture", "user.content", 0.7),
        ("signature", "user.biometric", 0.75),
        ("recording", "user.content", 0.8),
        ("twitter", "user.social", 0.8),
        ("facebook", "user.social", 0.8),
        ("diagnosis", "user.health_and_medical", 0.95),
        ("blood", "user.health_and_medical", 0.9),
        ("allergy", "user.health_and_medical", 0.9),
        ("allergies", "user.health_and_medical", 0.9),
        ("street", "user.contact.address.street", 0.9),
        ("postal code", "user.contact.address.postal_code", 0.9),
        ("city", "user.contact.address.city", 0.75),
        ("district", "user.contact.address", 0.7),
        ("address", "user.contact.address", 0.85),
        ("job title", "user.job_title", 0.8),
        ("occupation", "user.job_title", 0.85),
        ("locale", "user.demographic.language", 0.75),
        ("language", "user.demographic.language", 0.7),
        ("languages", "user.demographic.language", 0.7),
        ("timezone", "user.location.imprecise", 0.7),
        ("time zone", "user.location.imprecise", 0.7),
        ("courtesy", "user.demographic.gender", 0.8),
        ("country", "user.contact.address.country", 0.75),
        ("bill to", "user.contact.address", 0.75),
        ("ship to", "user.contact.address", 0.75),
    )
)
_PROSE = worded(
    "about bio biography body comment comments content description engraving feedback"
    " inscription instruction instructions message messages note notes question reason remark"
    " remarks review text"
)
_OBJECTS = worded("template subject type count verified confirmed sent opt enabled status response")
_THINGS = worded("action column event fee field function job key method queue scope table")
_ELSEWHERE = worded(
    "account buyer client contact customer device external login member payer person profile"
    " subscriber user visitor webauthn"
)
_ABOUT_IT = worded("type format kind status version size width height template count")
"""Last words that turn a text's name into a remark on it: `content_type`, `message_status`."""
_PEOPLES_ROLES = worded("recipient addressee cardholder holder signatory payer")


def vocabulary(name: str) -> tuple[str, ...]:
    """The words of a column, joined words taken apart and synonyms replaced."""
    found: list[str] = []
    for word in words(name):
        found += _JOINED.get(
            word.rstrip("0123456789") or word, (word.rstrip("0123456789") or word,)
        )
    return tuple(found)


def hint(name: str) -> Hint | None:
    """What a column's name suggests; None where it suggests nothing about a person."""
    found = vocabulary(name)
    there = set(found)
    if not found:
        return None
    if "name" in there or found[-1] in _PEOPLES_ROLES:
        return _name_hint(found)
    for wanted, category, sure in _EXACT:
        if wanted <= there:
            told = not there & _OBJECTS and (found[-1] not in {"id", "count"} or "id" in wanted)
            return Hint(category, sure if told else sure / 2, f"name.{'_'.join(sorted(wanted))}")
    if there & _PROSE and found[-1] not in _ABOUT_IT:
        return Hint("user.content", 0.6, "name.prose", free_text=True)
    return None


def _name_hint(found: tuple[str, ...]) -> Hint | None:
    there = set(found)
    if there & (_ORGANISATIONS | _REFERENCES | {"file", "table", "host", "domain", "event"}):
        return None
    if found[-1] in _REFERRING:
        return None
    if there & _PEOPLES_ROLES and found[-1] in _PEOPLES_ROLES:
        return Hint("user.name", 0.8, "name.role")
    if there & (_NAMES_OF | _PEOPLE_FIELDS):
        return Hint("user.name", 0.9, "name.person")
    if found == ("name",):
        return Hint("user.name", 0.5, "name.name")  # whose name depends on the table
    return None


def known_word(name: str) -> bool:
    """Whether a name is made of words of this vocabulary alone: safe to print wherever it is."""
    known = (
        {word for wanted, _, _ in _EXACT for word in wanted} | _NAMES_OF | _PEOPLE_FIELDS | {"name"}
    )
    found = vocabulary(name)
    if not found or not name.isascii() or _MANY_DIGITS.search(name):
        return False
    return all(word in known | _REFERRING for word in found)
