"""Named points at which a fault drill kills this process (`DSR_CRASH_AT`), and no one else."""

from __future__ import annotations

import os
import signal

POINTS = (
    "after-claim",
    "after-spool",
    "after-locate",
    "before-intent",
    "after-intent",
    "after-effect",
    "before-finish",
    "after-finish",
    "before-ring",
)
OF_UNITS = ("after-page",)
"""Passed only where a call is divided into units."""

_armed: dict[str, int] = {}


def arm(spec: str | None) -> None:
    """Arm `point` or `point:n` (the n-th pass); None disarms. Raises ValueError for other names."""
    _armed.clear()
    if not spec:
        return
    point, _, count = spec.partition(":")
    if point not in POINTS + OF_UNITS:
        message = (
            f"DSR_CRASH_AT: {point!r} is no crash point; there are: {', '.join(POINTS + OF_UNITS)}"
        )
        raise ValueError(message)
    _armed[point] = int(count or 1)


def crash_point(point: str) -> None:
    """SIGKILL this process if the drill has armed this point."""
    if point in _armed:
        _armed[point] -= 1
        if _armed[point] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
