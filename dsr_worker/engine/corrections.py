"""What a person asks to have put right, sealed on its case and opened for a batch.

In: corrections by system and collection, the case's key. Out: a text for the job's facts that only
that key opens, and the same again. Old and new values are in the clear only in memory; without the
key, which is destroyed with the identities, nothing opens them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from dsr_worker.contract import NOTHING, Correction, System
from dsr_worker.domain.rights import moved_from
from dsr_worker.vault import CaseKey

CORRECTIONS = "corrections"  # the fact they stand in, and the purpose under which they are sealed

OfSystem = Mapping[str, tuple[Correction, ...]]
"""Corrections by collection, as a subject carries them."""


def sealed(key: CaseKey, by_system: Mapping[str, OfSystem]) -> dict[str, str]:
    """The fact of a job that holds these corrections, sealed; none where there are none."""
    if not by_system:
        return {}
    plain = {
        system: {name: [[c.field, c.value, c.was] for c in some] for name, some in of.items()}
        for system, of in by_system.items()
    }
    return {
        CORRECTIONS: base64.b64encode(key.seal(json.dumps(plain).encode(), CORRECTIONS)).decode()
    }


def opened(key: CaseKey, facts: Mapping[str, Any], system: System) -> OfSystem:
    """The corrections of one system that a job's facts hold. Raises SealBroken.

    Rows that a restriction has moved are put right where they are.
    """
    if CORRECTIONS not in facts:
        return NOTHING
    plain = json.loads(key.open(base64.b64decode(facts[CORRECTIONS]), CORRECTIONS))
    found = {
        name: tuple(Correction(*parts) for parts in some)
        for name, some in plain.get(system.name, {}).items()
    }
    for aside, origin in moved_from(system).items():
        own = found.get(aside, ())
        stated = {correction.field for correction in own}
        more = tuple(c for c in found.get(origin, ()) if c.field not in stated)
        if own or more:
            found[aside] = (*own, *more)
    return found
