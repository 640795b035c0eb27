"""A thread beside the writer: a large package is compressed and sealed while its pages are made.

In: pieces of work. Out: the same work done, in order, by one other thread. Deflating, digesting and
sealing let the interpreter go, so that a second processor has something to do. At most a few pieces
wait: memory stays flat.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

_WAITING = 2


class Press:
    """Does what it is given, in order. Without `start` it does it at once, in the same thread."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Have a thread from now on. Safe to repeat."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def do(self, work: Callable[[], None]) -> None:
        """Do it, now or in its turn. Raises what earlier work raised."""
        if self._thread is None:
            work()
            return
        if self._failure is not None:
            raise self._failure
        self._queue.put(work)

    def wait(self) -> None:
        """Wait until all given so far is done. Raises what it raised."""
        self._queue.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Let the thread go, whatever became of its work. Safe to repeat."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                if self._failure is None:
                    work()
            except BaseException as failure:  # noqa: BLE001 - raised again where work is given
                self._failure = failure
            finally:
                self._queue.task_done()
        self._queue.task_done()
