"""The commands of the page on breaches, run in their order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner
from pydantic import SecretStr

from dsr_worker.cli import dsr
from dsr_worker.cli.desk import Opening
from dsr_worker.registry import Registry
from dsr_worker.testing.memory import Memory
from tests.integration.engine_room import ORGANISATION, EngineRoom
from tests.services import SmtpSink

PAGE = Path(__file__).resolve().parents[2] / "docs" / "breach.md"
_BLOCK = re.compile(r"^```(sh|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INSTANT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d\+\d\d:\d\d")
_CASE = "B-2026-000001"


def test_every_command_of_the_page_does_what_it_says(
    tmp_path: Path, ledger: Callable[[], str], smtp_sink: SmtpSink
) -> None:
    """From the declaration to the closed breach, every command of the walk-through is accepted."""
    dsn = ledger()
    mail = ORGANISATION.replace("port: 9,", f"port: {smtp_sink.port},")
    languages = "languages: [en, de]\ninformation:\n  de: {rights: x}\n"
    organisation = mail.replace("information:\n", languages)
    room = EngineRoom(tmp_path, dsn, organisation=organisation)
    room.load_people(4)
    settings = room.settings.model_copy(update={"ledger_dsn": SecretStr(dsn)})
    opening = Opening(settings, Registry({"memory": Memory}))
    ref, done = _CASE, []
    for kind, text in _BLOCK.findall(PAGE.read_text("utf-8")):
        if kind == "yaml":
            (tmp_path / "texts.yaml").write_text(text, "utf-8")
            continue
        for line in text.splitlines():
            result = CliRunner().invoke(dsr, _given(line, ref, tmp_path), obj=opening)
            assert result.exit_code == 0, (line, result.output)
            done.append(line.split()[2])
            if done == ["declare"]:
                ref = result.output.split()[0]
            room.settle()
    assert done[0] == "declare"
    assert done[-1] == "close"
    assert room.job(ref)["state"] == "closed"
    assert len(smtp_sink.mails) >= 4


def _given(line: str, ref: str, folder: Path) -> list[str]:
    """The arguments of a line, for this installation, at this time."""
    now = datetime.now(UTC)
    at = now - timedelta(hours=2) if " declare " in line else now
    line = _INSTANT.sub(at.isoformat(), line).replace(_CASE, ref)
    line = line.replace("shop.customers", "crm.customers")
    line = line.replace("texts.yaml", f"{folder}/texts.yaml")
    actor = "berta" if "berta.key" in line else "anna"
    words = shlex.split(line.partition(" --key ")[0])[1:]
    if words[1] == "show":
        return words
    return [*words, "--as", actor, "--key", str(folder / f"{actor}.key")]
