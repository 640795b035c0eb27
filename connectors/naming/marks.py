"""What a map says of itself: where its `review` marks stand, as findings.

In: a system. Out: findings. Pure, and the same for every connector that proposes.
"""

from __future__ import annotations

from collections.abc import Iterator

from dsr_worker.contract import Finding, Severity, System


def marked(system: System) -> Iterator[Finding]:
    """A warning for every mark: nothing is erased while it stands."""
    for place in system.unreviewed:
        message = "is marked `review`: nothing is erased by this map"
        remedy = "look at it, correct it, and take the mark out"
        yield Finding(Severity.WARNING, place, message, remedy)


def stale(left: str) -> Finding:
    """A warning: what people left out on purpose is not there any more."""
    message = "is left out of the map and not there any more"
    return Finding(Severity.WARNING, left, message, "take it out of `left_out`")
