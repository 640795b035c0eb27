"""How sure a law pack says it is: never surer than what somebody has read, and when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dsr_worker.statutes import Standing, load_pack, packs, retention_rules
from dsr_worker.statutes.model import SourcedRow
from dsr_worker.statutes.page import places

_FILE = Path(__file__).parent / "standings.yaml"
_RETENTION = "retention"

Place = tuple[str, str, str]


def _claimed() -> Iterator[tuple[Place, SourcedRow]]:
    for name in packs():
        for place in places(load_pack(name)):
            yield (name, place.row, place.part or "row"), place.source
    for rule in retention_rules():
        yield (_RETENTION, rule.id, "row"), rule


def _allowed() -> Iterator[tuple[Place, Standing, date]]:
    for law, entries in _written().items():
        for entry in entries:
            for row, parts in entry["rows"].items():
                for part in parts:
                    yield (law, row, part), Standing(entry["standing"]), entry["read_on"]


def _written() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(_FILE.read_text(encoding="utf-8"))
    return found


def test_no_row_is_surer_than_what_was_read_of_it() -> None:
    """A standing is raised by writing down what was read and when, and in no other way."""
    ceilings = {place: standing for place, standing, _ in _allowed()}
    raised = {
        place: source.standing
        for place, source in _claimed()
        if source.standing.sureness > ceilings.get(place, Standing.UNVERIFIED).sureness
    }
    assert raised == {}


def test_a_row_was_checked_no_earlier_than_it_was_read() -> None:
    """The day that a row shows for its check is not older than the reading that it rests on."""
    checked = {place: source.checked_on for place, source in _claimed()}
    assert {place for place, _, on in _allowed() if checked[place] < on} == set()


def test_what_was_read_is_of_a_row_that_is_there() -> None:
    """The list names each place once, with a source, and no place that was renamed or taken out."""
    named = [place for place, _, _ in _allowed()]
    assert len(named) == len(set(named))
    assert set(named) <= {place for place, _ in _claimed()}
    assert all(str(entry["by"]).strip() for entries in _written().values() for entry in entries)


@pytest.mark.parametrize(
    ("law", "row", "part"),
    [
        pytest.param("uk-gdpr", "ER_EXPRESSION", "row", id="the EU's text is not the UK's"),
        pytest.param("eu-gdpr", "eu-gdpr-12-3", "pause: identity", id="suspension in the EU"),
        pytest.param("nz-privacy", "nz-privacy-44", "refusal", id="New Zealand"),
        pytest.param("us-tn", "us-tn-47-18-3304", "refusal", id="refusal in Tennessee"),
    ],
)
def test_what_nobody_has_read_says_so(law: str, row: str, part: str) -> None:
    """Belief, and the text of another law, verify nothing."""
    claimed = dict(_claimed())
    assert claimed[law, row, part].standing is Standing.UNVERIFIED
