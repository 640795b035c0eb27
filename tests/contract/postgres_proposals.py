"""Proposals for databases of a test's own, and short words for what stands in them."""

from __future__ import annotations

from pydantic import SecretStr

from connectors.postgres import Postgres, PostgresConfig
from dsr_worker.contract import Field, Proposal, Proposes, Severity, System
from dsr_worker.datamap import read_system
from dsr_worker.map_text import written
from tests.contract.postgres_shop import execute

EMPTY = System("shop", "postgres", {})
CONFIG = {"dsn": {"env": "SHOP_DSN"}}


def proposed(dsn: str, system: System = EMPTY) -> Proposal:
    """The proposal for a database."""
    connector = Postgres(system, PostgresConfig(dsn=SecretStr(dsn)))
    assert isinstance(connector, Proposes)
    try:
        return connector.propose()
    finally:
        connector.close()


def text_of(proposal: Proposal, system: System = EMPTY) -> str:
    """The file of a proposal, which the data map takes as it stands."""
    text = written(system, CONFIG, proposal)
    assert dict(read_system(text).system.collections) == dict(proposal.collections)
    return text


def proposed_for(dsn: str, statements: str) -> Proposal:
    """The proposal for what these statements make; the data map takes it as it stands."""
    execute(dsn, statements)
    proposal = proposed(dsn)
    text_of(proposal)
    return proposal


def field(proposal: Proposal, place: str) -> Field:
    """A proposed field, as `collection.field`."""
    collection, _, name = place.partition(".")
    return proposal.collections[collection].fields[name]


def claims(proposal: Proposal, place: str) -> bool:
    """Whether a field is said to be a person's by itself."""
    found = field(proposal, place)
    return bool(found.mask or found.review or found.free_text)


def left_out(proposal: Proposal) -> dict[str, str]:
    """What was not proposed, and why."""
    return {left.place: left.code for left in proposal.left_out}


def told(proposal: Proposal, severity: Severity = Severity.ERROR) -> dict[str, str]:
    """Findings of the comparison, by what they are about."""
    return {f.subject: f.message for f in proposal.drift if f.severity is severity}
