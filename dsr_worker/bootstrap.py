"""The one composition root: from settings and files to everything that works together.

In: settings. Out: an `Office`, which takes decisions of people (the CLI uses it), and a `Workshop`,
which works steps off (worker processes use it). Nothing else in the project makes these objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dsr_worker.breach import Assessing, BreachCourse, BreachDesk, Declaring, Sending
from dsr_worker.datamap import Maps, load_systems
from dsr_worker.documents import DocumentError, read_file
from dsr_worker.domain.retention import CalendarPeriod
from dsr_worker.embedded import Endpoints, Services
from dsr_worker.engine import crash
from dsr_worker.engine.assembly import Assembly
from dsr_worker.engine.batch import Performer
from dsr_worker.engine.dividing import Dividing
from dsr_worker.engine.drain import Drainer
from dsr_worker.engine.leases import Worker
from dsr_worker.engine.materials import Materials
from dsr_worker.engine.sealing import seal_events
from dsr_worker.engine.standing import StandingGuard
from dsr_worker.engine.tick import Duty, Ticker, rescue, ring_for_ready
from dsr_worker.engine.upkeep import upkeep
from dsr_worker.fulfil import housekeeping
from dsr_worker.fulfil.access import Accessing
from dsr_worker.fulfil.certifying import Certifying
from dsr_worker.fulfil.changing import Changing
from dsr_worker.fulfil.course import CaseCourse
from dsr_worker.fulfil.decisions import Decisions
from dsr_worker.fulfil.delivery import Delivery
from dsr_worker.fulfil.holding import Holding
from dsr_worker.fulfil.intake import Intake
from dsr_worker.fulfil.leaving import Leavings
from dsr_worker.fulfil.lifting import Liftings
from dsr_worker.fulfil.planning import Planner
from dsr_worker.fulfil.promises import Promises
from dsr_worker.fulfil.rechecking import Rechecking
from dsr_worker.fulfil.resolving import Resolving
from dsr_worker.fulfil.restricting import Protecting
from dsr_worker.fulfil.retrying import Retrying
from dsr_worker.fulfil.texts import Texts
from dsr_worker.fulfil.verbs import DONE_BY
from dsr_worker.fulfil.verifying import Verifying
from dsr_worker.ledger import Ledger, instances, slots
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import DESK, Job, Move
from dsr_worker.notify.mail import Mailer
from dsr_worker.notify.warnings import Warner
from dsr_worker.organisation import Organisation, load_organisation
from dsr_worker.policies import Policies, load_policies
from dsr_worker.registry import Registry
from dsr_worker.settings import Settings
from dsr_worker.store import Store, open_store
from dsr_worker.sweep import sweeping
from dsr_worker.sweep.certifying import SweepCertifying
from dsr_worker.sweep.course import SweepCourse
from dsr_worker.sweep.decisions import SweepDecisions
from dsr_worker.sweep.firing import Firing
from dsr_worker.sweep.rules import StandingDecisions
from dsr_worker.vault import KeyRing

if TYPE_CHECKING:
    from dsr_worker.doorbell import Doorbell

ORGANISATION = "organisation.yaml"
_DESK_SLOTS = 2


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


class Office:
    """What people's decisions need: ledger, vault, store, files, and the rooms on them."""

    def __init__(
        self,
        settings: Settings,
        endpoints: Endpoints,
        files: Files,
        keys: KeyRing,
        *,
        registry: Registry | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.settings = settings
        self.endpoints = endpoints
        self.files = files
        self.keys = keys
        self.ledger = ledger or Ledger(endpoints.ledger_dsn)
        self.registry = registry or Registry()
        self.ring: Callable[[Sequence[str]], None] = self._ring_by_broker

    @cached_property
    def store(self) -> Store:
        """Where sealed blobs lie."""
        return open_store(self.settings.store_url)

    @cached_property
    def checkpoints(self) -> Store:
        """Where signed checkpoints go."""
        return open_store(self.settings.checkpoints or self.settings.store_url)

    @cached_property
    def materials(self) -> Materials:
        """Frozen sets and connectors."""
        files = self.files
        return Materials(self.ledger, self.registry, files.maps, files.policies, files.folder)

    @cached_property
    def planner(self) -> Planner:
        """What plans cases."""
        return Planner(self.materials, self.files.organisation)

    @cached_property
    def course(self) -> CaseCourse:
        """What follows what in a case."""
        return CaseCourse(self.materials, self.planner)

    @cached_property
    def texts(self) -> Texts:
        """The organisation's texts."""
        return Texts(self.files.organisation, self.files.policies, self.files.maps.by_name)

    @cached_property
    def mailer(self) -> Mailer:
        """What sends mail."""
        own = self.files.organisation
        return Mailer(own.smtp, own.controller.name)

    @cached_property
    def intake(self) -> Intake:
        """What takes requests in."""
        return Intake(self.ledger, self.keys, self.materials, self.files.organisation, self.course)

    @cached_property
    def decisions(self) -> Decisions:
        """What carries out people's decisions."""
        return Decisions(
            self.ledger,
            self.keys,
            self.files.organisation,
            self.intake,
            self.course,
            self.planner,
            Retrying(self.materials, self.course, self.planner),
        )

    @cached_property
    def delivery(self) -> Delivery:
        """What hands answers over."""
        return Delivery(self.ledger, self.keys, self.store)

    @cached_property
    def holding(self) -> Holding:
        """What places and releases holds."""
        return Holding(self.ledger, self.keys, self.materials, self.standing_guard)

    @cached_property
    def leavings(self) -> Leavings:
        """What ends cases with what is left of them."""
        return Leavings(self.ledger, self.planner)

    @cached_property
    def liftings(self) -> Liftings:
        """What ends restrictions."""
        return Liftings(self.ledger)

    @cached_property
    def sweeps(self) -> SweepDecisions:
        """People's decisions on retention sweeps."""
        return SweepDecisions(self.ledger, self.keys, self.materials)

    @cached_property
    def standing_guard(self) -> StandingGuard:
        """What keeps stores' own rules inside holds and policies."""
        return StandingGuard(self.ledger, self.keys, self.materials)

    @cached_property
    def standing_rules(self) -> StandingDecisions:
        """People's decisions on stores' own rules."""
        return StandingDecisions(self.ledger, self.keys, self.materials, self.standing_guard)

    @cached_property
    def sweep_course(self) -> SweepCourse:
        """What follows what in a sweep."""
        return SweepCourse(self.materials)

    @cached_property
    def declaring(self) -> Declaring:
        """What declares breaches."""
        own = self.files.organisation
        return Declaring(self.ledger, self.keys, self.materials, own)

    @cached_property
    def breach_desk(self) -> BreachDesk:
        """People's decisions on breaches."""
        return BreachDesk(self.ledger, self.keys, self.store, self.files.organisation)

    @cached_property
    def breach_course(self) -> BreachCourse:
        """What follows what in a breach."""
        return BreachCourse(self.files.organisation)

    @property
    def systems(self) -> list[str]:
        """Every system's name, and the desk's."""
        return [*sorted(self.files.maps.systems), DESK]

    def _ring_by_broker(self, systems: Sequence[str]) -> None:
        if self.endpoints.redis_url is None:
            return
        if self._doorbell is None:
            from dsr_worker.doorbell import Doorbell  # noqa: PLC0415 - most commands ring for nothing

            self._doorbell = Doorbell(self.endpoints.redis_url, self.systems, _not_here)
        self._doorbell.ring(slots.to_ring(self.ledger, systems))

    def housekeeping(self) -> Sequence[Duty]:
        """The duties that need no broker: commands tick them too, so deadlines wait for nobody."""
        own = self.files.organisation
        lead_time = max(map(_length, own.warnings.lead_times))
        promises = Promises(self.ledger, self.keys, self.materials)
        firing = Firing(self.ledger, self.sweeps, self.files.policies.by_name.values())
        return (
            rescue(self.ledger),
            *housekeeping.duties(self.ledger, self.store, self.planner, lead_time, promises.duty()),
            firing.fire_schedules,
            self.standing_guard.duty,
            Warner(self.ledger, own.warnings, self.mailer, own.languages[0]).duty,
            seal_events(self.ledger, self.keys, self.checkpoints),
            upkeep(self.ledger, self.store),
        )

    _doorbell: Doorbell | None = None


class Workshop:
    """What a worker process does: drains systems, ticks."""

    def __init__(self, office: Office) -> None:
        self.office = office
        crash.arm(office.settings.crash_at)
        self.worker = Worker(office.ledger)
        self.assembly = Assembly(office.ledger, office.keys, office.materials, self.worker.stopping)
        self.drainer = Drainer(
            office.ledger,
            self.worker,
            self.assembly,
            self._performers(),
            self._advance,
            Dividing(office.ledger, office.keys, office.store),
        )
        self.ticker = Ticker(self.worker, self.duties(), office.settings.tick_s)

    def provide_slots(self) -> None:
        """Make the slots of every system of the data map."""
        parallel = {n: m.system.parallel for n, m in self.office.files.maps.systems.items()}
        slots.provide(self.office.ledger, {**parallel, DESK: _DESK_SLOTS})

    def duties(self) -> Sequence[Duty]:
        """What every tick does."""
        return (ring_for_ready(self.office.ledger, self._ring), *self.office.housekeeping())

    def _ring(self, systems: Sequence[str]) -> None:
        self.drainer.ring(systems)

    def _performers(self) -> Mapping[str, Performer]:
        office = self.office
        own = office.files.organisation
        changing = Changing(office.store)
        accessing = Accessing(
            office.store,
            office.texts,
            _length(own.packages.expire_after),
            _length(own.remainders.look_again_after),
        )
        assessing = Assessing(office.ledger, office.store, own)
        verifying = Verifying(office.ledger, office.keys, office.mailer, own.verification)
        return {
            "contact": verifying.contact,
            "send_code": verifying.send_code,
            "resolve": Resolving(office.keys),
            "confirm": Resolving(office.keys),
            "plan": changing.plan,
            "find": accessing.find,
            "package": accessing.package,
            "locate": changing.locate,
            "apply": changing.apply,
            "protect": Protecting(office.ledger, office.holding),
            "recheck": Rechecking(office.store),
            "certify": Certifying(
                office.ledger,
                office.keys,
                office.store,
                own,
                _length(own.remainders.look_again_after),
            ),
            "affected": assessing.affected,
            "assess": assessing.assess,
            "notify": Sending(office.ledger, office.store, office.mailer).notify,
            "sweep_plan": sweeping.plan,
            "sweep_apply": sweeping.apply,
            "sweep_recount": sweeping.recount,
            "sweep_certify": SweepCertifying(office.ledger, office.keys, office.store, own),
        }

    def _advance(self, cursor: Cursor, jobs: Sequence[Job]) -> Sequence[Move]:
        courses: dict[str, CaseCourse | SweepCourse | BreachCourse] = {
            "breach": self.office.breach_course,
            "access": self.office.course,
            **dict.fromkeys(DONE_BY, self.office.course),
            "sweep": self.office.sweep_course,
        }
        moves: list[Move] = []
        for course in {id(c): c for c in courses.values()}.values():
            mine = [j for j in jobs if courses.get(j.kind) is course]
            if mine:
                moves.extend(course.advance(cursor, mine))
        return moves


def open_office(settings: Settings, *, registry: Registry | None = None) -> Office:
    """Open an installation that is set up. Raises NotSetUp, DocumentError, KeyRingRefused.

    Starts the embedded ledger where none is configured and it does not run; nothing else is
    started.
    """
    endpoints = find_endpoints(settings)
    files = Files.load(settings.config_dir)
    ledger = Ledger(endpoints.ledger_dsn)
    try:
        keys = _ring_of(ledger, settings.key_ring_file)
    except BaseException:
        ledger.dispose()
        raise
    return Office(settings, endpoints, files, keys, registry=registry, ledger=ledger)


def _ring_of(ledger: Ledger, file: Path) -> KeyRing:
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


def _length(period: str) -> timedelta:
    start = date(2000, 1, 1)
    return CalendarPeriod.parse(period).after(start) - start


def _not_here(_system: str) -> None:
    message = "this process rings and does not drain"
    raise RuntimeError(message)
