#!/usr/bin/env python3
"""Retention sweeps: `dsr sweep` under the project's environment.

./scripts/retention_sweep.py plan de-shop
./scripts/retention_sweep.py approve S-2026-000042 --as berta
./scripts/retention_sweep.py status
"""

import sys

import _project

_project.enter()

from dsr_worker.cli import main  # noqa: E402 - only once the environment is there

if __name__ == "__main__":
    main(["sweep", *sys.argv[1:]])
