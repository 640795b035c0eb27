"""The acceptance test once more through real worker processes, embedded and grown up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

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
from tests.acceptance.servers import servers_over_tcp
from tests.acceptance.world import World, secrets_of

READERS = (Shop.FULL, Shop.SHARED_PHONE[1], Shop.DROP_TABLE)
LEAVERS = (Shop.ID_ZERO, Shop.UNDERSCORE, Shop.OLD_AND_NEW_INVOICES, 24)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the servers' user may pass through, on a short path."""
    with real.private_folder() as made:
        yield made


@pytest.fixture(params=[pytest.param("embedded", marks=pytest.mark.nightly), "grown up"])
def staffed(
    request: pytest.FixtureRequest,
    world: World,
    folder: Path,
    s3_endpoint: str,
    smtp_sink: real.SmtpSink,
) -> Iterator[ProcessRoom]:
    """An installation with workers at work: on its own services, or on servers reached by TCP.

    Its own services are what every run of `./scripts/demo` goes through.
    """
    secrets = secrets_of(world, real.S3_KEY, real.S3_SECRET)
    files = configuration(folder, world, s3_endpoint, smtp_sink.port)
    embedded = request.param == "embedded"
    running = embedded_in(folder / "data") if embedded else servers_over_tcp(folder / "servers")
    with running as endpoints:
        room = ProcessRoom(folder, endpoints, secrets, **files)
        told = {
            "DSR_LEDGER_DSN": endpoints.ledger_dsn,
            "DSR_REDIS_URL": endpoints.redis_url or "",
        }
        room.start(**({} if embedded else told))
        try:
            yield room
        finally:
            room.supervisor.stop()
            room.close()


@contextmanager
def embedded_in(folder: Path) -> Iterator[Endpoints]:
    """The services that start by themselves where nothing is configured."""
    own = Services(folder)
    try:
        yield own.start()
    finally:
        own.remove()


@pytest.mark.slow
@pytest.mark.timeout(900)
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
    assert_addresses_stay_secret(staffed)


def assert_addresses_stay_secret(staffed: ProcessRoom) -> None:
    """The passwords of ledger and broker are in no word of a worker or its supervisor."""
    endpoints = staffed.office.endpoints
    for address in (endpoints.ledger_dsn, endpoints.redis_url or ""):
        password = urlsplit(address).password
        assert password is None or password not in staffed.words()
