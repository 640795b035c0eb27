"""Portions of one call in transactions of their own, some of them under way at a time.

In: portions as they are made, and what carries one out. Out: receipts in the portions' order, each
once it is true. While the server works on one portion, the keys of the next are made and sent.
Whatever ends the call, no transaction outlives it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from connectors.postgres.changing import carrying
from connectors.postgres.changing.pace import Pace
from connectors.postgres.changing.portions import Portion
from dsr_worker.contract import Receipt

Transaction = Callable[[], Sequence[Receipt]]
_Done = tuple[Portion, Sequence[Receipt], float]  # and how many seconds it took


def carried_out(
    portions: Iterable[Portion], prepared: Callable[[Portion], Transaction], pace: Pace, most: int
) -> Iterator[Receipt]:
    """Carry portions out, at most `most` at a time; `prepared` makes each one's transaction.

    A portion whose keys are a stream goes alone, since the next ones come out of the same stream.
    Raises what the first that failed raised, after the receipts of those before it; none is begun
    then, and those under way have ended.
    """
    with ThreadPoolExecutor(most, "portion") as threads:
        ahead: deque[Future[_Done]] = deque()
        for portion in portions:
            streams = not portion.rows
            yield from _ended(ahead, pace, but=0 if streams else most - 1)
            ahead.append(threads.submit(_done, portion, prepared(portion)))
            if streams:
                yield from _ended(ahead, pace)
        yield from _ended(ahead, pace)


def _done(portion: Portion, transaction: Transaction) -> _Done:
    begun = time.monotonic()
    tries = carrying.TRIES if portion.rows else 1  # what streams can be read once
    return portion, carrying.tried(transaction, tries=tries), time.monotonic() - begun


def _ended(ahead: deque[Future[_Done]], pace: Pace, *, but: int = 0) -> Iterator[Receipt]:
    """The receipts of the portions under way, in order, until only `but` are left."""
    while len(ahead) > but:
        portion, receipts, spent_s = ahead.popleft().result()
        if 2 * portion.rows >= pace.rows:
            pace.took(spent_s * pace.rows / portion.rows)
        yield from receipts
