"""What an order of a sweep says of each row, in the order in which its rules are asked.

In: a sweep order, the table of this moment. Out: rules: what protects a row, what no limit has
reached, what is needed by rows that stay, the limits, the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from connectors.postgres.changing.applying import goes
from connectors.postgres.changing.sparing import NEEDED, PROTECTING
from dsr_worker.contract import (
    Action,
    Always,
    Before,
    DecisionTable,
    NeededByKept,
    Rule,
    Since,
    SweepOrder,
)


def in_force(
    order: SweepOrder, current: DecisionTable, children: Sequence[str], *, tied: bool
) -> tuple[Rule, ...]:
    """The rules of an order; `children` may have to stay, `tied` rows be referred to otherwise."""
    rules = list(order.table.rules)
    protecting = [r for r in current.rules if r.code in PROTECTING and r not in rules]
    first = next((n for n, r in enumerate(rules) if goes(r)), len(rules))
    known = any(isinstance(r.when, NeededByKept) for r in rules[:first])
    if not known and (children or tied):
        needed = Rule("needed", NeededByKept(()), Action.KEEP, NEEDED)
        rules[first:first] = (*_not_due(rules[first:]), needed)
    return (*protecting, *(_asking(rule, children) for rule in rules))


def _not_due(limits: Sequence[Rule]) -> Iterator[Rule]:
    """Of rows that no limit has reached the last rule speaks first, needed or not."""
    if not limits:
        return
    last = limits[-1]
    dues = [r.when for r in limits if goes(r)]
    befores = [when for when in dues if isinstance(when, Before)]
    one_clock = len(befores) == len(dues) and len({when.field for when in befores}) == 1
    if one_clock and isinstance(last.when, Always) and last.action is Action.KEEP:
        latest = max(when.cutoff for when in befores)
        yield replace(last, when=Since(befores[0].field, latest))


def _asking(rule: Rule, children: Sequence[str]) -> Rule:
    """The same rule; one for what children need asks all that may have to stay."""
    if not isinstance(rule.when, NeededByKept):
        return rule
    asked = dict.fromkeys((*rule.when.children, *children))
    return replace(rule, when=NeededByKept(tuple(asked)))
