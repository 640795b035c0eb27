"""A context without engine or ledger, for trying a connector by itself.

In: decision tables, switches, hooks at the moments a test wants to watch. Out: what a connector may
expect of any context. State lives in a dictionary, intents in a list.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dsr_worker.contract import Action, Always, DecisionTable, Receipt, Rule, Subject
from dsr_worker.domain.identity import canonical_stored

_KEY = b"a key for trials, never for people"


@dataclass
class DictState:
    """State in memory."""

    values: dict[str, bytes] = field(default_factory=dict)

    def get(self, key: str) -> bytes | None:
        """The value last put."""
        return self.values.get(key)

    def put(self, key: str, value: bytes) -> None:
        """Keep a value."""
        self.values[key] = value

    def forget(self, key: str) -> None:
        """Keep it no longer."""
        self.values.pop(key, None)


def erase_everything(collection: str) -> DecisionTable:
    """The simplest table: every row goes."""
    return DecisionTable(collection, (Rule("default", Always(), Action.ERASE),))


@dataclass
class TrialContext:
    """A `Context` and its `Guard` in one; unlisted collections are erased without exception.

    `on_intent` runs inside `intend`, `on_check` inside `check`: raise there to play a crash.
    """

    tables: Mapping[str, DecisionTable] = field(default_factory=dict)
    now: datetime = datetime(2026, 11, 21, 12, tzinfo=UTC)
    dry_run: bool = False
    second_path: bool = False
    operation_id: str = "trial"
    state: DictState = field(default_factory=DictState)
    intents: list[tuple[Receipt, ...]] = field(default_factory=list)
    on_intent: Callable[[], None] = lambda: None
    on_check: Callable[[], None] = lambda: None
    calls: int = 0

    def table(self, collection: str) -> DecisionTable:
        """The given table, or one that erases everything."""
        return self.tables.get(collection) or erase_everything(collection)

    @contextmanager
    def guard(self) -> Iterator[TrialContext]:
        """Itself."""
        yield self

    def intend(self, receipts: Sequence[Receipt]) -> None:
        """Note the intent, then run the test's hook."""
        self.intents.append(tuple(receipts))
        self.on_intent()

    def part(self, subjects: Sequence[Subject]) -> TrialContext:
        """Itself."""
        return self

    def check(self) -> None:
        """Run the test's hook."""
        self.on_check()

    def spend(self, calls: int = 1) -> None:
        """Count calls."""
        self.calls += calls

    def digest(self, collection: str, key: Sequence[str]) -> str:
        """A keyed digest."""
        return _keyed("\x1f".join((collection, *key)))

    def pseudonym(self, subject_ref: str, value: str) -> str:
        """A keyed pseudonym."""
        return "erased-" + _keyed(f"{subject_ref}\x1f{value}")[:16]

    def canonical(self, kind: str, value: str) -> str | None:
        """The one canonicaliser."""
        return canonical_stored(kind, value)


def _keyed(text: str) -> str:
    return hmac.new(_KEY, text.encode(), hashlib.sha256).hexdigest()
