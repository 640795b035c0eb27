#!/usr/bin/env python3
"""Declare a breach: `dsr breach declare` under the project's environment.

./scripts/declare_breach.py --leaked shop.customers:email,phone --aware 2026-11-21T10:00+01:00
"""

import sys

import _project

_project.enter()

from dsr_worker.cli import main  # noqa: E402 - only once the environment is there

if __name__ == "__main__":
    main(["breach", "declare", *sys.argv[1:]])
