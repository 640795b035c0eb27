"""What names of columns promise: a category of the vocabulary, and how surely.

In: names as the catalogue has them, in any spelling. Out: hints, which samples then bear out or
not. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from connectors.naming.words import (
    CUSTOMERS,
    ORGANISATIONS,
    REFERENCES,
    REFERRING,
    STAFF,
    SYSTEMS,
    singular,
    worded,
    words,
)

_MANY_DIGITS = re.compile(r"[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Hint:
    """What a column's name suggests; `sure` from 0 to 1, without any sample."""

    category: str
    sure: float
    code: str
    free_text: bool = False


_NAMES_OF = worded("first last given family middle maiden sur full nick user display fore real")
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
        "realname": "real name", "lon": "longitude", "givenname": "given name",
        "familyname": "family name", "forename": "first name",
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
        ("coordinates long", "user.location.precise", 0.7),
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
        ("department", "user.job_title", 0.7),
        ("caller id", "user.contact.phone_number", 0.8),
        ("caller number", "user.contact.phone_number", 0.9),
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
_NAMED_THINGS = ORGANISATIONS | REFERENCES | SYSTEMS | worded("file table host domain event")
_PROSE = worded(
    "about bio biography body comment comments content description engraving feedback"
    " inscription instruction instructions message messages note notes question reason remark"
    " remarks review text"
)
_OBJECTS = worded("template subject type count verified confirmed sent opt enabled status")
_ENDS_OF_MAIL = frozenset({("from",), ("to",), ("cc",), ("bcc",), ("reply", "to")})
_THINGS = worded("action column event fee field function job key method queue scope table")
_ELSEWHERE = worded(
    "account buyer contact customer device external login member payer person profile"
    " subscriber user visitor webauthn"
)
_ABOUT_IT = worded(
    "type format kind status version size width height template count id ids hash md sha digest"
    " checksum"
)
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
    if not found:
        return None
    if "name" in found or found[-1] in _PEOPLES_ROLES:
        return _name_hint(found)
    if found in _ENDS_OF_MAIL:
        return Hint("user.contact", 0.75, "name.end_of_mail")
    return _exact_hint(found)


def _exact_hint(found: tuple[str, ...]) -> Hint | None:
    there = {*found, *map(singular, found)}
    for wanted, category, sure in _EXACT:
        if wanted <= there and "response" not in there:  # what a service answered about it
            told = not there & _OBJECTS and (found[-1] not in {"id", "count"} or "id" in wanted)
            return Hint(category, sure if told else sure / 2, f"name.{'_'.join(sorted(wanted))}")
    if there & _PROSE and found[-1] not in _ABOUT_IT:
        return Hint("user.content", 0.6, "name.prose", free_text=True)
    return None


def _name_hint(found: tuple[str, ...]) -> Hint | None:
    there = set(found)
    if there & _NAMED_THINGS:
        return None
    if found[-1] in REFERRING:
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
    return all(word in known | REFERRING for word in found)


def means_person(word: str) -> bool:
    """Whether a word before `title`, `name` or the like makes it a person's."""
    return singular(word) in _PEOPLE_FIELDS | CUSTOMERS | STAFF


def names_a_thing(found: tuple[str, ...]) -> bool:
    """Whether `…_name` plainly names a thing: a fee, a column, a country."""
    said = {singular(word) for word in found[:-1]}
    personal = any(word in _NAMES_OF or means_person(word) for word in found[:-1])
    return bool(said & (_THINGS | REFERENCES)) and not personal


def names_a_person_elsewhere(name: str) -> bool:
    """Whether a text column is called like a person's number in another system: `payer_id`."""
    found = words(name)
    return len(found) > 1 and found[-1] in {"id", "uid", "uuid"} and bool(set(found) & _ELSEWHERE)
