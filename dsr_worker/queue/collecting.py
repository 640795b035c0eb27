"""How a worker process spares Python's collector of cycles: a batch is many values that live."""

from __future__ import annotations

import gc

_YOUNG_VALUES = 20_000  # between two collections; Python has 700


def spare_the_collector() -> None:
    """What was loaded so far is there to stay; and a batch makes many values before any can go."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_VALUES)
