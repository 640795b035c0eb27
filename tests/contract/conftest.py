"""Fixtures of the contract tests: one database a file, emptied before each test.

A file that needs other tables or roles overrides the fixture it needs otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connectors.helpdesk import Zendesk
from dsr_worker.testing.zendesk import Fake
from tests.contract import zendesk_world
from tests.contract.postgres_roles import CASCADING, OWNER, Shop, drop_roles
from tests.contract.postgres_shop import NOTHING, SCHEMA, add_customer, connector, emptied, execute
from tests.contract.s3_refusals import answering
from tests.contract.s3_texts import Texts
from tests.s3_shim import Shim, shimmed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from connectors.s3 import S3
    from tests.contract.s3_iceberg import World


@pytest.fixture(scope="module")
def module_database(module_databases: Callable[[], str]) -> str:
    """One database for the module: a new one for every test would take most of the time."""
    return module_databases()


@pytest.fixture
def dsn(module_database: str) -> str:
    """An empty database."""
    execute(module_database, NOTHING)
    return module_database


@pytest.fixture
def shop(module_database: str) -> str:
    """A database with the shop's empty tables and nothing else."""
    return emptied(module_database)


@pytest.fixture
def bucket_name(bucket: Callable[[], str]) -> str:
    """An S3 bucket for this test alone."""
    return bucket()


@pytest.fixture
def delta_orders(s3: S3Client, s3_endpoint: str, bucket_name: str) -> S3:
    """A connector on a versioned bucket with a Delta table of two commits."""
    from tests.contract.s3_delta import filled  # noqa: PLC0415 - the library is slow to load

    return filled(s3, s3_endpoint, bucket_name)


@pytest.fixture
def iceberg(s3: S3Client, s3_endpoint: str, bucket_name: str, tmp_path: Path) -> World:
    """A versioned bucket with an Iceberg table of two snapshots, and a connector."""
    from tests.contract import s3_iceberg  # noqa: PLC0415 - the library is slow to load

    return s3_iceberg.World(s3, s3_endpoint, bucket_name, tmp_path)


@pytest.fixture
def shim(s3_endpoint: str) -> Iterator[Shim]:
    """The S3 API behind a proxy that mends it and plays what goes wrong."""
    with shimmed(s3_endpoint) as running:
        yield running


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call it to have requests for a key refused with a code, or answered in another way."""
    return answering(monkeypatch)


@pytest.fixture
def texts(s3: S3Client, s3_endpoint: str, bucket_name: str) -> Texts:
    """An empty bucket for text objects."""
    return Texts(s3, s3_endpoint, bucket_name)


# ---- a helpdesk


@pytest.fixture
def fake() -> Iterator[Fake]:
    """A loaded helpdesk."""
    with Fake() as running:
        zendesk_world.load(running)
        yield running


@pytest.fixture
def desk(fake: Fake) -> Iterator[Zendesk]:
    """A connector to it."""
    connected = zendesk_world.connect(fake)
    yield connected
    connected.close()


# ---- the shop as somebody's own, for grants


@pytest.fixture(scope="module")
def owned_database(module_database: str) -> Iterator[str]:
    """One database for the module, and its owner."""
    dsn = module_database
    execute(dsn, f"CREATE ROLE {OWNER} LOGIN CREATEROLE")
    execute(
        dsn,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO zq_owner',"
        " current_database()); END $$",
    )
    yield dsn
    drop_roles(dsn)
    execute(dsn, f"REASSIGN OWNED BY {OWNER} TO dsr; DROP OWNED BY {OWNER}; DROP ROLE {OWNER}")


@pytest.fixture
def owned_shop(owned_database: str) -> Shop:
    """The shop's tables as somebody's own, whole roles dropped, nobody else with any right."""
    dsn = owned_database
    execute(dsn, "DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS aside CASCADE")
    execute(dsn, f"CREATE SCHEMA public AUTHORIZATION {OWNER}")
    drop_roles(dsn)
    found = Shop(dsn)
    execute(found.by(OWNER), SCHEMA + CASCADING)
    execute(
        found.by(OWNER),
        "DO $$ BEGIN EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC',"
        " current_database()); END $$",
    )
    return found


@pytest.fixture
def granted(owned_shop: Shop) -> Shop:
    """The same with both roles made, and an index for every warning."""
    remedies = [f.remedy for f in connector(owned_shop.by(OWNER)).check()]
    indexes = [r.replace(" CONCURRENTLY", "") for r in remedies if r.startswith("CREATE INDEX")]
    execute(owned_shop.by(OWNER), "\n".join(indexes))
    owned_shop.granted()
    return owned_shop


@pytest.fixture
def peopled(granted: Shop) -> Shop:
    """The same with two customers."""
    add_customer(granted.dsn, 1, "anna@shop.example")
    add_customer(granted.dsn, 2, "bert@shop.example")
    return granted
