"""What a connector may raise: each error states its consequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsr_worker.contract.people import NOTHING


class ConnectorError(Exception):
    """Root of what a connector may raise. Texts hold no personal data: they reach logs."""


class Transient(ConnectorError):  # noqa: N818 - says the consequence
    """The same call may succeed later."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Permanent(ConnectorError):  # noqa: N818 - says the consequence
    """Repeating the call cannot help."""


class NeedsHuman(ConnectorError):  # noqa: N818 - says the consequence
    """A person has to decide. `code` is stable; `fields` name what to look at (no values).

    With `for_all` it is so whoever of the batch the call is about: nobody looks who of them it is.
    """

    def __init__(
        self, code: str, fields: Mapping[str, Any] = NOTHING, *, for_all: bool = False
    ) -> None:
        super().__init__(code)
        self.code = code
        self.fields = dict(fields)
        self.for_all = for_all


class Configuration(ConnectorError):  # noqa: N818 - says the consequence
    """The system's configuration or data map is wrong: refuse to start."""


class LeaseLost(Exception):  # noqa: N818 - a state of affairs, not a fault
    """The work was taken away or the worker is stopping. Roll back and return."""
