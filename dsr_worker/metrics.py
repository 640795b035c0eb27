"""Metrics of a worker process: counts and durations by system and action, never by person."""

from __future__ import annotations

from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge, Histogram

REGISTRY = CollectorRegistry()

BATCH_SECONDS = Histogram(
    "dsr_batch_seconds",
    "Time from claim to finish of a batch",
    ["system", "action"],
    registry=REGISTRY,
)
BATCH_STEPS = Histogram(
    "dsr_batch_steps",
    "Steps in a batch",
    ["system", "action"],
    registry=REGISTRY,
    buckets=(1, 2, 5, 10, 20, 50, 100, 200),
)
TICK_AT = Gauge("dsr_tick_timestamp_seconds", "When this process last ticked", registry=REGISTRY)


class Work(Protocol):
    """What names a batch's metrics."""

    @property
    def system(self) -> str:
        """The system worked on."""
        ...

    @property
    def action(self) -> str:
        """What was done."""
        ...


def observe(metric: Histogram, work: Work, value: float) -> None:
    """Record a value for a system and action."""
    metric.labels(work.system, work.action).observe(value)
