"""Sees that the reviewed files changed under a running worker.

In: the configuration folder, the files as they were loaded. Out: a signal that has the worker
started anew, or a line in the log that says which file is at fault, and where.
"""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

from dsr_worker.documents import DocumentError
from dsr_worker.installation import Files
from dsr_worker.logs import LONGEST_TEXT

_log = logging.getLogger(__name__)


class Watch:
    """Sees that the reviewed files changed, and has this worker started anew with them.

    A worker that went on with an older map would miss what the newer one names. Files that do not
    load are left alone: `dsr check` says what is wrong, and work goes on by the last good ones.
    """

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._marks = _marks(folder)
        self._digest = files.digest

    def restart_when_files_change(self) -> None:
        """The duty: cheap until a file is touched."""
        marks = _marks(self._folder)
        if marks == self._marks:
            return
        self._marks = marks
        try:
            changed = Files.load(self._folder).digest != self._digest
        except (DocumentError, KeyError) as error:
            _tell(error)
            return
        if changed:
            _log.warning("files_changed")
            os.kill(os.getppid(), signal.SIGTERM)  # Dramatiq's parent; the supervisor restarts it


def _tell(error: DocumentError | KeyError) -> None:
    """Log where the files are at fault: `at` is the first place, and faults quote no value."""
    faults = error.faults if isinstance(error, DocumentError) else ()
    first = faults[0] if faults else ""
    _log.error(
        "files_not_loaded",
        extra={
            "error": type(error).__name__,
            "count": len(faults),
            "at": ":".join(first.split(":", 2)[:2]),
            "why": first[:LONGEST_TEXT],
        },
    )


def _marks(folder: Path) -> tuple[tuple[str, int, int], ...]:
    files = (
        folder / "organisation.yaml",
        *folder.glob("systems/*.yaml"),
        *folder.glob("policies/*.yaml"),
    )
    found = ((file, file.stat()) for file in files if file.exists())
    return tuple(sorted((str(file), s.st_mtime_ns, s.st_size) for file, s in found))
