"""Half of a surrogate pair, as a JSON column may hold it, stops nobody's request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dsr_worker.contract import Context, Correction, Record, Subject, body_of, content_of
from dsr_worker.domain.identity import canonical_stored
from dsr_worker.fulfil.correcting import Stated
from dsr_worker.testing.memory import Memory
from tests.integration.engine_room import CRM, FILES, EngineRoom

_MAIL = "p.zq0003zq@mail.example"
_CUT = "cut \ud83d"
_NUMBER = 123456789012345678901234567890


class Cut(Memory):
    """Rows as a JSON column gives them: each text of a person's rows ends in half a pair."""

    def find(self, subjects: Sequence[Subject], ctx: Context) -> Iterator[Record]:
        """What memory finds, with one field more."""
        for record in super().find(subjects, ctx):
            row = {**content_of(record.body), "country": _CUT, "content": _CUT}
            yield replace(record, body=body_of(row))


@pytest.mark.parametrize("kind", ["access", "erasure", "rectification"])
def test_a_text_cut_within_a_sign_stops_no_case(
    tmp_path: Path, database: Callable[[], str], kind: str
) -> None:
    """Whatever is asked for, a record whose text has no UTF-8 is read as any other."""
    room = EngineRoom(
        tmp_path, database(), systems={"crm": CRM, "files": FILES}, connectors={"memory": Cut}
    )
    room.load_people(6)
    right = [Stated("crm", "customers", Correction("name", "Ida"))]
    ref = room.submit(kind, right if kind == "rectification" else [], email=_MAIL)
    room.settle()
    if kind != "access":
        room.approve(ref)
        room.settle()
    assert room.job(ref)["state"] == "ready", room.rows("SELECT action, code, error FROM steps")


@pytest.mark.parametrize("value", [_CUT, _NUMBER, [_CUT], {_CUT: _NUMBER}])
def test_what_a_body_was_made_of_is_read_again(value: object) -> None:
    """Bodies are written and read by one pair of functions, exactly."""
    assert content_of(body_of({"field": value})) == {"field": value}


@pytest.mark.parametrize("kind", ["customer_number", "email", "phone", "user_id"])
def test_half_a_letter_names_nobody(kind: str) -> None:
    """No statement, index or seal could carry such a name, so that none seeds or is kept."""
    assert canonical_stored(kind, f"4{_CUT}") is None


def test_a_row_and_a_value_cut_within_a_sign_have_digests(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """Keys and pseudonyms are made of any text, and of different texts differ."""
    keys = EngineRoom(tmp_path, database(), systems={"crm": CRM}).office.keys
    texts = (_CUT, "cut \ud83c", "cut ", "cut")
    assert len({keys.row_digest("crm", "carts", (text,)) for text in texts}) == len(texts)
    case_key, _ = keys.new_case_key()
    assert case_key.pseudonym(_CUT) != case_key.pseudonym("cut ")
