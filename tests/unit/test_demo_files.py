"""What the demo writes of its people and keys is for whoever started it alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dsr_worker.testing.demo.sink import Sink
from dsr_worker.testing.demo.stage import Stage, write_privately


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """The usual umask, by which others may read what is made without a thought."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_folders_of_keys_mails_and_results_are_closed(tmp_path: Path) -> None:
    """Nobody else enters them, and to make them again changes nothing."""
    stage = Stage(tmp_path / "demo", customers=40)
    for _ in range(2):
        stage.make_folders()
        for folder in (stage.results, stage.mails, stage.key_of("anna").parent):
            assert _mode(folder) == 0o700, folder


def test_mails_are_closed(tmp_path: Path) -> None:
    """A mail, which holds a code or a notice, is its owner's to read."""
    message = EmailMessage()
    message.set_content("zq")
    envelope: Any = SimpleNamespace(original_content=message.as_bytes())
    nothing: Any = None
    assert asyncio.run(Sink(tmp_path).handle_DATA(nothing, nothing, envelope)) == "250 kept"
    (file,) = tmp_path.iterdir()
    assert (file.name, _mode(file)) == ("0001.eml", 0o600)
    assert file.read_bytes() == message.as_bytes()


def test_what_is_written_beside_answers_is_closed(tmp_path: Path) -> None:
    """Requests, texts and the environment with its secrets are their owner's to read."""
    write_privately(tmp_path / "env", "é\n")
    assert _mode(tmp_path / "env") == 0o600
    assert (tmp_path / "env").read_text("utf-8") == "é\n"
