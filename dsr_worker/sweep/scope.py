"""What one policy's sweep reaches: its own limits, under every policy's minimums and every hold.

In: a policy, or its limits as frozen on a job, and a system's decisions. Out: the same decisions
without other policies' limits. What protects a row is never narrowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dsr_worker.domain.decision import UNBOUND, Bound, Decisions, Term
from dsr_worker.policies import Policy

Limits = Mapping[str, Sequence[str]]
"""By class of records, the marks of the limits that a policy sets."""


def limits_of(policy: Policy) -> dict[str, list[str]]:
    """The limits that `policy` sets, as a job keeps them; empty where it only asks for keeping."""
    return {
        record_class: [_mark(term) for term in bound.limits]
        for record_class, bound in sorted(policy.bound.items())
        if bound.limits
    }


def narrowed(decisions: Decisions, limits: Limits) -> Decisions:
    """The decisions with these limits alone; minimums stay whole."""
    return replace(
        decisions,
        bound={
            name: Bound(bound.minimums, _own(decisions, name, limits))
            for name, bound in decisions.bound.items()
        },
    )


def limited(decisions: Decisions) -> tuple[str, ...]:
    """The collections that have a limit: those a sweep is ordered for."""
    return tuple(name for name in sorted(decisions.bound) if decisions.terms_of(name).limits)


def reached(decisions: Decisions) -> tuple[str, ...]:
    """The collections whose rows may go: those with a limit, and all below them."""
    return tuple(sorted(decisions.sweep()))


def _own(decisions: Decisions, name: str, limits: Limits) -> tuple[Term, ...]:
    record_class = decisions.system.collections[name].record_class or ""
    marks = limits.get(record_class, ())
    terms = decisions.bound.get(name, UNBOUND).limits
    return tuple(term for term in terms if _mark(term) in marks)


def _mark(term: Term) -> str:
    """All that a limit says, so that another policy's limit on the same class is told apart."""
    closes = term.anchor.year_end
    return (
        f"{term.ground} {term.period} {term.anchor.kind} {closes.month:02}-{closes.day:02}"
        f" {term.zone} {term.clock} {term.action}"
    )
