"""When kept rows go: by the end of their own minimum, with what refers to them, or after a hold.

In: what an erasure kept in one system, that system's map, the keys it located. Out: the day of each
part, for the promise that is carried out and for the certificate that names it: both come from
here; the keys of the rows that stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from dsr_worker.contract import Key, Outcome, System
from dsr_worker.domain.decision import NEEDED, Decisions
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.ledger.answers import Accounted
from dsr_worker.spool import Frame, read_keys
from dsr_worker.store import Store
from dsr_worker.vault import KeyRing

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


def without_day(decisions: Decisions, rows: Sequence[Accounted]) -> list[Accounted]:
    """Kept rows of one system whose minimum has no end, since they have no clock value.

    Nothing lets them go by itself: somebody must look at them.
    """
    return [row for row in rows if has_no_day(decisions, row.outcome, row.ground, row.until_on)]


def has_no_day(decisions: Decisions, outcome: str, ground: str, until: object) -> bool:
    """Whether rows stay by a minimum of which no end is known."""
    return outcome in _STAYS and until is None and decisions.citation(ground) is not None


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


def kept_keys(batch: Batch, member: Member, system: str, store: Store, keys: KeyRing) -> set[Key]:
    """The keys of the rows that the member's latest apply kept, masked or whole."""
    kept = kept_names(batch, member, system)
    frame = located(batch, member, system)
    if not kept or frame is None:
        return set()
    versions = versions_of(kept)
    found = read_keys(store, frame, member.key, member.subject.ref)
    return {key for key in found if not kept.isdisjoint(names_of(keys, system, key, versions))}


def kept_names(batch: Batch, member: Member, system: str) -> set[str]:
    """The keyed names of those rows."""
    return set(batch.results.get((member.job.id, "apply", system), {}).get("kept", ()))


def located(batch: Batch, member: Member, system: str) -> Frame | None:
    """The keys that were located last in a system; None where nothing was located yet."""
    frames = [frame for frame in batch.frames(member, "keys") if frame["system"] == system]
    return Frame.from_json(frames[-1]) if frames else None


def versions_of(names: Collection[str]) -> set[int]:
    """The versions of the key ring under which these names were made."""
    return {int(name.partition(".")[0]) for name in names}


def names_of(keys: KeyRing, system: str, key: Key, versions: Collection[int]) -> list[str]:
    """What a row is called under these versions of the key ring."""
    return [keys.row_digest(system, key.collection, key.key, version) for version in versions]
