"""Starting, stopping, and how it stands: `up`, `down`, `health`, `migrate`, `worker`, `clock`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import click

from dsr_worker.bootstrap import Office, Workshop
from dsr_worker.cli import faults
from dsr_worker.cli.desk import WORKER_SILENT_S, Opening, pass_opening, require_files
from dsr_worker.cli.faults import NOT_READY, Fault, usage
from dsr_worker.cli.output import json_option, show, table
from dsr_worker.cli.values import LAST_YEAR, NUMBER
from dsr_worker.domain.retention import CalendarPeriod
from dsr_worker.embedded import EmbeddedError, Endpoints, Services, Supervisor
from dsr_worker.installation import Files, find_endpoints, set_up
from dsr_worker.ledger import Ledger, instances, reports
from dsr_worker.settings import Settings
from dsr_worker.vault import KeyRing

_WORKER = "dsr_worker.queue"
_START_TIMEOUT_S = 90.0
_POLL_S = 0.2
_BROKER_TIMEOUT_S = 3


@click.command("up")
@click.option("--trial", is_flag=True, help="A new ledger whose clock can be moved (demo, tests).")
@click.option("--workers", type=NUMBER, help="Worker processes; default: DSR_WORKER_PROCESSES.")
@json_option
@pass_opening
def up_command(opening: Opening, *, trial: bool, workers: int | None, as_json: bool) -> None:
    """Start what is needed and keep it alive: ledger, broker, workers.

    With DSR_LEDGER_DSN and DSR_REDIS_URL set, only workers are started. Safe to repeat.
    """
    settings = opening.read_settings()
    require_files(settings)
    Files.load(settings.config_dir)
    supervisor = Supervisor(settings.data_dir)
    ran = supervisor.alive()
    _start_services(settings, trial=trial)
    with opening.office() as office:
        if trial and not reports.is_trial(office.ledger):
            raise Fault(
                "no_trial", "this ledger exists and is no trial; choose another DSR_DATA_DIR"
            )
        Workshop(office).provide_slots()
        if not ran:
            newest = reports.newest_worker(office.ledger)
            supervisor.start(_argv(settings, workers), _environment(settings))
            _await_workers(office.ledger, newest, supervisor.log)
    place = "embedded" if settings.ledger_dsn is None else "configured"
    data = {"running": True, "started": not ran, "services": place, "log": str(supervisor.log)}
    first = "runs already" if ran else "is up"
    lines = [
        f"dsr {first}: {place} ledger and broker, workers watched over (log: {supervisor.log}).",
        "dsr status shows what is open; dsr down stops everything.",
    ]
    show(data, lines, as_json=as_json)


def _start_services(settings: Settings, *, trial: bool) -> None:
    """Start and set up the embedded services where none are configured."""
    if settings.ledger_dsn is None and settings.redis_url is None:
        set_up(settings, Services(settings.data_dir).start(), trial=trial)
    elif settings.ledger_dsn is None or settings.redis_url is None:
        message = "set both DSR_LEDGER_DSN and DSR_REDIS_URL, or neither for embedded services"
        raise Fault("not_set_up", message, NOT_READY)


def _argv(settings: Settings, workers: int | None) -> list[str]:
    processes = workers or settings.worker_processes
    threads = settings.worker_threads
    return [sys.executable, "-m", _WORKER, "-p", str(processes), "-t", str(threads)]


def _environment(settings: Settings) -> dict[str, str]:
    """The workers' environment: they take no more messages than they have threads."""
    named = {
        "DSR_CONFIG_DIR": str(settings.config_dir),
        "DSR_DATA_DIR": str(settings.data_dir),
        "dramatiq_worker_timeout": "100",
        "dramatiq_queue_prefetch": str(settings.worker_threads),
    }
    return {**os.environ, **named}


def _await_workers(ledger: Ledger, newest: int, log: Path) -> None:
    until = time.monotonic() + _START_TIMEOUT_S
    while reports.newest_worker(ledger) == newest:
        if time.monotonic() > until:
            message = f"workers do not come up; their last words are in {log}"
            raise Fault("workers", message, NOT_READY)
        time.sleep(_POLL_S)


@click.command("down")
@json_option
@pass_opening
def down_command(opening: Opening, *, as_json: bool) -> None:
    """Stop workers and the embedded services. Work under way is finished or taken up later."""
    settings = opening.read_settings()
    ran = Supervisor(settings.data_dir).alive()
    Supervisor(settings.data_dir).stop()
    if settings.ledger_dsn is None:
        Services(settings.data_dir).stop()
    lines = ["dsr is down." if ran else "dsr is down; no workers were running here."]
    show({"running": False, "stopped": ran}, lines, as_json=as_json)


@click.command("worker")
@click.option("--processes", type=NUMBER, help="Default: DSR_WORKER_PROCESSES.")
@pass_opening
def worker_command(opening: Opening, *, processes: int | None) -> None:
    """Run workers in the foreground (containers). SIGTERM lets them finish what they hold."""
    settings = opening.read_settings()
    require_files(settings)
    argv = _argv(settings, processes)
    os.execve(argv[0], argv, _environment(settings))  # noqa: S606 - our own interpreter and module


