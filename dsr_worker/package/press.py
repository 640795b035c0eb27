"""A thread beside the writer: a large package is compressed while its pages are made.

In: pieces to compress and what to do with each once it is. Out: the same done, in order. The thread
runs nothing but the compressor, which lets the interpreter go: it asks for it once a piece, so that
neither thread keeps the other waiting. At most a few pieces wait: memory stays flat.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

_WAITING = 3

Work = Callable[[], bytes]
Then = Callable[[bytes], None]


class Press:
    """Does what it is given, in order. Without `start` it does it at once, in the same thread."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._pending: deque[tuple[Future[bytes], Then]] = deque()

    def start(self) -> None:
        """Have a thread from now on. Safe to repeat."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "press")

    def do(self, work: Work, then: Then) -> None:
        """Have `then` take, in this thread, what `work` gives. Raises what either raises."""
        if self._thread is None:
            then(work())
            return
        self._pending.append((self._thread.submit(work), then))
        if len(self._pending) > _WAITING:
            self._finish_one()

    def wait(self) -> None:
        """Wait until all given so far is done. Raises what it raised."""
        while self._pending:
            self._finish_one()

    def stop(self) -> None:
        """Let the thread go, whatever became of its work. Safe to repeat."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
            self._thread = None
            self._pending.clear()

    def _finish_one(self) -> None:
        work, then = self._pending.popleft()
        then(work.result())
