"""What the drills' processes share: connectors without an entry point, and leases that end soon.

In: seconds. Out: connectors by name; shorter leases in the calling process.
"""

from __future__ import annotations

from typing import Any, Final

from dsr_worker.engine import context, leases
from dsr_worker.ledger import statements
from dsr_worker.testing.memory import Memory
from tests.faults.tally import Tally

CONNECTORS: Final[dict[str, type[Any]]] = {"memory": Memory, "tally": Tally}


def shorten_leases(lease_s: float) -> None:
    """Leases of so many seconds from now on in this process, renewed four times in each."""
    for module in (statements, leases):
        vars(module).update(LEASE_S=lease_s, RENEW_S=lease_s / 4)
    vars(context)["_LEAST_LEASE_S"] = 0.5
