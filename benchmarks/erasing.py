"""Erasing many people in Postgres, beside SQL that was written by hand for these tables.

In: nothing; it starts a Postgres of its own and ends it. Out: people a second of the connector,
receipts included, by those of two scripts; what a writer of the same rows waits; what a person
costs among few and among many. `./scripts/bench erasing [--json] [--quick]`
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import _report
from benchmarks._installation import Server
from benchmarks._mass_erasure import (
    LINES_EACH,
    ORDERS_EACH,
    TARGET_S,
    Erased,
    Trial,
    Writer,
    fill,
    quantile,
)
from dsr_worker.embedded import Services

_PACKAGES = ("dsr-worker", "psycopg2-binary", "orjson")
_FEW = 100
_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    people: int
    at_once: int
    rounds: int

    @classmethod
    def of(cls, *, quick: bool) -> Sizes:
        """The sizes of a full run, or of one that only shows that it runs."""
        return cls(20_000, 1_000, 1) if quick else cls(1_000_000, 10_000, 3)


def main() -> int:
    """Run it all; 1 when a target is missed."""
    given = _report.arguments(__doc__ or "").parse_args()
    sizes = Sizes.of(quick=given.quick)
    folder = Path(tempfile.mkdtemp(prefix="dsr-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o711)
        services = Services(folder / "data")
        endpoints = services.start()
        stack.callback(services.remove)
        server = Server(endpoints.ledger_dsn)
        report = _report.Report("erasing", _told(sizes), _PACKAGES)
        report.servers = {"postgres": server.value("SHOW server_version")}
        dsn = server.database("shop")
        fill(dsn, sizes.people)
        trial = Trial(dsn, sizes.people)
        trial.connector(trial.draw(_FEW))  # the first call reads the catalogue
        _beside_scripts(report, trial, sizes)
        _beside_a_writer(report, trial, sizes)
        _among_few_and_many(report, trial, sizes)
    return _report.publish(report, as_json=given.json)


def _beside_scripts(report: _report.Report, trial: Trial, sizes: Sizes) -> None:
    """The same people's rows by connector, by batches, in one transaction; by turns."""
    found: dict[str, list[Erased]] = {"connector": [], "batches": [], "one": []}
    for _ in range(sizes.rounds):
        found["batches"].append(trial.by_hand(trial.draw(sizes.at_once)))
        found["connector"].append(trial.connector(trial.draw(sizes.at_once), verify=True))
        found["one"].append(trial.by_hand(trial.draw(sizes.at_once), at_once=sizes.at_once))
    rates = {name: statistics.median(e.people_per_s for e in of) for name, of in found.items()}
    middle = {
        name: sorted(of, key=lambda e: e.people_per_s)[len(of) // 2] for name, of in found.items()
    }
    lasted = {name: e.spent_s / e.transactions for name, e in middle.items()}
    batches = f"by hand in batches of {lasted['batches']:.2f} s: {rates['batches']:,.0f}/s"
    one = f"by hand in one transaction: {rates['one']:,.0f}/s"
    report.add(
        _report.Row("erasing, connector", rates["connector"], "people/s"),
        _report.Row("mean transaction, connector", lasted["connector"], "s", batches),
        _report.Row(
            "erasing, connector", rates["connector"] / rates["batches"], "of batches", batches, 0.7
        ),
        _report.Row("erasing, connector", rates["connector"] / rates["one"], "of one", one, 0.45),
        _report.Row(
            "looking again by the second path",
            statistics.median(e.verified_s for e in found["connector"]) / sizes.at_once * _MS,
            "ms a person",
        ),
    )


def _beside_a_writer(report: _report.Report, trial: Trial, sizes: Sizes) -> None:
    people = trial.draw(sizes.at_once)
    with Writer(trial.dsn, people) as writer:
        trial.connector(people)
    told = f"{len(writer.waited_s):,} updates, transactions of {TARGET_S} s aimed at"
    report.add(
        _report.Row(
            "a writer's wait, p99.9", quantile(writer.waited_s, 0.999), "s", told, 1, "at most"
        ),
        _report.Row("a writer's wait, longest", max(writer.waited_s), "s", told),
    )


def _among_few_and_many(report: _report.Report, trial: Trial, sizes: Sizes) -> None:
    costs = _report.median_of(
        sizes.rounds,
        {
            "few": lambda: _MS / trial.connector(trial.draw(_FEW)).people_per_s,
            "many": lambda: _MS / trial.connector(trial.draw(sizes.at_once)).people_per_s,
        },
    )
    told = f"among {_FEW}: {costs['few']:.2f} ms"
    report.add(
        _report.Row(f"a person among {sizes.at_once:,}", costs["many"], "ms", told),
        _report.Row(
            f"a person among {sizes.at_once:,}",
            costs["many"] / costs["few"],
            f"of among {_FEW}",
            told,
            1,
            "at most",
        ),
    )


def _told(sizes: Sizes) -> dict[str, object]:
    return {
        "people": sizes.people,
        "orders a person": ORDERS_EACH,
        "lines a person": LINES_EACH,
        "erased at once": sizes.at_once,
        "rounds": sizes.rounds,
    }


if __name__ == "__main__":
    sys.exit(main())
