"""`dsr connectors`: what a system's connector can say of it before any case does.

Needs no ledger, key or service: only the file of one system.
"""

from __future__ import annotations

import click

from dsr_worker.cli.connector_checks import check_command, grants_command


@click.group("connectors")
def connectors_command() -> None:
    """What a system holds, what its map should say, and which rights that takes."""


connectors_command.add_command(check_command)
connectors_command.add_command(grants_command)
