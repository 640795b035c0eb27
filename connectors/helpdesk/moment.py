"""The moment of an effect: the core's guard, or in a dry run the rehearsal of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dsr_worker.contract import Context, DecisionTable, Guard, Receipt


class _Rehearsal:
    """The guard of a dry run: the planning tables, and intents that nobody records."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def table(self, collection: str) -> DecisionTable:
        """The table for planning."""
        return self._ctx.table(collection)

    def intend(self, receipts: Sequence[Receipt]) -> None:
        """Nothing will be done, so nothing is intended."""


@contextmanager
def moment(ctx: Context) -> Iterator[Guard]:
    """The guard of one effect; in a dry run, its rehearsal."""
    if ctx.dry_run:
        yield _Rehearsal(ctx)
    else:
        with ctx.guard() as guard:
            yield guard
