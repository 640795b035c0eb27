"""States and moves as a picture: the same text every time, so that a test can hold a page to it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


def drawn(
    moves: Iterable[tuple[StrEnum, StrEnum, StrEnum]], first: StrEnum, ended: Iterable[StrEnum]
) -> str:
    """Return moves (state, event, next state) as a Mermaid state diagram."""
    labels: dict[tuple[StrEnum, StrEnum], list[str]] = {}
    for source, event, target in moves:
        labels.setdefault((source, target), []).append(event)
    order = {state: place for place, state in enumerate(type(first))}
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    lines += [
        f"    {source} --> {target}: {', '.join(sorted(labels[source, target]))}"
        for source, target in sorted(labels, key=lambda pair: (order[pair[0]], order[pair[1]]))
    ]
    lines += [f"    {state} --> [*]" for state in sorted(ended)]
    return "\n".join(lines) + "\n"
