"""The store and the spools in it: whole and durable, or not there."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import BinaryIO

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from dsr_worker.contract import Attachment, Key, NeedsHuman, Record, Withheld
from dsr_worker.spool import (
    Frame,
    KeySpool,
    RecordSpool,
    SpooledRecord,
    is_intact,
    read_keys,
    read_records,
)
from dsr_worker.store import (
    BlobMissing,
    LocalStore,
    S3Store,
    Store,
    StoreError,
    new_name,
    open_store,
)
from dsr_worker.vault import CaseKey, SealBroken
from tests.examples import examples

KEYS = {"a": CaseKey(b"a" * 32), "b": CaseKey(b"b" * 32), "c": CaseKey(b"c" * 32)}
ON = date(2026, 3, 1)


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    """A real S3 API on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Each kind of store, empty."""
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    client = boto3.client(
        "s3",
        endpoint_url=request.getfixturevalue("s3_address"),
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    bucket = f"store-{os.urandom(6).hex()}"
    client.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    return open_store(f"s3://{bucket}/dsr", client)


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    """A store in an empty folder."""
    return LocalStore(tmp_path / "store")


def put(store: Store, name: str, data: bytes) -> str:
    """Write a blob."""
    with store.write(name) as file:
        file.write(data)
    return name


# ---- blobs


def test_a_blob_comes_back(store: Store) -> None:
    """What was written under a name is read back, whole and in parts, and can be destroyed."""
    name = put(store, new_name("spools", ON), b"0123456789")
    assert name.startswith("spools/2026/03/01/")
    with store.open(name) as file:
        assert file.read() == b"0123456789"
    with store.open(name, 3, 4) as file:
        assert file.read() == b"3456"
        assert file.seek(0, os.SEEK_END) == 4
        file.seek(1)
        assert file.read(2) == b"45"
    with store.open(name, 8, 100) as file:
        assert file.read() == b"89"
    assert store.exists(name)
    assert store.destroy(name)
    assert not store.destroy(name)
    assert not store.exists(name)
    with pytest.raises(BlobMissing):
        store.open(name)


def test_names_are_listed_in_order(store: Store) -> None:
    """`names` lists the blobs below a prefix, and nothing half-written."""
    for name in ("b/2", "a/1", "b/1", "bb/1"):
        put(store, name, b"x")
    with pytest.raises(RuntimeError), store.write("b/3") as file:  # noqa: PT012 - an error halfway
        file.write(b"x")
        raise RuntimeError
    assert list(store.names()) == ["a/1", "b/1", "b/2", "bb/1"]
    assert list(store.names("b/")) == ["b/1", "b/2"]
    assert list(store.names("c")) == []


def test_an_error_publishes_nothing(store: Store) -> None:
    """A blob whose writing fails is not there, whatever its size, and its name stays free."""
    name = new_name("packages", ON)
    for size in (10, 40 * 1024 * 1024):
        with pytest.raises(RuntimeError), store.write(name) as file:  # noqa: PT012 - halfway
            file.write(bytes(size))
            raise RuntimeError
        assert not store.exists(name)
    put(store, name, b"whole")


def test_large_blobs_go_in_parts(store: Store) -> None:
    """A blob of several upload parts comes back exact, also across the parts' borders."""
    block = hashlib.sha256(b"seed").digest() * 2048
    name = new_name("packages", ON)
    with store.write(name) as file:
        for _ in range(600):
            file.write(block)
    whole = block * 600
    edge = 16 * 1024 * 1024
    with store.open(name, edge - 10, 20) as file:
        assert file.read() == whole[edge - 10 : edge + 10]
    with store.open(name) as file:
        assert hashlib.sha256(file.read()).digest() == hashlib.sha256(whole).digest()


def test_a_blob_is_never_replaced(store: Store) -> None:
    """Writing under a taken name fails and leaves the blob as it was."""
    put(store, "a/1", b"first")
    with pytest.raises(StoreError, match="never replaced"):
        put(store, "a/1", b"second")
    with store.open("a/1") as file:
        assert file.read() == b"first"


@pytest.mark.parametrize(
    "name", ["", "../x", "a/../../x", "/etc/x", "a//b", "a/.hidden", "a/b\n", "A/b"]
)
def test_names_cannot_leave_the_store(store: Store, name: str) -> None:
    """A name that could reach outside is refused by every operation."""
    with pytest.raises(StoreError):
        store.open(name)
    with pytest.raises(StoreError):
        store.destroy(name)
    with pytest.raises(StoreError):
        put(store, name, b"")


def test_local_files_are_private(local: LocalStore) -> None:
    """Files are 0600 and folders 0700, and no temporary file stays."""
    put(local, "a/b/c", b"x")
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in local.folder.rglob("*")}
    assert modes == {".incoming": 0o700, "a": 0o700, "b": 0o700, "c": 0o600}


