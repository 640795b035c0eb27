"""People's keys and what they sign."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from dsr_worker.actors import (
    ActionToSign,
    ActorKeyError,
    SignatureRefusedError,
    create_key,
    load_key,
    new_action,
    refuse_stale,
    verify,
)

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def _action() -> ActionToSign:
    return new_action("mara", "approve", "case-1", AT, "ab" * 32)


def test_a_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    """The file is made readable by its owner only, in a folder of the same kind, and reads back."""
    file = tmp_path / "deep" / "actor.key"
    key = create_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert load_key(file).public_key == key.public_key


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """Making a key where one lies is refused and leaves it as it is."""
    file = tmp_path / "actor.key"
    before = create_key(file).public_key
    with pytest.raises(ActorKeyError, match="there already"):
        create_key(file)
    assert load_key(file).public_key == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A key file with rights for others is no longer one person's signature."""
    file = tmp_path / "actor.key"
    create_key(file)
    file.chmod(mode)
    with pytest.raises(ActorKeyError, match="chmod 600"):
        load_key(file)


def test_a_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that belongs to somebody else does not sign for me."""
    file = tmp_path / "actor.key"
    create_key(file)
    somebody_else = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody_else)
    with pytest.raises(ActorKeyError, match="yours alone"):
        load_key(file)


def test_a_missing_or_broken_key_says_what_to_do(tmp_path: Path) -> None:
    """Without a usable key the remedy is named, and nothing of the file is repeated."""
    file = tmp_path / "actor.key"
    with pytest.raises(ActorKeyError, match="dsr actor add"):
        load_key(file)
    file.touch(0o600)
    file.write_text("zq-marker")
    with pytest.raises(ActorKeyError) as error:
        load_key(file)
    assert "zq-marker" not in str(error.value)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_of_another_kind_is_no_key(tmp_path: Path, mode: int) -> None:
    """Nobody is advised to change the rights of a file that was never a key."""
    file = tmp_path / "passwd"
    file.write_text("root:x:0:0:root:/root:/bin/bash\n")
    file.chmod(mode)
    with pytest.raises(ActorKeyError, match="not a key of ours; `dsr actor add NAME` makes one"):
        load_key(file)


def test_a_signature_binds_every_part_of_the_action(tmp_path: Path) -> None:
    """Changing actor, action, case, plan, instant or nonce breaks the signature."""
    key = create_key(tmp_path / "k")
    action = _action()
    signature = key.sign(action)
    verify(key.public_key, action, signature)
    for changed in (
        replace(action, actor="pia"),
        replace(action, action="hold"),
        replace(action, case="case-2"),
        replace(action, plan_hash="cd" * 32),
        replace(action, at=AT + timedelta(microseconds=1)),
        replace(action, nonce="0"),
    ):
        with pytest.raises(SignatureRefusedError):
            verify(key.public_key, changed, signature)


def test_another_persons_signature_is_refused(tmp_path: Path) -> None:
    """A signature counts for the key that is registered, and nonsense counts for none."""
    mine, theirs = create_key(tmp_path / "a"), create_key(tmp_path / "b")
    action = _action()
    for signature in (theirs.sign(action), "", "!!", "AAAA"):
        with pytest.raises(SignatureRefusedError):
            verify(mine.public_key, action, signature)
    with pytest.raises(ActorKeyError):
        verify("AAAA", action, mine.sign(action))


def test_an_instant_is_signed_whatever_its_offset(tmp_path: Path) -> None:
    """The same instant written in another zone has the same signature."""
    key = create_key(tmp_path / "k")
    action = _action()
    elsewhere = replace(action, at=AT.astimezone(timezone(timedelta(hours=5))))
    assert key.sign(elsewhere) == key.sign(action)


def test_two_actions_are_never_the_same() -> None:
    """Each action has a nonce of its own, so that the ledger can refuse a second use."""
    assert _action().nonce != _action().nonce


@pytest.mark.parametrize(
    "change", [{"actor": "Mara!"}, {"action": ""}, {"case": ""}, {"nonce": ""}]
)
def test_an_action_that_can_be_read_two_ways_is_refused(change: dict[str, str]) -> None:
    """A nameless actor or an empty part signs nothing."""
    with pytest.raises(ValueError, match=r"actor|action"):
        replace(_action(), **change)  # type: ignore[arg-type]  # all changed parts are texts


def test_an_instant_needs_an_offset() -> None:
    """A naive instant could mean any zone."""
    with pytest.raises(ValueError, match="offset"):
        replace(_action(), at=AT.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("age", "fresh"),
    [
        (timedelta(0), True),
        (timedelta(minutes=5), True),
        (timedelta(minutes=5, seconds=1), False),
        (timedelta(minutes=-1), True),
        (timedelta(minutes=-1, seconds=-1), False),
    ],
)
def test_old_signatures_are_refused(age: timedelta, *, fresh: bool) -> None:
    """A signature is used while it is fresh, and none is from the future."""
    action = _action()
    if fresh:
        refuse_stale(action, AT + age, timedelta(minutes=5))
    else:
        with pytest.raises(SignatureRefusedError, match="sign anew"):
            refuse_stale(action, AT + age, timedelta(minutes=5))


def test_a_key_shows_nothing_of_itself(tmp_path: Path) -> None:
    """The representation of a key holds no part of it."""
    assert repr(create_key(tmp_path / "k")) == "ActorKey(…)"
