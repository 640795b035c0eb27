"""Choice of law: which laws a person may stand under, and the clocks of each.

In: the places where the person lives, or may live. Out: one set of clocks for each law, the
strictest first, with the places that brought it in. Which of them holds is for lawyers; until they
have said so all of them run, and alerts go by the strictest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dsr_worker.statutes.model import LawPack
from dsr_worker.statutes.places import applicable, canonical_country
from dsr_worker.statutes.request import ClockSpec


@dataclass(frozen=True, slots=True)
class Choice:
    """One law with its clocks, and the places that brought it in."""

    pack: LawPack
    clocks: tuple[ClockSpec, ...]
    because: tuple[str, ...]


def chosen(
    places: Iterable[tuple[str | None, str | None]],
    clocks: Callable[[LawPack, str | None], list[ClockSpec]],
) -> list[Choice]:
    """Return the laws of these places (country and law, one of which may be left out).

    `clocks` gives those of one law in one country. Of two places under one law the stricter counts.

    Raises:
        UnknownNameError, ValueError: as `applicable`, and as `clocks`.

    """
    found: dict[str, Choice] = {}
    for country, law in places:
        pack = applicable(country, law)
        specs = tuple(clocks(pack, country))
        place = specs[0].country if country is None else canonical_country(country)
        known = found.get(pack.name)
        because = (place,) if known is None else (*known.because, place)
        if known is None or _strictness(specs) < _strictness(known.clocks):
            found[pack.name] = Choice(pack, specs, because)
        else:
            found[pack.name] = Choice(pack, known.clocks, because)
    return sorted(found.values(), key=lambda choice: (_strictness(choice.clocks), choice.pack.name))


def _strictness(specs: tuple[ClockSpec, ...]) -> tuple[object, ...]:
    """What comes first: the answer's own date, then any other clock's."""
    dates = [spec.due.conservative_due_at for spec in specs]
    return (dates[0], min(dates))
