"""From a collection's layout and its standing order to a lifecycle rule, or why none suffices.

In: the data map's collection, an order, the bucket's other collections. Out: a rule as the API
reads it, or the code of a reason. Pure.

A rule lets go every object under its prefix that is `Days` times 24 hours old (rounded up to the
next midnight UTC on AWS, S3 User Guide, "Lifecycle configuration elements"). It reads no record, no
hold and no template, and on a bucket with versions it only adds a delete marker: the version goes
no sooner than so many days after that again, so that a rule which is never too early is too late.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from connectors.s3.config import PrefixLayout, layout_of
from dsr_worker.contract import Collection, StandingOrder

SHARED = "s3-rows-in-shared-objects"
OTHER_CLOCK = "s3-clock-inside-objects"
NOT_DECLARED = "s3-lifecycle-not-declared"
WHOLE_BUCKET = "s3-whole-bucket"
BELOW_PERSON = "s3-prefix-below-person"
OVERLAPS = "s3-prefixes-overlap"
VERSIONED = "s3-versions-stay"
COPIES = "s3-copies-stay"
NO_LIFECYCLE = "s3-no-lifecycle"
STRANGERS = "s3-objects-of-none"
SWEEP_FIRST = "s3-sweep-first"
_CLOCK = "last_modified"
_MOST_DAYS = 2**31 - 1
_ALL_BELOW = re.compile(r"[^*{}]*\{[a-z][a-z0-9_]*\}/(\*\*)?")  # whatever lies under the person


@dataclass(frozen=True, slots=True)
class Compiled:
    """A lifecycle rule of ours."""

    id: str
    collection: str
    prefix: str
    after_days: int

    def stands_in(self, says: Mapping[str, Any]) -> bool:
        """Whether a rule as a client reads it is this one, wherever a server tells its prefix."""
        mine = self.says
        return (
            set(says) <= {*mine, "Prefix"}
            and prefix_in(says) == self.prefix
            and not _narrowed(says)
            and all(says.get(name) == mine[name] for name in mine if name != "Filter")
        )

    @property
    def says(self) -> dict[str, Any]:
        """The rule as a client reads it."""
        return {
            "ID": self.id,
            "Filter": {"Prefix": self.prefix},
            "Status": "Enabled",
            "Expiration": {"Days": self.after_days},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": self.after_days},
        }

    @property
    def raw(self) -> bytes:
        """The rule as it is written."""
        return (
            f"<Rule><ID>{escape(self.id)}</ID>"
            f"<Filter><Prefix>{escape(self.prefix)}</Prefix></Filter><Status>Enabled</Status>"
            f"<Expiration><Days>{self.after_days}</Days></Expiration>"
            "<AbortIncompleteMultipartUpload>"
            f"<DaysAfterInitiation>{self.after_days}</DaysAfterInitiation>"
            "</AbortIncompleteMultipartUpload></Rule>"
        ).encode()


def ours(system: str) -> str:
    """How the ids of this system's rules begin; no other rule is ever touched."""
    return f"dsr-{system}."


def compiled(
    system: str, collection: Collection, order: StandingOrder, others: Iterable[Collection]
) -> Compiled | str:
    """The rule by which a collection's rows go exactly as ordered, or why there is none."""
    layout = layout_of(collection)
    if order.after_days is None or order.reason:
        return order.reason
    if not isinstance(layout, PrefixLayout):
        return SHARED
    prefix = layout.prefix
    reasons = {
        OTHER_CLOCK: order.clock != _CLOCK,
        NOT_DECLARED: not layout.lifecycle,
        WHOLE_BUCKET: not prefix,
        BELOW_PERSON: _ALL_BELOW.fullmatch(layout.template) is None,
        OVERLAPS: any(meet(prefix, prefix_of(other)) for other in others),
    }
    days = min(max(order.after_days, 1), _MOST_DAYS)
    made = Compiled(f"{ours(system)}{collection.name}", collection.name, prefix, days)
    return next((code for code, holds in reasons.items() if holds), made)


def prefix_of(collection: Collection) -> str:
    """What all keys of a collection begin with; empty for the whole bucket."""
    return layout_of(collection).prefix


def prefix_in(says: Mapping[str, Any]) -> str:
    """The prefix that a rule is for; empty for the whole bucket."""
    filters = says.get("Filter") or {}
    inner = filters.get("And") or filters
    return str(inner.get("Prefix") or says.get("Prefix") or "")


def _narrowed(says: Mapping[str, Any]) -> bool:
    """Whether a rule is for fewer objects than its prefix says: by tags or sizes."""
    filters = says.get("Filter") or {}
    return bool({*filters, *(filters.get("And") or ())} - {"And", "Prefix"})


def lets_go(says: Mapping[str, Any]) -> bool:
    """Whether a rule that is switched on lets objects or versions go."""
    actions = ("Expiration", "NoncurrentVersionExpiration")
    return says.get("Status") == "Enabled" and any(name in says for name in actions)


def meet(one: str, other: str) -> bool:
    """Whether keys can begin with both."""
    return one.startswith(other) or other.startswith(one)
