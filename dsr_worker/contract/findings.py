"""What a connector says of its system: findings, proposals for the map, roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dsr_worker.contract.mapping import Collection


class Severity(StrEnum):
    """How a finding of `check` stands."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `check`: what was looked at, how it stands, and what to do about it."""

    severity: Severity
    subject: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason for a proposal: a code, and of how many sampled values how many bore it out.

    Never a value: codes and counts alone.
    """

    code: str
    matched: int = 0
    of: int = 0

    def __str__(self) -> str:
        return f"{self.code} {self.matched}/{self.of}" if self.of else self.code


@dataclass(frozen=True, slots=True)
class Ground:
    """Why something was proposed, and how sure that is, from 0 to 1."""

    confidence: float
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A place of the store that is not proposed for the map, and why (a code)."""

    place: str
    code: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A data map as a connector would write it, for people to review.

    `collections` carry `review` marks wherever the connector is unsure. `grounds` are by collection
    and field; the collection's own is by the field "". `drift` says where the map that the
    connector was made with no longer fits the store; an error there fails a check.
    """

    collections: Mapping[str, Collection]
    grounds: Mapping[tuple[str, str], Ground]
    left_out: tuple[LeftOut, ...] = ()
    drift: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Role:
    """An account with no more rights than its purpose needs, as statements for an administrator.

    Running them again changes nothing. They set no password.
    """

    name: str
    purpose: str
    statements: tuple[str, ...]
