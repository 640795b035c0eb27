"""Runs the Postgres connector's tests against each server of `_servers` and prints a table.

In: major versions, or none for all. Out: a row per server: full version, source, tests that passed
and failed, or why it is untested; exit status 1 where a version failed or a named one is missing.
The words of a run that failed go to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import _project
import _servers

from dsr_worker.embedded.binaries import OLDEST_POSTGRES

NEWEST_POSTGRES = 18
_TESTS = (
    *sorted(map(str, _project.PROJECT.glob("tests/contract/test_postgres*.py"))),
    "tests/contract/test_conformance.py",
    "tests/contract/test_owners.py",
)
_HEAD = ("postgres", "source", "passed", "failed", "skipped", "seconds", "result")


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one version."""

    version: str
    source: str = ""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: int = 0
    untested: str = ""  # why

    @property
    def result(self) -> str:
        """In a word, or why there is none."""
        if self.untested:
            return f"untested: {self.untested}"
        return "FAILED" if self.failed else "good"

    def cells(self) -> tuple[str, ...]:
        """The row as texts; no counts where nothing was run."""
        counts = (self.passed, self.failed, self.skipped, self.seconds)
        shown = ("-",) * len(counts) if self.untested else tuple(map(str, counts))
        return (self.version, self.source or "-", *shown, self.result)


def rows(majors: Sequence[int]) -> Iterator[Row]:
    """Run what can be had of these major versions, oldest first."""
    here = list(_servers.installed())
    pins = _servers.pinned()
    for major in majors:
        servers = [s for s in here if s.major == major]
        why = "not installed here, and no package is pinned for this platform"
        if major in pins and not any(pins[major].startswith(f"{s.version}.") for s in servers):
            try:
                servers.append(_servers.fetched(pins[major]))
            except _servers.CannotBeHadError as missing:
                why = str(missing)
        for server in servers:
            yield _tested(server)
        if not servers:
            yield Row(str(major), untested=why)


def _tested(server: _servers.Server) -> Row:
    sys.stderr.write(f"Postgres {server.version} ({server.source}) ...\n")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        argv = [sys.executable, "-m", "pytest", "-q", "-rfE", f"--junitxml={report}", *_TESTS]
        done = subprocess.run(  # noqa: S603 - our own interpreter, our own arguments
            argv,
            env=os.environ | {"DSR_EMBEDDED_BINARIES": server.binaries},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        counts = _counts(report)
    if done.returncode:
        sys.stderr.write(done.stdout)
    failed = counts["failures"] + counts["errors"] or int(done.returncode != 0)
    passed = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    seconds = round(time.monotonic() - began)
    return Row(server.version, server.source, passed, failed, counts["skipped"], seconds)


def _counts(report: Path) -> dict[str, int]:
    """What pytest counted; nothing where it did not come to an end."""
    names = ("tests", "failures", "errors", "skipped")
    if not report.exists():
        return dict.fromkeys(names, 0)
    suites = ET.parse(report).getroot().iter("testsuite")  # noqa: S314 - our own pytest wrote it
    told = [suite.attrib for suite in suites]
    return {name: sum(int(suite[name]) for suite in told) for name in names}


def _table(found: Sequence[Row]) -> str:
    cells = [_HEAD, *(row.cells() for row in found)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def main() -> int:
    """Run, print, and say whether all is well."""
    every = range(OLDEST_POSTGRES, NEWEST_POSTGRES + 1)
    parser = argparse.ArgumentParser(
        prog="./scripts/versions",
        description="The Postgres connector's tests against every Postgres that can be had here.",
    )
    parser.add_argument("majors", nargs="*", type=int, metavar="MAJOR", help="which; all if none")
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    options = parser.parse_args()
    unknown = [m for m in options.majors if m not in every]
    if unknown:
        parser.error(f"versions {every.start} to {every.stop - 1} are supported, not {unknown[0]}")
    found = list(rows(options.majors or every))
    if options.json:
        told = [asdict(row) | {"result": row.result} for row in found]
        print(json.dumps(told, indent=2))
    else:
        print(_table(found))
    missing = bool(options.majors) and any(row.untested for row in found)
    return int(missing or any(row.failed for row in found))


if __name__ == "__main__":
    sys.exit(main())
