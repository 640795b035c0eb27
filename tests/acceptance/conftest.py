"""Fixtures of the acceptance tests: a filled shop, and an installation that answers for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connectors.helpdesk import Zendesk
from connectors.postgres import Postgres
from connectors.s3 import S3
from dsr_worker.testing.zendesk import Fake
from tests import services as real
from tests.acceptance.world import World, build, configure, secrets_of
from tests.integration.engine_room import EngineRoom

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECTORS = {"postgres": Postgres, "s3": S3, "zendesk": Zendesk}


@pytest.fixture
def world(database: Callable[[], str], s3: S3Client, bucket: Callable[[], str]) -> Iterator[World]:
    """The shop, fresh in all three systems."""
    with Fake() as helpdesk:
        yield build(database(), s3, bucket(), helpdesk)


def configuration(folder: Path, world: World, s3_endpoint: str, smtp_port: int) -> dict[str, Any]:
    """The shop's own configuration, as an `EngineRoom` takes it."""
    written = folder / "written"
    configure(written, world, s3_endpoint, smtp_port)
    return {
        "systems": {f.stem: f.read_text("utf-8") for f in (written / "systems").iterdir()},
        "policies": {f.stem: f.read_text("utf-8") for f in (written / "policies").iterdir()},
        "organisation": (written / "organisation.yaml").read_text("utf-8"),
        "connectors": CONNECTORS,
    }


@pytest.fixture
def room(
    world: World,
    tmp_path: Path,
    ledger: Callable[[], str],
    s3_endpoint: str,
    smtp_sink: real.SmtpSink,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[EngineRoom]:
    """An installation in this process that answers for the shop through the real connectors."""
    for name, value in secrets_of(world, real.S3_KEY, real.S3_SECRET).items():
        monkeypatch.setenv(name, value)
    files = configuration(tmp_path, world, s3_endpoint, smtp_sink.port)
    made = EngineRoom(tmp_path, ledger(), **files)
    yield made
    for connector in made.office.materials._connectors.values():
        if (close := getattr(connector, "close", None)) is not None:
            close()
    made.office.ledger.dispose()
