"""The connector itself: opens transactions and hands them to the rooms that read and change.

In: subjects, keys and orders of the core. Out: records, links, keys and receipts, streamed. Reads
see one snapshot over all collections; changes are transactions of a few people each, a sweep is
many short ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import ClassVar, TypeVar

from psycopg2.sql import SQL
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from connectors.postgres import checking, proposing
from connectors.postgres.changing import (
    carrying,
    orphans,
    portions,
    rectifying,
    referring,
    restricting,
    sweeping,
    underway,
)
from connectors.postgres.changing.erasing import Erasure
from connectors.postgres.changing.pace import Pace
from connectors.postgres.changing.rehearsing import Rehearsal
from connectors.postgres.checking import granting, surroundings
from connectors.postgres.reading import affecting, ahead, finding, resolving
from connectors.postgres.reading.ownership import Ownership
from connectors.postgres.server import catalogue
from connectors.postgres.server.catalogue import Catalogue
from connectors.postgres.server.reaching import Servers
from connectors.postgres.server.session import Limits, Server, Session
from dsr_worker.contract import (
    AffectedPerson,
    Configuration,
    ContactPoint,
    Context,
    Finding,
    Key,
    LeakScope,
    Link,
    Mention,
    Proposal,
    Receipt,
    Record,
    RecordBlock,
    Residence,
    Role,
    Subject,
    SweepOrder,
    System,
)

_Value = TypeVar("_Value")
_LOCATED_AT_ONCE = 1000
_MOST_AT_ONCE = 4
_SWEEP_LOCK_S = 1.0  # a sweep holds the guard while it waits


class PostgresConfig(BaseModel):
    """How to reach the database: to change it, and, where mapped, to read it by other ways.

    Row security that would hide rows is an error unless `obey_row_security` says that its policies
    are the border of what is ours. With `refresh_views`, materialised views that hold copies of the
    mapped tables are refreshed after each erasure and each sweep. A call about more people than one
    transaction takes has up to `transactions_at_once` under way, on a connection each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dsn: SecretStr
    reader_dsn: SecretStr | None = None
    replica_dsn: SecretStr | None = None
    max_replica_lag_s: float = Field(default=10, ge=0)
    connect_timeout_s: int = Field(default=10, ge=2)
    read_timeout_s: float = Field(default=3600, gt=0)
    change_timeout_s: float = Field(default=300, gt=0)
    lock_timeout_s: float = Field(default=5, gt=0)
    idle_timeout_s: float = Field(default=120, gt=0)
    transactions_at_once: int = Field(default=2, ge=1, le=_MOST_AT_ONCE)
    obey_row_security: bool = False
    refresh_views: bool = False


