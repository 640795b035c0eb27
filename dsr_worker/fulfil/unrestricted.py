"""What a restriction leaves as it is: the rows of a system whose connector cannot restrict.

In: a batch at such a system, its located keys; a plan. Out: receipts by which every row stays, on
the ground that there are no means, as in a collection that maps none; words for whoever approves.
One store without a switch is no reason to leave a person's other data unrestricted (Art. 18 GDPR);
plan, approval and certificate name it. Where nothing is done somebody looks all the same: a row
that has gone is not told as one that stays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dsr_worker.contract import Context, Erases, Key, Outcome, OutcomeCount, Receipt, Rechecks
from dsr_worker.domain.rights import NO_MEANS
from dsr_worker.engine.batch import Batch
from dsr_worker.engine.context import BatchContext


def places(plan: Mapping[str, Any]) -> dict[str, int]:
    """How many planned rows no means restricts, by `system.collection`."""
    rows: Counter[str] = Counter()
    for part in plan.get("outcomes", ()):
        if part.get("ground") == NO_MEANS:
            rows[f"{part['system']}.{part['collection']}"] += part["rows"]
    return dict(sorted(rows.items()))


def notice(case: str, plan: Mapping[str, Any]) -> str | None:
    """One line for whoever approves a restriction; None where it takes hold everywhere."""
    left = places(plan)
    if not left:
        return None
    told = ", ".join(f"{place} {rows}" for place, rows in left.items())
    return (
        f"NOT RESTRICTED, since no means there can: {told}. These rows stay in use unless somebody"
        " sees to them in other ways; the restriction's hold only keeps them from erasure. Approve"
        " knowing that; or name means (`restrict` in the data map) and submit anew; or `dsr refuse"
        f" {case} --ground CODE`"
    )


def found_keys(batch: Batch) -> Iterator[Key]:
    """The key of every row of the subjects, each once, as the connector finds them."""
    yield from dict.fromkeys(_found(batch, batch.ctx))


def left_as_they_are(batch: Batch, keys: Iterable[Key], ctx: BatchContext) -> Iterator[Receipt]:
    """One receipt for every subject and collection; nothing is changed.

    A first dry run takes the keys as they were located just now; afterwards somebody looks which
    of them are still there.
    """
    sealed = set(keys)
    is_fresh = ctx.dry_run and not ctx.second_path
    there = sealed if is_fresh else sealed.intersection(_there(batch, sealed, ctx.verifying()))
    stay, gone = _by_place(there), _by_place(sealed - there)
    for subject in batch.subjects:
        for collection in ctx.system.collections:
            place = subject.ref, collection
            yield _receipt(place, stay[place], gone[place], ctx)


_Place = tuple[str, str]  # subject and collection


def _found(batch: Batch, ctx: Context) -> Iterator[Key]:
    for record in batch.connector.find(batch.subjects, ctx):
        yield Key(record.subject_ref, record.collection, record.key)


def _there(batch: Batch, keys: set[Key], ctx: BatchContext) -> Iterator[Key]:
    connector = batch.connector
    if not keys:
        return iter(())
    if isinstance(connector, Rechecks):
        return connector.recheck(batch.subjects, iter(keys), ctx)
    if isinstance(connector, Erases):
        return connector.locate(batch.subjects, ctx)
    return _found(batch, ctx)


def _by_place(keys: Iterable[Key]) -> defaultdict[_Place, list[Key]]:
    found: defaultdict[_Place, list[Key]] = defaultdict(list)
    for key in keys:
        found[key.subject_ref, key.collection].append(key)
    return found


def _receipt(place: _Place, stay: list[Key], gone: list[Key], ctx: Context) -> Receipt:
    outcomes = []
    if stay:
        outcomes.append(OutcomeCount(Outcome.RETAINED, len(stay), ground=NO_MEANS))
    if gone:
        outcomes.append(OutcomeCount(Outcome.ALREADY_GONE, len(gone)))
    return Receipt(
        *place,
        tuple(outcomes) or (OutcomeCount(Outcome.ABSENT, 0),),
        frozenset(ctx.digest(key.collection, key.key) for key in stay),
    )
