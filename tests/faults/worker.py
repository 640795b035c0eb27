"""The worker process itself, with the drills' connectors installed and leases as short as asked.

In: what `dsr_worker.queue.worker` reads, `DRILL_LEASE_S`. Out: the same actors on the same broker.
Nothing of the worker is replaced; its registry knows two connectors more.
"""

from __future__ import annotations

import importlib
import os
from functools import partial

from dsr_worker import bootstrap
from dsr_worker.registry import Registry
from tests.faults.parts import CONNECTORS, shorten_leases

if "DRILL_LEASE_S" in os.environ:
    shorten_leases(float(os.environ["DRILL_LEASE_S"]))
vars(bootstrap)["Registry"] = partial(Registry, dict(CONNECTORS))
importlib.import_module("dsr_worker.queue.worker")
