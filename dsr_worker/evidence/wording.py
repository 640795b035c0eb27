"""What codes mean, in words for people: one table per kind of code, one file per language.

Why: data subjects and judges read answers, machines read codes. In: a kind of code, a code, a
language. Out: words. What no table has is read aloud as it is written (`bank_account` becomes
"bank account"), so a new code never stops an answer. A language is complete or absent: a test
compares the files, so adding one is adding a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from dsr_worker.domain.retention import CalendarPeriod

_FALLBACK = "en"
_SEPARATORS = str.maketrans(dict.fromkeys("_-./:", " "))
Table = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Words:
    """The tables of one language. Nothing here raises for a code it does not know."""

    language: str
    tables: Mapping[str, Table]

    def table(self, kind: str) -> Table:
        """Every code of a kind with its words. Raises KeyError for a kind that nobody has."""
        return self.tables[kind]

    def known(self, kind: str, code: str) -> str | None:
        """The words of a code; None where the table has none."""
        return self.tables[kind].get(code)

    def say(self, kind: str, code: str) -> str:
        """The words of a code, or the code read aloud."""
        return self.known(kind, code) or readable(code)

    def category(self, key: str) -> str:
        """A Fideslang data category; one we have no word for is named under its nearest group."""
        known = self.known("category", key)
        if known is not None:
            return known
        group, _, rest = key.rpartition(".")
        while group:
            above = self.known("category", group)
            if above is not None:
                return f"{above}: {readable(rest)}"
            group, _, step = group.rpartition(".")
            rest = f"{step}.{rest}"
        return readable(rest)

    def citation(self, text: str) -> str:
        """A provision as this language writes it, else as it is written."""
        return self.known("citation", text) or text

    def authority(self, name: str) -> str:
        """An authority as this language calls it; most have one name only."""
        return self.known("authority", name) or name

    def period(self, period: CalendarPeriod) -> str:
        """Years, months and days, such as "8 years"."""
        years, months = divmod(period.months, 12)
        parts = [("year", years), ("month", months), ("day", period.days)]
        said = [self._count(unit, number) for unit, number in parts if number]
        return " ".join(said) or self._count("day", 0)

    def _count(self, unit: str, number: int) -> str:
        name = unit if number == 1 else f"{unit}s"
        return f"{number} {self.tables['unit'][name]}"

    def day(self, on: date) -> str:
        """A civil day with its month's name."""
        month, form = self.tables["month"][str(on.month)], self.tables["format"]
        day = form["first"] if on.day == 1 else on.day  # French: "1er mars", "2 mars"
        return form["day"].format(day=day, month=month, year=on.year)

    def instant(self, at: datetime, zone: str = "UTC") -> str:
        """An instant as civil time of a zone, which is named."""
        civil = at.astimezone(UTC if zone == "UTC" else ZoneInfo(zone))
        form = self.tables["format"]["instant"]
        return form.format(day=self.day(civil.date()), time=f"{civil:%H:%M}", zone=zone)


def readable(code: str) -> str:
    """A code read aloud; what is prose already stays as it is."""
    if " " in code:
        return code
    return " ".join(code.translate(_SEPARATORS).split()) or code


@cache
def languages() -> Mapping[str, Words]:
    """Every language there is, by its two-letter tag."""
    folder = resources.files("dsr_worker.evidence") / "languages"
    found = {
        file.name.removesuffix(".json"): orjson.loads(file.read_bytes())
        for file in folder.iterdir()
        if file.name.endswith(".json")
    }
    return MappingProxyType({tag: Words(tag, _frozen(tables)) for tag, tables in found.items()})


def words(language: str) -> Words:
    """The words of a language (`de` for `de-AT`), English where there are none."""
    base = language.lower().partition("-")[0]
    return languages().get(base) or languages()[_FALLBACK]


def _frozen(tables: dict[str, Any]) -> Mapping[str, Table]:
    return MappingProxyType({kind: MappingProxyType(table) for kind, table in tables.items()})
