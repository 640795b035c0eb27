"""Warnings of clocks: raised by the tick, delivered along the chain until somebody acknowledges.

In: the organisation's lead times and chain, the ledger's clocks. Out: mail, webhook calls and
commands with a case's reference, a clock, when it is due and what to do; no personal data. Needs
the ledger alone: neither the queue nor a connector. Raising happens within the tick; delivery
runs in a thread of its own, since a slow mail server must not keep the tick from renewing leases.

The first round goes to the chain's first link. Not acknowledged for `escalate_after_s`, a warning
goes to the next link as well, and at the end of the chain it repeats. When a link cannot be reached
the round goes on to the next one at once.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from dsr_worker.domain.calendar import zone_of
from dsr_worker.domain.retention import CalendarPeriod
from dsr_worker.ledger import Ledger, orphans, pace, warnings
from dsr_worker.ledger.rows import Event
from dsr_worker.ledger.warnings import FORESEEN, OVERDUE, RaisedWarning
from dsr_worker.notify.mail import Mailer, Sent
from dsr_worker.organisation import Link
from dsr_worker.organisation import Warnings as WarningRules

_log = logging.getLogger(__name__)

_WEBHOOK_TIMEOUT_S = 10.0
_COMMAND_TIMEOUT_S = 30.0
_AGAIN_AFTER_FAILURE_S = 60.0
_TEMPLATE = "warning"
_DAY_S = 86_400
_FORESEE_EVERY = timedelta(minutes=15)


class Warner:
    """Raises and delivers warnings. Its `duty` belongs into the tick of every worker."""

    def __init__(self, ledger: Ledger, rules: WarningRules, mailer: Mailer, language: str) -> None:
        self._ledger = ledger
        self._rules = rules
        self._mailer = mailer
        self._language = language
        self._delivery: threading.Thread | None = None
        self._start = threading.Lock()

    @property
    def duty(self) -> Callable[[], None]:
        """The tick's duty: mark missed clocks, raise what is reached, see to it being delivered."""

        def warn_of_clocks() -> None:
            self.look()
            if warnings.waiting(self._ledger):
                self._deliver_beside()

        return warn_of_clocks

    def look(self) -> None:
        """Turn clocks that have run out into missed ones, raise the thresholds reached."""
        warnings.mark_missed(self._ledger)
        warnings.raise_reached(self._ledger, self._rules.lead_times)
        with self._ledger.transaction() as cursor:
            if orphans.take_chore(cursor, "forecast", _FORESEE_EVERY):
                pace.measure(cursor)
                warnings.raise_foreseen(cursor)

    def deliver(self) -> int:
        """Deliver every warning that is to go out now; how many did. Safe to run in parallel."""
        done = 0
        while claimed := warnings.claim(self._ledger):
            for warning in claimed:
                done += self._deliver(warning)
        return done

    def _deliver_beside(self) -> None:
        with self._start:
            if self._delivery is None or not self._delivery.is_alive():
                self._delivery = threading.Thread(
                    target=self._deliver_quietly, name="warnings", daemon=True
                )
                self._delivery.start()

    def _deliver_quietly(self) -> None:
        try:
            self.deliver()
        except Exception as error:  # noqa: BLE001 - the next tick tries again; the text stays here
            _log.error("warnings_not_delivered", extra={"error": type(error).__name__})

    def _deliver(self, warning: RaisedWarning) -> bool:
        reached, last = self._round(warning)
        chain = self._rules.chain
        if not reached:
            _log.error("warning_reached_nobody", extra={"case": warning.ref})
        warnings.delivered(
            self._ledger,
            warning,
            [_event(warning, link) for link in reached],
            link=min(last + 1, len(chain) - 1) if reached else warning.link,
            again_s=self._rules.escalate_after_s if reached else _AGAIN_AFTER_FAILURE_S,
        )
        return bool(reached)

    def _round(self, warning: RaisedWarning) -> tuple[list[Link], int]:
        """Try the links up to the warning's own, further ones while nobody could be reached."""
        reached: list[Link] = []
        last = -1
        for number, link in enumerate(self._rules.chain):
            if number > warning.link and reached:
                break
            last = number
            if self._reach(link, warning):
                reached.append(link)
                continue
            _log.warning(
                "warning_link_not_reached",
                extra={"case": warning.ref, "link": number, "channel": channel_of(link)},
            )
        return reached, last

    def _reach(self, link: Link, warning: RaisedWarning) -> bool:
        try:
            return self._try(link, warning)
        except Exception as error:  # noqa: BLE001 - the next tick tries again; the text stays here
            _log.error("warning_link_failed", extra={"error": type(error).__name__})
            return False

    def _try(self, link: Link, warning: RaisedWarning) -> bool:
        told = contents(warning)
        if link.email is not None:
            sent = self._mailer.send_template(
                _TEMPLATE,
                to=link.email,
                language=self._language,
                operation=f"warning-{warning.id}-{warning.sent}-{link.name}",
                values=told,
            )
            return sent in {Sent.SENT, Sent.UNKNOWN}
        if link.webhook is not None:
            return _post(link.webhook, told)
        return _run(link.command or (), told)


