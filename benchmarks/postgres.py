"""What the Postgres connector costs beside the bare statements on the same server.

In: nothing; it starts a Postgres and a broker of its own and ends them. Out: rows for the access of
somebody who has very much (sealed spool, submission to sealed ZIP, memory) and for the access of
many who have a little, as a batch and one by one. `./scripts/bench postgres [--json] [--quick]`
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import psycopg2

from benchmarks import _customers, _report
from benchmarks._installation import Installation, Server, resident_mib
from dsr_worker.contract import FindsBlocks, Identity, Subject
from dsr_worker.embedded import Endpoints, Services
from dsr_worker.spool import RecordSpool
from dsr_worker.store import LocalStore, new_name
from dsr_worker.testing.context import TrialContext

_PACKAGES = ("dsr-worker", "dramatiq", "psycopg2-binary", "cryptography", "orjson")
_LIMIT_S = 600.0
_PEAK_MIB = 150
_GROWTH_MIB = 16


class Access:
    """One installation over the customers' database, and the ways to read from it."""

    def __init__(
        self, stack: ExitStack, server: Server, endpoints: Endpoints, rows: int, people: int
    ) -> None:
        folder = stack.enter_context(_folder())
        self.rows = rows
        self.dsn = server.database("customers")
        _customers.fill(self.dsn, rows, people)
        self.installation = Installation(
            folder,
            server.database("ledger"),
            f"{endpoints.redis_url}?db=1",
            _customers.configure(folder),
            {_customers.DSN: self.dsn},
        )
        stack.callback(self.installation.close)
        office = self.installation.office
        frozen = office.materials.frozen(office.materials.freeze("eu-gdpr", datetime.now(UTC)))
        connector = office.materials.connector(frozen, "shop")
        assert isinstance(connector, FindsBlocks), "the connector hands over blocks"
        self._connector = cast("FindsBlocks", connector)
        self._store = LocalStore(folder / "spools")
        self._bare = psycopg2.connect(self.dsn)
        self._bare.autocommit = True
        stack.callback(self._bare.close)

    def copied_rows_per_s(self) -> float:
        """The baseline: COPY of each table's rows as JSON into nothing."""
        started = time.perf_counter()
        _customers.copy_by_number(self._bare, _customers.MUCH)
        return self._much / (time.perf_counter() - started)

    def spooled_rows_per_s(self) -> float:
        """Find, seal and publish, durable."""
        return self._much / self._spooled_s([_customers.MUCH], self._much)

    def packaged_rows_per_s(self) -> float:
        """From submission to the sealed ZIP, by a worker that runs already."""
        made = self.installation.packages()
        started = time.perf_counter()
        self.installation.submit(_customers.email(_customers.MUCH))
        ended = self.installation.await_packages(made + 1, limit_s=_LIMIT_S)
        return self._much / (ended - started)

    def package_of_some(self) -> None:
        """The package of the customer who has a hundredth."""
        made = self.installation.packages()
        self.installation.submit(_customers.email(_customers.SOME))
        self.installation.await_packages(made + 1, limit_s=_LIMIT_S)

    def together_s(self, people: Sequence[int]) -> float:
        """Seconds a request, all in one batch."""
        return self._spooled_s(people, self._few(people)) / len(people)

    def one_by_one_s(self, people: Sequence[int]) -> float:
        """Seconds a request, each for itself."""
        return sum(self._spooled_s([p], self._few([p])) for p in people) / len(people)

    def bare_s(self, people: Sequence[int]) -> float:
        """Seconds a request by the bare statements."""
        started = time.perf_counter()
        for number in people:
            _customers.copy_by_email(self._bare, number)
        return (time.perf_counter() - started) / len(people)

    @property
    def _much(self) -> int:
        return _customers.rows_of(_customers.MUCH, self.rows)

    def _few(self, people: Sequence[int]) -> int:
        return sum(_customers.rows_of(number, self.rows) for number in people)

    def _spooled_s(self, people: Sequence[int], rows: int) -> float:
        numbers = {f"C-{n}": n for n in people}
        subjects = [
            Subject(
                ref,
                (Identity("email", _customers.email(n)), Identity("customer_number", str(n))),
            )
            for ref, n in numbers.items()
        ]
        keys = {ref: self.installation.office.keys.new_case_key()[0] for ref in numbers}
        name = new_name("records", datetime.now(UTC).date())
        started = time.perf_counter()
        with RecordSpool(self._store, name, keys) as spool:
            for found in self._connector.find_blocks(subjects, TrialContext()):
                spool.add(found)
            frames = spool.finish()
        spent_s = time.perf_counter() - started
        assert sum(frame.records for frame in frames.values()) == rows, "every row is there"
        self._store.destroy(name)
        return spent_s


