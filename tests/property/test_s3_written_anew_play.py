"""Erasing objects by their labels while others write, in every state of versioning, by a model.

What somebody else wrote is lost to nobody but whoever writes over it. What a second look finds is
what the receipts tell to stay.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connectors.s3.server.probe import Honoured
from dsr_worker.contract import Transient
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import sound
from tests.contract.s3_layouts import objects
from tests.contract.s3_support import connector, number
from tests.examples import examples
from tests.s3_memory import ENDPOINT, Memory, Params, installed

UPLOADS = objects(
    "uploads", {"customer_number": "tag:customer"}, layout="objects", prefix="uploads/"
)
KEYS = ("uploads/a", "uploads/b")
_SETTINGS = settings(
    max_examples=examples(150),
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class World:
    """A bucket, and what of others has to be in it."""

    def __init__(self, bucket: Memory, seed: int) -> None:
        self.bucket = bucket
        self._random = random.Random(seed)
        self._number = 0
        self.theirs: dict[tuple[str, str], bytes] = {}

    def history(self) -> None:
        """Some people write, some take away, and versioning is switched."""
        for _ in range(self._random.randrange(1, 10)):
            chance = self._random.random()
            if chance < 0.25:
                states = ("Enabled", "Suspended") if self.bucket.status else ("Enabled",)
                self.bucket.status = self._random.choice(states)
            elif chance < 0.4:
                self._takes_away(self._random.choice(KEYS))
            else:
                self.writes(self._random.choice(KEYS), self._random.choice("1123"))

    def writes(self, key: str, customer: str) -> None:
        """One of them writes an object, over whatever has no id of its own."""
        self._number += 1
        body = f"{self._number} of {customer}".encode()
        held = self.bucket.put(key, body, f"customer={customer}")
        self.theirs.pop((key, held.version_id), None)
        if customer != "1":
            self.theirs[key, held.version_id] = body

    def meanwhile(self, share: float) -> None:
        """From now on others write now and then, before something is deleted or looked at."""

        def before(operation: str, _: Params) -> None:
            if operation in ("DeleteObject", "DeleteObjects", "GetObjectTagging"):
                while self._random.random() < share:
                    self.writes(self._random.choice(KEYS), self._random.choice("23"))

        self.bucket.before = before

    def _takes_away(self, key: str) -> None:
        if not self.bucket.objects.get(key):
            return
        if self.bucket.status:
            held = self.bucket.put(key, None)
            self.theirs.pop((key, held.version_id), None)
        else:
            del self.bucket.objects[key]
            self.theirs.pop((key, "null"), None)


@_SETTINGS
@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.0, 0.1, 0.3]))
def test_nothing_that_another_writes_is_erased(
    monkeypatch: pytest.MonkeyPatch, seed: int, share: float
) -> None:
    """Hard case 33: whoever writes when, what is his is there afterwards, and shown as he left it.

    Of the person who is erased, what is found again is what was told to stay.
    """
    with monkeypatch.context() as patch:
        bucket = installed(patch)
        world = World(bucket, seed)
        world.history()
        made = connector(ENDPOINT, "memory", UPLOADS)
        ctx = sound(TrialContext(), ENDPOINT, "memory", Honoured(put=True, delete=True))
        located = list(made.locate([number("1")], ctx))
        shown = {key: bucket.shown(key) for key in KEYS}
        world.meanwhile(share)
        kept: set[str] = set()
        for _ in range(20):
            try:
                receipts = list(made.erase([number("1")], located, ctx))
            except Transient:
                continue
            kept = set().union(*(r.kept for r in receipts))
            assert sum(r.rows for r in receipts) == len(located)
            break
        bucket.before = lambda _operation, _params: None
        there = bucket.content()
        assert {place: there.get(place) for place in world.theirs} == world.theirs
        for key in KEYS:
            now = bucket.shown(key)
            assert now in (shown[key], None) or now in world.theirs.values()
        left = made.recheck([number("1")], located, TrialContext(second_path=True))
        assert {ctx.digest(key.collection, key.key) for key in left} <= kept
