"""The doorbell: Dramatiq on Redis, without retries, callbacks, pipelines, groups or results.

In: the broker's URL, the names of systems. Out: one actor per system (a queue each), and `ring`.
A message says "there is work for system X" and nothing else.
Retry, fan-in, delay and results live in the ledger; losing or doubling any message costs one tick.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import Middleware, ShutdownNotifications

_log = logging.getLogger(__name__)

Drain = Callable[[str], None]


class _Broker(RedisBroker):
    """Without delay queues: nothing is ever delayed here, and each would be polled for ever."""

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue; no effect when it is."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)


class Doorbell:
    """One actor per system on one broker; `ring` calls a worker to each."""

    def __init__(
        self,
        url: str,
        systems: Iterable[str],
        drain: Drain,
        *,
        middleware: Iterable[Middleware] = (),
    ) -> None:
        self.broker = _Broker(  # type: ignore[no-untyped-call]  # dramatiq leaves it untyped
            url=url,
            middleware=[ShutdownNotifications(), *middleware],
            namespace="dsr",
            socket_connect_timeout=2,
            socket_timeout=5,
        )
        self._actors = {system: self._declare(system, drain) for system in sorted(set(systems))}

    def _declare(self, system: str, drain: Drain) -> dramatiq.Actor[[], None]:
        def answer() -> None:
            drain(system)

        name = f"drain.{system}"
        return dramatiq.actor(actor_name=name, queue_name=name, broker=self.broker)(answer)

    def ring(self, systems: Iterable[str]) -> None:
        """Call a worker to each system, best effort: the ready rows are the outbox."""
        for system in systems:
            actor = self._actors.get(system)
            if actor is None:
                continue
            try:
                actor.send()
            except (BrokerConnectionError, redis.RedisError, OSError) as error:
                _log.warning("broker_unreachable", extra={"error": type(error).__name__})
                return
