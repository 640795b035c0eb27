"""A package is checked before it leaves and leaves encrypted, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import pyrage  # type: ignore[import-untyped]  # ships no types
import pytest
import pyzipper

from dsr_worker.contract import Attachment, Record
from dsr_worker.package import (
    Contents,
    Method,
    PackageRefused,
    Source,
    hand_over,
    new_passphrase,
    verify_package,
    write_package,
)
from dsr_worker.spool import RecordSpool, read_records
from dsr_worker.store import LocalStore
from dsr_worker.vault import SealBroken, SealingWriter, opening
from tests.unit.package_contents import (
    AT,
    CASE,
    KEY,
    ORDINARY,
    TEXTS,
    build,
    collection,
    contents,
    members,
    system,
)


def rezipped(package: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """The package with other members."""
    found = members(package)
    change(found)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for name, data in found.items():
            zipped.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: f.update({"data/shop/orders.json": b"[]"}), "not what the manifest says"),
        (lambda f: f.pop("withheld.json"), "missing"),
        (lambda f: f.pop("manifest.json"), "no readable manifest"),
        (lambda f: f.update({"extra.txt": b""}), "not in the manifest"),
        (lambda f: f.update({"../up": b""}), "no name of ours"),
        (lambda f: f.update({"INDEX.html": b""}), "twice"),
        (lambda f: f.update({"index.html": f.pop("index.html")}), "not the last"),
    ],
)
def test_every_change_to_a_package_is_named(
    change: Callable[[dict[str, bytes]], None], problem: str
) -> None:
    """A changed, missing, added or moved member is found."""
    problems = verify_package(io.BytesIO(rezipped(build(contents(ORDINARY)), change)))
    assert any(problem in text for text in problems)


def test_truncated_packages_are_found() -> None:
    """A package cut at any point does not verify."""
    package = build(contents(ORDINARY))
    for cut in range(0, len(package), 97):
        assert verify_package(io.BytesIO(package[:cut]))


@pytest.fixture
def sealed_package(tmp_path: Path) -> tuple[LocalStore, str]:
    """A sealed package in a store, made from a spool as the worker makes it."""
    store = LocalStore(tmp_path / "store")
    attached = Attachment("a.pdf", "application/pdf", lambda: iter([b"MARKER" * 30_000]))
    with RecordSpool(store, "spools/1", {"a": KEY}) as spool:
        spool.add(Record("a", "orders", ("1",), b'{"id":1,"name":"MARKER"}', attached))
        frame = spool.finish()["a"]
    of = Source(system(collection("orders")), lambda: read_records(store, frame, KEY), AT)
    with store.write("packages/1") as file, SealingWriter(file, KEY, "package") as sealed:
        write_package(cast("BinaryIO", sealed), Contents(CASE, TEXTS, [of]))
    return store, "packages/1"


def test_aes_zip_opens_with_the_passphrase_only(
    sealed_package: tuple[LocalStore, str], tmp_path: Path
) -> None:
    """The AES ZIP holds the same members, verifies when opened, and keeps others out."""
    store, name = sealed_package
    passphrase, to = new_passphrase(), tmp_path / "out.zip"
    with store.open(name) as raw:
        made = hand_over(opening(raw, KEY, "package"), to, method=Method.AES_ZIP, secret=passphrase)
    assert made.sha256 == hashlib.sha256(to.read_bytes()).hexdigest()
    assert to.stat().st_mode & 0o777 == 0o600
    assert b"MARKER" not in to.read_bytes()
    with pyzipper.AESZipFile(to) as zipped:
        assert all(
            info.wz_aes_version == 2 and info.wz_aes_strength == 3 for info in zipped.infolist()
        )
        with pytest.raises(RuntimeError):
            zipped.read("index.html")
        zipped.setpassword(b"another-passphrase")
        with pytest.raises(RuntimeError):
            zipped.read("index.html")
        zipped.setpassword(passphrase.encode())
        plain = {n: zipped.read(n) for n in zipped.namelist()}
    with store.open(name) as raw:
        assert plain == members(opening(raw, KEY, "package").read())


def test_age_opens_for_the_recipient_only(
    sealed_package: tuple[LocalStore, str], tmp_path: Path
) -> None:
    """The age file decrypts to the package itself, for its recipient and nobody else."""
    store, name = sealed_package
    person, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    to = tmp_path / "out.age"
    with store.open(name) as raw:
        secret = str(person.to_public())
        hand_over(opening(raw, KEY, "package"), to, method=Method.AGE, secret=secret)
    plain = pyrage.decrypt(to.read_bytes(), [person])
    assert verify_package(io.BytesIO(plain)) == []
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(to.read_bytes(), [other])


@pytest.mark.parametrize(
    ("method", "secret"), [(Method.AES_ZIP, "short"), (Method.AGE, "age1nonsense")]
)
def test_unfit_secrets_are_refused(
    sealed_package: tuple[LocalStore, str], tmp_path: Path, method: Method, secret: str
) -> None:
    """A short passphrase or a wrong recipient leaves no file."""
    store, name = sealed_package
    folder = tmp_path / "out"
    folder.mkdir()
    with store.open(name) as raw, pytest.raises(PackageRefused):
        hand_over(opening(raw, KEY, "package"), folder / "x", method=method, secret=secret)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("method", list(Method))
def test_a_broken_package_is_never_handed_over(
    sealed_package: tuple[LocalStore, str], tmp_path: Path, method: Method
) -> None:
    """A package whose seal is cut or altered leaves no file, however far it got."""
    store, name = sealed_package
    secret = {
        Method.AES_ZIP: "a-long-passphrase",
        Method.AGE: str(pyrage.x25519.Identity.generate().to_public()),
    }[method]
    path, folder = store.folder / name, tmp_path / "out"
    folder.mkdir()
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[70] ^= 1
    for bad in (whole[:-1], whole[:-1000], bytes(flipped)):
        path.write_bytes(bad)
        with store.open(name) as raw, pytest.raises((SealBroken, PackageRefused)):
            hand_over(opening(raw, KEY, "package"), folder / "x", method=method, secret=secret)
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.update({"withheld.json": b"{}"}),
        lambda f: f.pop("withheld.json"),
        lambda f: f.update({"extra.txt": b""}),
    ],
)
@pytest.mark.parametrize("method", list(Method))
def test_an_unsealed_but_changed_package_is_never_handed_over(
    tmp_path: Path, method: Method, change: Callable[[dict[str, bytes]], None]
) -> None:
    """A package whose manifest does not fit is refused as well."""
    changed = rezipped(build(contents(ORDINARY)), change)
    secret = {
        Method.AES_ZIP: "a-long-passphrase",
        Method.AGE: str(pyrage.x25519.Identity.generate().to_public()),
    }[method]
    with pytest.raises(PackageRefused):
        hand_over(io.BytesIO(changed), tmp_path / "x", method=method, secret=secret)
    assert list(tmp_path.iterdir()) == []


def test_hand_over_never_overwrites(tmp_path: Path) -> None:
    """A file that is there stays as it is."""
    (tmp_path / "x").write_bytes(b"mine")
    package = io.BytesIO(build(contents(ORDINARY)))
    with pytest.raises(PackageRefused, match="never overwritten"):
        hand_over(package, tmp_path / "x", method=Method.AES_ZIP, secret="a-long-passphrase")
    assert (tmp_path / "x").read_bytes() == b"mine"


def test_passphrases_are_long_and_fresh() -> None:
    """Made passphrases never repeat and carry more than 120 bits."""
    made = {new_passphrase() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"([a-hjkmnp-z2-9]{5}-){4}[a-hjkmnp-z2-9]{5}", p) for p in made)
