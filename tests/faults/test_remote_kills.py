"""An erasure in systems that commit piece by piece survives a kill at any of its crash points."""

from __future__ import annotations

import itertools
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.remote import RemoteRoom, remote_room
from tests.faults.room import RESUMED_WITHIN_S, email

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

COMMITS = 6
"""The papers, two shared objects; the bin, its emptying, the user."""
EFFECT = ("before-intent", "after-intent", "after-effect")
"""Passed once for each commit."""
ONE_EACH = tuple(f"{EFFECT[n % 3]}:{n + 1}" for n in range(COMMITS))
"""A death at each commit."""
EVERY = (
    *(f"{point}:{n + 1}" for point in EFFECT for n in range(COMMITS)),
    "after-claim:1", "after-claim:5", "after-spool:2", "after-locate:2",
    "before-finish:4", "after-finish:3", "before-ring:4",
)  # fmt: skip
"""The last where no commit is under way: locating, applying in the helpdesk, between systems."""


class Drill:
    """One erasure after the other, each with a death of its own, like the undisturbed first."""

    def __init__(self, room: RemoteRoom, people: int) -> None:
        self.room = room
        self.before = room.world()
        self.refs = [
            room.submit("erasure", email=email(n), customer_number=str(n)) for n in range(people)
        ]
        room.settle()
        assert room.in_state("awaiting_approval") == people, room.stuck()
        self.erased = 0
        self.undisturbed = self._next(lambda: None)
        assert {(row[0], row[2]) for row in self.undisturbed} == {
            ("lake", "erased"),
            ("helpdesk", "erased"),
        }

    def _next(self, disturb: Callable[[], object]) -> list[tuple[object, ...]]:
        ref = self.refs[self.erased]
        self.erased += 1
        self.room.approve(ref)
        disturb()
        self.room.settle()
        assert self.room.job(ref)["state"] == "ready", self.room.steps(ref)
        assert self.room.events(ref).count("certificate_made") == 1
        return self.room.account(ref)

    def kill(self, crash: Callable[[str], int], spec: str) -> bool:
        """Erase the next person with a kill; whether the point was reached."""
        fates: list[int] = []
        account = self._next(lambda: fates.append(crash(spec)))
        assert account == self.undisturbed, spec
        return fates == [signal.SIGKILL]

    def judge(self) -> None:
        """Whoever was erased is gone, once; everybody else is the same byte for byte."""
        after, gone = self.room.world(), {str(n) for n in range(self.erased)}
        for place, body in self.before.items():
            assert (after.get(place) == body) is (place[2] not in gone), place
            assert place[2] not in gone or place not in after, place
        assert set(after) <= set(self.before)
        changes = self.room.changes()
        assert wanted_changes(self.erased) == changes


def wanted_changes(people: int) -> Counter[tuple[str, str]]:
    """What a bucket and a helpdesk see of so many erasures, none of them twice."""
    wanted: Counter[tuple[str, str]] = Counter()
    for n in range(people):
        wanted["PUT", "events/a.ndjson"] += 1
        wanted["PUT", "events/b.ndjson"] += 1
        wanted["DELETE", f"customers/{n}/p.txt"] += 1
        wanted["DELETE", f"customers/{n}/q.txt"] += 1
        wanted["DELETE", f"/api/v2/users/{1000 + n}"] += 1
        wanted["DELETE", f"/api/v2/deleted_users/{1000 + n}"] += 1
        wanted["purged", str(10_000 + n)] += 1
    return wanted


def test_a_kill_after_a_commit_is_seen_where_nobody_looks_first(
    tmp_path: Path,
    database: Callable[[], str],
    s3: S3Client,
    s3_endpoint: str,
    bucket: Callable[[], str],
) -> None:
    """Connectors that act without looking do it twice: the count would see a double."""
    with (
        remote_room(tmp_path, database, s3, bucket(), s3_endpoint, 3, careless=True) as room,
        room.brood() as crash,
    ):
        drill = Drill(room, 3)
        places = [("PUT", "done/{}"), ("PUT", "/api/v2/users/100{}")]
        assert [room.changes()[method, place.format(0)] for method, place in places] == [1, 1]
        doubled = set()
        for nth in itertools.count(1):
            if drill.erased == len(drill.refs):
                break
            number = drill.erased
            assert drill.kill(crash, f"after-effect:{(2, 6)[nth - 1]}")
            doubled |= {m + p for m, p in places if room.changes()[m, p.format(number)] > 1}
        assert doubled == {m + p for m, p in places}


@pytest.mark.faults
@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(ONE_EACH, id="one each"),
        pytest.param(EVERY, id="every", marks=pytest.mark.nightly),
    ],
)
def test_a_kill_at_any_commit_erases_each_object_and_ticket_once(
    tmp_path: Path,
    database: Callable[[], str],
    s3: S3Client,
    s3_endpoint: str,
    bucket: Callable[[], str],
    kills: tuple[str, ...],
) -> None:
    """Wherever the worker dies, receipts are those of an undisturbed run and nothing doubles."""
    people = 1 + len(kills) + 1
    with remote_room(tmp_path, database, s3, bucket(), s3_endpoint, people) as room:
        drill = Drill(room, people)
        with room.brood() as crash, room.watch() as watched:
            for spec in kills:
                assert drill.kill(crash, spec), f"{spec} was not reached"
            assert not drill.kill(crash, f"{EFFECT[0]}:{COMMITS + 1}"), "one commit more than told"
        assert len(watched.resumed_s) >= len(kills)
        assert max(watched.resumed_s) < RESUMED_WITHIN_S
        drill.judge()
