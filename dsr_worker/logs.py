"""Logs: one JSON line an event, by an allow-list of fields, never by detection.

In: standard `logging` records (ours and libraries'). Out: lines on stderr that hold an event's
code, names of our own, counts and error classes. What is not on the list does not reach a line:
neither messages of libraries nor texts of exceptions, in which a database may quote a value. The
exception is `why`: a text of our own errors, by `engine/errors.py`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

ALLOWED = frozenset(
    {
        "event", "level", "logger", "timestamp", "action", "at", "attempt", "code", "duty", "error",
        "job", "left_s", "seconds", "slot", "sqlstate", "step", "steps", "system", "systems",
        "worker", "warnings", "count", "why",
    }
)  # fmt: skip

LONGEST_TEXT = 300


def configure(level: str = "INFO") -> None:
    """Send every log record of this process through the allow-list. Idempotent."""
    import structlog  # noqa: PLC0415 - loads slowly, and commands have no log

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_logger_name,
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                name_the_error,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                only_allowed,
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def name_the_error(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Put an exception's class in place of the exception, whose text may quote a value."""
    found = event.pop("exc_info", None)
    if isinstance(found, tuple) and found[0] is not None:
        event.setdefault("error", found[0].__name__)
    return event


def only_allowed(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop what is not on the list; a library's own message becomes `library_message`."""
    kept = {k: v for k, v in event.items() if k in ALLOWED and is_plain(v)}
    if not str(event.get("logger", "")).startswith("dsr_worker"):
        kept["event"] = "library_message"
    return kept


def is_plain(value: Any) -> bool:
    """Whether a value may stand in a line: bounded, and nothing like an address."""
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT and "@" not in value
    return value is None or isinstance(value, bool | int | float)
