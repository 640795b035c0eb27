"""Who a call is about: identities, subjects, and what they ask to have put right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from types import MappingProxyType
from typing import Any

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """One name a person goes by: a kind (`email`, `customer_number`, …) and its canonical value."""

    kind: str
    value: str

    def __repr__(self) -> str:
        return f"Identity({self.kind})"


@dataclass(frozen=True, slots=True)
class Correction:
    """What a field of a person's rows is to say instead (Art. 16 GDPR), as texts.

    `value` None empties the field. With `was`, rows whose field says something else stay as they
    are: a person may have several addresses, and only one of them is wrong.
    """

    field: str
    value: str | None = attribute(repr=False)
    was: str | None = attribute(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Subject:
    """A person in a batch: an opaque `ref` and the closed set of identities resolved for them.

    `corrections` are what they ask to have put right, by collection; each field once.
    """

    ref: str
    identities: tuple[Identity, ...]
    corrections: Mapping[str, tuple[Correction, ...]] = attribute(
        default_factory=lambda: NOTHING, repr=False, hash=False
    )

    def values(self, kind: str) -> tuple[str, ...]:
        """The canonical values of one identity kind, in order."""
        return tuple(i.value for i in self.identities if i.kind == kind)

    def __repr__(self) -> str:
        return f"Subject({self.ref}, {len(self.identities)} identities)"
