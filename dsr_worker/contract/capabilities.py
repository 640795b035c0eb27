"""What a connector can do: one protocol each, asked for by `isinstance`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel

from dsr_worker.contract.context import Context
from dsr_worker.contract.decisions import SweepOrder
from dsr_worker.contract.findings import Finding, Proposal, Role
from dsr_worker.contract.leaks import AffectedPerson, LeakScope, Unseen
from dsr_worker.contract.people import Subject
from dsr_worker.contract.receipts import Key, Receipt
from dsr_worker.contract.records import (
    ContactPoint,
    Link,
    Mention,
    Record,
    RecordBlock,
    Residence,
)
from dsr_worker.contract.standing import StandingCheck, StandingOrder, StandingPlan, StandingWay


@runtime_checkable
class Connector(Protocol):
    """The smallest connector: made as `cls(system, config)`, used by many threads."""

    Config: ClassVar[type[BaseModel]]

    def check(self) -> Iterable[Finding]:
        """Whether the system can be reached and fits its map. Changes nothing."""
        ...

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Every record of every subject, in any order. Reads only."""
        ...


@runtime_checkable
class FindsBlocks(Protocol):
    """Hands many rows over at once: a row need not become a Python object on the way."""

    def find_blocks(
        self, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Record | RecordBlock]:
        """The same records as `find`, in blocks where that is possible. Reads only."""
        ...


@runtime_checkable
class Contacts(Protocol):
    """Knows where a person can be reached."""

    def contacts(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[ContactPoint]:
        """The contact points on file of those whose claimed identity matches exactly."""
        ...


@runtime_checkable
class Resolves(Protocol):
    """Knows by which further names a person goes."""

    def resolve(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Link]:
        """Further identities of the subjects, from the collections that yield them. Reads only.

        An identity that the subject came with is told as well where `owners` is above zero: a name
        that was verified may still be several people's. Every row of a subject in a `person`
        collection gives at least one link, if need be of the identity that found it, so that two
        rows are seen to be two people.
        """
        ...


@runtime_checkable
class Erases(Protocol):
    """Erases, masks and keeps by decision tables."""

    def locate(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """The key of everything of the subjects, in every collection. Reads only."""
        ...

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Apply the decision tables to the located keys, children first.

        `keys` were sealed before this call, so that a repeat after any crash works from the same
        ones: what is no longer there is `already_gone`. A row that names somebody else by now, and
        not the subject, itself or by the rows above it, stays as it is: `retained` on the ground
        OWNER_CHANGED, and among `kept`. With `ctx.dry_run`, counts only. One receipt for every
        subject and collection, `absent` where nothing was located.
        """
        ...


@runtime_checkable
class Rectifies(Protocol):
    """Puts right what a person says is wrong."""

    def rectify(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Put the subjects' corrections into the located rows that the tables let be changed.

        The receipts are those of `Erases.erase`, every row among `kept`. A row decided by RECTIFY
        is `rectified`, its `fields` the values that differ: 0 once all are in place, so that a
        repeat and a dry run by the second path say whether it has taken effect; it carries the
        rule's ground only where `kept_fields` hold one of its corrections back. It is `retained` on
        that ground where they leave nothing to change, and on the ground STATED_OTHERWISE where no
        field says what `was` says, or says it already. A value that the store refuses raises
        NeedsHuman("correction_refused", collection and field), changing nothing.
        """
        ...


@runtime_checkable
class Restricts(Protocol):
    """Stores rows on without processing them, and frees them again."""

    def restrict(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Restrict the located rows that the tables say RESTRICT of, free those they say LIFT of.

        The receipts are those of `Erases.erase`, every row among `kept`. `restricted` and `lifted`
        count in `fields` the values changed, or one a row that is moved or listed: 0 where it was
        so already. Rows whose collection maps no means are decided KEEP by the core; a moved row
        is looked for where it went as well, under the key it had.
        """
        ...


@runtime_checkable
class Rechecks(Protocol):
    """Looks again by a second path."""

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """What is still there, by a second path: `ctx.second_path` is set.

        Every one of `keys` that still exists, and whatever else any identity of the subjects finds
        in any collection, never along references that the erasure cut. Each key once, in any order.
        """
        ...


@runtime_checkable
class Mentions(Protocol):
    """Finds where other people's records name somebody."""

    def mentions(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Mention]:
        """Places in other people's records that name a subject. Reads only."""
        ...


@runtime_checkable
class Residences(Protocol):
    """Tells where its rows say that people live."""

    def residences(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Residence]:
        """What the `residence` fields of the subjects' own rows say, as it stands. Reads only.

        Each differing text once for a subject and collection; a row that says nothing gives none.
        Which country a text names is the core's to say.
        """
        ...


@runtime_checkable
class Sweeps(Protocol):
    """Applies retention limits."""

    def sweep(self, orders: Sequence[SweepOrder], ctx: Context) -> Iterator[Receipt]:
        """Apply each order in short transactions, children first; with `ctx.dry_run`, count only.

        May yield several receipts per collection (one per committed part); a repeat goes on.
        """
        ...


@runtime_checkable
class StandingRules(Protocol):
    """Has the store let rows go by itself where that is exact; the other collections are swept.

    The store's own rules know no holds and no approval: the core withdraws them before a hold is
    acknowledged, and hands in only orders that nothing protects.
    """

    def standing(self, orders: Sequence[StandingOrder], now: datetime) -> StandingPlan:
        """What these orders would change in the store, and which way each collection goes.

        Reads only. Without orders: the plan that takes out every rule of this system.
        """
        ...

    def install(self, plan: StandingPlan) -> None:
        """Make the store's rules those of the plan, others' as they were; look that they are.

        A repeat changes nothing. Raises NeedsHuman("rules_changed"), having changed nothing, when
        the store's rules are not those that the plan saw, and NeedsHuman("rules_differ") when they
        read back otherwise than they were written: somebody else wrote at the same time.
        """
        ...

    def verify(self, ways: Sequence[StandingWay], now: datetime) -> Iterator[StandingCheck]:
        """List what each rule should have let go. Reads only; ways without a rule are left out."""
        ...


@runtime_checkable
class Affected(Protocol):
    """Tells whose data lay in a leaked scope."""

    def affected(
        self, scopes: Sequence[LeakScope], ctx: Context
    ) -> Iterator[AffectedPerson | Unseen]:
        """Everyone whose data lay in the leaked scopes, and what cannot be looked into. Reads only.

        What is unseen leaves the count incomplete; it stops nobody from being told.
        """
        ...


@runtime_checkable
class Proposes(Protocol):
    """Reads what its system holds and proposes the map of it."""

    def propose(self) -> Proposal:
        """The map as the store suggests it, and where the present map does not fit. Reads only.

        Samples are bounded in rows and time. No value of the data leaves this call: neither in the
        proposal, nor in an error, a log line or a statement's text. The map that the connector was
        made with may be empty.
        """
        ...


@runtime_checkable
class Grants(Protocol):
    """Knows which rights it needs in its system."""

    def grants(self) -> Iterable[Role]:
        """The least privileged roles that serve the data map. Changes nothing."""
        ...
