"""`dsr connectors check` and `dsr connectors grants`: rights, paths and servers of one system.

Read the systems' files alone: neither ledger nor key, organisation nor policies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from dsr_worker.cli import checking
from dsr_worker.cli.desk import Opening, pass_opening
from dsr_worker.cli.faults import NOT_READY, Fault
from dsr_worker.cli.names import place
from dsr_worker.cli.output import json_option, show
from dsr_worker.contract import Configuration, ConnectorError, Grants, Role
from dsr_worker.datamap import MappedSystem, load_systems
from dsr_worker.registry import Registry


@click.command("check")
@click.argument("system", required=False)
@click.option("--strict", is_flag=True, help="Fail on warnings as well.")
@checking.verbose_option
@json_option
@pass_opening
@click.pass_context
def check_command(
    ctx: click.Context,
    opening: Opening,
    *,
    system: str | None,
    strict: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Check the rights, indexes and servers of every system, or of SYSTEM. Changes nothing."""
    folder = opening.read_settings().config_dir
    registry = opening.registry or Registry()
    lines = [
        line
        for name, mapped in sorted(_systems(folder, system).items())
        for line in checking.of_system(folder, registry, name, mapped)
    ]
    ctx.exit(checking.told(lines, verbose=verbose, strict=strict, as_json=as_json))


@click.command("grants")
@click.argument("system")
@json_option
@pass_opening
def grants_command(opening: Opening, *, system: str, as_json: bool) -> None:
    """Print the statements that make the least privileged roles for SYSTEM's map. Runs none."""
    folder = opening.read_settings().config_dir
    (mapped,) = _systems(folder, system).values()
    roles = _roles(mapped, opening.registry or Registry(), folder)
    data: dict[str, Any] = {
        "system": system,
        "roles": [
            {"role": r.name, "purpose": r.purpose, "statements": list(r.statements)} for r in roles
        ],
    }
    show(data, [line for role in roles for line in _script(system, role)], as_json=as_json)


def _systems(folder: Path, only: str | None) -> dict[str, MappedSystem]:
    maps = load_systems(folder / "systems")
    if only is None:
        return dict(maps.systems)
    place(maps.by_name, only, None)
    return {only: maps.systems[only]}


def _roles(mapped: MappedSystem, registry: Registry, folder: Path) -> list[Role]:
    connector = registry.make(mapped, folder, needed_alone=True)  # its roles need not exist yet
    if not isinstance(connector, Grants):
        message = (
            f"the connector {mapped.connector} prints no grants; its page in docs/connectors names"
            " the rights that it needs"
        )
        raise Fault("no_grants", message)
    with reached():
        return list(connector.grants())


@contextmanager
def reached() -> Iterator[None]:
    """Ask a system's own server; one that does not answer ends the command."""
    try:
        yield
    except Configuration:
        raise
    except ConnectorError as error:
        raise Fault("system_unreachable", str(error), NOT_READY) from None


def _script(system: str, role: Role) -> Iterator[str]:
    yield f"-- {system}: {role.purpose}. Run as the owner of the tables; then set a password."
    yield from role.statements
    yield ""
