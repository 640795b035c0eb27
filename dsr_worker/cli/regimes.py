"""Which laws a case stands under and why, as `dsr status`, `dsr due` and `dsr plan` tell it.

In: clocks and facts of a case, which are codes alone. Out: the reason of each law, what speaks
against one, and what might be added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dsr_worker.fulfil.laws import FOUND, RESIDENCE, SUGGESTED
from dsr_worker.statutes import UnknownNameError, laws_of

STATED = "stated"
_NOTHING: Mapping[str, Any] = {
    "found": {},
    "unreadable": 0,
    "unsupported": [],
    "uncovered": [],
    "silent": [],
}


def reason(because: Mapping[str, Any] | None) -> str:
    """Why a clock runs: stated with the request, found in the data, or added by somebody."""
    if not because:
        return STATED
    if because["reason"] == FOUND:
        return f"found in {', '.join(because['places'])}"
    return f"added by {because['by']}"


def found(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the data says of where the person lives, as JSON: codes and places alone."""
    return {**_NOTHING, **facts.get(RESIDENCE, {}), "suggested": []}


def residence(facts: Mapping[str, Any], laws: Collection[str]) -> dict[str, Any]:
    """The same, with what the request hints at beside the laws that the case stands under."""
    return {**found(facts), "suggested": _suggested(facts, laws)}


def lines(case: str, told: Mapping[str, Any]) -> Iterator[str]:
    """The same in sentences; none where there is nothing to look at."""
    places = ", ".join(told["found"])
    for law in told["unsupported"]:
        yield f"law         {law} was stated; rows place the person in {places}: it stays, look"
    for one in told["silent"]:
        yield (
            f"law         {one['law']} of {one['country']} (found in the data) knows no such"
            f" right: no clock; where another law gives it: `dsr also {case} --law NAME`"
        )
    for place in told["uncovered"]:
        yield f"law         rows place the person in {place}, of which no law pack speaks"
    if told["unreadable"]:
        yield (
            f"law         {told['unreadable']} value(s) of residence are no ISO 3166 code and"
            " were not used"
        )
    for hint in told["suggested"]:
        yield (
            f"perhaps     {hint['country']} (a phone number of the request hints at it): add with"
            f" `dsr also {case} --country {hint['country']}`"
        )


def _suggested(facts: Mapping[str, Any], laws: Collection[str]) -> list[dict[str, str]]:
    """Countries that a phone number hints at and whose law the case does not stand under."""
    hints = []
    for country in facts.get(SUGGESTED, ()):
        law = next(iter(_laws(country)), None)
        if law is not None and law not in laws:
            hints.append({"country": country, "law": law})
    return hints


def _laws(country: str) -> list[str]:
    try:
        return laws_of(country)
    except UnknownNameError:  # a table of today may lack what an older one had
        return []
