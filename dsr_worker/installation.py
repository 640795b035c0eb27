"""An installation: its reviewed files, its ledger, its key ring, and whether they belong together.

In: settings. Out: what an office is made of, or a word on what is missing; `set_up` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dsr_worker.datamap import Maps, load_systems
from dsr_worker.documents import DocumentError, read_file
from dsr_worker.embedded import Endpoints, Services
from dsr_worker.ledger import Ledger, instances
from dsr_worker.organisation import Organisation, load_organisation
from dsr_worker.policies import Policies, load_policies
from dsr_worker.settings import Settings
from dsr_worker.vault import KeyRing

ORGANISATION = "organisation.yaml"


class NotSetUp(Exception):  # noqa: N818 - reads as what it says
    """This installation is not complete; the text says which command completes it."""


@dataclass(frozen=True)
class Files:
    """The reviewed files of an installation."""

    folder: Path
    maps: Maps
    organisation: Organisation
    policies: Policies

    @classmethod
    def load(cls, folder: Path) -> Files:
        """Read them. Raises DocumentError with file and line of every fault."""
        file = folder / ORGANISATION
        organisation = load_organisation(file)
        try:
            policies = load_policies(folder / "policies").only(organisation.policies)
        except KeyError as error:
            fault = read_file(file).fault(("policies",), str(error.args[0]))
            raise DocumentError([fault]) from None
        return cls(folder, load_systems(folder / "systems"), organisation, policies)

    @property
    def digest(self) -> str:
        """What these files say, by hash: two loads of equal files have the same."""
        return f"{self.maps.hash}:{self.organisation.hash}:{self.policies.hash}"


def ring_of(ledger: Ledger, file: Path) -> KeyRing:
    """The ledger's key ring. A ledger that was never set up is told before a ring that is not."""
    ledger.require_schema()
    if not file.exists() and instances.fingerprint(ledger) is None:
        raise NotSetUp("this ledger is not set up: run `dsr migrate`, which makes its key ring")
    keys = KeyRing.load(file)
    instances.require(ledger, keys.knows, keys.fingerprint)
    return keys


def find_endpoints(settings: Settings) -> Endpoints:
    """Where ledger and broker are: as configured, else embedded (the ledger is then started)."""
    if settings.ledger_dsn is not None:
        redis = settings.redis_url.get_secret_value() if settings.redis_url else None
        return Endpoints(settings.ledger_dsn.get_secret_value(), redis)
    services = Services(settings.data_dir)
    return services.running() or services.start(ledger=True, broker=False)


def set_up(settings: Settings, endpoints: Endpoints, *, trial: bool = False) -> KeyRing:
    """Migrate the ledger and tie it to its key ring; make both where there is neither. Idempotent.

    Raises NotSetUp when only one of the two is there: a key ring is never made beside a ledger that
    has one already.
    """
    ledger = Ledger(endpoints.ledger_dsn)
    ledger.migrate()
    path = settings.key_ring_file
    bound = instances.fingerprint(ledger)
    if bound is None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        KeyRing.create(path)
    if bound is not None and not path.exists():
        message = (
            f"this ledger belongs to key ring {bound[:8]}…, which is not at {path}: put it back "
            "from its backup (`dsr keys backup` made it); without it nothing can be opened"
        )
        raise NotSetUp(message)
    keys = KeyRing.load(path)
    instances.bind(ledger, keys.fingerprint, trial=trial)
    instances.require(ledger, keys.knows, keys.fingerprint)
    ledger.dispose()
    return keys
