"""The press: work on another thread, its results in order on this one."""

from __future__ import annotations

import io
import threading
import zipfile
from datetime import UTC, datetime
from functools import partial

import pytest

from dsr_worker.package.archive import Archive
from dsr_worker.package.press import Press


@pytest.mark.parametrize("is_started", [False, True])
def test_results_come_in_order_on_the_givers_thread(*, is_started: bool) -> None:
    """Whatever the thread, what follows a piece of work follows in the order it was given."""
    press = Press()
    taken: list[int] = []
    workers: set[int] = set()

    def work(number: int) -> bytes:
        workers.add(threading.get_ident())
        return b"%d" % number

    def take(data: bytes) -> None:
        assert threading.get_ident() == giver
        taken.append(int(data))

    giver = threading.get_ident()
    if is_started:
        press.start()
        press.start()
    for number in range(100):
        press.do(partial(work, number), take)
    press.wait()
    press.stop()
    assert taken == list(range(100))
    assert (workers == {giver}) is not is_started


def test_no_more_than_a_few_pieces_wait() -> None:
    """Whoever gives faster than the press works is kept waiting: memory stays flat."""
    press, begun, may_go = Press(), threading.Semaphore(0), threading.Event()

    def work() -> bytes:
        may_go.wait(100)
        return b""

    def give() -> None:
        for _ in range(20):
            press.do(work, lambda _: None)
            begun.release()

    press.start()
    giver = threading.Thread(target=give)
    giver.start()
    assert begun.acquire(timeout=100)
    given = 1
    while begun.acquire(timeout=0.3):
        given += 1
    assert given < 10
    may_go.set()
    giver.join(100)
    press.wait()
    press.stop()


def test_what_work_raises_is_raised_where_it_was_given() -> None:
    """A failure on the thread is not lost, and the press can be stopped after it."""

    def fail() -> bytes:
        raise MemoryError

    press = Press()
    press.start()
    press.do(fail, lambda _: None)
    with pytest.raises(MemoryError):
        press.wait()
    press.do(fail, lambda _: None)
    press.stop()
    press.stop()
    assert not [t for t in threading.enumerate() if t.name.startswith("press")]


@pytest.mark.parametrize("is_large", [False, True])
def test_members_of_every_size_read_back(*, is_large: bool) -> None:
    """In pieces and whole, deflated and stored: the same bytes with a thread and without."""
    files = {
        "a.json": b'{"x":1}\n' * 100_000,
        "b.html": b"<p>text" * 10_000,
        "c.html": b"<p>",
        "d.bin": bytes(range(256)) * 300,
        "e.txt": b"",
    }
    out = io.BytesIO()
    with Archive(out, datetime(2026, 1, 1, tzinfo=UTC)) as archive:
        if is_large:
            archive.is_large()
        with archive.member("a.json", "application/json") as member:
            for start in range(0, len(files["a.json"]), 65_536):
                member.write(files["a.json"][start : start + 65_536])
        archive.put("b.html", "text/html", files["b.html"])
        archive.put("c.html", "text/html", files["c.html"])
        for name in ("d.bin", "e.txt"):
            size, compress = len(files[name]), name == "e.txt"
            with archive.member(name, "x/y", size_bytes=size, compress=compress) as member:
                member.write(files[name])
        archive.finish({})
    with zipfile.ZipFile(out) as whole:
        assert whole.testzip() is None
        assert {name: whole.read(name) for name in files} == files
        compressed = {i.filename for i in whole.infolist() if i.compress_type}
        assert compressed == {"a.json", "b.html", "e.txt"}
