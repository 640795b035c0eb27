"""Where a clock runs: country codes to zone, calendar and law.

Why this module exists: people write `DE`, `GB-ENG` or `US-CA`; the arithmetic needs an IANA zone
and a holiday calendar. A code enters; a place leaves, or an error with the near codes. A code
with a subdivision (`DE-BY`) asks for the regional holidays, one without for the national list
(Regulation 1182/71 Art 2(1)).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from dsr_worker.domain.calendar import Calendar, has_holidays, zone_of
from dsr_worker.statutes.codes import near_codes
from dsr_worker.statutes.load import countries, heads, heads_naming, load_pack
from dsr_worker.statutes.model import LawPack
from dsr_worker.statutes.names import UnknownNameError


@dataclass(frozen=True, slots=True)
class Locality:
    """A country code with its default zone and its calendar."""

    country: str
    zone: str
    calendar: Calendar


def locality(country: str, zone: str | None = None) -> Locality:
    """Return zone and calendar of an ISO 3166 code; `zone` overrides the default.

    Raises:
        UnknownNameError: the code is not known; near codes are given.
        ValueError: `zone` does not exist.

    """
    code = canonical_country(country)
    row = countries().countries.get(code) or countries().countries[code.partition("-")[0]]
    if zone is not None:
        zone_of(zone)
    return Locality(code, zone or row.zone, calendar_of(row.calendar or code))


def locality_under(pack: LawPack, country: str, zone: str | None = None) -> Locality:
    """Return the same as `locality`, with the calendar that this law has of its own.

    Raises:
        UnknownNameError, ValueError: as `locality`.

    """
    where = locality(country, zone)
    calendar = where.calendar if pack.calendar is None else calendar_of(pack.calendar)
    closed = tuple(row.closed() for row in pack.closed)
    return replace(where, calendar=replace(calendar, closed=closed))


_CODE = re.compile(r"(?P<nation>[A-Z]{2})(-[A-Z0-9]{1,3})?")  # ISO 3166-2
_LISTED = (
    "`dsr statutes list --json` lists those that have a law; parts are written as in ISO 3166-2,"
    " such as DE-BY"
)


def canonical_country(country: str) -> str:
    """Return the code in the form of the table (`uk` becomes `GB`).

    Raises:
        UnknownNameError: neither the country nor this part of it is known.

    """
    table = countries()
    upper = country.strip().upper()
    code = table.aliases.get(upper, upper)
    if code in table.countries:
        return code
    nation, _, part = code.partition("-")
    nation = table.aliases.get(nation, nation)
    code = f"{nation}-{part}" if part else nation
    if code in table.countries or (
        part and nation in table.countries and has_holidays(nation, part)
    ):
        return code
    near = near_codes(country, table.countries)
    known = [*table.countries, *table.aliases]
    raise UnknownNameError("country", country, known, _LISTED, near=near)


@lru_cache(maxsize=1024)
def country_of(residence: str | None) -> str | None:
    """Return the ISO 3166 code that a stored residence is; None where it is missing or none.

    Names of countries are not guessed. A part that is not known here counts as its country: whoever
    writes `NL-NH` lives in the Netherlands. A country that no law pack knows stays: somebody has to
    find its law. Whatever leaves is a code that is known here, never a value as it was stored.
    """
    if not residence or not residence.isascii():  # upper() makes codes of letters that are none
        return None
    try:
        return canonical_country(residence)
    except UnknownNameError:
        code = _CODE.fullmatch(residence.strip().upper())
    if code is None:
        return None
    nation = countries().aliases.get(code["nation"], code["nation"])
    return nation if nation in countries().countries or has_holidays(nation, None) else None


def hinted(phone: str) -> str | None:
    """Return the country that a number's calling code hints at (E.164, `+` and digits); or None.

    A hint and no more: numbers move with their people, and several countries share some codes.
    """
    if not phone.startswith("+"):
        return None
    calling = countries().calling
    lengths = range(1, 4)  # E.164, 6.2.1: one to three digits, of which none begins another
    return next((calling[phone[1 : n + 1]] for n in lengths if phone[1 : n + 1] in calling), None)


def calendar_of(code: str) -> Calendar:
    """Return the holiday calendar of `DE`, `DE-BY` or `GB-ENG`.

    Raises:
        ValueError: there is none.

    """
    nation, _, part = code.partition("-")
    return Calendar(nation, part or None)


def applicable(country: str | None, law: str | None = None) -> LawPack:
    """Return the law for residents of `country`; `law` names it where it is known already.

    Raises:
        UnknownNameError: law or country are not known, or no pack covers the country.
        ValueError: the named law does not apply in the country, or neither is given.

    """
    if law is not None:
        pack = load_pack(law)
        if country is not None:
            pack.jurisdiction(canonical_country(country))
        return pack
    if country is None:
        raise ValueError("name a country or a law")
    laws = laws_of(country)
    if laws:
        return load_pack(laws[0])
    code = canonical_country(country)
    covered = {own for head in heads() for own in head.countries if head.concerns(own)}
    parts = sorted(own for own in covered if own.startswith(f"{code}-"))
    if parts:
        told = f"each part has laws of its own, such as {parts[0]}"
        raise UnknownNameError("country with a law pack", country, parts, told, near=())
    raise UnknownNameError("country with a law pack", country, covered)


def laws_of(country: str) -> list[str]:
    """Return the laws that concern all who hold data of residents of `country`, nearest first.

    Raises:
        UnknownNameError: the country is not known.

    """
    code = canonical_country(country)
    found = [head for head in heads_naming(code) if head.concerns(code)]
    return [head.name for head in sorted(found, key=lambda head: -head.reach(code))]
