"""The connector itself: each protocol of the contract over a `Store`, with faults on order.

In: a data map, subjects, a context. Out: records, links, keys, receipts. Written to be read as an
explanation of the contract. Rows are JSON objects, instants ISO 8601 texts (naive ones are UTC);
paths into documents are not supported.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from dsr_worker.contract import (
    AffectedPerson,
    Collection,
    ConnectorError,
    ContactPoint,
    Context,
    Finding,
    Identity,
    Key,
    LeakScope,
    Link,
    Mention,
    Permanent,
    Receipt,
    Record,
    Remainder,
    Residence,
    Severity,
    Subject,
    SweepOrder,
    System,
    Transient,
    Withheld,
)
from dsr_worker.testing.memory.decide import Judge, clock
from dsr_worker.testing.memory.owners import (
    identities,
    identity_in,
    is_anothers,
    owned,
    reached,
    taken,
    top,
)
from dsr_worker.testing.memory.rights import RightsJudge
from dsr_worker.testing.memory.rows import RowKey, Store, Tables

_UNREADABLE: Final = frozenset({Remainder.ARCHIVED, Remainder.DENIED})
_SHORTEST_MENTION: Final = 5  # a shorter number stands in too many texts by chance
_Judged = Callable[[RightsJudge, Sequence[Subject], Iterable[Key]], tuple[Receipt, ...]]
_stores: dict[str, Store] = {}
_stores_lock = threading.Lock()


class Fault(BaseModel):
    """A misbehaviour on order: before or after the work of calls beyond the first `after_calls`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["transient", "permanent", "kill"]
    when: Literal["before", "after"] = "before"
    after_calls: int = 0
    method: str | None = None
    for_ref: str | None = None
    for_value: SecretStr | None = None  # a subject with this identity value is poison
    times: int | None = None  # then it is over; None: never

    def strikes(self, method: str, subjects: Sequence[Subject]) -> bool:
        """Whether this call is one it is meant for."""
        if self.method not in {None, method}:
            return False
        if self.for_ref is not None:
            return any(s.ref == self.for_ref for s in subjects)
        if self.for_value is not None:
            poison = self.for_value.get_secret_value()
            return any(i.value == poison for s in subjects for i in s.identities)
        return True


