"""Choice of law: which laws a person may stand under, and the clocks of each.

In: the places where the person lives, or may live. Out: one set of clocks for each law, the
strictest first, with the places that brought it in. Which of them holds is for lawyers; until they
have said so all of them run, and alerts go by the strictest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from dsr_worker.statutes.model import LawPack
from dsr_worker.statutes.names import UnknownNameError
from dsr_worker.statutes.places import applicable, canonical_country, laws_of
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


@dataclass(frozen=True, slots=True)
class Beside:
    """What further places of a person mean beside the laws that a case stands under already."""

    choices: tuple[Choice, ...] = ()
    """The laws that join, the strictest first."""
    silent: tuple[tuple[str, str], ...] = ()
    """Laws that would join and know no such right then, each with the place."""
    uncovered: tuple[str, ...] = ()
    """Places of which no law pack speaks."""


def chosen_beside(
    known: Collection[str],
    places: Iterable[str],
    clocks: Callable[[LawPack, str | None], list[ClockSpec]],
) -> Beside:
    """Return what places (ISO codes) add to the `known` laws, in whatever order they come.

    A known law is left as it is, whichever further places it covers: what is stated stands.
    """
    speaking, silent, uncovered = [], [], []
    for place in sorted(set(places)):
        try:
            pack = applicable(place)
        except UnknownNameError:
            uncovered.append(place)
            continue
        if pack.name in known:
            continue
        try:
            clocks(pack, place)
        except (LookupError, ValueError):
            silent.append((pack.name, place))
        else:
            speaking.append(place)
    choices = chosen([(place, None) for place in speaking], clocks)
    joined = {choice.pack.name for choice in choices}
    mute = tuple((law, place) for law, place in silent if law not in joined)
    return Beside(tuple(choices), mute, tuple(uncovered))


def unsupported(stated: Mapping[str, str], places: Collection[str]) -> tuple[str, ...]:
    """Return the stated laws (law -> country) that no place where a person was found speaks for.

    Empty where no place was found: no evidence contradicts nothing. A whole country and a part of
    it do not contradict each other.
    """
    if not places:
        return ()
    found = {law for place in places for law in _laws_at(place)}
    return tuple(
        sorted(
            law
            for law, country in stated.items()
            if law not in found and not any(_may_be(country, place) for place in places)
        )
    )


def _may_be(country: str, place: str) -> bool:
    return country == place or country.startswith(f"{place}-") or place.startswith(f"{country}-")


def _laws_at(place: str) -> list[str]:
    try:
        return laws_of(place)
    except UnknownNameError:
        return []


def _strictness(specs: tuple[ClockSpec, ...]) -> tuple[object, ...]:
    """What comes first: the answer's own date, then any other clock's."""
    dates = [spec.due.conservative_due_at for spec in specs]
    return (dates[0], min(dates))
