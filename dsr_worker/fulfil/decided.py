"""How a person's decision ends: what it brought about, or why it cannot be taken now."""

from __future__ import annotations

from dataclasses import dataclass


class DecisionRefused(ValueError):  # noqa: N818 - reads as what happened
    """The decision cannot be taken now; the text says why and what is possible."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision brought about."""

    ref: str
    state: str
    ring: tuple[str, ...]
    details: tuple[str, ...] = ()
