"""Taking people out of shared objects in a bucket, beside reading and writing the same bytes.

In: nothing; objects are invented in a folder that goes afterwards. Out: processor time of the
engine on local byte ranges by that of a raw copy, of inflating and deflating, of the standard
library; ten thousand people by a hundred; the memory that an object of 5 GiB takes; what the other
formats and the S3 API add. `./scripts/bench s3 [--json] [--quick]`
"""

from __future__ import annotations

import importlib
import multiprocessing
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import _report
from benchmarks import _s3_text as text
from connectors.s3.formats.native import LIBRARY

_PACKAGES = ("dsr-worker", "ahocorasick_rs", "isal", "msgspec", "orjson")
_MIB, _GIB = 1 << 20, 1 << 30
_LARGE_BYTES = 5 * _GIB


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    records: int
    rounds: int
    large_bytes: int

    @classmethod
    def of(cls, *, quick: bool) -> Sizes:
        """The sizes of a full run, or of one that only shows that it runs."""
        return cls(10_000, 1, 64 * _MIB) if quick else cls(700_000, 5, _LARGE_BYTES)


def main() -> int:
    """Run it all; 1 when a target is missed."""
    given = _report.arguments(__doc__ or "").parse_args()
    sizes = Sizes.of(quick=given.quick)
    folder = Path(tempfile.mkdtemp(prefix="dsr-bench-"))
    report = _report.Report("s3", {"records": sizes.records, "rounds": sizes.rounds}, _PACKAGES)
    report.servers["search in JSON"] = "in C" if LIBRARY else "by automata"
    try:
        for kind in text.KINDS:
            _lines(report, folder, kind, sizes)
        _list(report, folder, sizes)
        _gzip(report, folder, sizes)
        _table(report, folder, sizes)
        _memory(report, folder, sizes)
        for part in ("_s3_parquet", "_s3_wire"):  # late: memory is measured without pyarrow
            importlib.import_module(f"benchmarks.{part}").rows(report, folder, given.quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _report.publish(report, as_json=given.json)


def _busy(erasing: text.Erasing, source: Path, target: Path) -> Callable[[], float]:
    work = partial(erasing.run, text.FileSource(source), target)
    return partial(text.busy_s, work, target)


def _lines(report: _report.Report, folder: Path, kind: str, sizes: Sizes) -> None:
    source, target = folder / "lines.ndjson", folder / "out"
    text.write_lines(source, kind, sizes.records)
    found = _report.beside(
        sizes.rounds,
        partial(text.busy_s, partial(text.copied, source, target), target),
        {
            f"{people}": _busy(text.erasing(kind, people), source, target)
            for people in (text.FEW, text.MANY)
        },
    )
    few, many = found[str(text.FEW)], found[str(text.MANY)]
    size = source.stat().st_size
    report.add(
        _times(f"NDJSON, {kind}, 100 people", few, 2.0, "a raw copy"),
        _times(f"NDJSON, {kind}, 10,000 people", many, 3.0, "a raw copy"),
        _report.Row(
            f"NDJSON, {kind}, 10,000 people by 100",
            many.ratio / few.ratio,
            "times",
            "the same object",
            2.0,
            "at most",
        ),
        _report.Row(f"NDJSON, {kind}, 100 people", size / few.value / _MIB, "MiB a busy second"),
    )
    if kind == "prefixed strings":
        gone = frozenset(text.KINDS[kind](n) for n in range(0, text.CUSTOMERS, 5000))
        work = partial(text.parsed_by_line, source, target, gone)
        parsed = text.busy_s(work, target)
        row = _report.Row(
            f"NDJSON, {kind}, 100 people",
            parsed / few.value,
            "times as fast",
            "json.loads on every line",
        )
        report.add(row)
    source.unlink()


def _list(report: _report.Report, folder: Path, sizes: Sizes) -> None:
    source, target = folder / "list.json", folder / "out"
    text.write_list(source, "prefixed strings", sizes.records)
    found = _report.beside(
        sizes.rounds,
        partial(text.busy_s, partial(text.copied, source, target), target),
        {"list": _busy(text.erasing("prefixed strings", text.FEW), source, target)},
    )
    report.add(_times("JSON array, 100 people", found["list"], None, "a raw copy"))
    source.unlink()


def _gzip(report: _report.Report, folder: Path, sizes: Sizes) -> None:
    kind = "prefixed strings"
    plain, source, target = folder / "plain", folder / "lines.gz", folder / "out"
    text.write_lines(plain, kind, sizes.records)
    text.compress(plain, source)
    plain.unlink()
    again = partial(text.inflated_and_deflated, source, target)
    found = _report.beside(
        sizes.rounds,
        partial(text.busy_s, partial(again, quick=True), target),
        {"ours": _busy(text.erasing(kind, text.FEW), source, target)},
    )
    slow = _report.beside(
        1 if sizes.rounds == 1 else 3,
        partial(text.busy_s, partial(again, quick=False), target),
        {"ours": _busy(text.erasing(kind, text.FEW), source, target)},
    )
    report.add(
        _times("gzip NDJSON, 100 people", found["ours"], 2.0, "inflate and deflate by isal"),
        _report.Row(
            "gzip NDJSON, 100 people",
            1 / slow["ours"].ratio,
            "times as fast",
            "inflate and deflate by zlib, level 6",
            3.0,
        ),
    )
    source.unlink()


def _table(report: _report.Report, folder: Path, sizes: Sizes) -> None:
    kind = "prefixed strings"
    source, target = folder / "table.csv", folder / "out"
    text.write_table(source, kind, sizes.records)
    gone = frozenset(str(text.KINDS[kind](n)) for n in range(0, text.CUSTOMERS, 5000))
    ours = {"ours": _busy(text.erasing(kind, text.FEW, table=True), source, target)}
    by_hand = partial(text.rewritten_by_stdlib, source, target, gone)
    slow = _report.beside(sizes.rounds, partial(text.busy_s, by_hand, target), ours)
    raw = partial(text.busy_s, partial(text.copied, source, target), target)
    copied = _report.beside(sizes.rounds, raw, ours)
    report.add(
        _report.Row(
            "CSV, 100 people", 1 / slow["ours"].ratio, "times as fast", "the csv module", 3.0
        ),
        _times("CSV, 100 people", copied["ours"], None, "a raw copy"),
    )
    source.unlink()


def _memory(report: _report.Report, folder: Path, sizes: Sizes) -> None:
    """In a process of its own, which tells its peak."""
    source = folder / "part.ndjson"
    text.write_lines(source, "prefixed strings", min(sizes.records, 200_000))
    times = max(1, sizes.large_bytes // source.stat().st_size + 1)
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        peak = pool.apply(_peak_mib, (source, folder / "out", times))
    size = source.stat().st_size * times / _GIB
    report.add(
        _report.Row(
            f"peak memory, NDJSON of {size:.2g} GiB, 10,000 people",
            peak,
            "MiB",
            "a process of its own, file to file",
            100.0,
            "at most",
        )
    )
    source.unlink()


def _peak_mib(source: Path, target: Path, times: int) -> float:
    text.erasing("prefixed strings", text.MANY).run(text.FileSource(source, times), target)
    target.unlink()
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / _MIB


def _times(measure: str, found: _report.Beside, target: float | None, baseline: str) -> _report.Row:
    told = f"{baseline}, {found.baseline:.2f} s busy"
    return _report.Row(measure, found.ratio, "times", told, target, "at most")


if __name__ == "__main__":
    sys.exit(main())
