"""What the drills' processes share: connectors without an entry point, and leases that end soon.

In: seconds. Out: connectors by name; shorter leases in the calling process.
"""

from __future__ import annotations

from typing import Any, Final

from connectors.helpdesk import Zendesk
from connectors.s3 import S3
from dsr_worker.engine import context, drain, leases
from dsr_worker.ledger import statements
from dsr_worker.testing.memory import Memory
from tests.faults.careless import CarelessS3, CarelessZendesk
from tests.faults.tally import Tally

CONNECTORS: Final[dict[str, type[Any]]] = {
    "memory": Memory,
    "tally": Tally,
    "s3": S3,
    "zendesk": Zendesk,
    "careless-s3": CarelessS3,
    "careless-zendesk": CarelessZendesk,
}


def shorten_leases(lease_s: float) -> None:
    """Leases of so many seconds from now on in this process, renewed four times in each."""
    shorter = {"LEASE_S": lease_s, "RENEW_S": lease_s / 4, "LEAST_LEASE_S": lease_s / 4}
    for module in (statements, leases, context, drain):
        vars(module).update({name: s for name, s in shorter.items() if hasattr(module, name)})
