"""A sweep's certificate names what applied to it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.engine_room import ORGANISATION
from tests.integration.sweep_room import SHARED, SweepRoom

BACKUPS = ORGANISATION + 'backups: {en: "Overwritten within 35 days."}\n'
FOREIGN = ORGANISATION + 'backups: {de: "Nach 35 Tagen überschrieben."}\n'


@pytest.mark.parametrize(
    ("organisation", "said"),
    [
        (BACKUPS, "says of them: Overwritten within 35 days."),
        (FOREIGN, "says of them: Nach 35 Tagen überschrieben."),
        (ORGANISATION, "copies in backups are not covered"),
    ],
)
def test_a_sweep_names_no_law_and_the_house_text_on_backups(
    tmp_path: Path, ledger: Callable[[], str], organisation: str, said: str
) -> None:
    """No law pack decides a sweep, so none is named; backups are told in the house's words."""
    policies = {"trial": SHARED}
    room = SweepRoom(tmp_path, ledger(), policies=policies, organisation=organisation)
    room.carts(2, 1)
    ref = room.start()
    room.approve_sweep(ref)
    certificate = room.certificate(ref)
    page = (room.settings.config_dir / f"{ref}.html").read_text("utf-8")
    assert [system["law_pack"] for system in certificate["systems"]] == [""]
    assert "0" * 16 not in page
    assert "law pack none." in page
    assert any(said in sentence for sentence in certificate["not_covered"])
    assert said in page
