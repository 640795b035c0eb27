"""Codes of countries that are near to a wrong one: what somebody may have meant.

In: what was written, and the codes there are. Out: up to a few of them, the likeliest first. A code
has two letters, too few for a general measure of likeness: `DX` is near to `DE` and `DK`.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from dsr_worker.domain.calendar import two_letters

_FEW = 3
_NATION = 2  # letters of a country's code


def near_codes(wrong: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the codes of `known` that are near: `USA` to `US`, `US-XX` to parts of `US`."""
    upper = wrong.strip().upper()
    whole = sorted(code for code in known if len(code) == _NATION)
    nation, _, part = upper.partition("-")
    if part:
        return _parts(nation, part, whole, known) or near_codes(nation, known)
    if two_letters(upper) in whole:
        return (str(two_letters(upper)),)
    parts = tuple(code for code in sorted(known) if code.endswith(f"-{upper}"))
    return (parts or _nations(upper, whole))[:_FEW]


def _parts(
    nation: str, part: str, whole: Collection[str], known: Collection[str]
) -> tuple[str, ...]:
    """Parts of a country that there is: those near to the wrong one, or the first ones."""
    if nation not in whole:
        return ()
    parts = {code.partition("-")[2]: code for code in sorted(known) if f"{nation}-" in code}
    begun = [one for one in parts if one.startswith(part)]
    near = begun or get_close_matches(part, parts, n=_FEW, cutoff=0.4) or list(parts)
    return tuple(parts[one] for one in near[:_FEW]) or (nation,)


def _nations(upper: str, whole: Collection[str]) -> tuple[str, ...]:
    """Countries whose code has a letter of the wrong one at its place; of a longer one, two."""
    if not upper.isalpha() or len(upper) > _NATION + 1:
        return ()
    if len(upper) > _NATION:
        pairs = (upper[1:], upper[:2], upper[0] + upper[2])
        return tuple(dict.fromkeys(pair for pair in pairs if pair in whole))
    turned = [code for code in whole if code == upper[::-1]]
    first = [code for code in whole if code[0] == upper[0]]
    second = [code for code in whole if code[1] == upper[-1]] if len(upper) == _NATION else []
    return tuple(dict.fromkeys((*turned, *first, *second)))
