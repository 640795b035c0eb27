"""Where a command works: an opened installation, and the person whose key signs.

In: settings, the caller's key file. Out: an `Office`, having ticked once (whatever needs no broker
happens although no worker runs), and signed actions. Says loudly when nobody does what is open.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from dsr_worker.actors import ActorKey, load_key, new_action
from dsr_worker.bootstrap import Office, open_office
from dsr_worker.cli.faults import NOT_READY, Fault, not_found
from dsr_worker.cli.output import note
from dsr_worker.ledger import people, reports
from dsr_worker.people import SignedAction
from dsr_worker.registry import Registry
from dsr_worker.settings import Settings

_Function = TypeVar("_Function", bound=Callable[..., Any])
WORKER_SILENT_S = 60


@dataclass
class Opening:
    """How this process opens its installation; tests hand in settings and a registry."""

    settings: Settings | None = None
    registry: Registry | None = None

    def read_settings(self) -> Settings:
        """The settings: those handed in, else the environment's."""
        return self.settings or Settings()

    @contextmanager
    def office(self) -> Iterator[Office]:
        """An opened installation, ticked once. Raises NotSetUp and the like."""
        logging.getLogger().addHandler(logging.NullHandler())
        settings = self.read_settings()
        require_files(settings)
        if settings.ledger_dsn is None and not settings.data_dir.exists():
            message = "nothing was started here yet: `dsr up` makes ledger and key ring"
            raise Fault("not_set_up", message, NOT_READY)
        office = open_office(settings, registry=self.registry)
        try:
            tick(office)
            yield office
        finally:
            office.ledger.dispose()


pass_opening = click.make_pass_decorator(Opening, ensure=True)


def require_files(settings: Settings) -> None:
    """Raise Fault where there is no configuration at all."""
    if not (settings.config_dir / "organisation.yaml").exists():
        place = settings.config_dir
        message = f"there is no configuration in {place}: `dsr init` writes a first one"
        raise Fault("not_set_up", message, NOT_READY)


def tick(office: Office) -> None:
    """Do every duty that needs no broker once; warn when no worker lives and something is open."""
    for duty in office.housekeeping():
        try:
            duty()
        except Exception as error:  # noqa: BLE001 - a duty must not stop the command beside it
            name = getattr(duty, "__name__", "?")
            note(f"a duty of the tick failed: {name} ({type(error).__name__}); workers try again")
    open_jobs = reports.open_work(office.ledger)
    if open_jobs and not reports.live_workers(office.ledger, WORKER_SILENT_S):
        note(
            f"NO WORKER IS RUNNING. {open_jobs} open job(s) wait and nothing moves: start workers"
            " with `dsr up` (or `dsr worker`)."
        )


def ring(office: Office, systems: Iterable[str]) -> None:
    """Ring for systems, best effort: every worker's tick rings too."""
    wanted = sorted(set(systems))
    if not wanted:
        return
    try:
        office.ring(wanted)
    except Exception as error:  # noqa: BLE001 - the ready rows are the outbox
        note(f"workers could not be rung for ({type(error).__name__}); they look by themselves")


# ---- people


def acting(function: _Function) -> _Function:
    """Let a command take who acts, as `actor` and `key_file`."""
    for option in (
        click.option(
            "--key",
            "key_file",
            type=click.Path(path_type=Path),
            help="Your private key; default: actor.key in the configuration folder.",
        ),
        click.option("--as", "actor", metavar="NAME", help="Who acts; default: whose key this is."),
    ):
        function = option(function)
    return function


@dataclass(frozen=True)
class Caller:
    """The person at the keyboard."""

    name: str
    key: ActorKey

    def sign(self, action: str, case: str, plan_hash: str = "") -> SignedAction:
        """A signed action of theirs, of this moment."""
        try:
            act = new_action(self.name, action, case, datetime.now(UTC), plan_hash)
        except ValueError as error:
            raise Fault("actor_refused", str(error)) from None
        return SignedAction(act, self.key.sign(act))


def caller(office: Office, actor: str | None, key_file: Path | None) -> Caller:
    """Who acts: as named, else the registered person whose key this is.

    Raises ActorKeyError, Fault.
    """
    key = load_key(key_file or office.settings.actor_key_file)
    name = actor or office.settings.actor or _whose(office, key)
    return Caller(name, key)


def _whose(office: Office, key: ActorKey) -> str:
    with office.ledger.transaction() as cursor:
        everyone = people.everyone(cursor)
    raw = base64.b64decode(key.public_key)
    for person in everyone:
        if person.public_key == raw and person.retired_at is None:
            return person.name
    message = "your key belongs to nobody here: register it with `dsr actor add NAME`"
    raise Fault("actor_refused", message)


# ---- cases


def job_of(office: Office, ref: str, kinds: Sequence[str] = ()) -> reports.JobRow:
    """The job of a reference. Raises Fault when there is none, or it is of another kind."""
    with office.ledger.transaction() as cursor:
        found = reports.job(cursor, ref)
    if found is None and tuple(kinds) == ("hold",):
        raise not_found("there is no such hold; `dsr hold list` lists those that stand")
    if found is None:
        raise not_found("there is no such case; `dsr status` lists the open ones")
    if kinds and found.kind not in kinds:
        raise not_found(f"{found.ref} is a {found.kind}, not one of: {', '.join(kinds)}")
    return found
