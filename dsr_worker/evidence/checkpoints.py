"""What is wrong with a checkpoint: its signature, its place after the last one, its second copy.

In: a checkpoint as the ledger holds it, the one before, the leaves it should cover, the keys of
this installation, and its copy in the checkpoint store. Out: one sentence, or None when all hold.
Whoever may write the ledger can make events, seals and checkpoints anew, but not sign them with
these keys, nor change the copies.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from dsr_worker.evidence.chain import GENESIS, Checkpoint, merkle_root, verify_checkpoint

PREFIX = "checkpoints/"
"""Where copies lie in the checkpoint store."""


def copy_name(number: int) -> str:
    """The name of a checkpoint's copy."""
    return f"{PREFIX}{number:08}.json"


def read_checkpoint(text: str | bytes) -> Checkpoint | None:
    """The checkpoint in a text; None where there is none."""
    try:
        return Checkpoint.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError):
        return None


def flaw(
    point: Checkpoint, after: Checkpoint | None, leaves: Sequence[bytes], keys: Collection[bytes]
) -> str | None:
    """What is wrong with a checkpoint of the ledger, signed by one of `keys` if it is ours."""
    due = after.number + 1 if after else 1
    if point.number != due:
        return f"checkpoint {due} is missing: after {due - 1} comes {point.number}"
    if not any(verify_checkpoint(point, key) for key in keys):
        return (
            f"checkpoint {point.number} is signed by no key of this installation, of today or "
            "before: somebody else sealed this log, or the key ring is not the newest"
        )
    first = after.first + after.size if after else 0
    previous = after.digest if after else GENESIS.hex()
    if (point.previous, point.first) != (previous, first):
        return f"checkpoint {point.number} does not follow the one before it"
    if (point.size, point.root) != (len(leaves), merkle_root(leaves).hex()):
        return f"checkpoint {point.number} does not fit the events that it covers"
    return None


def flaw_of_copy(point: Checkpoint, copy: bytes | None) -> str | None:
    """What is wrong with the copy of a checkpoint in the checkpoint store; None: there is none."""
    if copy is None:
        return (
            f"checkpoint {point.number} is not in the checkpoint store: it was taken away there, "
            "or the store was changed (DSR_CHECKPOINTS) and the earlier ones were not copied"
        )
    if read_checkpoint(copy) != point:
        return (
            f"checkpoint {point.number} is another in the checkpoint store than in the ledger: "
            "trust the store, and ask who wrote the ledger"
        )
    return None


def flaw_of_more(numbers: Collection[int], held: int) -> str | None:
    """What is wrong where the store has copies of checkpoints beyond the ledger's last one."""
    more = sorted(number for number in numbers if number > held)
    if not more:
        return None
    return (
        f"checkpoint {more[0]} is in the checkpoint store and not in the ledger, which has {held}: "
        "the ledger lost what was sealed, or is an older copy of itself"
    )


def flaw_of_silence(events: int, held: int) -> str | None:
    """What is wrong where events have waited too long for a checkpoint."""
    if not events:
        return None
    having = "there is none at all" if held == 0 else f"there are {held}"
    return (
        f"{events} event(s) should be under a checkpoint by now and are not; {having}: no worker "
        "seals (`dsr health`), or checkpoints were taken away"
    )
