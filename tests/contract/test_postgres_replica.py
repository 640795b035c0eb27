"""Reading from a replica: only from one that has everything the primary had, else told and left."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from connectors.postgres import Postgres
from dsr_worker.contract import Finding, Severity
from dsr_worker.embedded import Services
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import (
    SCHEMA,
    add_customer,
    connector,
    emptied,
    erase,
    execute,
    query,
    subject,
)
from tests.services import Databases, private_folder

ANNA = subject("a", email="anna@shop.example", number="1")


@dataclass(frozen=True)
class Pair:
    """A database and its logical copy."""

    primary: str
    copy: str

    def connector(self, most_lag_s: float = 100) -> Postgres:
        """A connector that may read the copy."""
        return connector(self.primary, replica_dsn=self.copy, max_replica_lag_s=most_lag_s)

    def notes(self, made: Postgres) -> set[str]:
        """What Anna's orders say where they are read."""
        found = made.find([ANNA], TrialContext())
        return {r.body.decode() for r in found if r.collection == "orders"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Services]:
    """A server of its own: replication takes a setting that the shared one has not."""
    with private_folder() as folder:
        services = Services(folder / "data")
        try:
            dsn = services.start(broker=False).ledger_dsn
            execute(dsn, "ALTER SYSTEM SET wal_level = 'logical'")
            services.stop()
            services.start(broker=False)
            yield services
        finally:
            services.remove()


@pytest.fixture
def pair(cluster: Services) -> Iterator[Pair]:
    """The shop twice, the second following the first."""
    endpoints = cluster.running()
    assert endpoints is not None
    databases = Databases(endpoints.ledger_dsn.replace("/dsr?", "/postgres?"))
    found = Pair(databases(), databases())
    for dsn in (found.primary, found.copy):
        execute(dsn, SCHEMA)
    execute(found.primary, "CREATE PUBLICATION zq FOR ALL TABLES")
    query(found.primary, "SELECT pg_create_logical_replication_slot('zq', 'pgoutput')")
    execute(
        found.copy,
        f"CREATE SUBSCRIPTION zq CONNECTION '{found.primary}' PUBLICATION zq"
        " WITH (create_slot = false, slot_name = 'zq', copy_data = false)",
    )
    yield found
    execute(found.copy, "DROP SUBSCRIPTION zq")
    databases.drop_all()


def warned(made: Postgres) -> list[Finding]:
    """What the check says of the replica."""
    return [f for f in made.check() if "replica" in f.message]


def test_records_come_from_the_copy_once_it_has_them(pair: Pair) -> None:
    """A row that was committed before the reading began is always in it."""
    add_customer(pair.primary, 1, "anna@shop.example")
    made = pair.connector()
    assert len(pair.notes(made)) == 2
    execute(pair.copy, "UPDATE orders SET note = 'of the copy'")
    assert all("of the copy" in note for note in pair.notes(made))
    assert len(list(made.locate([ANNA], TrialContext()))) == 13
    assert [f.severity for f in warned(made)] == [Severity.OK]


def test_keys_come_from_the_primary(pair: Pair) -> None:
    """What is to be erased is never read from a copy, however fresh."""
    add_customer(pair.primary, 1, "anna@shop.example")
    made = pair.connector()
    assert len(pair.notes(made)) == 2
    execute(pair.copy, "TRUNCATE customers, loyalty, carts CASCADE")
    assert list(made.find([ANNA], TrialContext())) == []
    assert len(list(made.locate([ANNA], TrialContext()))) == 13


def test_a_copy_that_lags_is_not_read_and_told(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """The primary is read instead, whole, and log and check say so with what to do."""
    execute(pair.copy, "ALTER SUBSCRIPTION zq DISABLE")
    add_customer(pair.primary, 1, "anna@shop.example")
    made = pair.connector(0.2)
    with caplog.at_level(logging.WARNING):
        assert len(pair.notes(made)) == 2
    assert [(r.name, r.message) for r in caplog.records] == [
        ("dsr_worker.connectors.postgres", "replica_not_read")
    ]
    (found,) = warned(made)
    assert "more than 0.2 s behind; everything is read from the primary" in found.message
    assert "max_replica_lag_s" in found.remedy
    execute(pair.copy, "ALTER SUBSCRIPTION zq ENABLE")
    assert [f.severity for f in warned(pair.connector())] == [Severity.OK]


def test_verification_on_a_copy_sees_the_erasure(pair: Pair) -> None:
    """Right after the commit the copy is waited for, so that nothing gone is found again."""
    add_customer(pair.primary, 1, "anna@shop.example")
    made = pair.connector()
    keys = list(made.locate([ANNA], TrialContext()))
    second = TrialContext(second_path=True)
    assert len(list(made.recheck([ANNA], keys, second))) == len(keys)
    erase(pair.primary, [ANNA], TrialContext(), keys)
    assert list(made.recheck([ANNA], keys, second)) == []
    execute(pair.copy, "INSERT INTO carts VALUES (5, 'anna@shop.example')")
    assert [k.key for k in made.recheck([ANNA], keys, second)] == [("5",)]


def test_a_database_that_follows_nobody_is_no_replica(pair: Pair) -> None:
    """Without a subscription nobody can say how old it is: it is not read."""
    add_customer(pair.primary, 1, "anna@shop.example")
    made = connector(pair.primary, replica_dsn=pair.primary)
    (found,) = warned(made)
    assert (found.severity, "no subscription" in found.message) == (Severity.WARNING, True)
    away = connector(pair.primary, replica_dsn="postgresql://u@127.0.0.1:1/none")
    (found,) = warned(away)
    assert "cannot connect" in found.message
    assert len(pair.notes(away)) == 2


def test_a_hot_standby_is_no_place_to_read(cluster: Services, postgres_dsn: str) -> None:
    """It has no temporary tables: told, and the primary is read. Runs last, on the same server."""
    databases = Databases(postgres_dsn)
    primary = emptied(databases())
    add_customer(primary, 1, "anna@shop.example")
    endpoints = cluster.running()
    assert endpoints is not None
    data = Path(query(endpoints.ledger_dsn, "SHOW data_directory")[0][0])
    cluster.stop()
    signal = data / "standby.signal"
    signal.touch()
    os.chown(signal, data.stat().st_uid, data.stat().st_gid)
    standby = cluster.start(broker=False).ledger_dsn
    assert query(standby, "SELECT pg_is_in_recovery()") == [(True,)]
    try:
        made = connector(primary, replica_dsn=standby)
        (found,) = warned(made)
        assert "hot standby" in found.message
        assert len(Pair(primary, standby).notes(made)) == 2
    finally:
        databases.drop_all()
