"""A few tables and their data map in a line each, for trying the Postgres connector on them.

In: names of tables and columns. Out: collections, a connector to them, plain reads.
"""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from connectors.postgres import Postgres, PostgresConfig
from dsr_worker.contract import Collection, Field, Mask, System, Taken
from tests.contract.postgres_shop import query


def collection(
    name: str, *plain: str, key: tuple[str, ...] = ("id",), owner: str | None = "owner", **rest: Any
) -> Collection:
    """A collection; `masks` says which fields have one, `source` what it needs beside its table."""
    masks: dict[str, Mask] = rest.pop("masks", {})
    source = {"table": name, **rest.pop("source", {})}
    taken = {"owner": Taken(owner)} if owner else {}
    names = [*key, *plain, *([owner] if owner else [])]
    fields = {n: Field(n, "user") for n in names} | {
        n: Field(n, "user", mask) for n, mask in masks.items()
    }
    return Collection(name, key, fields, takes=taken, source=source, **rest)


def connected(dsn: str, *collections: Collection, **config: Any) -> Postgres:
    """A connector to these collections."""
    system = System("awkward", "postgres", {c.name: c for c in collections})
    return Postgres(system, PostgresConfig(dsn=SecretStr(dsn), **config))


def rows(dsn: str, table: str = "t") -> list[tuple[Any, ...]]:
    """The rows of a table as text, in order."""
    return query(dsn, f"SELECT t::text FROM {table} t ORDER BY 1")  # noqa: S608 - our own names
