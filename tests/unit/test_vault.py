"""The vault: what is sealed opens whole, under the right key, or not at all."""

from __future__ import annotations

import io
import pickle
import stat
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_worker.vault import (
    CHUNK_BYTES,
    CaseKey,
    KeyRing,
    KeyRingRefused,
    OpeningReader,
    SealBroken,
    SealingWriter,
    opening,
)
from tests.examples import examples

KEY = CaseKey(b"k" * 32)
HEADER = 27
SEALED_CHUNK = CHUNK_BYTES + 16


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    """A new key ring."""
    return KeyRing.create(tmp_path / "keys" / "ring.json")


def sealed(plain: bytes, key: CaseKey = KEY, purpose: str = "test") -> bytes:
    """A sealed stream."""
    raw = io.BytesIO()
    with SealingWriter(raw, key, purpose) as writer:
        writer.write(plain)
    return raw.getvalue()


def opened(data: bytes, key: CaseKey = KEY, purpose: str = "test") -> bytes:
    """All of a sealed stream."""
    return opening(io.BytesIO(data), key, purpose).read()


# ---- the key ring


def test_ring_is_private_and_never_overwritten(ring: KeyRing) -> None:
    """A key ring is readable by its owner alone, and creating one never replaces another."""
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o600
    before = ring.path.read_bytes()
    with pytest.raises(KeyRingRefused, match="never overwritten"):
        KeyRing.create(ring.path)
    assert ring.path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_ring_open_to_others_is_refused(ring: KeyRing, mode: int) -> None:
    """A key ring that others may read is not used, and the text says what to do."""
    ring.path.chmod(mode)
    with pytest.raises(KeyRingRefused, match="chmod 600"):
        KeyRing.load(ring.path)


def test_missing_ring_is_not_replaced(tmp_path: Path) -> None:
    """A missing ring refuses with a remedy, and no new one appears."""
    with pytest.raises(KeyRingRefused, match="backup"):
        KeyRing.load(tmp_path / "ring.json")
    assert not (tmp_path / "ring.json").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-40],
        lambda _: "{}",
        lambda _: "[1]",
        lambda text: text.replace('"wrap": "', '"wrap": "A'),
        lambda text: text.replace('"current": 1', '"current": 9'),
    ],
)
def test_damaged_ring_is_refused_without_quoting_it(ring: KeyRing, change: object) -> None:
    """A damaged ring is refused, and no key material reaches the error or its cause."""
    assert callable(change)
    ring.path.write_text(change(ring.path.read_text()))
    with pytest.raises(KeyRingRefused) as refused:
        KeyRing.load(ring.path)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_backup_opens_what_the_ring_wrapped(ring: KeyRing, tmp_path: Path) -> None:
    """A backup is a whole ring: same fingerprint, and it unwraps."""
    key, wrapped = ring.new_case_key()
    copy = KeyRing.load(ring.backup(tmp_path / "copy.json"))
    assert copy.fingerprint == ring.fingerprint
    assert copy.unwrap(wrapped).open(key.seal(b"value", "p"), "p") == b"value"
    with pytest.raises(KeyRingRefused):
        ring.backup(tmp_path / "copy.json")


def test_rotation_keeps_what_was(ring: KeyRing, tmp_path: Path) -> None:
    """After a rotation old keys unwrap and old digests are found; an old backup is noticed."""
    old = KeyRing.load(ring.backup(tmp_path / "old.json"))
    key, wrapped = ring.new_case_key()
    found = ring.index_digest("email", "anna@shop.example")
    row = ring.row_digest("shop", "orders", ("1",))
    new = ring.rotate()
    assert KeyRing.load(ring.path).fingerprint == new.fingerprint != ring.fingerprint
    assert new.unwrap(wrapped).open(key.seal(b"v", "p"), "p") == b"v"
    assert found in new.index_digests("email", "anna@shop.example")
    assert new.row_digest("shop", "orders", ("1",), version=1) == row
    assert new.row_digest("shop", "orders", ("1",)) != row
    assert new.knows(ring.fingerprint)
    assert not old.knows(new.fingerprint)
    assert old.public_key in new.public_keys
    with pytest.raises(SealBroken, match="version 2"):
        old.unwrap(new.new_case_key()[1])


