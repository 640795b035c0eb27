"""A connector whose effect is not idempotent: one more row in a table for every call it acts on.

Why: only an effect that shows when it happened twice can prove that it happens once. In: a table
outside the ledger. Out: a row per operation and subject, committed one by one. With `probe` it
looks for its row before it inserts one, as the contract asks of an effect of class `probe`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import psycopg2
from pydantic import BaseModel, ConfigDict, SecretStr

from dsr_worker.contract import (
    Context,
    Finding,
    Key,
    Outcome,
    OutcomeCount,
    Receipt,
    Record,
    Subject,
    System,
)

TABLES = "CREATE TABLE effects (operation text, ref text, at timestamptz DEFAULT clock_timestamp())"
COLLECTION = "cards"


class TallyConfig(BaseModel):
    """`gate`: while this file is there, `find` waits before its first record."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dsn: SecretStr
    probe: bool = True
    pause_s: float = 0.0
    gate: Path | None = None


class Tally:
    """Every subject has one card; erasing it is one INSERT in the table of effects."""

    Config: ClassVar[type[BaseModel]] = TallyConfig

    def __init__(self, system: System, config: BaseModel) -> None:
        self._config = TallyConfig.model_validate(config.model_dump())

    def check(self) -> Iterator[Finding]:
        """Nothing to look at."""
        yield from ()

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """One record a subject, once the gate is open."""
        gate = self._config.gate
        if gate is not None and gate.exists():
            Path(f"{gate}.reached").touch()
            while gate.exists():
                time.sleep(0.02)
        for subject in subjects:
            yield Record(subject.ref, COLLECTION, (subject.ref,), b'{"id":"card"}')

    def locate(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """The card of each subject."""
        for subject in subjects:
            yield Key(subject.ref, COLLECTION, (subject.ref,))

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """Nothing is found again."""
        yield from ()

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """One INSERT a subject, each committed by itself."""
        located = Counter(key.subject_ref for key in keys)
        receipts = tuple(
            Receipt(s.ref, COLLECTION, (OutcomeCount(Outcome.ERASED, located[s.ref]),))
            for s in subjects
        )
        if not ctx.dry_run:
            with ctx.guard() as guard:
                guard.intend(receipts)
                self._act(subjects, ctx)
        yield from receipts

    def _act(self, subjects: Sequence[Subject], ctx: Context) -> None:
        connection = psycopg2.connect(self._config.dsn.get_secret_value())
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for subject in subjects:
                    ctx.check()
                    if self._config.probe:
                        cursor.execute("SELECT 1 FROM effects WHERE ref = %s", (subject.ref,))
                        if cursor.fetchone():
                            continue
                    cursor.execute(
                        "INSERT INTO effects (operation, ref) VALUES (%s, %s)",
                        (ctx.operation_id, subject.ref),
                    )
                    time.sleep(self._config.pause_s)
        finally:
            connection.close()