def test_a_full_disk_leaves_nothing(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full at the last moment, no blob and no temporary file stays."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(OSError, match="No space"):
        put(local, "a/1", b"x")
    assert [p.name for p in local.folder.rglob("*")] == [".incoming"]


def test_addresses_choose_the_store(tmp_path: Path) -> None:
    """Paths and file addresses are folders, s3 addresses are buckets, others are refused."""
    for url in (str(tmp_path / "x y"), (tmp_path / "x y").as_uri()):
        store = open_store(url)
        assert isinstance(store, LocalStore)
        assert store.folder == tmp_path / "x y"
    client = boto3.client("s3", region_name="eu-central-1")
    assert isinstance(open_store("s3://bucket/a/b/", client), S3Store)
    for url in ("", "http://x.test/y", "s3:///nothing", "file://elsewhere.test/x"):
        with pytest.raises(StoreError):
            open_store(url, client)


def test_a_bucket_is_reached_as_boto3_finds_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Region, credentials and endpoint come from the usual places; what is wrong there is said."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert isinstance(open_store("s3://bucket/x"), S3Store)
    monkeypatch.setenv("AWS_PROFILE", "nobody-wrote-this-one")
    with pytest.raises(StoreError, match="nobody-wrote-this-one"):
        open_store("s3://bucket/x")


# ---- spools


def record(
    ref: str, number: int, body: bytes = b"{}", attachment: Attachment | None = None
) -> Record:
    """A record of the orders."""
    return Record(ref, "orders", (str(number),), body, attachment)


def spool(store: Store, records: list[Record], name: str = "") -> dict[str, Frame]:
    """Spool the records in one segment."""
    with RecordSpool(store, name or new_name("spools", ON), KEYS) as writer:
        for item in records:
            writer.add(item)
        return writer.finish()


def back(store: Store, frame: Frame, ref: str) -> list[SpooledRecord]:
    """All records of a frame."""
    return list(read_records(store, frame, KEYS[ref]))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 70_000)), max_size=25),
)
@settings(max_examples=examples(25))
def test_interleaved_subjects_come_back_apart(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[str, int]]
) -> None:
    """However subjects interleave, each frame holds exactly its subject's records, in order."""
    store = LocalStore(tmp_path_factory.mktemp("spool"))
    records = [record(ref, n, bytes([n % 256]) * size) for n, (ref, size) in enumerate(items)]
    frames = spool(store, records)
    assert set(frames) == set(KEYS)
    for ref, frame in frames.items():
        expected = [(r.key, r.body) for r in records if r.subject_ref == ref]
        assert [(r.key, r.body) for r in back(store, frame, ref)] == expected
        assert frame.records == len(expected)
        assert is_intact(store, frame)


def test_frames_survive_the_ledger(store: Store) -> None:
    """A frame read back from JSON values opens the same records, from a file or from S3."""
    bodies = [b"x" * 50_000 for _ in range(12)]
    frames = spool(store, [record("ab"[n % 2], n, body) for n, body in enumerate(bodies)])
    frame = Frame.from_json(frames["a"].to_json())
    assert frame == frames["a"]
    assert len(frame.extents) > 1
    assert [r.body for r in back(store, frame, "a")] == bodies[::2]


def test_attachments_and_withheld_values_come_back(store: Store) -> None:
    """A record keeps its attachment, opened as often as one likes, and what was withheld."""
    content = os.urandom(200_000)

    def stream() -> Iterator[bytes]:
        for start in range(0, len(content), 70_000):
            yield content[start : start + 70_000]

    withheld = (Withheld("agent_name", "third_party", 2),)
    attached = Attachment("brief.pdf", "application/pdf", stream)
    frames = spool(store, [Record("a", "tickets", ("1", "2"), b'{"x":1}', attached, withheld)])
    (found,) = back(store, frames["a"], "a")
    assert (found.collection, found.key, found.body) == ("tickets", ("1", "2"), b'{"x":1}')
    assert found.withheld == withheld
    assert found.attachment is not None
    assert (found.attachment.name, found.attachment.size_bytes) == ("brief.pdf", len(content))
    for _ in range(2):
        assert b"".join(found.attachment.open()) == content


def test_keys_come_back_as_they_were(store: Store) -> None:
    """Located keys are read back exactly, for the subject they belong to."""
    keys = [Key("ab"[n % 2], "orders", (str(n), "ü\n")) for n in range(50)]
    with KeySpool(store, new_name("keys", ON), KEYS) as writer:
        for key in keys:
            writer.add(key)
        frames = writer.finish()
    assert list(read_keys(store, frames["b"], KEYS["b"], "b")) == keys[1::2]
    assert list(read_keys(store, frames["c"], KEYS["c"], "c")) == []


