"""Becomes a Dramatiq worker armed with the next crash point of a list; unarmed once it is empty.

In: the list's file, processes, threads. Out: `dramatiq tests.faults.worker` in this very process,
so that each start under a supervisor dies at the next point and the last one lives.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dramatiq import cli

from dsr_worker import bootstrap as _bootstrap  # noqa: F401 - loaded before the fork
from tests.faults import parts as _parts  # noqa: F401 - as above


def next_point(points: Path) -> str | None:
    """Take the first line off the list."""
    lines = points.read_text("utf-8").splitlines()
    points.write_text("\n".join(lines[1:]), "utf-8")
    return lines[0] if lines else None


def main() -> None:
    """Arm, then become the worker; what it imports is loaded once, before it forks."""
    points, processes, threads = sys.argv[1:4]
    point = next_point(Path(points))
    if point is not None:
        os.environ["DSR_CRASH_AT"] = point
    sys.argv[1:] = ["tests.faults.worker", "-p", processes, "-t", threads]
    sys.exit(cli.main())  # type: ignore[no-untyped-call]  # dramatiq leaves it untyped


if __name__ == "__main__":
    main()
