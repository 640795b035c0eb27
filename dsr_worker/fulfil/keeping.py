"""When kept rows go: by the end of their own minimum, with what refers to them, or after a hold.

What a store refuses for now goes when it says, else it is tried again on a day of our own.

In: what an erasure kept in one system, that system's map, the keys it located. Out: the day of each
part, for the promise that is carried out and for the certificate that names it: both come from
here; the keys of the rows that stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from dsr_worker.contract import Key, Outcome, System, is_remainder
from dsr_worker.domain.decision import NEEDED, Decisions
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.ledger.answers import Accounted
from dsr_worker.spool import Frame, read_keys
from dsr_worker.store import Store
from dsr_worker.vault import KeyRing

_NEEDED = frozenset({NEEDED, "needed"})  # the second is a helpdesk's word for the same
_STAYS = frozenset({Outcome.RETAINED.value, Outcome.MASKED.value})


class Days(NamedTuple):
    """When the first and when the last of some kept rows goes; None: after a legal hold's end."""

    due_on: date | None
    last_due_on: date | None


_AFTER_HOLD = Days(None, None)


class Later(NamedTuple):
    """Kept rows and when they go."""

    row: Accounted
    days: Days


def kept_for_now(
    system: System | None, rows: Sequence[Accounted], look_again_on: date
) -> list[Later]:
    """The kept rows of one system that go some day.

    A row with a minimum goes on the day after its end, a held one after the hold, one that its
    store refuses for now on the day it names, else on `look_again_on`. One that stays
    because others refer to it goes with the last of those that do. Rows that stay on any other
    ground (they are somebody else's by now) are not promised.
    """
    kept = [row for row in rows if row.ground and row.outcome in _STAYS]
    return list(_dated(system, kept, look_again_on))


def without_day(decisions: Decisions, rows: Sequence[Accounted]) -> list[Accounted]:
    """Kept rows of one system whose minimum has no end, since they have no clock value.

    Nothing lets them go by itself: somebody must look at them.
    """
    return [row for row in rows if has_no_day(decisions, row.outcome, row.ground, row.until_on)]


def has_no_day(decisions: Decisions, outcome: str, ground: str, until: object) -> bool:
    """Whether rows stay by a minimum of which no end is known."""
    return outcome in _STAYS and until is None and decisions.citation(ground) is not None


def _dated(
    system: System | None, kept: Sequence[Accounted], look_again_on: date
) -> Iterator[Later]:
    own = [Later(row, days) for row in kept if (days := _own_days(row, look_again_on))]
    for row in kept:
        if row.ground in _NEEDED:
            below = _of_children(system, row.collection, own) or [later.days for later in own]
            if below:
                yield Later(row, _together(below))
        else:
            yield from (later for later in own if later.row is row)


def _own_days(row: Accounted, look_again_on: date) -> Days | None:
    """When these rows go by themselves; None where nothing says that they ever do."""
    ends = (row.first_until_on, row.until_on)
    if is_remainder(row.ground):
        first, last = (on or look_again_on for on in ends)
        return Days(first, last)
    if None not in ends:
        return Days(*(on + timedelta(days=1) for on in ends if on is not None))
    return _AFTER_HOLD if row.ground.isupper() else None  # a hold's reason


def _together(days: Sequence[Days]) -> Days:
    """From the first day of all to the last; with anything held, after the hold."""
    firsts = [day.due_on for day in days if day.due_on is not None]
    lasts = [day.last_due_on for day in days if day.last_due_on is not None]
    return _AFTER_HOLD if len(firsts) < len(days) else Days(min(firsts), max(lasts))


def _of_children(system: System | None, collection: str, own: Sequence[Later]) -> list[Days]:
    """The days of all that stays below a collection."""
    collections = system.collections.values() if system is not None else ()
    below = {c.name for c in collections if c.parent and c.parent.collection == collection}
    days = [later.days for later in own if later.row.collection in below]
    return days + [day for name in sorted(below) for day in _of_children(system, name, own)]


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


def sealed_frames(batch: Batch) -> dict[str, Frame]:
    """Where the keys of each subject of a batch were sealed last, by its ref."""
    frames = {m.subject.ref: located(batch, m, batch.ctx.system.name) for m in batch.members}
    return {ref: frame for ref, frame in frames.items() if frame is not None}


def sealed_keys(batch: Batch, frames: Mapping[str, Frame], store: Store) -> Iterator[Key]:
    """The keys in these frames, for every member of a batch. Streams."""
    for member in batch.members:
        ref = member.subject.ref
        yield from read_keys(store, frames[ref], member.key, ref)


def versions_of(names: Collection[str]) -> set[int]:
    """The versions of the key ring under which these names were made."""
    return {int(name.partition(".")[0]) for name in names}


def names_of(keys: KeyRing, system: str, key: Key, versions: Collection[int]) -> list[str]:
    """What a row is called under these versions of the key ring."""
    return [keys.row_digest(system, key.collection, key.key, version) for version in versions]
