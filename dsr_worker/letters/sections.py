"""Puts what several laws ask for into one letter: nothing twice, and each thing under its laws.

In: the sentences of each law. Out: paragraphs. What all laws ask for is said once: the decision
before the sections, what can be done after them. What only some of them ask for stands in a section
that names these, so that nobody is told of a remedy which their law does not give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from dsr_worker.letters.pen import Pen


class Part(NamedTuple):
    """A sentence of one law, and where it stands: what was decided (0), then what follows."""

    text: str
    place: int = 0
    law: str = ""
    """The law that it stays with in any case, where it speaks of the sentence before it."""


def in_sections(pens: Sequence[Pen], said: Sequence[Sequence[Part]]) -> Iterator[str]:
    """The paragraphs of a letter from what each law says; the laws and `said` go in pairs.

    One law, or laws that say the same: no section, no heading.
    """
    laws = _laws(said)
    everybody = frozenset(range(len(pens)))
    yield from _texts(part for part, of in laws.items() if of == everybody and part.place == 0)
    sections = {of: None for of in laws.values() if of != everybody}
    if sections:
        yield pens[0].say("several")
    for of in sorted(sections, key=lambda of: (len(of), sorted(of))):
        yield _heading([pens[number] for number in sorted(of)])
        yield from _texts(part for part, whose in laws.items() if whose == of)
    last = list(_texts(p for p, of in laws.items() if of == everybody and p.place > 0))
    if sections and last:
        yield pens[0].say("under_each")
    yield from last


def _laws(said: Sequence[Sequence[Part]]) -> dict[Part, frozenset[int]]:
    """Each sentence once, with the numbers of the laws that say it."""
    found: dict[Part, set[int]] = {}
    for number, parts in enumerate(said):
        for part in parts:
            found.setdefault(part, set()).add(number)
    return {part: frozenset(of) for part, of in found.items()}


def _texts(parts: Iterable[Part]) -> Iterator[str]:
    yield from (part.text for part in sorted(parts, key=lambda part: part.place))


def _heading(pens: Sequence[Pen]) -> str:
    names = pens[0].texts["and"].join(pen.name for pen in pens)
    return pens[0].say("under_one" if len(pens) == 1 else "under_several", laws=names)