@click.command("migrate")
@json_option
@pass_opening
def migrate_command(opening: Opening, *, as_json: bool) -> None:
    """Bring the ledger's schema up to date and tie a new ledger to its key ring. Safe to repeat."""
    settings = opening.read_settings()
    keys = set_up(settings, find_endpoints(settings))
    data = {"schema": "current", "key_ring": keys.fingerprint}
    show(
        data,
        [f"The ledger is up to date; its key ring is {keys.fingerprint[:8]}…"],
        as_json=as_json,
    )


# ---- health


@dataclass(frozen=True)
class _Part:
    """One part of an installation and how it stands."""

    name: str
    ok: bool
    message: str


@click.command("health")
@json_option
@pass_opening
@click.pass_context
def health_command(ctx: click.Context, opening: Opening, *, as_json: bool) -> None:
    """Say how configuration, ledger, schema, key ring, workers and broker stand. Starts nothing."""
    parts = list(_parts(opening.read_settings()))
    lines = table(
        ("part", "", "says"), ((p.name, "ok" if p.ok else "ILL", p.message) for p in parts)
    )
    ok = all(p.ok for p in parts)
    show({"ok": ok, "parts": [asdict(p) for p in parts]}, lines, as_json=as_json)
    reached = all(
        p.ok for p in parts if p.name in {"configuration", "ledger", "schema", "key_ring"}
    )
    ctx.exit(faults.OK if ok else faults.REFUSED if reached else NOT_READY)


def _parts(settings: Settings) -> Iterator[_Part]:
    yield _looked("configuration", lambda: _files(settings))
    try:
        endpoints = _where(settings)
    except EmbeddedError as error:
        yield _Part("ledger", ok=False, message=str(error))
        return
    if endpoints is None:
        yield _Part(
            "ledger", ok=False, message="embedded services do not run; `dsr up` starts them"
        )
        return
    with _disposed(Ledger(endpoints.ledger_dsn)) as ledger:
        reached = _looked("ledger", lambda: _answers(ledger))
        yield reached
        if reached.ok:
            yield _looked("schema", lambda: _schema(ledger))
            yield _looked("key_ring", lambda: _key_ring(settings, ledger))
            yield _looked("workers", lambda: _workers(ledger))
    yield _looked("broker", lambda: _broker(endpoints.redis_url))


def _looked(name: str, look: Callable[[], str]) -> _Part:
    try:
        return _Part(name, ok=True, message=look())
    except Exception as error:  # noqa: BLE001 - whatever is ill is a line of the table
        return _Part(name, ok=False, message=faults.described(error)[1])


def _where(settings: Settings) -> Endpoints | None:
    if settings.ledger_dsn is not None:
        return find_endpoints(settings)
    return Services(settings.data_dir).running()


@contextmanager
def _disposed(ledger: Ledger) -> Iterator[Ledger]:
    try:
        yield ledger
    finally:
        ledger.dispose()


def _files(settings: Settings) -> str:
    files = Files.load(settings.config_dir)
    return f"{len(files.maps.systems)} system(s), {len(files.policies.by_name)} policy(ies)"


def _answers(ledger: Ledger) -> str:
    with ledger.transaction() as cursor:
        cursor.execute("SELECT 1")
    return "answers"


def _schema(ledger: Ledger) -> str:
    ledger.require_schema()
    return "current"


def _key_ring(settings: Settings, ledger: Ledger) -> str:
    keys = KeyRing.load(settings.key_ring_file)
    instances.require(ledger, keys.knows, keys.fingerprint)
    return f"{keys.fingerprint[:8]}… belongs to this ledger"


def _workers(ledger: Ledger) -> str:
    alive = reports.live_workers(ledger, WORKER_SILENT_S)
    if not alive:
        raise Fault("workers", f"none alive within {WORKER_SILENT_S} s; `dsr up` starts some")
    return f"{alive} alive"


def _broker(url: str | None) -> str:
    if url is None:
        raise Fault("broker", "none configured: set DSR_REDIS_URL, or `dsr up`")
    import redis  # noqa: PLC0415 - only this part needs it

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=_BROKER_TIMEOUT_S) as client:
            client.ping()
    except (redis.RedisError, OSError):
        message = "does not answer; is it running, and DSR_REDIS_URL right?"
        raise Fault("broker", message) from None
    return "answers"


# ---- the clock of a trial


@click.group("clock")
def clock_command() -> None:
    """Move the business clock of a trial ledger on."""


@clock_command.command("advance")
@click.argument("period", metavar="PERIOD")
@json_option
@pass_opening
def _advance(opening: Opening, *, period: str, as_json: bool) -> None:
    """Move it on by an ISO 8601 period such as P8Y or P30D. Trial ledgers only."""
    try:
        parsed = CalendarPeriod.parse(period.upper())
    except ValueError as error:
        raise usage(str(error)) from None
    with opening.office() as office:
        now = _moved(office, parsed)
    show({"now": now}, [f"It is {now:%Y-%m-%d %H:%M} UTC now in this ledger."], as_json=as_json)


def _moved(office: Office, period: CalendarPeriod) -> datetime:
    today = instances.now(office.ledger).date()
    day = period.after(today)
    if day.year > LAST_YEAR:
        raise usage(f"the clock goes on to {LAST_YEAR} at most; take a shorter period")
    return instances.move_clock(office.ledger, day - today)
