"""What follows a phase, for many jobs at once.

In: jobs whose last awaited step has finished, and what follows each phase. Out: their moves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import Job, Move

Following = Mapping[str, Callable[[Cursor, list[Job]], Sequence[Move]]]
"""By phase: what moves the jobs that ended it, all of them at once."""


def followed(following: Following, cursor: Cursor, jobs: Sequence[Job]) -> list[Move]:
    """The moves of these jobs, phase by phase; a job in a phase that nothing follows stays."""
    by_phase: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_phase[job.phase].append(job)
    return [
        move
        for phase, those in sorted(by_phase.items())
        if phase in following
        for move in following[phase](cursor, those)
    ]
