"""The one composition root: from settings and files to everything that works together.

In: settings. Out: an `Office`, which takes decisions of people (the CLI uses it), and a `Workshop`,
which works steps off (worker processes use it). Nothing else in the project makes these objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from dsr_worker.breach import Assessing, BreachCourse, BreachDesk, Declaring, Sending
from dsr_worker.contract import Call
from dsr_worker.domain.retention import CalendarPeriod
from dsr_worker.embedded import Endpoints
from dsr_worker.engine import crash
from dsr_worker.engine.assembly import Assembly
from dsr_worker.engine.batch import Performer
from dsr_worker.engine.dividing import Change, Dividing
from dsr_worker.engine.drain import Drainer
from dsr_worker.engine.leases import Worker
from dsr_worker.engine.materials import Materials
from dsr_worker.engine.sealing import seal_events
from dsr_worker.engine.standing import StandingGuard
from dsr_worker.engine.tick import Duty, Ticker, rescue, ring_for_ready
from dsr_worker.engine.upkeep import upkeep
from dsr_worker.fulfil import housekeeping
from dsr_worker.fulfil.access import Accessing
from dsr_worker.fulfil.appealing import Appeals
from dsr_worker.fulfil.certifying import Certifying
from dsr_worker.fulfil.changing import Changing
from dsr_worker.fulfil.clocks import Clocks
from dsr_worker.fulfil.complaints import ComplaintDesk, Disputes, Filings
from dsr_worker.fulfil.course import CaseCourse
from dsr_worker.fulfil.decisions import Decisions
from dsr_worker.fulfil.delivery import Delivery
from dsr_worker.fulfil.holding import Holding
from dsr_worker.fulfil.inspecting import erased_in_unit
from dsr_worker.fulfil.intake import Intake
from dsr_worker.fulfil.laws import CaseLaws
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
from dsr_worker.installation import Files, find_endpoints, ring_of
from dsr_worker.ledger import Ledger, slots
from dsr_worker.ledger.connection import Cursor
from dsr_worker.ledger.rows import DESK, Job, Move
from dsr_worker.notify.mail import Mailer
from dsr_worker.notify.warnings import Warner
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

_DESK_SLOTS = 2
_IN_UNITS: Mapping[Call, Change] = {Call.ERASE: erased_in_unit, Call.SWEEP: sweeping.swept_in_unit}


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
    def laws(self) -> CaseLaws:
        """Adds laws to cases."""
        return CaseLaws(self.ledger, self.files.organisation.establishment.zone)

    @cached_property
    def course(self) -> CaseCourse:
        """What follows what in a case."""
        within = self.files.organisation.verification.answer_within
        return CaseCourse(self.materials, self.planner, self.laws, _length(within))

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
    def clocks(self) -> Clocks:
        """People's decisions on the time to answer."""
        return Clocks(self.ledger)

    @cached_property
    def delivery(self) -> Delivery:
        """What hands answers over."""
        within = CalendarPeriod.parse(self.files.organisation.appeals.file_within)
        return Delivery(self.ledger, self.keys, self.store, within)

    @cached_property
    def appeals(self) -> Appeals:
        """People's decisions on appeals."""
        within = CalendarPeriod.parse(self.files.organisation.appeals.file_within)
        return Appeals(self.ledger, self.materials, self.intake, self.course, within)

    @cached_property
    def holding(self) -> Holding:
        """What places and releases holds."""
        return Holding(self.ledger, self.keys, self.materials, self.standing_guard)

    @cached_property
    def filings(self) -> Filings:
        """What takes complaints in."""
        own, disputes = self.files.organisation, Disputes(self.holding)
        return Filings(self.ledger, self.keys, self.materials, own, disputes)

    @cached_property
    def complaint_desk(self) -> ComplaintDesk:
        """People's decisions on complaints."""
        own, disputes = self.files.organisation, Disputes(self.holding)
        return ComplaintDesk(self.ledger, self.keys, own, disputes)

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

    @property
    def lead_time(self) -> timedelta:
        """How long before its due instant a case becomes urgent: the first warning's time."""
        return max(map(_length, self.files.organisation.warnings.lead_times))

    def housekeeping(self) -> Sequence[Duty]:
        """The duties that need no broker: commands tick them too, so deadlines wait for nobody."""
        own = self.files.organisation
        promises = Promises(self.ledger, self.keys, self.materials)
        firing = Firing(self.ledger, self.sweeps, self.files.policies.by_name.values())
        return (
            rescue(self.ledger),
            *housekeeping.duties(
                self.ledger,
                self.store,
                self.planner,
                self.lead_time,
                _length(own.appeals.file_within),
                promises.duty(),
            ),
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
            Dividing(office.ledger, office.keys, office.store, _IN_UNITS),
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
        keys = ring_of(ledger, settings.key_ring_file)
    except BaseException:  # also Ctrl-C: no office will ever close these connections
        ledger.dispose()
        raise
    return Office(settings, endpoints, files, keys, registry=registry, ledger=ledger)


def _length(period: str) -> timedelta:
    start = date(2000, 1, 1)
    return CalendarPeriod.parse(period).after(start) - start


def _not_here(_system: str) -> None:
    message = "this process rings and does not drain"
    raise RuntimeError(message)
