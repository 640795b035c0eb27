"""Whose whole objects are: what the ways to tell it (key, labels, links) have in common.

In: a bucket, subjects. Out: objects with all their versions, and of each version its owners. The
room of whole objects asks one of these ways and never needs to know which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from connectors.s3.server.bucket import Bucket, Version
from dsr_worker.contract import (
    AffectedPerson,
    Context,
    Identity,
    LeakScope,
    Mention,
    Subject,
    Unseen,
)

Located = Mapping[str, Mapping[tuple[str, ...], set[str]]]
"""Object key -> row key -> subjects."""
LINK_ELSEWHERE = "s3-link-elsewhere"
"""The ground on which what a row links in another place stays: this system does not reach it."""


@dataclass(frozen=True, slots=True)
class Owned:
    """An object with all its versions, and the owners of those that are somebody's.

    `stays`: the ground on which a version is not to be erased, whatever a decision table says.
    """

    versions: list[Version]
    refs: Mapping[Version, frozenset[str]]
    stays: Mapping[Version, str] = field(default_factory=dict)

    @classmethod
    def wholly(cls, versions: list[Version], refs: frozenset[str]) -> Owned:
        """An object of which every version is theirs."""
        return cls(versions, dict.fromkeys(versions, refs))


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A link out of this bucket or prefix, in rows of these subjects. `key` is its row's key."""

    key: tuple[str, ...]
    link: str = field(repr=False)
    refs: frozenset[str] = frozenset()


class Facts(Protocol):
    """What a decision table may ask of a version beside its key, size and date."""

    def owned_by(self, version: Version, identities: tuple[Identity, ...]) -> bool:
        """Whether one of these identities owns it."""
        ...

    def text(self, version: Version, name: str) -> str | None:
        """A field that is told by whose the version is; None where it has none of this name."""
        ...


class Whose(Protocol):
    """A way to tell whose whole objects are."""

    def owned(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Owned | Elsewhere]:
        """Each object of the subjects once. Reads only."""
        ...

    def still_owned(
        self, bucket: Bucket, subjects: Sequence[Subject], located: Located, ctx: Context
    ) -> Iterator[Owned]:
        """The located objects as they are now, for erasing; those that are gone do not come."""
        ...

    def named(
        self, bucket: Bucket, version: Version, subjects: Sequence[Subject], ctx: Context
    ) -> frozenset[str] | None:
        """Of the subjects, whom a version names by now; None where it names nobody at all."""
        ...

    def every(self, bucket: Bucket, ctx: Context) -> Iterator[list[Version]]:
        """Every object of the collection, with all its versions."""
        ...

    def facts(self, bucket: Bucket, ctx: Context) -> Facts:
        """What a decision table may ask of its versions."""
        ...

    def affected(
        self, bucket: Bucket, scope: LeakScope, ctx: Context
    ) -> Iterator[AffectedPerson | Unseen]:
        """Everyone whose object lay in the window; a person may come in several parts."""
        ...

    def mentions(
        self, bucket: Bucket, subjects: Sequence[Subject], ctx: Context
    ) -> Iterator[Mention]:
        """Objects that name a subject beside somebody else, and are therefore nobody's."""
        ...


def key_of(version: Version) -> tuple[str, ...]:
    """A version's key in receipts and spools."""
    if version.upload:
        return (version.key, "upload", version.version_id)
    if version.version_id == "null":
        return (version.key,)
    return (version.key, version.version_id)


def lay_there(versions: list[Version], scope: LeakScope) -> int:
    """How many versions with bytes were there in the window of a leak."""
    until_at = scope.until_at
    return sum(not v.marker and (until_at is None or v.last_modified <= until_at) for v in versions)
