"""Which legal holds on the person stand in the way of a request: told where it waits and answers.

In: a case. Out: the holds that stand on somebody it names, each with its matter. Nobody proves an
identity for a complaint, so what a stranger brought about is told as such, with the way to end it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsr_worker.domain.rights import RESTRICTED
from dsr_worker.ledger import holds
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.reports import JobRow

_STOPPED = frozenset({"erasure", "deferred", "rectification"})
_BY_RESTRICTIONS = frozenset({"erasure", "deferred"})


def standing(cursor: Cursor, job: JobRow) -> list[dict[str, Any]]:
    """The holds that stand on the person of a case and stop what it does; none of other kinds."""
    if job.kind not in _STOPPED:
        return []
    return [
        row._asdict()
        for row in holds.on_person_of(cursor, job.id)
        if row.reason != RESTRICTED or job.kind in _BY_RESTRICTIONS
    ]


def lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The same for people."""
    for hold in found:
        if hold["complaint"] is None:
            matter, shows = f"matter {hold['matter']}", ""
        else:
            proof = " by somebody who proved no identity" if hold["unproved"] else ""
            matter = f"complaint {hold['complaint']}{proof}"
            shows = f"`dsr complaint show {hold['complaint']}`, "
        yield f"held        {hold['hold']} ({hold['reason']}): {matter}, by {hold['placed_by']}"
        if hold["reason"] == RESTRICTED:
            yield f"            it ends with the restriction: `dsr lift {hold['matter']}`"
        else:
            yield f"            {shows}where it has no ground `dsr hold release {hold['hold']}`"