def test_nobody_elses_key_opens_a_frame(local: LocalStore) -> None:
    """A frame opens with its own case's key, in its own segment, as what it is."""
    first = spool(local, [record("a", 1)], "spools/one")
    put(local, "spools/two", (local.folder / "spools/one").read_bytes())
    moved = Frame("spools/two", first["a"].extents, 1, first["a"].sha256)
    for frame, key in ((first["a"], KEYS["b"]), (first["b"], KEYS["a"]), (moved, KEYS["a"])):
        with pytest.raises(SealBroken):
            list(read_records(local, frame, key))
    with pytest.raises(SealBroken):
        list(read_keys(local, first["a"], KEYS["a"], "a"))


def test_a_cut_or_changed_segment_shows(local: LocalStore) -> None:
    """A segment that lost its end or a bit is noticed, with and without the key."""
    frames = spool(local, [record("a", 1, b"x" * 1000)], "spools/one")
    path = local.folder / "spools/one"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[500] ^= 1
    for bad in (whole[:600], bytes(flipped)):
        path.write_bytes(bad)
        assert not is_intact(local, frames["a"])
        with pytest.raises(SealBroken):
            back(local, frames["a"], "a")


def test_an_unfinished_spool_is_gone(store: Store) -> None:
    """A spool left without `finish`, by an error or by forgetting, leaves no segment."""
    with pytest.raises(RuntimeError), RecordSpool(store, "spools/one", KEYS) as writer:  # noqa: PT012 - an error halfway
        writer.add(record("a", 1))
        raise RuntimeError
    with RecordSpool(store, "spools/one", KEYS) as writer:
        writer.add(record("a", 1))
    assert list(store.names()) == []
    with pytest.raises(ValueError, match="not open"):
        writer.finish()


def test_a_full_disk_gives_no_frames(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fills, `finish` raises and there is no segment."""
    real = local.write

    def onto_full(name: str) -> AbstractContextManager[BinaryIO]:
        blob = real(name)
        enter = blob.__enter__

        def swapped() -> BinaryIO:
            file = enter()
            target = os.open("/dev/full", os.O_WRONLY)
            os.dup2(target, file.fileno())
            os.close(target)
            return file

        monkeypatch.setattr(blob, "__enter__", swapped, raising=False)
        monkeypatch.setattr(type(blob), "__enter__", lambda _: swapped())
        return blob

    monkeypatch.setattr(local, "write", onto_full)
    with pytest.raises(OSError) as error:  # noqa: PT011, PT012, SIM117 - the number is asserted below
        with RecordSpool(local, "spools/one", KEYS) as writer:
            writer.add(record("a", 1, b"x" * 400_000))
            writer.finish()
    monkeypatch.undo()
    assert error.value.errno == errno.ENOSPC
    assert list(local.names()) == []


def test_an_attachment_over_the_limit_stops_for_a_human(local: LocalStore) -> None:
    """An endless attachment is cut off at the limit; the step stops, nothing is published."""
    endless = Attachment("x", "text/plain", lambda: iter(lambda: b"x" * 1000, b""))
    with pytest.raises(NeedsHuman) as stopped:  # noqa: SIM117 - the spool is what raises
        with RecordSpool(local, "spools/one", KEYS, max_attachment_bytes=50_000) as writer:
            writer.add(record("a", 1, attachment=endless))
    assert stopped.value.code == "attachment_too_large"
    assert list(local.names()) == []


def test_memory_does_not_grow_with_the_records(local: LocalStore) -> None:
    """What waits in memory stays below one chunk per subject, however much is added."""
    with RecordSpool(local, "spools/one", KEYS) as writer:
        for number in range(3_000):
            writer.add(record("a", number, b"x" * 300))
            assert len(writer._parts["a"].buffer) <= 64 * 1024
        assert len(writer.finish()["a"].extents) == 1


def test_plaintext_never_reaches_the_store(local: LocalStore) -> None:
    """Neither values nor names of fields, collections or attachments lie readable in a segment."""
    attached = Attachment("MARKER-name.pdf", "text/MARKER", lambda: iter([b"MARKER-content"]))
    found = Record("a", "MARKER", ("MARKER",), b'{"MARKER":1}', attached)
    spool(local, [found], "spools/one")
    assert b"MARKER" not in (local.folder / "spools/one").read_bytes()
    (back_again,) = read_records(local, spool(local, [found], "spools/two")["a"], KEYS["a"])
    assert "MARKER" not in repr(back_again).replace("collection='MARKER'", "").replace(
        "text/MARKER", ""
    )
