"""What a benchmark says, the same for all: rows, the machine, versions, sizes.

In: measures, each beside a baseline that was run on the same machine in the same minutes. Out: a
table for people or JSON for machines. A figure without a baseline says nothing, so a row names its
own; a row without a target informs and decides nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, NamedTuple

Sense = Literal["at least", "at most", "exactly"]


@dataclass(frozen=True, slots=True)
class Row:
    """One measure. `baseline` says what it was compared with, and how that came out."""

    measure: str
    value: float
    unit: str
    baseline: str = ""
    target: float | None = None
    sense: Sense = "at least"

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None where there is none."""
        if self.target is None:
            return None
        if self.sense == "exactly":
            return self.value == self.target
        return self.value >= self.target if self.sense == "at least" else self.value <= self.target


@dataclass
class Report:
    """The rows of one benchmark and what they were measured on."""

    name: str
    sizes: Mapping[str, object]
    packages: Sequence[str] = ()
    servers: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def add(self, *rows: Row) -> None:
        """Add rows and tell them at once on stderr: a long run shows how far it is."""
        for row in rows:
            self.rows.append(row)
            sys.stderr.write(f"  {_line(row)}\n")

    def as_json(self) -> str:
        """Everything as one JSON document."""
        rows = [asdict(row) | {"met": row.met} for row in self.rows]
        return json.dumps({**self._about(), "rows": rows}, indent=2)

    def as_text(self) -> str:
        """A table for people."""
        about = self._about()
        lines = [f"{self.name}, {about['at']}"]
        lines += [f"  {key}: {_told(about[key])}" for key in ("machine", "versions", "sizes")]
        head = ("measure", "value", "unit", "baseline", "target", "met")
        table = [head, *(_cells(row) for row in self.rows)]
        widths = [max(len(cells[n]) for cells in table) for n in range(len(head))]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
            for cells in table
        ]
        return "\n".join(lines)

    def _about(self) -> dict[str, object]:
        return {
            "benchmark": self.name,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": versions(self.packages) | self.servers,
            "sizes": dict(self.sizes),
        }


def machine() -> dict[str, object]:
    """What it runs on, without a name."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": os.getloadavg()[0],
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Python's version and the packages'."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def arguments(summary: str) -> argparse.ArgumentParser:
    """What every benchmark understands."""
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="small and once: shows that it runs")
    return parser


def publish(report: Report, *, as_json: bool) -> int:
    """Print the report; the exit status, 1 when a target is missed."""
    print(report.as_json() if as_json else report.as_text())
    return 1 if any(row.met is False for row in report.rows) else 0


def median_of(rounds: int, measures: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """The median of each measure over so many rounds, all of them in turn within each round."""
    seen: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in measures.items():
            seen[name].append(measure())
            sys.stderr.write(f"  round {number + 1}: {name} {_number(seen[name][-1])}\n")
    return {name: statistics.median(values) for name, values in seen.items()}


class Beside(NamedTuple):
    """A measure, its baseline, and the first by the second: medians over all rounds."""

    value: float
    baseline: float
    ratio: float


def beside(
    rounds: int, baseline: Callable[[], float], measures: Mapping[str, Callable[[], float]]
) -> dict[str, Beside]:
    """Each measure by the baseline's mean right before and right after it, in every round.

    A machine that others use too changes within minutes; what is compared must be neighbours.
    """
    seen: dict[str, list[Beside]] = {name: [] for name in measures}
    before = baseline()
    for number in range(rounds):
        for name, measure in measures.items():
            value, after = measure(), baseline()
            near = (before + after) / 2
            seen[name].append(Beside(value, near, value / near))
            sys.stderr.write(f"  round {number + 1}: {name} {_number(value)} by {_number(near)}\n")
            before = after
    return {
        name: Beside(*(statistics.median(column) for column in zip(*found, strict=True)))
        for name, found in seen.items()
    }


def _cells(row: Row) -> tuple[str, ...]:
    target = "" if row.target is None else f"{row.sense} {_number(row.target)}"
    met = {True: "yes", False: "NO", None: ""}[row.met]
    return row.measure, _number(row.value), row.unit, row.baseline, target, met


def _line(row: Row) -> str:
    return "  ".join(cell for cell in _cells(row) if cell)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"  # noqa: PLR2004 - where digits after the point stop to matter


def _told(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)
