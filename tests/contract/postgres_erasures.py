"""Anna's rows, the rules by which they go or stay, and an erasure of them in a line."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.postgres import Postgres
from dsr_worker.contract import (
    Action,
    Always,
    DecisionTable,
    Finding,
    HeldSubjects,
    Identity,
    Mask,
    MaskKind,
    Receipt,
    Rule,
    Since,
    Subject,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import ERASE

NULL, YEAR, NETWORK = Mask(MaskKind.NULL), Mask(MaskKind.YEAR), Mask(MaskKind.NETWORK)
PSEUDONYM, TOMBSTONE = Mask(MaskKind.PSEUDONYM), Mask(MaskKind.TOMBSTONE)
ERASED = Mask(MaskKind.CONSTANT, "erased")
ANNA = Subject("anna", (Identity("owner", "anna"),))
HELD = Rule("hold", HeldSubjects(frozenset({"anna"})), Action.KEEP, "DISPUTE")
NEEDED = "needed_by_kept"


def erased(postgres: Postgres, *rules: Rule, at: str = "t", **others: Rule) -> list[Receipt]:
    """Locate Anna's rows and erase them under these rules."""
    tables = {at: DecisionTable(at, (*rules, ERASE))}
    tables |= {name: DecisionTable(name, (rule, ERASE)) for name, rule in others.items()}
    keys = list(postgres.locate([ANNA], TrialContext()))
    return list(postgres.erase([ANNA], keys, TrialContext(tables=tables)))


def masking(**masks: Mask) -> Rule:
    """The rule that masks every row."""
    return Rule("default", Always(), Action.MASK, "", masks)


def found(postgres: Postgres, word: str) -> Finding:
    """The one finding of the check that says `word`."""
    (finding,) = [f for f in postgres.check() if word in f.message]
    assert finding.remedy
    return finding


KEPT = Rule("minimum", Since("at", datetime(2020, 1, 1, tzinfo=UTC)), Action.KEEP, "tax")
