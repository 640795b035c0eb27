"""What the pages tell people to write is accepted as it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel, SecretStr

from dsr_worker.cli import dsr, faults
from dsr_worker.cli.desk import Opening
from dsr_worker.contract import Context, Finding, Record, Subject, System
from dsr_worker.datamap import read_system
from dsr_worker.domain.request import diagram
from dsr_worker.policies import read_policy
from dsr_worker.registry import Registry
from dsr_worker.settings import Settings
from dsr_worker.statutes.page import page

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)

ORGANISATION = """\
controller: {name: Muster Shop GmbH, address: "Musterweg 1, 10115 Berlin", contact: p@shop.example}
establishment: {country: DE, zone: Europe/Berlin}
markets: [DE]
policies: [de-shop]
warnings: {chain: [{name: team, email: p@shop.example}]}
complaints: {acknowledge_within: P3D, resolve_within: P30D, refer_after: P60D, rest_at_most: P7D,
             refer_to: {DE: "Conciliation body, Kehl"}}
information:
  en: {retention: a, rights: b, complaint: c, automated_decisions: d, transfers: e}
smtp: {host: localhost, sender: p@shop.example}
"""


def _blocks(page: str) -> list[str]:
    return BLOCK.findall((DOCS / page).read_text("utf-8"))


class Answering:
    """Stands for the database that a map speaks of; only its check is asked for."""

    class Config(BaseModel):
        """What the example configures."""

        dsn: SecretStr

    def __init__(self, system: System, config: Config) -> None:
        self.system = system
        self.config = config

    def check(self) -> Iterable[Finding]:
        """Nothing is wrong with a database that is not there."""
        return ()

    def find(self, subjects: Iterable[Subject], ctx: Context) -> Iterable[Record]:
        """Never asked here."""
        raise NotImplementedError


def test_the_pages_hold_what_is_checked() -> None:
    """Neither page has lost its example."""
    assert len(_blocks("data-map.md")) == 1
    assert len(_blocks("policies.md")) == 1


@pytest.mark.parametrize("text", _blocks("data-map.md"))
def test_the_maps_in_the_pages_are_maps(text: str) -> None:
    """Every data map that a page shows can be read."""
    assert read_system(text, "docs").system.collections


@pytest.mark.parametrize("text", _blocks("policies.md"))
def test_the_policies_in_the_pages_are_policies(text: str) -> None:
    """Every policy that a page shows can be read."""
    assert read_policy(text, "docs").bound


def test_the_examples_pass_the_check_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dsr check` finds no error in the page's data map under the page's policy."""
    monkeypatch.setenv("SHOP_DSN", "postgresql://nobody@localhost/none")
    for name, text in (
        ("organisation.yaml", ORGANISATION),
        ("systems/shop.yaml", _blocks("data-map.md")[0]),
        ("policies/de-shop.yaml", _blocks("policies.md")[0]),
    ):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    settings = Settings(config_dir=tmp_path, data_dir=tmp_path / "data")
    opening = Opening(settings, Registry({"postgres": Answering}))
    result = CliRunner().invoke(dsr, ["check", "--json"], obj=opening)
    said: dict[str, Any] = json.loads(result.stdout)
    assert [f for f in said["findings"] if f["severity"] == "error"] == []
    assert result.exit_code == 0


def test_the_page_of_the_command_line_names_every_exit_code() -> None:
    """One table holds the exit codes, all of them, and nothing else."""
    text = (DOCS / "cli.md").read_text("utf-8")
    table = text.partition("| Exit code | Means |")[2].partition("\n\n")[0]
    assert "| Exit code |" not in table
    codes = [int(found) for found in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert codes == [
        faults.OK,
        faults.REFUSED,
        faults.USAGE,
        faults.NOT_READY,
        faults.NOT_FOUND,
        faults.INTERRUPTED,
    ]


def test_the_page_of_the_command_line_names_every_command() -> None:
    """A command that is not on the page does not exist for people."""
    text = (DOCS / "cli.md").read_text("utf-8")
    words = set(re.findall(r"[a-z-]+", text))
    for name in dsr.list_commands(click.Context(dsr)):
        command = dsr.get_command(click.Context(dsr), name)
        assert f"dsr {name}" in text, name
        inner = list(command.commands) if isinstance(command, click.Group) else []
        assert set(inner) <= words, name


def test_the_page_of_the_laws_is_what_the_packs_say() -> None:
    """Whoever checks the law on the page checks what the clocks run by."""
    made = "run `dsr statutes page > docs/law-packs.md`"
    assert (DOCS / "law-packs.md").read_text("utf-8") == page(), made


def test_the_states_are_drawn_as_the_code_goes() -> None:
    """The page with the states of a case is the transitions that are allowed, and no others."""
    assert diagram() in (DOCS / "states.md").read_text("utf-8")