def contents(warning: RaisedWarning) -> dict[str, Any]:
    """What a warning says. Instants are ISO 8601; `due_local` is the civil time in `zone`."""
    due_at = warning.conservative_due_at
    local = due_at.astimezone(zone_of(warning.zone))
    return {
        "case": warning.ref,
        "kind": warning.kind,
        "clock": warning.clock,
        "recipient": warning.recipient,
        "threshold": warning.threshold,
        "overdue": warning.overdue,
        "due_at": due_at.isoformat(),
        "due_local": f"{local:%Y-%m-%d %H:%M}",
        "zone": warning.zone,
        "numbered": warning.due_at is not None,
        "citation": warning.citation,
        "verified": warning.verified,
        "condition": warning.condition,
        "todo": _todo(warning),
        "warning": warning.id,
        "acknowledge": f"dsr warnings ack {warning.id}",
    }


def channel_of(link: Link) -> str:
    """By which means a link is reached: email, webhook or command."""
    if link.email is not None:
        return "email"
    return "command" if link.webhook is None else "webhook"


def _todo(warning: RaisedWarning) -> str:
    if warning.kind == "breach":
        return (
            f"dsr breach show {warning.ref}; tell the recipient,"
            f" then: dsr breach told {warning.ref} {warning.clock} --at INSTANT (when that was,"
            f" such as {_example(warning)})"
        )
    if warning.kind == "complaint":
        return f"dsr complaint show {warning.ref}: see what comes next, and do it"
    if warning.kind == "hold":
        return (
            f"look whether the hold is still needed (dsr hold list): dsr hold review {warning.ref}"
            f" --review DATE where it is, dsr hold release {warning.ref} where not"
        )
    if warning.threshold == FORESEEN:
        return (
            f"as things stand this will be missed (dsr due): see what it waits for, dsr status"
            f" {warning.ref}; more workers, the system mended, or an extension where the law gives"
            " one"
        )
    if warning.clock.startswith("appeal"):
        return f"dsr status {warning.ref}: the appeal is to be decided, and its letter to leave"
    return f"dsr explain {warning.ref}: see what the case waits for, and answer it"


def _example(warning: RaisedWarning) -> str:
    return warning.now.astimezone(zone_of(warning.zone)).isoformat(timespec="minutes")


def _post(address: str, told: dict[str, Any]) -> bool:
    import httpx  # noqa: PLC0415 - loads slowly, and few chains have a webhook

    try:
        answer = httpx.post(address, json=told, timeout=_WEBHOOK_TIMEOUT_S, follow_redirects=False)
    except httpx.HTTPError:
        return False
    return answer.is_success


def _run(argv: Sequence[str], told: dict[str, Any]) -> bool:
    try:
        ended = subprocess.run(  # noqa: S603 - the organisation's reviewed file names the command
            list(argv),
            input=json.dumps(told).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0


def _event(warning: RaisedWarning, link: Link) -> Event:
    return Event(
        "warning_sent",
        {
            "warning": warning.id,
            "clock": warning.clock.lower(),
            "threshold_s": _lead_s(warning.threshold),
            "due_at": warning.conservative_due_at,
            "recipient": _code(link.name),
            "channel": channel_of(link),
            "attempt": warning.sent + 1,
        },
    )


def _lead_s(threshold: str) -> int | None:
    """A threshold's lead in seconds; None for a forecast, and for months, which have no length."""
    if threshold == OVERDUE:
        return 0
    if threshold == FORESEEN:
        return None
    period = CalendarPeriod.parse(threshold)
    return None if period.months else period.days * _DAY_S


def _code(name: str) -> str:
    """A link's name as an event may hold it."""
    return re.sub(r"[^a-z0-9_.:/-]+", "-", f"link:{name.lower()}")[:100]
