"""Becomes Dramatiq with our workers: `python -m dsr_worker.queue -p PROCESSES -t THREADS`.

Why not `dramatiq dsr_worker.queue.worker`, which does the same: there every process loads all
modules for itself. Here they are loaded once, before Dramatiq forks, and shared.
"""

from __future__ import annotations

import sys

from dramatiq import cli

from dsr_worker import bootstrap as _bootstrap  # noqa: F401 - loaded before the fork

if __name__ == "__main__":
    sys.argv[1:1] = ["dsr_worker.queue.worker"]
    sys.exit(cli.main())  # type: ignore[no-untyped-call]  # dramatiq leaves it untyped
