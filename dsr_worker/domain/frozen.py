"""Decisions as a job freezes them: canonical JSON, and back.

In: compiled decisions, or the text that was kept of them. Out: the other one, saying the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from dsr_worker.contract import Action, System
from dsr_worker.domain.decision import Bound, DecisionError, Decisions, Term, canonical_json
from dsr_worker.domain.retention import Anchor, AnchorKind, CalendarPeriod, YearEnd


def freeze(decisions: Decisions) -> str:
    """Return the decisions as canonical JSON; the system is frozen as its own text."""
    return canonical_json(
        {
            "system": decisions.system.name,
            "at": decisions.at.isoformat(),
            "bound": {
                name: {
                    "minimums": [_term_to_json(term) for term in bound.minimums],
                    "limits": [_term_to_json(term) for term in bound.limits],
                }
                for name, bound in decisions.bound.items()
            },
        }
    )


def thaw(text: str, system: System) -> Decisions:
    """Return the decisions that `freeze` wrote, for the system that was frozen with them.

    Raises:
        DecisionError: the text is of another system or the map no longer fits.

    """
    plain = json.loads(text)
    if plain["system"] != system.name:
        raise DecisionError(f"these decisions are of {plain['system']}, not of {system.name}")
    bound = {
        name: Bound(
            tuple(map(_term_from_json, terms["minimums"])),
            tuple(map(_term_from_json, terms["limits"])),
        )
        for name, terms in plain["bound"].items()
    }
    return Decisions(system, datetime.fromisoformat(plain["at"]), bound)


def _term_to_json(term: Term) -> dict[str, object]:
    closes = term.anchor.year_end
    return {
        "ground": term.ground,
        "citation": term.citation,
        "period": str(term.period),
        "anchor": term.anchor.kind.value,
        "year_end": f"{closes.month:02}-{closes.day:02}",
        "zone": term.zone,
        "clock": term.clock,
        "action": term.action.value,
        "effective_from": term.effective_from and term.effective_from.isoformat(),
        "effective_to": term.effective_to and term.effective_to.isoformat(),
    }


def _term_from_json(plain: Mapping[str, Any]) -> Term:
    month, _, day = plain["year_end"].partition("-")
    return Term(
        ground=plain["ground"],
        citation=plain["citation"],
        period=CalendarPeriod.parse(plain["period"]),
        anchor=Anchor(AnchorKind(plain["anchor"]), YearEnd(int(month), int(day))),
        zone=plain["zone"],
        clock=plain["clock"],
        action=Action(plain["action"]),
        effective_from=_day(plain["effective_from"]),
        effective_to=_day(plain["effective_to"]),
    )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