def test_another_ring_opens_nothing(ring: KeyRing, tmp_path: Path) -> None:
    """A case key wrapped by one ring does not unwrap with another, nor cut or altered."""
    other = KeyRing.create(tmp_path / "other.json")
    _, wrapped = ring.new_case_key()
    for bad in (wrapped[:-1], wrapped[:5], b"", wrapped[:-1] + bytes([wrapped[-1] ^ 1])):
        with pytest.raises(SealBroken):
            ring.unwrap(bad)
    with pytest.raises(SealBroken):
        other.unwrap(wrapped)


def test_nothing_shows_keys(ring: KeyRing) -> None:
    """Neither repr nor pickle gives key material away."""
    key, _ = ring.new_case_key()
    material = ring._newest.wrap
    for thing in (ring, key, ring._newest):
        assert repr(material)[2:-1] not in repr(thing)
    assert repr(key) == "CaseKey(hidden)"
    with pytest.raises(TypeError, match="never serialised"):
        pickle.dumps(key)


# ---- digests and values


@given(
    st.lists(st.text(max_size=4), min_size=1, max_size=4),
    st.lists(st.text(max_size=4), min_size=1, max_size=4),
)
@settings(max_examples=examples(200))
def test_row_digests_are_equal_only_for_equal_keys(one: list[str], two: list[str]) -> None:
    """Two keys share a digest only if they are the same: no joining of parts can collide."""
    ring = _ring_in_memory()
    assert (ring.row_digest("s", "c", one) == ring.row_digest("s", "c", two)) == (one == two)


def test_index_depends_on_kind_and_value() -> None:
    """The index tells kinds apart, names its version, and is not a plain hash."""
    ring = _ring_in_memory()
    email, phone = ring.index_digest("email", "1"), ring.index_digest("phone", "1")
    assert email != phone
    assert (len(email), email[0]) == (33, 1)
    assert email == ring.index_digest("email", "1")


def test_values_open_for_their_purpose_only() -> None:
    """A sealed value opens for its own purpose and key, unaltered; the same value seals afresh."""
    data = KEY.seal(b"anna", "identity")
    assert KEY.open(data, "identity") == b"anna"
    assert KEY.seal(b"anna", "identity") != data
    altered = data[:-1] + bytes([data[-1] ^ 1])
    for key, bad, purpose in (
        (KEY, data, "note"),
        (CaseKey(b"o" * 32), data, "identity"),
        (KEY, altered, "identity"),
        (KEY, data[:20], "identity"),
        (KEY, b"", "identity"),
    ):
        with pytest.raises(SealBroken):
            key.open(bad, purpose)


def test_pseudonyms_are_stable_within_a_case_only() -> None:
    """A mask's pseudonym is the same for the same value of one case and differs between cases."""
    assert KEY.pseudonym("a@b.example") == KEY.pseudonym("a@b.example")
    assert KEY.pseudonym("a@b.example") != CaseKey(b"o" * 32).pseudonym("a@b.example")
    assert len(KEY.pseudonym("x")) == len("erased-") + 16


# ---- streams

SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7]


@pytest.mark.parametrize("size", SIZES)
def test_streams_come_back_whole(size: int) -> None:
    """What goes in comes out, at every size around a chunk's border."""
    plain = bytes(i % 251 for i in range(size))
    assert opened(sealed(plain)) == plain


@given(st.lists(st.integers(0, CHUNK_BYTES * 2), max_size=5), st.data())
@settings(max_examples=examples(30))
def test_pieces_and_seeks_do_not_matter(sizes: list[int], data: st.DataObject) -> None:
    """However it is cut when written, and wherever it is read, a stream equals its plain bytes."""
    pieces = [bytes([i % 256]) * size for i, size in enumerate(sizes)]
    raw = io.BytesIO()
    with SealingWriter(raw, KEY, "p") as writer:
        for piece in pieces:
            writer.write(piece)
    plain = b"".join(pieces)
    reader = opening(io.BytesIO(raw.getvalue()), KEY, "p")
    for _ in range(3):
        at = data.draw(st.integers(0, len(plain)))
        reader.seek(at)
        assert reader.read(100) == plain[at : at + 100]
    reader.seek(0)
    assert reader.read() == plain


