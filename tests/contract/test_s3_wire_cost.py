"""What one record out of a large object costs: bytes that go up, and memory."""

from __future__ import annotations

import pytest

from benchmarks._s3_wire import measured

MIB = 1 << 20


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "size_bytes",
    [64 * MIB, *(pytest.param(n * MIB, marks=pytest.mark.nightly) for n in (128, 512))],
)
def test_little_goes_up_and_memory_stays_flat(size_bytes: int) -> None:
    """One record of a large object: at most 10 MiB sent, 100 MiB resident, whatever its size."""
    found = measured(size_bytes)
    assert found.object_bytes > size_bytes * 9 // 10
    assert found.sent_bytes <= 10 * MIB
    assert found.peak_bytes <= 100 * MIB
