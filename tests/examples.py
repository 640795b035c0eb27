"""How many examples a property is tried on: a share in every run, all of them at night.

In: the count that the property deserves. Out: the count for this run, by the profile of hypothesis
that tests/conftest.py or `--hypothesis-profile` names; its `max_examples` are per cent.
"""

from __future__ import annotations

from typing import Final

from hypothesis import settings

_FEWEST: Final = 10


def examples(count: int) -> int:
    """`count` of them, or this run's share; below ten there is nothing to save."""
    return max(min(count, _FEWEST), count * settings().max_examples // 100)
