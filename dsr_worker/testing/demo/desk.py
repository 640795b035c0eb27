"""Types the commands: every step of the demo is one that a person could type.

In: arguments. Out: the command shown, run, and its JSON. The three that have a queue script of
their own go through it where the project's folder is at hand; all others run in this process, which
saves an interpreter's start each time.
"""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final

import dsr_worker
from dsr_worker.cli import main
from dsr_worker.testing.demo.stage import DemoFailed

_SCRIPTS: Final = Path(dsr_worker.__file__).parent.parent / "scripts"
_QUEUE_SCRIPTS: Final = {
    ("submit",): "submit_request.py",
    ("sweep",): "retention_sweep.py",
    ("breach", "declare"): "declare_breach.py",
}
_SCRIPT_TIMEOUT_S: Final = 120


class Desk:
    """Somebody at a keyboard, with a watch."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def spent_s(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """A line of progress, with the seconds so far."""
        tell(f"[{self.spent_s:5.1f} s] {text}")

    def heading(self, text: str) -> None:
        """What comes next."""
        tell(f"\n== {text}")

    def type(self, *args: str) -> Any:
        """Show a command, run it, and give its JSON. Raises DemoFailed when it is refused."""
        words, script = _as_typed(args)
        shown = " ".join(shlex.quote(word) for word in words)
        tell(f"          $ {shown}")
        code, out, err = _by_script(script) if script else _here([*args, "--json"])
        if code != 0:
            raise DemoFailed(f"`dsr {' '.join(args)}` ended with {code}:\n{out}{err}")
        return json.loads(out)

    def wait(self, what: str, done: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait for the workers. Raises DemoFailed when they do not get there."""
        until = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > until:
                raise DemoFailed(f"{what}: not so after {timeout_s:.0f} s")
            time.sleep(0.1)


def tell(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _as_typed(args: tuple[str, ...]) -> tuple[list[str], list[str] | None]:
    for command, name in _QUEUE_SCRIPTS.items():
        if args[: len(command)] == command and (_SCRIPTS / name).exists():
            rest = list(args[len(command) :])
            return [f"./scripts/{name}", *rest], [str(_SCRIPTS / name), *rest]
    return ["dsr", *args], None


def _by_script(script: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, *script, "--json"],
        capture_output=True,
        text=True,
        timeout=_SCRIPT_TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout, done.stderr


def _here(whole: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(whole)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return code, out.getvalue(), err.getvalue()
