"""The list of all commands needs none of their modules."""

from __future__ import annotations

import subprocess
import sys

from dsr_worker.cli.root import _COMMANDS, dsr

_LISTED = """
import sys
from dsr_worker.cli import dsr
try:
    dsr.main(["--help"])
except SystemExit:
    pass
heavy = {"sqlalchemy", "redis", "dramatiq", "boto3", "pyarrow", "psycopg2", "jinja2", "pydantic"}
print("LOADED", sorted(heavy & set(sys.modules)))
"""


def test_the_list_of_commands_loads_nothing_heavy() -> None:
    """`dsr --help` names every command and imports no library that takes long to load."""
    done = subprocess.run(
        [sys.executable, "-c", _LISTED], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "LOADED []"
    assert all(f"  {name} " in done.stdout for name in _COMMANDS)


def test_every_line_fits_and_every_command_is_there() -> None:
    """The table names commands that exist, each in one line of a terminal."""
    for name, (_, line) in _COMMANDS.items():
        found = dsr.get_command(None, name)  # type: ignore[arg-type]  # the table alone is asked
        assert found is not None
        assert found.name == name
        assert len(line) <= 72
        assert line.endswith(".")
