"""Run the demo: `python -m dsr_worker.testing.demo [--keep] [--customers N] [--stop]`."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from dsr_worker.testing.demo.desk import Desk, tell
from dsr_worker.testing.demo.stage import DemoFailed, Stage

_KEPT: Final = Path("demo-data")
_STORIES: Final = ("access", "erasure", "sweep", "promise", "breach", "due")

_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; the exit status. Nothing runs any more afterwards, but with --keep."""
    given = _parser().parse_args(argv)
    kept = _KEPT.absolute()
    if given.stop:
        return _stop(kept)
    if given.keep and kept.exists():
        tell(f"{kept} is there already: play with it, or end it with ./scripts/demo --stop")
        return 1
    folder = kept if given.keep else Path(tempfile.mkdtemp(prefix="dsr-demo-"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)  # as root the servers run as another user, who has to pass through
    for number in _ENDINGS:
        signal.signal(number, _end)
    stage = Stage(folder, given.customers)
    try:
        _run(stage, Desk(), keep=given.keep)
    except BaseException as error:
        _clear(stage, keep_results=False)
        if isinstance(error, DemoFailed):
            tell(f"\nThe demo stopped: {error}")
            return 1
        if isinstance(error, _Ended):
            tell("\nInterrupted; everything that was started is stopped.")
            return 128 + int(str(error))
        raise
    if not given.keep:
        _clear(stage, keep_results=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./scripts/demo", description="The main job from end to end on real parts."
    )
    parser.add_argument("--customers", type=int, default=200, metavar="N", help="at least 40")
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    parser.add_argument("--stop", action="store_true", help="end what --keep left running")
    return parser


class _Ended(BaseException):
    """We were told to stop. No `Exception` and no `KeyboardInterrupt`: no command swallows it."""


def _end(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    raise _Ended(number)


def _stop(kept: Path) -> int:
    if not kept.exists():
        tell("Nothing was kept here.")
        return 0
    stage = Stage(kept, customers=40)
    stage.close()
    stage.remove()
    tell(f"Stopped; {kept} is gone.")
    return 0


def _clear(stage: Stage, *, keep_results: bool) -> None:
    """End every process, whatever interrupts, and take away what is not for the reader."""
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    stage.close()
    if keep_results:
        stage.remove_data()
    else:
        stage.remove()


def _run(stage: Stage, desk: Desk, *, keep: bool) -> None:
    desk.heading(f"A shop with {stage.shop.customers} invented customers")
    stage.start_world()
    desk.say("Postgres, a broker, an S3 API, a helpdesk and a mail server are up")
    stage.fill()
    desk.say("the shop is in its database, its bucket and its helpdesk")
    stage.configure()
    desk.type("up", "--trial", "--workers", "1")
    for actor in ("anna", "berta"):
        desk.type("actor", "add", actor, "--key", str(stage.key_of(actor)))
    desk.say("workers run; anna takes requests in, berta approves")
    # Settings are read from the environment, which is only now that of this installation.
    from dsr_worker.bootstrap import open_office  # noqa: PLC0415 - as said above
    from dsr_worker.settings import Settings  # noqa: PLC0415 - as said above
    from dsr_worker.testing.demo.story import Story  # noqa: PLC0415 - as said above

    office = open_office(Settings())
    try:
        story = Story(stage, desk, office)
        for name in _STORIES:
            getattr(story, name)()
    finally:
        office.ledger.dispose()
    _tell(stage, desk, story.summary.package, story.summary.passphrase, story.summary.lines)
    _go_on(stage, story.summary.due, keep=keep)


def _tell(stage: Stage, desk: Desk, package: Path, passphrase: str, lines: Sequence[str]) -> None:
    desk.heading(f"Done after {desk.spent_s:.0f} s")
    tell(f"The access package:  {package}\n  passphrase:        {passphrase}")
    tell(f"Certificates, texts: {stage.results}")
    tell("What was erased, what stays and why:")
    for line in lines:
        tell(f"  {line}")


def _go_on(stage: Stage, due: Sequence[str], *, keep: bool) -> None:
    tell("Due next:")
    for line in due[:6]:
        tell(f"  {line}")
    tell("How to go on:")
    if keep:
        python = shlex.quote(sys.executable)
        tell(f"  . {shlex.quote(str(stage.folder / 'env'))}      # everything is still running")
        tell(f"  {python} -m dsr_worker due")
        tell(f"  {python} -m dsr_worker status")
        tell("  ./scripts/demo --stop      # ends it and takes demo-data away")
    else:
        tell("  ./scripts/demo --keep      # the same, left running to play with")
        tell("  README.md says how to point it at systems of your own")
        tell("Nothing is running any more.")


if __name__ == "__main__":
    sys.exit(main())
