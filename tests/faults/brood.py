"""Worker processes made by fork, each killed by itself at one pass of one crash point.

Why: starting Python anew for each of fifty kills would take minutes. In: a line `point:n` on
standard input. Out: a line with the child's fate: the signal that ended it, or 0. Connectors are
made before the fork and connected after it.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

from dsr_worker.bootstrap import Workshop, open_office
from dsr_worker.engine import crash
from dsr_worker.registry import Registry
from dsr_worker.settings import Settings
from tests.faults.parts import CONNECTORS


def settle(workshop: Workshop) -> None:
    """Tick and drain until nothing is ready or under lease."""
    ledger = workshop.office.ledger
    workshop.worker.enlist()
    while True:
        workshop.ticker.tick()
        for system in workshop.office.systems:
            workshop.drainer(system)
        with ledger.transaction() as cursor:
            cursor.execute("SELECT 1 FROM steps WHERE state IN ('ready', 'leased') LIMIT 1")
            if cursor.fetchone() is None:
                return


def main() -> None:
    """One child a line, until the input ends."""
    office = open_office(Settings(), registry=Registry(dict(CONNECTORS)))
    workshop = Workshop(office)
    frozen = office.materials.frozen(office.materials.freeze(None, datetime.now(UTC)))
    for system in frozen.mapped:
        office.materials.connector(frozen, system)
    office.ledger.dispose()
    print("ready", flush=True)  # noqa: T201 - it is how the drill is answered
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            crash.arm(line.strip())
            settle(workshop)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    main()
