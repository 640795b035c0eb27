"""Lets a script run under the project's own environment, whichever Python it was started with.

Every script begins with ``import _project; _project.enter()``, before it imports anything of ours.
Only the standard library is used here, and only what old Pythons understand too, so that the
message below reaches everyone.
"""

import importlib.util
import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def enter() -> None:
    """Go on under the project's ``.venv``, or where we are if the package is installed here.

    Replaces the process at most once. Raises SystemExit with a plain message where there is
    neither.
    """
    environment = PROJECT / ".venv"
    if Path(sys.prefix).resolve() == environment.resolve():
        return
    python = environment / "bin" / "python"
    if (environment / "stamp").exists() and python.exists():
        os.execv(str(python), [str(python), *sys.argv])  # noqa: S606 - our own interpreter, our own arguments
    if importlib.util.find_spec("dsr_worker") is not None:
        return
    sys.exit(
        "The project's environment is not there yet. ./scripts/demo or ./scripts/test makes it\n"
        "(either sets everything up by itself); then run this again."
    )
