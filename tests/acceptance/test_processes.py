"""The acceptance test once more through real worker processes, embedded and grown up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dsr_worker.contract import Identity
from dsr_worker.embedded import Endpoints, Services
from dsr_worker.testing.shop import Shop
from tests import services as real
from tests.acceptance.conftest import configuration
from tests.acceptance.judge import (
    assert_erased,
    assert_only_mentions_are_left,
    assert_package_is_whole,
    assert_package_names_nobody_else,
    hand_over,
    rows_by_outcome,
    truth_of,
)
from tests.acceptance.processes import ProcessRoom
from tests.acceptance.world import World, secrets_of

READERS = (Shop.FULL, Shop.SHARED_PHONE[1], Shop.DROP_TABLE)
LEAVERS = (Shop.ID_ZERO, Shop.UNDERSCORE, Shop.OLD_AND_NEW_INVOICES, 24)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the servers' user may pass through, on a short path."""
    with real.private_folder() as made:
        yield made


@pytest.fixture(params=["embedded", "grown up"])
def staffed(
    request: pytest.FixtureRequest,
    world: World,
    folder: Path,
    s3_endpoint: str,
    smtp_sink: real.SmtpSink,
) -> Iterator[ProcessRoom]:
    """An installation with workers at work, in each of the two ways to run it."""
    secrets = secrets_of(world, real.S3_KEY, real.S3_SECRET)
    files = configuration(folder, world, s3_endpoint, smtp_sink.port)
    own = Services(folder / "data") if request.param == "embedded" else None
    try:
        if own is not None:
            room = ProcessRoom(folder, own.start(), secrets, **files)
            room.start()
        else:
            database: Callable[[], str] = request.getfixturevalue("database")
            endpoints = Endpoints(database(), request.getfixturevalue("redis_url"))
            room = ProcessRoom(folder, endpoints, secrets, **files)
            redis_url = endpoints.redis_url or ""
            room.start(DSR_LEDGER_DSN=endpoints.ledger_dsn, DSR_REDIS_URL=redis_url)
        try:
            yield room
        finally:
            room.supervisor.stop()
            room.close()
    finally:
        if own is not None:
            own.remove()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_main_job_through_real_processes(
    staffed: ProcessRoom, world: World, tmp_path: Path
) -> None:
    """Accesses, erasures, a hold at once: packages whole, erasures exact, others untouched."""
    disputed = truth_of(world, Shop.DISPUTED)
    staffed.hold_person(Identity("customer_number", disputed.identities["customer_number"]))
    readers = [truth_of(world, n) for n in READERS]
    leavers = [*(truth_of(world, n) for n in LEAVERS), disputed]
    before = world.dump()
    accesses = {t.number: staffed.submit("access", email=t.identities["email"]) for t in readers}
    erasures = {t.number: staffed.submit("erasure", email=t.identities["email"]) for t in leavers}
    staffed.settle()
    for ref in (*accesses.values(), *erasures.values()):
        assert staffed.job(ref)["state"] == "awaiting_approval", staffed.steps(ref)
        staffed.approve(ref)
    staffed.settle()
    for truth in readers:
        members = hand_over(staffed, accesses[truth.number], tmp_path / f"{truth.number}.zip")
        assert_package_is_whole(members, truth)
        assert_package_names_nobody_else(members, world, truth.number)
    after = world.dump()
    assert_erased(before, after, leavers)
    for truth in leavers:
        ref = erasures[truth.number]
        assert staffed.job(ref)["state"] == "ready", staffed.steps(ref)
        assert staffed.outcomes(ref) == rows_by_outcome(truth)
        if not truth.held:
            assert_only_mentions_are_left(after, truth)
