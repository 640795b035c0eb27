"""What each kind of job does to located rows: by which protocol, by which tables, under which code.

In: a batch, whose members may be of several kinds. Out: its parts by verb, each with the context
whose tables decide for it, and the connector's call. Adding a kind is adding a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsr_worker.contract import (
    Context,
    Erases,
    Key,
    NeedsHuman,
    Outcome,
    Receipt,
    Rectifies,
    Restricts,
    Subject,
)
from dsr_worker.domain.rights import Verb
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.engine.context import BatchContext
from dsr_worker.fulfil.unrestricted import left_as_they_are
from dsr_worker.ledger.rows import StepResult

_Call = Callable[[Any, Sequence[Subject], Iterable[Key], Context], Iterator[Receipt]]


@dataclass(frozen=True, slots=True)
class Doing:
    """A verb: the protocol that can do it, its call, and the code of a connector that cannot.

    Without such a code (`cannot` is None) the rows of that connector's system stay as they are, and
    are told so: what one store has no means for does not keep the others from it. `changed` are the
    outcomes that say it took effect; their fields tell a dry run what is left.
    """

    verb: Verb
    protocol: type
    call: _Call
    cannot: str | None
    changed: frozenset[Outcome]

    def able(self, connector: object) -> bool:
        """Whether a connector can locate and do this."""
        return isinstance(connector, Erases) and isinstance(connector, self.protocol)

    def perform(self, batch: Batch, keys: Iterable[Key], ctx: BatchContext) -> Iterator[Receipt]:
        """The connector's call, or what stays without one. Raises NeedsHuman where that stops."""
        if self.able(batch.connector):
            return self.call(batch.connector, batch.subjects, keys, ctx)
        if self.cannot is not None:
            raise NeedsHuman(self.cannot)
        return left_as_they_are(batch, keys, ctx)


def _erase(
    connector: Erases, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
) -> Iterator[Receipt]:
    return connector.erase(subjects, keys, ctx)


def _rectify(
    connector: Rectifies, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
) -> Iterator[Receipt]:
    return connector.rectify(subjects, keys, ctx)


def _restrict(
    connector: Restricts, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
) -> Iterator[Receipt]:
    return connector.restrict(subjects, keys, ctx)


_GOES = frozenset({Outcome.ERASED, Outcome.MASKED, Outcome.REDACTED})
ERASING = Doing(Verb.ERASE, Erases, _erase, "cannot_erase", _GOES)
_RECTIFYING = Doing(
    Verb.RECTIFY, Rectifies, _rectify, "cannot_rectify", frozenset({Outcome.RECTIFIED})
)
_RESTRICTING = Doing(Verb.RESTRICT, Restricts, _restrict, None, frozenset({Outcome.RESTRICTED}))
_LIFTING = Doing(Verb.LIFT, Restricts, _restrict, None, frozenset({Outcome.LIFTED}))

RESTRICTION = "restriction"
DEFERRED = "deferred"  # the kind of job that carries a promise out
LIFTING = "lifting"  # the kind of job that ends a restriction

DONE_BY: Mapping[str, Doing] = {
    "erasure": ERASING,
    DEFERRED: ERASING,
    "rectification": _RECTIFYING,
    RESTRICTION: _RESTRICTING,
    LIFTING: _LIFTING,
}
"""What each kind of job does; an access case does nothing to rows."""

REQUESTED = frozenset({"erasure", "rectification", RESTRICTION})
"""Kinds of which a person approves a plan, and whose answer is a certificate."""


def by_verb(batch: Batch, work: Callable[[Doing, Batch], Sequence[StepResult]]) -> list[StepResult]:
    """Have each verb's members of a batch worked on with its tables; the results of all."""
    groups: dict[Verb, list[Member]] = {}
    doings: dict[Verb, Doing] = {}
    for member in batch.members:
        doing = DONE_BY[member.job.kind]
        doings[doing.verb] = doing
        groups.setdefault(doing.verb, []).append(member)
    return [
        result
        for verb, members in groups.items()
        for result in work(doings[verb], batch.among(members, verb))
    ]
