"""A mail server that delivers nothing: each message becomes a file.

In: a port, a folder. Out: `0001.eml` and on (0600), whole or not there, until the process is ended.
"""

from __future__ import annotations

import signal
import sys
from itertools import count
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Sink:
    """Keeps what it gets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)

    async def handle_DATA(  # noqa: N802 - the library's name for the hook
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep one message."""
        file = self._folder / f"{next(self._numbers):04}.eml"
        part = file.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_bytes(envelope.original_content or b"")
        part.replace(file)
        return "250 kept"


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    controller = Controller(Sink(folder), hostname="127.0.0.1", port=port)
    controller.start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    controller.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
