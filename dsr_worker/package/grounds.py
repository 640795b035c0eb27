"""Why something stays or is left out, in words: a law's exemption, a retention rule, or our own.

In: a ground's code, a language, the law that the case runs under. Out: words and the provision. A
code that no law and no table knows is read aloud; nothing here fails for one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from dsr_worker.domain.decision import Decisions
from dsr_worker.domain.retention import AnchorKind, CalendarPeriod
from dsr_worker.evidence import Ground, Words, words
from dsr_worker.statutes import UnknownNameError, load_pack, retention_rules
from dsr_worker.statutes.model import ExemptionRow, RetentionRow


class Explained(NamedTuple):
    """A ground in words, and the provision it rests on (empty where there is none)."""

    words: str
    citation: str = ""

    def __str__(self) -> str:
        return f"{self.words} ({self.citation})" if self.citation else self.words


def explained(code: str, used: Words, law: str | None, citation: str | None = None) -> Explained:
    """A ground in words. `citation` is the source that a retention policy names for its rule."""
    return _explained(code, used.language, law, citation or "")


def certified(code: str, used: Words, law: str | None, decisions: Iterable[Decisions]) -> Ground:
    """A ground as a certificate tells it, with the source that the decisions name for it."""
    cited = next((c for d in decisions if (c := d.citation(code)) is not None), None)
    said, citation = explained(code, used, law, cited)
    return Ground(code, said, citation)


@lru_cache(1024)
def _explained(code: str, language: str, law: str | None, citation: str) -> Explained:
    used = words(language)
    exemption = next((e for e in _exemptions(law) if e.code == code), None)
    if exemption is not None:
        said = used.known("ground", exemption.words) or exemption.meaning
        return Explained(said, used.citation(exemption.citation))
    row = next((rule for rule in retention_rules() if rule.id == code), None)
    if row is not None:
        return Explained(_statute(used, row), used.citation(row.citation))
    policy, slash, rule = code.partition("/")
    if policy and slash:
        own = used.table("rule")["own"].format(rule=used.say("ground", rule))
        return Explained(own, used.citation(citation))
    return Explained(used.say("ground", code), used.citation(citation))


def period_text(
    used: Words, form: str, period: CalendarPeriod, anchor: AnchorKind, title: str = ""
) -> str:
    """A period with the day it runs from; `form` is `at_least`, `at_most`, or a statute's."""
    return used.table("rule")[form].format(
        title=title, period=used.period(period), anchor=used.say("anchor", anchor.value)
    )


def _statute(used: Words, row: RetentionRow) -> str:
    who = "statute" if row.nature.ordered else row.nature
    form = f"{who}_minimum" if row.minimum else f"{who}_maximum"
    period = CalendarPeriod.parse(row.minimum or row.maximum or "")
    return period_text(used, form, period, row.anchor, row.title)


def _exemptions(law: str | None) -> tuple[ExemptionRow, ...]:
    try:
        return load_pack(law).exemptions if law else ()
    except UnknownNameError:
        return ()
