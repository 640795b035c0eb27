"""Wrong names get the near ones: one error for every name that a person may mistype.

The text never repeats the wrong name: on a command line it may be a person's value that slipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_SHOWN = 30


class UnknownNameError(LookupError):
    """A law, country, right or retention rule of this name does not exist.

    `listed` says where all that is known stands if that is too much for a sentence; `near` gives
    the near names where likeness of letters is not what counts.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        known: Iterable[str],
        listed: str = "`dsr statutes list --json` lists them",
        near: Sequence[str] | None = None,
    ) -> None:
        known = sorted(known)
        near = _close(name, known) if near is None else list(near)
        hints = [f"did you mean {' or '.join(near)}?"] if near else []
        if len(known) <= _SHOWN:
            hints.append(f"known: {', '.join(known)}")
        elif not near:
            hints.append(f"{len(known)} are known: {listed}")
        super().__init__(f"unknown {kind}; {' '.join(hints)}")
        self.kind = kind
        self.name = name
        self.near = tuple(near)


def _close(name: str, known: Iterable[str]) -> list[str]:
    folded = {other.lower(): other for other in known}
    return [folded[other] for other in get_close_matches(name.lower(), folded, n=3, cutoff=0.5)]
