"""Fixtures that every test may ask for. Services start when the first test needs them.

- `services`: the embedded Postgres and broker of this run (`.log_files()`: to read logs);
- `postgres_dsn`: superuser on the cluster, maintenance database;
- `database`: call it for a fresh empty database, returns its DSN, dropped after the test; `ledger`:
  the same with the ledger's schema; `module_databases`: empty ones, dropped after the file;
- `redis_url`: a broker that is empty at the start of the test;
- `s3_endpoint`: address of an S3 API; `s3`: a client of it; `bucket`: call it for a new bucket;
- `smtp_sink`: an SMTP server that keeps what it gets in `.mails`, empty at the start of the test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import redis
from hypothesis import settings

from dsr_worker.embedded import Endpoints, Services
from dsr_worker.ledger import Ledger
from tests import services as real

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=20)
settings.register_profile("search", deadline=None, max_examples=100, print_blob=True)
settings.load_profile("repeatable")  # --hypothesis-profile=search: all examples, new ones each run


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many random schemas to try: some in every run, many in `./scripts/nightly`."""
    parser.addoption("--schemas", type=int, default=20, help="random schemas to try")
    parser.addoption("--first-seed", type=int, default=1, help="seed of the first of them")


def pytest_configure() -> None:
    """No test reads the user's settings or reaches another machine; its files are short-lived."""
    real.isolate_from_the_user()
    real.keep_files_in_memory()
    real.read_service_models_once()
    real.compose_texts_once()
    sys.addaudithook(real.keep_to_this_machine)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, so that no process sits idle while another ends one."""
    first = {"faults": 0, "acceptance": 1}
    items.sort(key=lambda item: first.get(item.path.parent.name, len(first)))


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """The embedded services of this run."""
    with real.embedded_services() as started:
        yield started


@pytest.fixture(scope="session")
def endpoints(services: Services) -> Endpoints:
    """Where they listen."""
    found = services.running()
    assert found is not None, "the embedded services have died"
    return found


@pytest.fixture(scope="session")
def postgres_dsn(endpoints: Endpoints) -> str:
    """Superuser on the cluster, maintenance database."""
    return endpoints.ledger_dsn.replace("/dsr?", "/postgres?")


@pytest.fixture
def database(postgres_dsn: str) -> Iterator[Callable[[], str]]:
    """Makes fresh empty databases; they go after the test."""
    databases = real.Databases(postgres_dsn)
    yield databases
    databases.drop_all()


@pytest.fixture(scope="module")
def module_databases(postgres_dsn: str) -> Iterator[Callable[[], str]]:
    """As `database`, for what the tests of a file share; they go after its last test."""
    databases = real.Databases(postgres_dsn)
    yield databases
    databases.drop_all()


@pytest.fixture(scope="session")
def _migrated(postgres_dsn: str) -> Iterator[str]:
    """The name of a database with the ledger's schema, to which nobody is connected."""
    databases = real.Databases(postgres_dsn)
    made = Ledger(databases())
    made.migrate()
    with made.transaction() as cursor:
        cursor.execute("SELECT current_database() AS name")
        name = cursor.fetchone().name
    made.dispose()
    yield name
    databases.drop_all()


@pytest.fixture
def ledger(postgres_dsn: str, _migrated: str) -> Iterator[Callable[[], str]]:
    """As `database`, with the ledger's schema in place: copying it is quicker than migrating."""
    databases = real.Databases(postgres_dsn, _migrated)
    yield databases
    databases.drop_all()


@pytest.fixture
def redis_url(endpoints: Endpoints) -> str:
    """A broker with nothing in it."""
    assert endpoints.redis_url is not None
    client = redis.Redis.from_url(endpoints.redis_url)
    client.flushall()
    client.close()
    return endpoints.redis_url


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Address of an S3 API."""
    with real.s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def s3(s3_endpoint: str) -> Iterator[S3Client]:
    """A client of the S3 API."""
    client = real.s3_client(s3_endpoint)
    yield client
    client.close()


@pytest.fixture
def bucket(s3: S3Client) -> Callable[[], str]:
    """Makes new buckets, each with a name of its own."""

    def make() -> str:
        name = f"test-{uuid4().hex}"
        s3.create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": real.S3_REGION}
        )
        return name

    return make


@pytest.fixture(scope="session")
def _smtp_server() -> Iterator[real.SmtpSink]:
    with real.smtp_server() as sink:
        yield sink


@pytest.fixture
def smtp_sink(_smtp_server: real.SmtpSink) -> real.SmtpSink:
    """An SMTP server with no mail in it."""
    _smtp_server.mails.clear()
    _smtp_server.refuse = False
    return _smtp_server
