"""Erasing many people in Postgres, beside SQL that was written by hand for these tables.

In: nothing; it starts a Postgres of its own and ends it. Out: people a second of the connector,
receipts included, as it comes and with one transaction at a time, by those of scripts with one
connection and with several; what a writer of the same rows and whoever places a hold wait; what a
person costs among few and among many, and what nobody does.
`./scripts/bench erasing [--json] [--quick]`
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import _report
from benchmarks._installation import Server
from benchmarks._mass_erasure import (
    LINES_EACH,
    ORDERS_EACH,
    SYSTEM,
    TARGET_S,
    TRANSACTIONS_AT_ONCE,
    Erased,
    Trial,
    fill,
    holding,
    quantile,
    writing,
)
from dsr_worker.contract import Identity, Subject
from dsr_worker.embedded import Services
from dsr_worker.queue.collecting import spare_the_collector
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
    spare_the_collector()  # as the workers do in which a connector runs
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
    """By the connector, as it comes and with one transaction at a time, and by hand; by turns."""
    found: list[_Round] = []
    for _ in range(sizes.rounds):
        ours = trial.connector(trial.draw(sizes.at_once), verify=True)
        paced = partial(trial.by_hand, target_s=ours.transaction_s)
        found.append(
            _Round(
                ours,
                trial.connector(trial.draw(sizes.at_once), at_once=1),
                paced(trial.draw(sizes.at_once)),
                paced(trial.draw(sizes.at_once), connections=TRANSACTIONS_AT_ONCE),
                trial.by_hand(trial.draw(sizes.at_once), at_once=sizes.at_once),
            )
        )
    ours, single, batches, several, one = (
        statistics.median(erased.people_per_s for erased in column)
        for column in zip(*found, strict=True)
    )
    lasted_s = statistics.median(r.ours.transaction_s for r in found)
    theirs_s = statistics.median(r.batches.transaction_s for r in found)
    batches_told = f"by hand in batches of {theirs_s:.2f} s: {batches:,.0f}/s"
    several_told = f"by hand by {TRANSACTIONS_AT_ONCE} connections: {several:,.0f}/s"
    one_told = f"by hand in one transaction: {one:,.0f}/s"
    default = f"erasing, {TRANSACTIONS_AT_ONCE} transactions at a time"
    report.add(
        _report.Row(default, ours, "people/s"),
        _report.Row("erasing, 1 transaction at a time", single, "people/s"),
        _report.Row("median transaction, connector", lasted_s, "s", batches_told),
        _report.Row(default, _ratio(found, "ours", "batches"), "of batches", batches_told, 0.7),
        _report.Row(
            "erasing, 1 transaction at a time",
            _ratio(found, "single", "batches"),
            "of batches",
            batches_told,
        ),
        _report.Row(
            f"{default}, without locating",
            statistics.median(r.ours.erased_per_s / r.batches.people_per_s for r in found),
            "of batches",
            batches_told,
        ),
        _report.Row(
            "erasing, 1 transaction at a time, without locating",
            statistics.median(r.single.erased_per_s / r.batches.people_per_s for r in found),
            "of batches",
            batches_told,
        ),
        _report.Row(default, _ratio(found, "ours", "several"), "of as many", several_told),
        _report.Row(default, _ratio(found, "ours", "one"), "of one", one_told, 0.45),
        _report.Row(
            "looking again by the second path",
            statistics.median(r.ours.verified_s for r in found) / sizes.at_once * _MS,
            "ms a person",
        ),
    )


class _Round(NamedTuple):
    """The same number of people, erased in each way once."""

    ours: Erased  # as the connector comes
    single: Erased  # with one transaction at a time
    batches: Erased  # by hand, by one connection, in transactions as long as ours
    several: Erased  # the same by as many connections as ours
    one: Erased  # by hand, in one transaction


def _ratio(found: Sequence[_Round], ours: str, theirs: str) -> float:
    """How many people a second in one way for each in another: the median of the rounds."""
    ratios: list[float] = [
        getattr(one, ours).people_per_s / getattr(one, theirs).people_per_s for one in found
    ]
    return statistics.median(ratios)


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
