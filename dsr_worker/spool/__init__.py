"""Spools: what a batch found, sealed per case in one segment of the store.

Why one segment: opening a file per case costs more than all the sealing. In: contract records and
blocks (or located keys) of many subjects in any order, and each subject's case key. Out: per
subject a `Frame` that says where in the segment their part lies; the ledger keeps it with the step.
Reading back gives the records in the order they were written.

A subject's part is one sealed stream (see `vault.seal`), appended chunk by chunk as it fills: no
more than 64 KiB per subject wait in memory. Within it an entry is two lengths (4 bytes each), a
JSON head and the body as the connector gave it: a record, or a block of many. An attachment is a
sealed stream of its own, of which the head says where it lies.
"""

from dsr_worker.spool.frames import Frame, is_intact
from dsr_worker.spool.reading import (
    Spooled,
    SpooledAttachment,
    SpooledBlock,
    SpooledRecord,
    read_keys,
    read_records,
)
from dsr_worker.spool.writing import KeySpool, RecordSpool

__all__ = [
    "Frame",
    "KeySpool",
    "RecordSpool",
    "Spooled",
    "SpooledAttachment",
    "SpooledBlock",
    "SpooledRecord",
    "is_intact",
    "read_keys",
    "read_records",
]
