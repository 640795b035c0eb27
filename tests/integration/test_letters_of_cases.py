"""Letters of real cases: from the ledger, by the law of the first day, and nothing is changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dsr_worker.evidence import words
from dsr_worker.letters import languages
from tests.integration.cli_desk import Desk
from tests.integration.engine_room import KEYS


def _now(desk: Desk) -> datetime:
    (row,) = desk.room.rows("SELECT business_now() AS now")
    now: datetime = row.now
    return now


def _due(desk: Desk, case: str) -> datetime:
    (found,) = [c for c in desk.ok("due")["clocks"] if (c["case"], c["clock"]) == (case, "respond")]
    return datetime.fromisoformat(found["due_at"])


@pytest.mark.parametrize("about", ["acknowledgement", "identity", "clarification"])
def test_a_letter_leaves_the_case_as_it_was(desk: Desk, about: str) -> None:
    """A letter is a text: no event, no state, no clock moves by it; no value in it."""
    case = desk.submit("access", "--language", "de")
    desk.room.settle()
    before = (desk.ok("status", case)["state"], desk.room.events(case), _due(desk, case))
    letter = desk.ok("letter", case, "--about", about)
    assert (letter["language"], letter["case"] in letter["text"]) == ("de", True)
    assert desk.mark not in letter["text"]
    assert before == (desk.ok("status", case)["state"], desk.room.events(case), _due(desk, case))


def test_the_language_is_that_of_the_case_unless_another_is_named(desk: Desk) -> None:
    """`--language` of submit counts, `--language` of the letter goes before it."""
    case = desk.submit("erasure", "--language", "fr")
    assert desk.ok("letter", case, "--about", "acknowledgement")["language"] == "fr"
    spanish = desk.ok("letter", case, "--about", "acknowledgement", "--language", "es")
    assert languages()["es"]["greeting"] in spanish["text"]
    code, message = desk.refused("letter", case, "--about", "identity", "--language", "xx", code=2)
    assert (code, "en" in message) == ("unknown_name", True)


def test_a_refusal_is_written_once_it_is_decided(desk: Desk) -> None:
    """The ground is the one that was signed; before that there is no letter of refusal."""
    case = desk.submit("erasure")
    asked = ("letter", case, "--about", "refusal", "--language", "en")
    assert desk.refused(*asked, code=1)[0] == "letter_refused"
    desk.ok("refuse", case, "--ground", "ANY_UNFOUNDED", actor="anna")
    text = desk.ok(*asked)["text"]
    assert words("en").say("ground", "ANY_UNFOUNDED") in text
    assert "Art. 12(5) GDPR" in text
    assert "BfDI" in text
    assert languages()["en"]["sentence"]["judicial_remedy"] in text
    desk.ok("refuse", case, "--delivered", actor="anna")
    assert desk.ok(*asked)["text"] == text


def test_an_extension_is_told_before_it_is_recorded_and_the_same_after(desk: Desk) -> None:
    """The person hears first: the letter computes the new date, and `dsr extend` records that."""
    case = desk.submit("access")
    asked = ("letter", case, "--about", "extension", "--language", "en")
    assert "--reason" in desk.refused(*asked, code=1)[1]
    first = _due(desk, case)
    text = desk.ok(*asked, "--reason", "complex")["text"]
    desk.ok("extend", case, "--reason", "complex", actor="anna")
    assert desk.ok(*asked)["text"] == text
    for due_at in (first, _due(desk, case)):
        assert words("en").day((due_at - timedelta(hours=12)).date()) in text


def test_an_extension_out_of_time_is_no_letter(desk: Desk) -> None:
    """What `dsr extend` would refuse is not told to a person."""
    received = _now(desk) - timedelta(days=35)
    case = desk.submit("access", "--received", received.isoformat())
    asked = ("letter", case, "--about", "extension", "--reason", "complex")
    assert desk.refused(*asked, code=1)[0] == "clock_refused"


def test_a_partial_answer_tells_what_stayed(desk: Desk, tmp_path: Path) -> None:
    """What an erasure kept stands in the letter by its ground, and the letter is in a new file."""
    asked = ("letter", desk.submit("erasure"), "--about", "partial")
    assert desk.refused(*asked, code=1)[0] == "letter_refused"
    desk.room.settle()
    desk.ok("approve", asked[1], "--yes", actor="berta")
    desk.room.settle()
    file = tmp_path / "letter.txt"
    told = desk.ok(*asked, "--language", "en", "--to", str(file))
    assert file.read_text("utf-8") == told["text"]
    kept = [o for o in desk.ok("status", asked[1])["outcomes"] if o["ground"]]
    assert kept
    rows = sum(o["rows"] for o in kept)
    listed = [line for line in told["text"].splitlines() if line.startswith("- ")]
    assert sum(int(line.split()[1]) for line in listed) == rows
    assert desk.refused(*asked, "--to", str(file), code=1)[0] == "file"
    assert file.read_text("utf-8") == told["text"]


def test_a_case_under_two_laws_names_the_other(desk: Desk) -> None:
    """A letter goes by one law; that another runs beside it is told to whoever sends it."""
    case = desk.submit("access", "--also", "US-CA")
    told = desk.ok("letter", case, "--about", "acknowledgement")
    assert any("us-ca-ccpa" in line or "eu-gdpr" in line for line in told["notes"])


def test_a_package_that_leaves_nothing_out_has_no_letter_about_a_part(desk: Desk) -> None:
    """Where nothing was withheld there is nothing to tell, before the package and after it."""
    case = desk.submit("access")
    for _ in range(2):
        message = desk.refused("letter", case, "--about", "partial", code=1)[1]
        assert "leaves something out" in message
        desk.room.settle()


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_what_an_access_leaves_out_is_told_by_ground(alone: Desk, language: str) -> None:
    """Art. 15(4) GDPR: a stranger's address is left out, and letter and record say what for."""
    alone.person = 3
    documents = [{"id": "doc-3", "owner": "3", "text": "from a.stranger@mail.example, 2026"}]
    alone.room.system("files").load({"documents": documents}, KEYS)
    case = alone.submit("access")
    alone.room.settle()
    told = alone.ok("letter", case, "--about", "partial", "--language", language)
    (line,) = [line for line in told["text"].splitlines() if line.startswith("- ")]
    assert line.startswith("- 1 ")
    texts = languages()[language]
    assert texts["sentence"]["partial_access"].partition("{")[0] in told["text"]
    assert texts["sentence"]["judicial_remedy"] in told["text"]
    assert "stranger" not in told["text"]
