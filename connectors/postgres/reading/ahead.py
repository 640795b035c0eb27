"""Reading one stream after the other, the next ones begun meanwhile.

In: streams, each of which opens a transaction of its own when its first value is asked for. Out:
their values in the streams' order. While one is read, the server prepares the next and sends as
many of its rows as lie between server and reader anyway: memory stays flat.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

_Value = TypeVar("_Value")
_Stream = Generator[_Value, None, None]
_Begun = Future[list[_Value]]  # the first value, where there is any


def one_after_the_other(streams: Iterable[_Stream[_Value]], most: int) -> _Stream[_Value]:
    """All values; up to `most` streams are open at a time, and none once this has ended."""
    with ThreadPoolExecutor(most, "ahead") as threads:
        opened = deque[tuple[_Stream[_Value], _Begun[_Value]]]()
        try:
            for stream in streams:
                opened.append((stream, threads.submit(_first, stream)))
                if len(opened) == most:
                    yield from _read(*opened[0])
                    opened.popleft()
            while opened:
                yield from _read(*opened[0])
                opened.popleft()
        finally:
            for stream, begun in opened:
                wait([begun])
                stream.close()


def _first(stream: _Stream[_Value]) -> list[_Value]:
    for value in stream:
        return [value]
    return []


def _read(stream: _Stream[_Value], begun: _Begun[_Value]) -> Iterator[_Value]:
    yield from begun.result()
    yield from stream