def main() -> int:
    """Run it all; 1 when a target is missed."""
    parser = _report.arguments(__doc__ or "")
    parser.add_argument("--rows", type=int, help="rows of the one who has very much")
    given = parser.parse_args()
    rows = given.rows or (20_000 if given.quick else 1_000_000)
    people, singles, rounds = (50, 10, 1) if given.quick else (1_000, 100, 3)
    with ExitStack() as stack:
        services = Services(stack.enter_context(_folder()) / "data")
        endpoints = services.start()
        stack.callback(services.remove)
        server = Server(endpoints.ledger_dsn)
        sizes = {"rows of one": rows, "people": people, "tables": 10, "rounds": rounds}
        report = _report.Report("postgres", sizes, _PACKAGES)
        report.servers = {"postgres": server.value("SHOW server_version")}
        access = Access(stack, server, endpoints, rows, people)
        _very_much(report, access, rounds)
        _a_little(report, access, _customers.ordinary(people), singles, rounds)
        return _report.publish(report, as_json=given.json)


def _very_much(report: _report.Report, access: Access, rounds: int) -> None:
    with access.installation.workers(1) as parent:
        access.package_of_some()
        before = resident_mib(parent)
        found = _report.beside(
            rounds,
            access.copied_rows_per_s,
            {"spool": access.spooled_rows_per_s, "package": access.packaged_rows_per_s},
        )
        after = resident_mib(parent)
    targets = {"spool": ("sealed spool", 0.7), "package": ("submit to sealed ZIP", 0.35)}
    for name, (rate, bare, ratio) in found.items():
        told, (words, target) = f"COPY into nothing: {bare:,.0f} rows/s", targets[name]
        report.add(
            _report.Row(f"one with very much, {words}", rate, "rows/s", told),
            _report.Row(f"one with very much, {words}", ratio, "of COPY", told, target),
        )
    told = f"after one with a hundredth: {before:.0f} MiB"
    report.add(
        _report.Row("worker's peak memory", after, "MiB", told, _PEAK_MIB, "at most"),
        _report.Row("its growth", after - before, "MiB", told, _GROWTH_MIB, "at most"),
    )


def _a_little(
    report: _report.Report, access: Access, people: list[int], singles: int, rounds: int
) -> None:
    few = people[:singles]
    access.one_by_one_s(few[:1])  # the first also reads the catalogue
    found = _report.median_of(
        rounds,
        {
            "bare": lambda: 1000 * access.bare_s(few),
            "one by one": lambda: 1000 * access.one_by_one_s(few),
            "together": lambda: 1000 * access.together_s(people),
        },
    )
    alone, bare = found["one by one"], found["bare"]
    many = f"{len(people):,} with a little, together"
    report.add(
        _report.Row(many, found["together"], "ms a request", f"one by one: {alone:.3g} ms"),
        _report.Row(many, alone / found["together"], "times as fast", "one by one", 10),
        _report.Row("one alone", alone, "ms", f"bare statements: {bare:.3g} ms"),
        _report.Row("one alone", alone / bare, "of bare", "bare statements", 3, "at most"),
    )


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