def test_every_truncation_shows() -> None:
    """Cut anywhere, also exactly between chunks, a stream does not open to its end."""
    data = sealed(bytes(2 * CHUNK_BYTES + 100))
    cuts = [*range(HEADER + 20), HEADER + SEALED_CHUNK, HEADER + 2 * SEALED_CHUNK, len(data) - 1]
    for cut in [*cuts, HEADER + SEALED_CHUNK + 5, HEADER + 2 * SEALED_CHUNK + 16]:
        with pytest.raises(SealBroken):
            opened(data[:cut])


def test_alterations_show() -> None:
    """Reordered, doubled, extended, changed or foreign chunks are refused."""
    data = sealed(bytes(3 * CHUNK_BYTES))
    other = sealed(bytes(3 * CHUNK_BYTES))
    head, one, two, three = (
        data[:HEADER],
        data[HEADER : HEADER + SEALED_CHUNK],
        data[HEADER + SEALED_CHUNK : HEADER + 2 * SEALED_CHUNK],
        data[HEADER + 2 * SEALED_CHUNK :],
    )
    assert opened(head + one + two + three) == bytes(3 * CHUNK_BYTES)
    foreign = other[HEADER : HEADER + SEALED_CHUNK]
    flipped = bytearray(data)
    flipped[HEADER + 1000] ^= 1
    for bad in (
        head + two + one + three,
        head + one + one + two + three,
        head + one + three,
        head + foreign + two + three,
        data + b"x",
        data + three,
        other[:HEADER] + one + two + three,
        bytes(flipped),
        b"DSR2" + data[4:],
    ):
        with pytest.raises(SealBroken):
            opened(bad)


def test_wrong_key_or_purpose_shows() -> None:
    """A stream opens with its own key for its own purpose."""
    data = sealed(b"plain")
    for key, purpose in ((CaseKey(b"o" * 32), "test"), (KEY, "other")):
        with pytest.raises(SealBroken):
            opened(data, key, purpose)


def test_an_aborted_stream_never_opens() -> None:
    """After an error the writer leaves nothing that passes as whole, not even by being closed."""
    raw = io.BytesIO()
    with pytest.raises(RuntimeError), SealingWriter(raw, KEY, "p") as writer:  # noqa: PT012 - an error halfway
        writer.write(bytes(2 * CHUNK_BYTES))
        raise RuntimeError
    writer.close()
    with pytest.raises(SealBroken):
        opened(raw.getvalue(), purpose="p")


def test_a_buffered_writer_may_stand_before_it() -> None:
    """Inside io.BufferedWriter the stream is whole once the block ends."""
    raw = io.BytesIO()
    with SealingWriter(raw, KEY, "p") as seal, io.BufferedWriter(seal, 1000) as buffered:
        for i in range(1000):
            buffered.write(b"%d\n" % i)
    assert opened(raw.getvalue(), purpose="p").splitlines()[-1] == b"999"


def test_a_full_disk_is_not_hidden() -> None:
    """An error of the file below comes through."""
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - a buffer would complain again
    with full, pytest.raises(OSError, match="No space left"):
        SealingWriter(cast("BinaryIO", full), KEY, "p")


def test_reader_says_no_more_than_sizes() -> None:
    """The representation of sealed files holds sizes only."""
    reader = OpeningReader(io.BytesIO(sealed(b"secret")), KEY, "test")
    assert repr(reader) == "OpeningReader(6 bytes)"


def _ring_in_memory() -> KeyRing:
    from dsr_worker.vault.keyring import _Version  # noqa: PLC0415 - one ring without a file

    version = _Version(1, "2026-01-01T00:00:00+00:00", *(bytes([n]) * 32 for n in range(1, 5)))
    return KeyRing(Path("unused"), {1: version}, 1)
