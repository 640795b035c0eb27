"""Where one subject's part of a segment lies: what the ledger keeps of a spool.

In: the extents that were written. Out: the same as JSON values; whether the bytes are still there.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from dsr_worker.store import Store

LENGTHS = struct.Struct(">II")
"""Before each entry: the lengths of its head and of its body."""

Extent = tuple[int, int]  # offset and length in the segment


@dataclass(frozen=True, slots=True)
class Frame:
    """Where one subject's part of a segment lies. Holds no personal data; goes to the ledger."""

    segment: str
    extents: tuple[Extent, ...]
    records: int
    sha256: str  # of the sealed bytes, in order

    @property
    def sealed_bytes(self) -> int:
        """What the frame takes in the segment, attachments aside."""
        return sum(length for _, length in self.extents)

    def to_json(self) -> dict[str, Any]:
        """The frame as JSON values."""
        return {
            "segment": self.segment,
            "extents": [list(extent) for extent in self.extents],
            "records": self.records,
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The frame that `to_json` wrote."""
        extents = tuple((int(offset), int(length)) for offset, length in value["extents"])
        return cls(value["segment"], extents, int(value["records"]), value["sha256"])


def is_intact(store: Store, frame: Frame) -> bool:
    """Whether the segment still holds the frame's sealed bytes; needs no key (after a restore)."""
    digest = hashlib.sha256()
    with store.open(frame.segment) as file:
        for offset, length in frame.extents:
            file.seek(offset)
            left = length
            while left and (part := file.read(min(left, 1024 * 1024))):
                digest.update(part)
                left -= len(part)
    return digest.hexdigest() == frame.sha256
