"""Erasing many people in Postgres, beside SQL that was written by hand for these tables.

In: nothing; it starts a Postgres of its own and ends it. Out: people a second of the connector,
receipts included, by those of two scripts; what a writer of the same rows and whoever places a hold
wait; what a person costs among few and among many, and what nobody does.
`./scripts/bench erasing [--json] [--quick]`
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import _report
from benchmarks._installation import Server
from benchmarks._mass_erasure import (
    LINES_EACH,
    ORDERS_EACH,
    SYSTEM,
    TARGET_S,
    Erased,
    Trial,
    fill,
    holding,
    quantile,
    writing,
)
from dsr_worker.contract import Identity, Subject
from dsr_worker.embedded import Services
from dsr_worker.testing.context import TrialContext

_PACKAGES = ("dsr-worker", "psycopg2-binary", "orjson")
_FEW = 100
_MS = 1000.0
_BATCH = 200  # as many cases as the engine takes at once
_HOLD_MARGIN_S = 1.0  # beyond one transaction of ours
_EMPTY_MS, _EMPTY_COLLECTION_MS = 20, 5
_EMPTY_ROUNDS = 21


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
        _sealing(report, trial, sizes, folder / "store")
        _beside_others(report, trial, sizes)
        _among_few_and_many(report, trial, sizes)
        _of_nobody(report, trial)
    return _report.publish(report, as_json=given.json)


def _beside_scripts(report: _report.Report, trial: Trial, sizes: Sizes) -> None:
    """By the connector, by batches of the time that its transactions took, in one; by turns."""
    found: list[tuple[Erased, Erased, Erased]] = []
    for _ in range(sizes.rounds):
        ours = trial.connector(trial.draw(sizes.at_once), verify=True)
        batches = trial.by_hand(trial.draw(sizes.at_once), target_s=ours.transaction_s)
        one = trial.by_hand(trial.draw(sizes.at_once), at_once=sizes.at_once)
        found.append((ours, batches, one))
    connector, by_batches, in_one = (
        statistics.median(erased.people_per_s for erased in column)
        for column in zip(*found, strict=True)
    )
    lasted_s, theirs_s = (
        statistics.median(erased.transaction_s for erased in column)
        for column in list(zip(*found, strict=True))[:2]
    )
    of_batches = statistics.median(ours.people_per_s / b.people_per_s for ours, b, _ in found)
    of_one = statistics.median(ours.people_per_s / one.people_per_s for ours, _, one in found)
    batches_told = f"by hand in batches of {theirs_s:.2f} s: {by_batches:,.0f}/s"
    one_told = f"by hand in one transaction: {in_one:,.0f}/s"
    report.add(
        _report.Row("erasing, connector", connector, "people/s"),
        _report.Row("median transaction, connector", lasted_s, "s", batches_told),
        _report.Row("erasing, connector", of_batches, "of batches", batches_told, 0.7),
        _report.Row("erasing, connector", of_one, "of one", one_told, 0.45),
        _report.Row(
            "looking again by the second path",
            statistics.median(ours.verified_s for ours, _, _ in found) / sizes.at_once * _MS,
            "ms a person",
        ),
    )


def _sealing(report: _report.Report, trial: Trial, sizes: Sizes, folder: Path) -> None:
    """What the engine adds between locating and erasing, for as many people as it takes at once."""
    few = trial.draw(_BATCH)
    spent_s = statistics.median(trial.sealed(few, folder) for _ in range(sizes.rounds))
    told = f"by {_BATCH} people, as the engine does"
    report.add(
        _report.Row("sealing keys, reading them back", spent_s / _BATCH * _MS, "ms a person", told)
    )


def _beside_others(report: _report.Report, trial: Trial, sizes: Sizes) -> None:
    people = trial.draw(sizes.at_once)
    with writing(trial.dsn, people) as writer:
        trial.connector(people)
    told = f"{len(writer.waited_s):,} updates, transactions of {TARGET_S} s aimed at"
    report.add(
        _report.Row(
            "a writer's wait, p99.9", quantile(writer.waited_s, 0.999), "s", told, 1, "at most"
        ),
        _report.Row("a writer's wait, longest", max(writer.waited_s), "s", told),
    )
    with holding(trial.dsn) as holder:
        erased = trial.connector(trial.draw(sizes.at_once))
    told = f"{len(holder.waited_s):,} holds, transactions of up to {max(erased.lasted_s):.2f} s"
    report.add(
        _report.Row(
            "placing a hold, p99",
            quantile(holder.waited_s, 0.99),
            "s",
            told,
            TARGET_S + _HOLD_MARGIN_S,
            "at most",
        ),
        _report.Row("placing a hold, longest", max(holder.waited_s), "s", told),
    )


def _of_nobody(report: _report.Report, trial: Trial) -> None:
    """Batches of people whom the shop does not know."""
    unknown = [
        Subject(str(n), (Identity("customer_number", str(n)),))
        for n in range(trial.people + 1, trial.people + 1 + _BATCH)
    ]
    connector, ctx = trial.opened(), TrialContext()

    def found() -> None:
        assert not list(connector.find(unknown, ctx))

    def erased() -> None:
        keys = list(connector.locate(unknown, ctx))
        assert not keys
        assert len(list(connector.erase(unknown, keys, ctx))) == _BATCH * len(SYSTEM.collections)

    limit_ms = _EMPTY_MS + _EMPTY_COLLECTION_MS * len(SYSTEM.collections)
    told = f"{_BATCH} people, {len(SYSTEM.collections)} collections, median of {_EMPTY_ROUNDS}"
    for name, call in (("finding", found), ("locating and erasing", erased)):
        call()  # the first call connects and reads the catalogue
        spent_s = statistics.median(_seconds(call) for _ in range(_EMPTY_ROUNDS))
        row = _report.Row(f"{name} nobody", spent_s * _MS, "ms", told, limit_ms, "at most")
        report.add(row)


def _seconds(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


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
