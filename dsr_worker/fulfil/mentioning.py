"""Where records of others name a person: nothing happens to them, and people are told.

In: what the looks after an erasure told. Out: counts, without personal data. They are looked for
once the work is done, in the pass that looks again, and not for the plan: that would read every
system once more before each approval, and no approval covers what stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

MENTIONS = "mentions"  # part of a step's result: collection, field and a digest of each row
FORETOLD = (
    "records of others that name the person stay as they are: they are counted after the work, and"
    " `dsr status` tells them before the certificate leaves"
)


def mentioned(results: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, int]:
    """How many places name the person, by `system.collection`, from each system's last look."""
    places = [
        f"{system}.{place['collection']}"
        for system, result in results
        for place in result.get(MENTIONS, ())
    ]
    return dict(sorted(Counter(places).items()))


def notice(places: Mapping[str, int]) -> str | None:
    """One line for people; None where nobody else's record names the person."""
    if not places:
        return None
    told = ", ".join(f"{place} {rows}" for place, rows in places.items())
    return (
        f"mentioned in records of others: {told}. These stay as they are: where the person must not"
        " be named there, somebody edits them by hand"
    )
