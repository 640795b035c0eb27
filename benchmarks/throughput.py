"""How many access cases the engine answers, beside the least that durable steps cost here.

In: nothing; it starts a Postgres and a broker of its own and ends them. Out: rows for pending
cases, cases submitted one by one, busy time, statements and commits, the delay of a single case,
and the whole shop beside a plain script. `./scripts/bench throughput [--json] [--quick]`
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import _bare, _batches, _report, _shop, _warehouse
from benchmarks._installation import THREADS, Installation, Server
from dsr_worker.embedded import Endpoints, Services

_PACKAGES = ("dsr-worker", "dramatiq", "redis", "psycopg2-binary", "SQLAlchemy", "orjson", "moto")
_THREADS = 8  # of the bare baseline
_LIMIT_S = 300.0
_FULL_BATCH = 200


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    cases: int
    singles: int
    bare_steps: int
    rounds: int
    shop_cases: int

    @classmethod
    def of(cls, *, quick: bool) -> Sizes:
        """The sizes of a full run, or of one that only shows that it runs."""
        return cls(40, 3, 400, 1, 8) if quick else cls(1_000, 20, 4_000, 3, 100)


class Trial:
    """One installation over the warehouse, and the people in it."""

    def __init__(
        self,
        stack: ExitStack,
        server: Server,
        endpoints: Endpoints,
        number: int,
        *,
        people: int,
        rows_a_table: int = 1,
        logged: bool = False,
    ) -> None:
        self.rows = 1 + _warehouse.CHILD_TABLES * rows_a_table
        self.people = people
        folder = stack.enter_context(_folder())
        self.shop_dsn = server.database(f"warehouse_{number}")
        if logged:
            server.run(f"ALTER DATABASE warehouse_{number} SET log_statement = 'all'")
        self.ledger_dsn = server.database(f"ledger_{number}")
        config = _warehouse.configure(folder)
        _warehouse.fill(folder, self.shop_dsn, people, rows_a_table)
        self.installation = Installation(
            folder,
            self.ledger_dsn,
            f"{endpoints.redis_url}?db={number + 1}",
            config,
            {_warehouse.DSN: self.shop_dsn},
        )
        stack.callback(self.installation.close)

    def pending(self, processes: int, cases: int) -> float:
        """Cases a second, from the moment that all of them are pending to the last package."""
        made = self.installation.packages()
        with self.installation.workers(processes):
            self.installation.shut_gate()
            for number in range(cases):
                self.installation.submit(_warehouse.email(number % self.people), ring=False)
            started = time.perf_counter()
            self.installation.open_gate()
            return cases / (
                self.installation.await_packages(made + cases, limit_s=_LIMIT_S) - started
            )

    def one_by_one(self, processes: int, cases: int) -> float:
        """Cases a second while one clerk submits them, from the first submission on."""
        made = self.installation.packages()
        with self.installation.workers(processes):
            started = time.perf_counter()
            for number in range(cases):
                self.installation.submit(_warehouse.email(number % self.people))
            return cases / (
                self.installation.await_packages(made + cases, limit_s=_LIMIT_S) - started
            )

    def delays_s(self, singles: int) -> list[float]:
        """Seconds from submission to package, each case alone on an idle worker."""
        found = []
        with self.installation.workers(1):
            for number in range(singles):
                time.sleep(1.5)  # idle again, and out of step with the ticks
                made = self.installation.packages()
                started = time.perf_counter()
                self.installation.submit(_warehouse.email(number))
                found.append(self.installation.await_packages(made + 1, limit_s=60) - started)
        return found


def main() -> int:
    """Run it all; 1 when a target is missed."""
    parser = _report.arguments(__doc__ or "")
    parser.add_argument("--only", action="append", help="one part alone; may be repeated")
    given = parser.parse_args()
    sizes = Sizes.of(quick=given.quick)
    with ExitStack() as stack:
        services = Services(stack.enter_context(_folder()) / "data")
        endpoints = services.start()
        stack.callback(services.remove)
        server = Server(endpoints.ledger_dsn)
        report = _report.Report("throughput", _told(sizes), _PACKAGES)
        report.servers = {"postgres": server.value("SHOW server_version")}
        bare_dsn = server.database("bare")
        parts: dict[str, Callable[[], None]] = {
            "cases": lambda: _cases(report, sizes, stack, server, endpoints, bare_dsn),
            "batches": lambda: _by_hand(report, sizes, stack, server, endpoints, services),
            "shop": lambda: _whole_shop(report, sizes, stack, server, endpoints),
        }
        for name, part in parts.items():
            if not given.only or name in given.only:
                part()
        return _report.publish(report, as_json=given.json)


def _cases(
    report: _report.Report,
    sizes: Sizes,
    stack: ExitStack,
    server: Server,
    endpoints: Endpoints,
    bare_dsn: str,
) -> None:
    n = sizes.cases
    small = Trial(stack, server, endpoints, 0, people=n)
    large = Trial(stack, server, endpoints, 1, people=n, rows_a_table=10)
    found = _report.beside(
        sizes.rounds,
        lambda: _bare.steps_per_s(bare_dsn, threads=_THREADS, steps=sizes.bare_steps),
        {
            "pending, 1 process": lambda: small.pending(1, n),
            "pending, 2 processes": lambda: small.pending(2, n),
            "one by one, 1 process": lambda: small.one_by_one(1, n),
            "one by one, 2 processes": lambda: small.one_by_one(2, n),
            "pending, 91 rows, 2 processes": lambda: large.pending(2, n),
        },
    )
    for name, (rate, bare, ratio) in found.items():
        told = f"bare, {_THREADS} threads: {bare:,.0f} steps/s"
        target = 1 / 30 if name.startswith("pending") else 1 / 60
        wanted = None if "91 rows" in name else target
        report.add(
            _report.Row(name, rate, "cases/s", told),
            _report.Row(name, ratio, "of bare", told, wanted),
        )
    _one_alone(report, small, bare_dsn, sizes)


def _one_alone(report: _report.Report, trial: Trial, bare_dsn: str, sizes: Sizes) -> None:
    """One case on an idle worker: the bare steps are taken before, between and after."""
    delays, bare = [], []
    for _ in range(sizes.rounds):
        bare.append(_bare.steps_per_s(bare_dsn, threads=1, steps=sizes.bare_steps // 8))
        delays += trial.delays_s(-(-sizes.singles // sizes.rounds))
    rate = statistics.median(bare)
    report.add(_report.Row("bare steps, 1 thread", rate, "steps/s"))
    p95 = sorted(delays)[max(0, round(0.95 * len(delays)) - 1)]
    limit = 100 / rate + 0.5
    told = f"100 bare steps of 1 thread + 0.5 s = {limit:.3f} s"
    report.add(
        _report.Row("one case, submit to package, median", statistics.median(delays), "s", told),
        _report.Row("one case, submit to package, p95", p95, "s", told, limit, "at most"),
    )


def _by_hand(
    report: _report.Report,
    sizes: Sizes,
    stack: ExitStack,
    server: Server,
    endpoints: Endpoints,
    services: Services,
) -> None:
    trial = Trial(stack, server, endpoints, 2, people=sizes.cases)
    hand = _batches.Hand(trial.installation)
    hand.busy_s(1)  # the first case also reads catalogues and maps
    busy = _report.median_of(
        sizes.rounds,
        {
            "alone": lambda: statistics.median(hand.busy_s(1) for _ in range(sizes.singles)),
            "pending": lambda: hand.busy_s(sizes.cases),
        },
    )
    alone, pending = 1000 * busy["alone"], 1000 * busy["pending"]
    told = f"alone {alone:.3g} ms"
    many = f"busy time a case, {sizes.cases:,} pending"
    report.add(
        _report.Row("busy time a case, alone", alone, "ms"),
        _report.Row(many, pending, "ms", told),
        _report.Row(many, pending / alone, "of alone", told, 1 / 5, "at most"),
    )
    batch = min(_FULL_BATCH, sizes.cases)
    logged = Trial(stack, server, endpoints, 3, people=batch, logged=True)
    hand = _batches.Hand(logged.installation)
    hand.busy_s(1)
    time.sleep(_batches.SETTLE_S)
    (log,) = (file for file in services.log_files() if file.name == "postgres.log")
    one, full = (
        _batches.counted(hand, logged.installation, server, logged.ledger_dsn, log, cases)
        for cases in (1, batch)
    )
    assert one.batches == full.batches, "both sizes must go in as many batches"
    for name in ("ledger_commits", "shop_statements"):
        few, lots = getattr(one, name), getattr(full, name)
        words = name.replace("_", " ")
        told = f"1 case: {few}, in {one.batches} batches"
        report.add(_report.Row(f"{words}, {batch} cases", lots, "", told, few, "exactly"))


def _whole_shop(
    report: _report.Report,
    sizes: Sizes,
    stack: ExitStack,
    server: Server,
    endpoints: Endpoints,
) -> None:
    folder = stack.enter_context(_folder())
    shop = _shop.WholeShop(stack, server, endpoints, folder, sizes.shop_cases)
    speeds: dict[str, list[_shop.Speed]] = {"script": [], "engine": []}
    for _ in range(sizes.rounds):
        speeds["script"].append(shop.script())
        speeds["engine"].append(shop.engine())
    rates = {n: statistics.median(s.cases_per_s for s in found) for n, found in speeds.items()}
    told = f"plain script {rates['script']:.3g} cases/s"
    report.add(
        _report.Row("whole shop, plain script", rates["script"], "cases/s"),
        _report.Row("whole shop, engine", rates["engine"], "cases/s", told),
        _report.Row("whole shop, engine", rates["engine"] / rates["script"], "of script", told, 1),
        *(
            _report.Row(
                f"the fakes' share of processor time, {name}",
                statistics.median(s.fakes_share for s in found),
                "of fakes and worker",
            )
            for name, found in speeds.items()
        ),
    )


def _told(sizes: Sizes) -> dict[str, object]:
    return {
        "cases": sizes.cases,
        "rounds": sizes.rounds,
        "rows a customer in 10 tables": "10 (where it says so 91)",
        "rows a customer in each of 2 systems in memory": 1,
        "whole shop's cases": sizes.shop_cases,
        "threads a worker process": THREADS,
    }


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dsr-bench-"))
    try:
        folder.chmod(0o711)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
