"""`dsr connectors`: what a system's connector can say of it before any case does.

Needs no ledger, key or service: only the file of one system, which may have no collections yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dsr_worker.cli.answers import reachable
from dsr_worker.cli.checking import Line, told
from dsr_worker.cli.connector_checks import check_command, grants_command, reached
from dsr_worker.cli.desk import Opening, pass_opening
from dsr_worker.cli.faults import Fault, usage
from dsr_worker.cli.names import near
from dsr_worker.cli.output import json_option, show
from dsr_worker.contract import Proposal, Proposes
from dsr_worker.datamap import MappedSystem, draft_names, load_draft
from dsr_worker.map_text import as_data, review_marks, written
from dsr_worker.package.handover import write_together
from dsr_worker.registry import Registry

_NEW_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("connectors")
def connectors_command() -> None:
    """What a system holds, what its map should say, and which rights that takes."""


connectors_command.add_command(check_command)
connectors_command.add_command(grants_command)


@connectors_command.command("propose")
@click.argument("system")
@click.option("--to", "to", type=_NEW_FILE, help="Write the map to a new file instead.")
@click.option("--check", "checking", is_flag=True, help="Compare the map with the store instead.")
@json_option
@pass_opening
@click.pass_context
def _propose(
    ctx: click.Context,
    opening: Opening,
    *,
    system: str,
    to: Path | None,
    checking: bool,
    as_json: bool,
) -> None:
    """Propose the data map of SYSTEM for review; with --check, fail where the map grew old."""
    if to is not None and checking:
        raise usage("--to writes a map, --check compares one: choose one of them")
    target = None if to is None else reachable(to)
    if target is not None and target.exists():
        raise Fault(
            "file",
            f"{target} exists and is never overwritten: give another name, or leave --to out to see"
            f" the proposal; `dsr connectors propose {system} --check` compares the map in force",
        )
    folder = opening.read_settings().config_dir
    mapped = load_draft(folder / "systems", system)
    if mapped is None:
        raise usage(
            f"no file in {folder / 'systems'} says `system:` with this name (a file's own name is"
            " no matter);"
            f" {near(system, draft_names(folder / 'systems'))}"
        )
    proposal = _proposal(mapped, opening.registry or Registry(), folder)
    if checking:
        lines = [Line.of(system, found) for found in proposal.drift]
        ctx.exit(told(lines, verbose=True, as_json=as_json))
    text = written(mapped.system, mapped.config, proposal)
    marks = review_marks(proposal)
    shown = text.splitlines()
    if target is not None:
        write_together({target: text.encode()})
        counted = f"{len(proposal.collections)} collection(s), {len(marks)} mark(s) `review`"
        shown = [f"{target}: {counted}; nothing is erased by it while a mark stands."]
    show({**_data(mapped, proposal), "file": target and str(target)}, shown, as_json=as_json)


def _proposal(mapped: MappedSystem, registry: Registry, folder: Path) -> Proposal:
    connector = registry.make(mapped, folder)
    if not isinstance(connector, Proposes):
        message = f"the connector {mapped.connector} cannot propose a map; write it by hand"
        raise Fault("cannot_propose", message)
    with reached():
        return connector.propose()


def _data(mapped: MappedSystem, proposal: Proposal) -> dict[str, Any]:
    grounds: dict[str, dict[str, Any]] = {}
    for (collection, field), ground in proposal.grounds.items():
        told = {"confidence": ground.confidence, "evidence": [str(e) for e in ground.evidence]}
        grounds[f"{collection}.{field}" if field else collection] = told
    return {
        "system": mapped.system.name,
        "collections": {name: as_data(c) for name, c in proposal.collections.items()},
        "grounds": grounds,
        "review": review_marks(proposal),
        "left_out": {left.place: left.code for left in proposal.left_out},
    }
