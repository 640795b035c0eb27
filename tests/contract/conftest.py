"""Fixtures of the contract tests: one database a file, emptied before each test.

A file that needs other tables or roles overrides the fixture it needs otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.postgres_shop import emptied, execute


@pytest.fixture(scope="module")
def module_database(module_databases: Callable[[], str]) -> str:
    """One database for the module: a new one for every test would take most of the time."""
    return module_databases()


@pytest.fixture
def dsn(module_database: str) -> str:
    """An empty database."""
    execute(
        module_database,
        "DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS restricted CASCADE;"
        " CREATE SCHEMA public",
    )
    return module_database


@pytest.fixture
def shop(module_database: str) -> str:
    """A database with the shop's empty tables and nothing else."""
    return emptied(module_database)


@pytest.fixture
def bucket_name(bucket: Callable[[], str]) -> str:
    """An S3 bucket for this test alone."""
    return bucket()
