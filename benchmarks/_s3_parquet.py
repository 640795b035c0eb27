"""Erasing rows from Parquet files, beside pyarrow reading, filtering and writing every row group.

In: a report, a folder. Out: rows with the ratio of processor seconds, median of the rounds, each
measure between two of its baseline. Both read and write files on the same disk, and what ours wrote
is compared with what pyarrow wrote before anything is measured.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import _report
from benchmarks._s3_text import FileSource
from connectors.s3.formats.entries import ERASE, KEEP, Change, Entry, text_of
from connectors.s3.formats.parquet.format import PARQUET
from connectors.s3.formats.wanted import Wanted

_GROUPS = 28
_FEW_GROUPS = 4
_FEW_TARGET, _ALL_TARGET = 0.35, 1.15
_OWNER = "customer_id"
_MIB = 1024 * 1024
_MANY = 10_000
_SMALL_GROUP = 2_000


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    codec: str
    ids: int
    groups: int
    target: float | None
    sorted: bool = False
    group_rows: int = 50_000


_CASES = (
    _Case("few groups", "snappy", 1, _FEW_GROUPS, _FEW_TARGET),
    _Case("few groups", "zstd", 1, _FEW_GROUPS, _FEW_TARGET),
    _Case("sorted", "snappy", 1, 1, _FEW_TARGET, sorted=True),
    _Case("sorted", "zstd", 1, 1, _FEW_TARGET, sorted=True),
    _Case("all groups", "snappy", 100, _GROUPS, _ALL_TARGET),
    _Case("all groups", "zstd", 100, _GROUPS, _ALL_TARGET),
    _Case("all groups, 2 % of rows", "snappy", _MANY, _GROUPS, _ALL_TARGET),
    _Case("all groups, 2 % of rows", "zstd", _MANY, _GROUPS, _ALL_TARGET),
    _Case("small row groups, all", "snappy", 100, _GROUPS, None, group_rows=_SMALL_GROUP),
)


def rows(
    report: _report.Report,
    folder: Path,
    quick: bool,  # noqa: FBT001 - as every part of this benchmark is called
) -> None:
    """Add a row for each case. Leaves nothing in `folder`."""
    rounds = 1 if quick else 5
    for case in _CASES:
        group_rows = _SMALL_GROUP if quick else case.group_rows
        source = folder / "source.parquet"
        wanted = _write(source, case, group_rows)
        ours, theirs = folder / "ours.parquet", folder / "pyarrow.parquet"
        erase = partial(_erase, source, ours, wanted)
        filter_ = partial(_filter, source, theirs, wanted, case.codec)
        erase()
        filter_()
        if not pq.read_table(ours).equals(pq.read_table(theirs)):
            raise AssertionError(f"{case.name}: the rows differ")
        found = _report.beside(rounds, partial(_cpu_s, filter_), {"ours": partial(_cpu_s, erase)})
        size = source.stat().st_size / _MIB
        touched = f"{case.groups} of {_GROUPS} row groups of {group_rows}"
        told = f"{touched}, {case.codec}, {size:.0f} MiB"
        report.add(
            _report.Row(
                f"parquet, {case.name}: processor time ({told})",
                found["ours"].ratio,
                "of it",
                f"pyarrow, every row group: {found['ours'].baseline:.2f} s",
                case.target,
                "at most",
            )
        )
        for path in (source, ours, theirs):
            path.unlink()


def _write(path: Path, case: _Case, group_rows: int) -> frozenset[str]:
    """An invented file of orders; returns the customers to erase."""
    drawn = random.Random(7)
    total = _GROUPS * group_rows
    people = _MANY * 50
    numbers = [drawn.randrange(people) for _ in range(total)]
    if case.sorted:
        numbers.sort()
    wanted = set(drawn.sample(range(people, people + _MANY * 2), case.ids))
    if case.sorted:
        wanted = {numbers[group_rows // 2]}
    elif case.ids == _MANY:
        wanted = set(drawn.sample(range(people), _MANY))
    else:
        one = sorted(wanted)
        for group in range(case.groups):
            for _ in range(max(1, len(one) // case.groups)):
                numbers[group * group_rows + drawn.randrange(group_rows)] = drawn.choice(one)
    writer: Any = None
    for group in range(_GROUPS):
        table = _orders(numbers[group * group_rows : (group + 1) * group_rows], group, drawn)
        writer = writer or pq.ParquetWriter(path, table.schema, compression=case.codec)
        writer.write_table(table, row_group_size=group_rows)
    writer.close()
    return frozenset(f"cus_{number:07}" for number in wanted)


def _orders(numbers: list[int], group: int, drawn: random.Random) -> Any:
    count = len(numbers)
    at = range(group * count, (group + 1) * count)
    words = ("blue", "green", "large", "small", "cotton", "steel", "paper", "glass")
    return pa.table(
        {
            "order_id": pa.array(at, pa.int64()),
            _OWNER: pa.array([f"cus_{number:07}" for number in numbers]),
            "email": pa.array([f"p{number}@shop.example" for number in numbers]),
            "country": pa.array([("DE", "FR", "AT", "IT", "ES")[n % 5] for n in numbers]),
            "price": pa.array([drawn.random() * 100 for _ in at]),
            "quantity": pa.array([drawn.randrange(9) for _ in at], pa.int32()),
            "ordered_at": pa.array([1_700_000_000_000 + n * 997 for n in at], pa.timestamp("ms")),
            "product": pa.array([f"{drawn.choice(words)} {drawn.choice(words)}" for _ in at]),
            "note": pa.array([None if n % 3 else f"note {drawn.random():.12f}" for n in at]),
            "gift": pa.array([n % 11 == 0 for n in at]),
            "session": pa.array([f"{drawn.getrandbits(64):016x}" for _ in at]),
        }
    )


def _cpu_s(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _filter(source: Path, target: Path, wanted: frozenset[str], codec: str) -> None:
    gone = pa.array(sorted(wanted))
    with (
        pq.ParquetFile(source) as file,
        pq.ParquetWriter(target, file.schema_arrow, compression=codec) as writer,
    ):
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, use_threads=False)
            stays = pc.invert(pc.is_in(table[_OWNER], value_set=gone))
            writer.write_table(table.filter(stays))


def _erase(source: Path, target: Path, wanted: frozenset[str]) -> None:
    def decide(entry: Entry) -> Change:
        return ERASE if entry.value(_OWNER) in wanted else KEEP

    def may_be(_field: str, value: object) -> bool:
        return text_of(value) in wanted

    people = Wanted(wanted, (_OWNER,), may_be, exact=True, sound=True)
    stored = FileSource(source)
    with target.open("wb") as written:
        PARQUET.rewrite(stored, people, decide, _Edited(stored, written))


@dataclass(frozen=True, slots=True)
class _Edited:
    """Edits that go to a file."""

    source: FileSource
    file: IO[bytes]

    def keep(self, _start: int, data: bytes | memoryview) -> None:
        self.file.write(data)

    def copy(self, start: int, length: int) -> None:
        for at in range(start, start + length, _MIB):
            self.file.write(self.source.read(at, min(_MIB, start + length - at)))

    def write(self, data: bytes) -> None:
        self.file.write(data)
