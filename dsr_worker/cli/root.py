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
    "up": ("running", "Start what is needed and keep it alive: ledger, broker, workers."),
    "down": ("running", "Stop workers and the embedded services."),
    "health": ("running", "Say how each part stands: files, ledger, keys, workers, broker."),
    "migrate": ("running", "Bring a ledger's schema up to date, with its key ring if it has none."),
    "worker": ("running", "Run workers in the foreground (containers)."),
    "clock": ("running", "Move the business clock of a trial ledger on."),
    "init": ("starting", "Write a first, commented configuration."),
    "check": ("checking", "Check files, policies, the texts that the law asks for, every system."),
    "connectors": ("connectors", "What a system holds, what its map should say, which rights."),
    "actor": ("people", "Register people."),
    "keys": ("people", "The key ring, without which nothing that is sealed can be opened."),
    "submit": ("submitting", "Take a request in and print its case and due dates."),
    "verify": ("cases", "Settle whether the requester is who they say."),
    "plan": ("plans", "Show what is to happen to a person's data, or was."),
    "approve": ("plans", "Approve a plan as it stands now."),
    "choose": ("cases", "Settle who is meant where an identity led to several people."),
    "retry": ("cases", "Try again what stopped or failed, after its cause was mended."),
    "withdraw": ("cases", "Record that the person has withdrawn the request."),
    "leave": ("leaves", "End a case that changed rows and cannot go on."),
    "refuse": ("cases", "Refuse a request on a ground; then record that the letter left."),
    "appeal": ("appeals", "Take in, decide and close an appeal against the answer of a case."),
    "letter": ("letters", "Print the letter that the law of a case asks for; nothing is sent."),
    "acknowledge": ("clocks", "Record that the acknowledgement of a request has left."),
    "also": ("clocks", "Add the law of a further country to a case; its clocks run beside."),
    "pause": ("clocks", "Stop the clock of a case while the person answers."),
    "resume": ("clocks", "Let the clock of a case go on, the person having answered."),
    "extend": ("clocks", "Extend the time to answer, the person having been told."),
    "replay": ("clocks", "Say which open clocks today's law packs would set to another day."),
    "package": ("answers", "Hand an access package over: an encrypted file for the person."),
    "certificate": ("answers", "Hand a certificate over, or check one."),
    "hold": ("holds", "Keep data from being erased while a legal hold stands."),
    "lift": ("lifts", "End the restriction of a case, the person having been told before."),
    "status": ("telling", "Show open jobs, or one: where it stands and what to do next."),
    "explain": ("telling", "Tell the story of a job from its chain of events."),
    "decisions": (
        "decisions",
        "What was decided without a person, and the way to one.",
    ),
    "evidence": ("chains", "Check the log of events."),
    "due": ("due", "List open clocks and promised erasures; or compute a due date."),
    "statutes": ("laws", "What the law says, row by row, each with its source."),
    "warnings": ("warning", "List warnings that nobody has acknowledged."),
    "sweep": ("sweeps", "Let go what was kept for longer than a policy allows."),
    "standing": ("sweeps", "Let scheduled sweeps of a policy go on by themselves inside limits."),
    "retention": ("retention", "What stores let go by themselves, by rules made from policies."),
    "complaint": ("complaints", "What happens to a complaint until its letter has left."),
    "breach": ("breaches", "When data has leaked: who must hear what by when, who is affected."),
}
"""Command -> module of this package, which names it the same, and its line in the list of all.

The lines stand here so that the list needs none of the modules, which take seconds to load."""


class Lazy(click.Group):
    """A group whose commands are imported when they are needed, and whose errors are told here."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the table."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in _COMMANDS:
            return None
        module, _ = _COMMANDS[cmd_name]
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
        """One line per command, from the table: nothing is imported."""
        rows = [(name, line) for name, (_, line) in _COMMANDS.items()]
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
