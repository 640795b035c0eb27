"""The recurring duties of the laws that a house is under, each with its next day.

In: names of laws, an instant. Out: the next time of each duty that is in force on that day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from dsr_worker.domain.calendar import end_of_day
from dsr_worker.domain.recurring import Recurrence, next_on
from dsr_worker.statutes.load import load_pack
from dsr_worker.statutes.model import LawPack
from dsr_worker.statutes.places import locality


def recurring(laws: Iterable[str], now: datetime) -> list[Recurrence]:
    """Return the next time of every recurring duty of these laws, soonest first.

    A duty that begins later comes first on its first day; one whose law has ended comes no more.

    Raises:
        UnknownNameError: a law is not known.

    """
    found = [one for name in laws for one in _of(load_pack(name), now)]
    return sorted(found, key=lambda one: (one.due_at, one.law, one.row_id))


def _of(pack: LawPack, now: datetime) -> Iterator[Recurrence]:
    zone = locality(pack.default_country or pack.countries[0]).zone
    for row in pack.recurring:
        if row.effective_from is None:
            continue
        on = next_on(row.effective_from, row.every.period(), now, zone)
        if row.effective_to is not None and on >= row.effective_to:
            continue
        yield Recurrence(
            law=pack.name,
            row_id=row.id,
            what=row.what,
            every=row.every.period(),
            due_on=on,
            due_at=end_of_day(on, zone),
            zone=zone,
            citation=row.citation,
            verified=row.verified,
        )