class Postgres:
    """A Postgres database as the data map describes it. One instance serves many threads."""

    Config: ClassVar[type[BaseModel]] = PostgresConfig

    def __init__(self, system: System, config: PostgresConfig) -> None:
        self.system = system
        self.config = config
        keep = system.parallel * config.transactions_at_once
        self._server = Server(config.dsn.get_secret_value, keep=keep)
        self._servers = Servers(
            system.name,
            self._server,
            _optional(config.reader_dsn, keep=keep),
            _optional(config.replica_dsn, keep=0),
            config.max_replica_lag_s,
        )
        self._catalogue: Catalogue | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close idle connections. The connector stays usable."""
        self._server.close()
        self._servers.reading.close()

    def check(self) -> Iterable[Finding]:
        """Reachability, names, keys, rights, indexes, cascades and masks. Changes nothing."""
        limits = self._limits(self.config.read_timeout_s)
        refreshing = self.config.refresh_views
        yield from checking.findings(self.system, self._servers, limits, refreshing=refreshing)

    def grants(self) -> Iterable[Role]:
        """A reader and an eraser that may do what the data map needs, and nothing else."""
        limits = self._limits(self.config.read_timeout_s)
        with self._server.transaction(limits) as session:
            tables = catalogue.read(session, self.system)
            yield from granting.roles(session, tables, limits)

    def propose(self) -> Proposal:
        """The map that catalogue and samples suggest, and where the present one has grown old."""
        return proposing.propose(
            self.system, self._server, self._limits(self.config.read_timeout_s)
        )

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Every owned row, without other people's fields; one snapshot over all collections."""
        yield from self._owned(subjects, ctx, finding.records, copy=True)

    def find_blocks(
        self, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Record | RecordBlock]:
        """The same in blocks, as the server wrote the rows."""
        yield from self._owned(subjects, ctx, finding.blocks, copy=True)

    def contacts(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[ContactPoint]:
        """The stored contacts of rows that match a claimed identity themselves."""
        yield from self._owned(subjects, ctx, finding.contact_points)

    def resolve(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Link]:
        """One hop: what the owned rows yield, with how many others carry it."""
        yield from self._owned(subjects, ctx, resolving.links)

    def residences(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Residence]:
        """What the owned rows say of where people live."""
        if any(collection.residence for collection in self.system.collections.values()):
            yield from self._owned(subjects, ctx, finding.residences)

    def locate(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """The key of every owned row; so many people at once that indexes serve to reach them."""
        chunks = (
            self._owned(subjects[first : first + _LOCATED_AT_ONCE], ctx, finding.keys)
            for first in range(0, max(1, len(subjects)), _LOCATED_AT_ONCE)
        )
        yield from ahead.one_after_the_other(chunks, self.config.transactions_at_once)

    def mentions(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Mention]:
        """Other people's free text that holds a name of a subject."""
        yield from self._owned(subjects, ctx, finding.mentions)

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """Which of `keys` are still there, and what else any identity finds, parents or no.

        Rows outside the map that refer to what is gone stop for a human.
        """
        with self._reading(second_path=True) as (session, tables):
            located = Erasure(session, tables, subjects, ctx)
            located.receive(keys)
            located.gather(lock=False)
            yield from located.still_there()
            own = Ownership(session, tables, subjects, ctx, beyond_parents=True)
            own.prepare()
            yield from finding.keys(own, except_in=located.rows_of)
            yield from orphans.mapped_rows(own, located)
            orphans.refuse_unmapped(session, tables, ctx)

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Apply the tables to the located keys, a few people at once; a repeat finds them gone.

        The keys of one subject come together where there are more than one transaction takes.
        """
        yield from self._changed(Erasure, subjects, keys, ctx)

    def rectify(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Put the corrections in place, a few people at once; a repeat finds nothing to change."""
        yield from self._changed(rectifying.Rectification, subjects, keys, ctx)

    def restrict(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Restrict or free by the mapped means, a few people at once; a repeat finds it done."""
        yield from self._changed(restricting.Restricting, subjects, keys, ctx)

    def _changed(
        self, kind: type[Erasure], subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        ctx.check()
        coming = iter(keys)
        first = next(coming, None)
        if first is None:
            yield from portions.without_keys(subjects, self.system)
            return
        keys = chain((first,), coming)
        if ctx.dry_run:
            with self._trying(ctx) as (session, tables):
                erasure = kind(session, tables, subjects, ctx)
                erasure.receive(keys)
                if not ctx.second_path:  # by which nothing changes
                    erasure.refuse_rewriting()
                erasure.gather(lock=False)
                receipts = erasure.decide(ctx.table)
                if kind.erases and not ctx.second_path:
                    referring.foresee(erasure.changes)
                yield from receipts
            return
        pace = Pace()
        yield from underway.carried_out(
            portions.portions(subjects, keys, pace),
            lambda portion: partial(self._carried_out, kind, portion, ctx.part(portion.subjects)),
            pace,
            self.config.transactions_at_once,
        )
        self._refresh()

    def _carried_out(
        self, kind: type[Erasure], portion: portions.Portion, ctx: Context
    ) -> list[Receipt]:
        with self._server.transaction(self._limits(self.config.change_timeout_s)) as session:
            erasure = kind(session, self._fresh(session), portion.subjects, ctx)
            erasure.receive(portion.keys)
            erasure.refuse_rewriting()
            return carrying.carried_out(erasure)

    @contextmanager
    def _trying(self, ctx: Context) -> Iterator[tuple[Session, Catalogue]]:
        """Where a dry run reads: as the change would, or by the second path."""
        if ctx.second_path:
            with self._reading(second_path=True) as read:
                yield read
            return
        with self._server.transaction(self._limits(self.config.change_timeout_s)) as session:
            yield session, self._fresh(session)

    def sweep(self, orders: Sequence[SweepOrder], ctx: Context) -> Iterator[Receipt]:
        """Apply the orders part by part, children first; brakes before the first change."""
        with self._server.transaction(
            self._limits(self.config.read_timeout_s), snapshot=True
        ) as session:
            tables = self._fresh(session)
            rehearsal = Rehearsal(session, tables, orders, ctx)
            if ctx.dry_run:
                yield from rehearsal.receipts()
                return
            rehearsal.refuse_excess()
        for order in sweeping.in_order(tables, orders):
            for settled in (False, True):
                yield from self._swept(tables, order, orders, ctx, settled=settled)
            with self._server.transaction(
                self._limits(self.config.read_timeout_s), snapshot=True
            ) as session:
                yield from sweeping.Part(session, tables, ctx, order, orders, ctx.table).kept()
        self._refresh()

    def affected(self, scopes: Sequence[LeakScope], ctx: Context) -> Iterator[AffectedPerson]:
        """The people behind the rows of the scopes, each once per scope."""
        with self._reading(second_path=False) as (session, tables):
            yield from affecting.people(session, tables, scopes, ctx)

    def _refresh(self) -> None:
        """Copies in materialised views go with their rows; a repeat refreshes them again."""
        if not self.config.refresh_views:
            return
        limits = self._limits(self.config.read_timeout_s)
        with self._server.transaction(limits) as session:
            views = surroundings.copies(session, self.system)
        for view in views:
            with self._server.transaction(limits) as session:
                session.run(SQL("REFRESH MATERIALIZED VIEW {}").format(view.sql))
                session.commit()

    def _swept(
        self,
        tables: Catalogue,
        order: SweepOrder,
        orders: Sequence[SweepOrder],
        ctx: Context,
        *,
        settled: bool,
    ) -> Iterator[Receipt]:
        """Part after part until nothing is due; one that others get in the way of begins again."""
        pace = Pace()
        limits = self._limits(self.config.change_timeout_s, lock_s=_SWEEP_LOCK_S)

        def swept() -> Sequence[Receipt]:
            ctx.check()
            with ctx.guard() as guard, self._server.transaction(limits) as session:
                part = sweeping.Part(
                    session, tables, ctx, order, orders, guard.table, settled=settled
                )
                receipts = part.apply(pace.rows)
                if receipts:
                    guard.intend(receipts)
                    session.commit()
                return receipts

        begun = time.monotonic()
        while receipts := carrying.tried(swept):
            pace.took(time.monotonic() - begun)
            yield from receipts
            begun = time.monotonic()

    def _owned(
        self,
        subjects: Sequence[Subject],
        ctx: Context,
        read: Callable[[Ownership], Iterator[_Value]],
        *,
        copy: bool = False,
    ) -> Generator[_Value, None, None]:
        ctx.check()
        with self._reading(second_path=ctx.second_path, copy=copy) as (session, tables):
            own = Ownership(session, tables, subjects, ctx, beyond_parents=ctx.second_path)
            own.prepare()
            yield from read(own)

    @contextmanager
    def _reading(
        self, *, second_path: bool, copy: bool = False
    ) -> Iterator[tuple[Session, Catalogue]]:
        """One snapshot; the second path has its own connection and reads the catalogue anew."""
        limits = self._limits(self.config.read_timeout_s)
        servers = self._servers
        server = servers.copy(limits) if copy or second_path else servers.reading
        with server.transaction(limits, snapshot=True, fresh=second_path) as session:
            anew = second_path or server is servers.replica
            yield session, catalogue.read(session, self.system) if anew else self._known(session)

    def _known(self, session: Session) -> Catalogue:
        with self._lock:
            known = self._catalogue
        return known or self._fresh(session)

    def _fresh(self, session: Session) -> Catalogue:
        """The catalogue of this moment: nothing changes by an old one."""
        try:
            found = catalogue.read(session, self.system)
        except Configuration:
            with self._lock:
                self._catalogue = None
            raise
        with self._lock:
            self._catalogue = found
        return found

    def _limits(self, statement_s: float, *, lock_s: float | None = None) -> Limits:
        return Limits(
            connect_s=self.config.connect_timeout_s,
            statement_s=statement_s,
            lock_s=lock_s or self.config.lock_timeout_s,
            idle_s=self.config.idle_timeout_s,
            obey_row_security=self.config.obey_row_security,
        )


def _optional(dsn: SecretStr | None, *, keep: int) -> Server | None:
    return Server(dsn.get_secret_value, keep=keep) if dsn else None
