"""A ledger, a broker and workers of our own, on this machine, with nothing installed beforehand.

Why: whoever tries the software, or runs it for one shop on one machine, should need no database
administrator. `Services` starts a real Postgres and a real Redis-compatible server in a local
folder, reachable through private unix sockets only; `Supervisor` keeps the worker processes alive.

Enters: a data folder. Leaves: `Endpoints`, the addresses that the rest of the software would
otherwise get from `DSR_LEDGER_DSN` and `DSR_REDIS_URL`. Nothing here knows what the ledger holds.

What a data folder contains::

    postgres/ broker/     the servers' own files (as root: owned by uid 65534, which runs them)
    sockets/              where the servers listen; elsewhere if the path would be too long
    *.log *.pid *.lock    the servers' last words, who runs, who is starting (0600)
    home, sockets.path    where the above lies instead, if it could not lie here

Deleting the folder removes everything, unless `home` or `sockets.path` name another;
`Services.remove` takes those too.
"""

from dsr_worker.embedded.binaries import EmbeddedError
from dsr_worker.embedded.services import Endpoints, Services
from dsr_worker.embedded.supervisor import Supervisor

__all__ = ["EmbeddedError", "Endpoints", "Services", "Supervisor"]
