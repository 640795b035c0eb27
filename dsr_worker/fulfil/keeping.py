"""When kept rows go: by the end of their own minimum, with what refers to them, or after a hold.

In: what an erasure kept in one system, and that system's map. Out: the day of each part, for the
promise that is carried out and for the certificate that names it: both come from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from dsr_worker.contract import Outcome, System
from dsr_worker.domain.decision import NEEDED
from dsr_worker.ledger.answers import Accounted

_NEEDED = frozenset({NEEDED, "needed"})  # the second is a helpdesk's word for the same
_STAYS = frozenset({Outcome.RETAINED.value, Outcome.MASKED.value})


class Later(NamedTuple):
    """Kept rows and the day on which they go; None: after the legal hold on them has ended."""

    row: Accounted
    due_on: date | None


def kept_for_now(system: System | None, rows: Sequence[Accounted]) -> list[Later]:
    """The kept rows of one system that go some day.

    A row with a minimum goes on the day after its end, a held one after the hold. One that stays
    because another refers to it goes with the last of those. Rows that stay on any other ground
    (they are somebody else's by now) are not promised.
    """
    kept = [row for row in rows if row.ground and row.outcome in _STAYS]
    return list(_dated(system, kept))


def _dated(system: System | None, kept: Sequence[Accounted]) -> Iterator[Later]:
    for row in kept:
        if row.ground in _NEEDED:
            days = _of_children(system, row.collection, kept) or list(_own_days(kept))
            if days:
                yield Later(row, None if None in days else max(d for d in days if d is not None))
        else:
            yield from (Later(row, day) for day in _own_days([row]))


def _own_days(rows: Sequence[Accounted]) -> Iterator[date | None]:
    for row in rows:
        if row.until_on is not None:
            yield row.until_on + timedelta(days=1)
        elif row.ground.isupper():  # a hold's reason
            yield None


def _of_children(
    system: System | None, collection: str, kept: Sequence[Accounted]
) -> list[date | None]:
    """The days of all that stays below a collection."""
    collections = system.collections.values() if system is not None else ()
    below = {c.name for c in collections if c.parent and c.parent.collection == collection}
    days = list(_own_days([row for row in kept if row.collection in below]))
    return days + [day for name in sorted(below) for day in _of_children(system, name, kept)]