class MemoryConfig(BaseModel):
    """`name` shares rows inside one process, `path` between processes as well."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "memory"
    path: Path | None = None
    fault: Fault | None = None


def store(name: str = "memory", path: Path | None = None) -> Store:
    """Return the store of this name or file, the same for everybody in this process."""
    with _stores_lock:
        return _stores.setdefault(str(path) if path else f"name:{name}", Store(path))


class Memory:
    """Implements every protocol of the contract; may be used by many threads."""

    Config: ClassVar[type[BaseModel]] = MemoryConfig

    def __init__(self, system: System, config: BaseModel) -> None:
        parsed = MemoryConfig.model_validate(config.model_dump())
        self._system = system
        self._fault = parsed.fault
        self.store = store(parsed.name, parsed.path)

    def check(self) -> Iterator[Finding]:
        """How many rows each collection holds; changes nothing."""
        with self.store.reading() as tables:
            for name in self._system.collections:
                message = f"{len(tables.rows[name])} rows"
                yield Finding(Severity.OK, f"{self._system.name}.{name}", message)

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """Every record of every subject; other people's fields are withheld, and what is refused.

        Where the store lets nobody read a row for now, the record says so and from when on.
        """
        self._called("find", subjects)
        for collection, subject, key, row in self._belongings(subjects, ctx):
            with self.store.reading() as tables:
                ground, until_at = tables.refusal(collection.name, key, ctx.now) or ("", None)
            if ground in _UNREADABLE:
                withheld = (Withheld("", ground, 1, until_at),)
                yield Record(subject.ref, collection.name, key, b"{}", withheld=withheld)
            else:
                yield _record(collection, subject, key, row)

    def contacts(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[ContactPoint]:
        """The stored contact points of the claimed identities."""
        self._called("contacts", subjects)
        for collection in self._system.collections.values():
            for subject in subjects if collection.contact else ():
                with self.store.reading() as tables:
                    keys = [key for _, key in taken(tables, collection, subject, ctx)]
                    rows = [tables.rows[collection.name][key] for key in dict.fromkeys(keys)]
                for row in rows:
                    for kind, name in collection.contact.items():
                        if row.get(name):
                            yield ContactPoint(subject.ref, kind, str(row[name]))

    def resolve(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Link]:
        """Identities in the rows of the subjects, and a link for every row that is a person."""
        self._called("resolve", subjects)
        for collection in self._system.collections.values():
            for subject in subjects if collection.yields or collection.person else ():
                with self.store.reading() as tables:
                    own = reached(self._system, tables, collection, subject, ctx)
                    links = list(_links(self._system, tables, collection, subject, own, ctx))
                yield from links

    def residences(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Residence]:
        """What the rows of the subjects say of where they live."""
        self._called("residences", subjects)
        for collection in self._system.collections.values():
            if (name := collection.residence) is None:
                continue
            for subject in subjects:
                with self.store.reading() as tables:
                    keys = owned(self._system, tables, collection, subject, ctx)
                    found = [tables.rows[collection.name][key].get(name) for key in keys]
                for text in sorted({str(one) for one in found if one}):
                    yield Residence(subject.ref, collection.name, text)

    def locate(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Key]:
        """The key of every row of every subject."""
        self._called("locate", subjects)
        for collection, subject, key, _ in self._belongings(subjects, ctx):
            with self.store.reading() as tables:
                ground, _ = tables.refusal(collection.name, key, ctx.now) or ("", None)
            refused = ground if ground in _UNREADABLE else ""
            yield Key(subject.ref, collection.name, key, refused)

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """The located keys that still exist, then whatever the identities still find."""
        self._called("recheck", subjects)
        seen: set[Key] = set()
        for key in keys:
            with self.store.reading() as tables:
                there = key.key in tables.rows[key.collection]
            if there and key not in seen:
                seen.add(key)
                yield key
        for collection, subject, found, _ in self._belongings(subjects, ctx):
            key = Key(subject.ref, collection.name, found)
            if key not in seen:
                yield key

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Apply the decision tables in one transaction; a repeat works from the same keys."""
        return self._apply("erase", RightsJudge.erase, subjects, keys, ctx)

    def rectify(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Put the corrections in place in one transaction."""
        return self._apply("rectify", RightsJudge.rectify, subjects, keys, ctx)

    def restrict(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Restrict or free in one transaction."""
        return self._apply("restrict", RightsJudge.restrict, subjects, keys, ctx)

    def _apply(
        self,
        method: str,
        judged: _Judged,
        subjects: Sequence[Subject],
        keys: Iterable[Key],
        ctx: Context,
    ) -> Iterator[Receipt]:
        self._called(method, subjects)
        located = dict.fromkeys(keys)
        ctx.check()
        if ctx.dry_run:
            with self.store.reading() as tables:
                judge = RightsJudge(self._system, tables, ctx, ctx.table)
                receipts = judged(judge, subjects, located)
        else:
            with ctx.guard() as guard, self.store.transaction() as (tables, changes):
                judge = RightsJudge(self._system, tables, ctx, guard.table)
                receipts = judged(judge, subjects, located)
                changes.extend(judge.changes)
                guard.intend(receipts)
        self._fails("after", method, subjects)
        yield from receipts

    def mentions(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Mention]:
        """Free texts in other people's rows that name a subject."""
        self._called("mentions", subjects)
        for subject in subjects:
            if (names := _named(subject)) is None:
                continue
            for collection in self._system.collections.values():
                yield from self._mentions_in(collection, subject, names, ctx)

    def sweep(self, orders: Sequence[SweepOrder], ctx: Context) -> Iterator[Receipt]:
        """Apply each order in a transaction of its own, children first."""
        self._called("sweep", ())
        by_name = {order.collection: order for order in orders}
        for collection in self._system.children_first():
            if (order := by_name.get(collection.name)) is None:
                continue
            ctx.check()
            if ctx.dry_run:
                with self.store.reading() as tables:
                    receipts = Judge(self._system, tables, ctx, ctx.table).sweep(order, order.table)
            else:
                with ctx.guard() as guard, self.store.transaction() as (tables, changes):
                    judge = Judge(self._system, tables, ctx, guard.table)
                    receipts = judge.sweep(order, guard.table(collection.name))
                    changes.extend(judge.changes)
                    guard.intend(receipts)
            yield from receipts

    def affected(self, scopes: Sequence[LeakScope], ctx: Context) -> Iterator[AffectedPerson]:
        """The people whose rows existed before the window closed."""
        self._called("affected", ())
        for scope in scopes:
            with self.store.reading() as tables:
                rows = Counter(self._owners(tables, scope))
            for (name, key), count in rows.items():
                above = self._system.collections[name]
                with self.store.reading() as tables:
                    row = tables.rows[name].get(key, {})
                lives = row.get(above.residence) if above.residence else None
                people = tuple(dict.fromkeys(identities(above, row, ctx)))
                yield AffectedPerson(scope.collection, people, str(lives) if lives else None, count)

    def _called(self, method: str, subjects: Sequence[Subject]) -> None:
        self.store.count(method)
        self._fails("before", method, subjects)

    def _fails(self, when: str, method: str, subjects: Sequence[Subject]) -> None:
        fault = self._fault
        if fault is None or fault.when != when or not fault.strikes(method, subjects):
            return
        counts = self.store.counts()
        struck = counts.pop("fault", 0)
        made = counts.total() if fault.method is None else counts[fault.method]
        if made <= fault.after_calls or (fault.times is not None and struck >= fault.times):
            return
        self.store.count("fault")
        if fault.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise _ERRORS[fault.kind]("a fault on order")

    def _belongings(
        self, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[tuple[Collection, Subject, RowKey, dict[str, Any]]]:
        for collection in self._system.collections.values():
            for subject in subjects:
                ctx.check()
                with self.store.reading() as tables:
                    keys = owned(self._system, tables, collection, subject, ctx)
                for key in keys:
                    with self.store.reading() as tables:
                        row = tables.rows[collection.name].get(key)
                    if row is not None:
                        yield collection, subject, key, row

    def _mentions_in(
        self, collection: Collection, subject: Subject, names: re.Pattern[str], ctx: Context
    ) -> Iterator[Mention]:
        texts = [field.name for field in collection.fields.values() if field.free_text]
        with self.store.reading() as tables:
            own = set(owned(self._system, tables, collection, subject, ctx))
            rows = list(tables.rows[collection.name].items()) if texts else []
        for key, row in rows:
            for name in texts if key not in own else ():
                if names.search(str(row.get(name) or "")):
                    yield Mention(subject.ref, collection.name, key, name)

    def _owners(self, tables: Tables, scope: LeakScope) -> Iterator[tuple[str, RowKey]]:
        """The topmost owner of every row that existed before the window closed."""
        collection = self._system.collections[scope.collection]
        born = collection.clocks.get("record_date")
        for key, row in tables.rows[scope.collection].items():
            at = clock(row.get(born)) if born else None
            if scope.until_at is None or at is None or at <= scope.until_at:
                above, owner = top(self._system, tables, collection, key)
                yield above.name, owner


def _links(
    system: System,
    tables: Tables,
    collection: Collection,
    subject: Subject,
    own: Mapping[RowKey, str],
    ctx: Context,
) -> Iterator[Link]:
    for key, via in own.items():
        if collection.person:
            found_by = Identity(via, subject.values(via)[0])
            yield Link(subject.ref, found_by, collection.name, key, via)
        for kind, name in collection.yields.items():
            row, spell = tables.rows[collection.name][key], partial(ctx.canonical, kind)
            identity = identity_in(collection, row, kind, name, ctx)
            if identity is None:
                continue
            same = tables.keys(collection.name, name, identity.value, kind, spell)
            known = {identity, *subject.identities}
            owners = sum(
                is_anothers(system, tables, collection, other, known, ctx)
                for other in set(same) - own.keys()
            )
            if owners or identity not in subject.identities:
                yield Link(subject.ref, identity, collection.name, key, via, owners)


def _record(collection: Collection, subject: Subject, key: RowKey, row: dict[str, Any]) -> Record:
    others = {f.name for f in collection.fields.values() if f.third_party}
    shown = {name: row.get(name) for name in collection.fields if name not in others}
    body = json.dumps(shown, separators=(",", ":"), ensure_ascii=False).encode()
    held_back = sorted(name for name in others if row.get(name) is not None)
    withheld = tuple(Withheld(name, "AC_RIGHTS_OF_OTHERS") for name in held_back)
    return Record(subject.ref, collection.name, key, body, withheld=withheld)


def _named(subject: Subject) -> re.Pattern[str] | None:
    values = [i.value for i in subject.identities if len(i.value) >= _SHORTEST_MENTION]
    either = "|".join(map(re.escape, values))
    return (
        re.compile(rf"(?<![\w.+-])(?:{either})(?![\w-])", re.ASCII | re.IGNORECASE)
        if values
        else None
    )


_ERRORS: Final[dict[str, type[ConnectorError]]] = {"transient": Transient, "permanent": Permanent}
