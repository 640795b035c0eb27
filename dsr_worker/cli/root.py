"""The command `dsr`: a table of commands by module, and the one place where errors are told."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, NoReturn

import click

from dsr_worker.cli import faults
from dsr_worker.cli.output import gathering

_COMMANDS = {
    "up": "running",
    "down": "running",
    "health": "running",
    "migrate": "running",
    "worker": "running",
    "clock": "running",
    "init": "starting",
    "check": "checking",
    "connectors": "connectors",
    "actor": "people",
    "keys": "people",
    "submit": "submitting",
    "verify": "cases",
    "plan": "plans",
    "approve": "plans",
    "choose": "cases",
    "retry": "cases",
    "withdraw": "cases",
    "leave": "leaves",
    "refuse": "cases",
    "extend": "cases",
    "package": "answers",
    "certificate": "answers",
    "hold": "holds",
    "lift": "lifts",
    "status": "telling",
    "explain": "telling",
    "evidence": "chains",
    "due": "due",
    "statutes": "laws",
    "warnings": "warning",
    "sweep": "sweeps",
    "standing": "sweeps",
    "retention": "retention",
    "breach": "breaches",
}
"""Command -> module of this package, which names it the same."""


class Lazy(click.Group):
    """A group whose commands are imported when they are needed, and whose errors are told here."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the table."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        found: click.Command = getattr(
            importlib.import_module(f"dsr_worker.cli.{module}"), f"{cmd_name}_command"
        )
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments call; a wrong name gets the near ones, not itself."""
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], _COMMANDS, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else "see dsr --help"
            raise click.UsageError(f"there is no such command; {hint}")
        return super().resolve_command(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - click's signature
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002 - click's signature
        **extra: Any,
    ) -> NoReturn:
        """Run a command and end the process with its exit code. No error leaves as a traceback."""
        given = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in given
        with gathering(as_json=as_json):
            try:
                ended = super().main(given, prog_name or "dsr", complete_var, False, **extra)
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a person reads one sentence
                sys.exit(faults.tell(error, as_json=as_json))
        sys.exit(ended if isinstance(ended, int) else faults.OK)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line per command."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None:
                rows.append((name, command.get_short_help_str(80)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
def dsr() -> None:
    """Answer privacy requests, keep and erase data on schedule, run the clock when data leaks.

    Every command takes --json. Exit codes: 0 done, 1 refused or needs attention, 2 wrong input,
    3 not reachable or not set up, 4 nothing found.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run `dsr` with these arguments (the process's own by default) and end with its exit code."""
    dsr.main(args)


Options = MutableMapping[str, Any]
"""What a command was given, where it has too many options to name each."""
