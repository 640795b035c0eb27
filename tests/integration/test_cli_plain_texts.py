"""What the ledger keeps in plain takes no text in which a person could be named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click import Context, Group, Parameter

from dsr_worker.cli import dsr
from dsr_worker.cli.values import CODE, KEY, REFERENCE
from tests.integration.cli_desk import Desk

PROSE = ("Tariq Falk tariq@x.example", "tariq@x.example", "Tariq Falk", "", "m 1", "m-1\n", "é")
HOLD = ("--reason", "ER_LEGAL_CLAIMS", "--review", "2027-06-30", "--dataset", "crm")
DECLARE = ("breach", "declare", "--leaked", "crm", "--aware", "2026-11-01T10:00+01:00")


@pytest.mark.parametrize("text", PROSE)
def test_prose_is_no_matter_and_no_key(desk: Desk, text: str) -> None:
    """A matter and an idempotency key are short codes; nothing is stored, nothing is quoted."""
    before = desk.jobs()
    submit = ("submit", "--kind", "access", *desk.named, "--country", "DE")
    for args in (
        ("hold", "place", *HOLD, "--matter", text),
        (*submit, "--idempotency-key", text),
        (*submit, "--attest", text or "_"),
        (*submit, "--channel", text or "_"),
        (*DECLARE, "--idempotency-key", text),
        ("actor", "add", text, "--key", str(desk.folder / "new.key")),
    ):
        code, message = desk.refused(*args, actor="anna" if args[0] != "actor" else None, code=2)
        assert (code, "Tariq" in message, "tariq" in message) == ("usage", False, False)
    assert desk.jobs() == before


@pytest.mark.parametrize("digits", ["01715551234", "0171-5551234"])
def test_a_number_alone_is_no_matter(desk: Desk, digits: str) -> None:
    """What may be somebody's telephone is no id of a dispute."""
    args = ("hold", "place", *HOLD, "--matter", digits)
    assert "with a letter" in desk.refused(*args, actor="anna", code=2)[1]


def test_a_row_of_a_file_has_the_same_rule(desk: Desk, tmp_path: Path) -> None:
    """What is refused as an option is refused as a cell."""
    file = tmp_path / "r.csv"
    file.write_text(f"kind,email,country,idempotency_key\naccess,{desk.named[1]},DE,Tariq Falk\n")
    found = desk.run("submit", "--csv", str(file), *desk.signing("anna"), "--json")
    (row,) = json.loads(found.stdout)["rows"]
    assert (row["code"], "Tariq" in found.output) == ("usage", False)


@pytest.mark.parametrize("matter", ["m-1", "matter-1", "M-2026/17", "C-2026-000001", "12-O-345/26"])
def test_ids_of_registers_are_matters(alone: Desk, matter: str) -> None:
    """Ids as courts and case systems write them are taken."""
    alone.ok("hold", "place", *HOLD, "--matter", matter, actor="anna")
    assert [hold["matter"] for hold in alone.ok("hold", "list")["holds"]] == [matter]


@pytest.mark.parametrize("key", ["web-77", "7b0f8f9e-5a2c-4f0e-9d5a-1c2b3a4d5e6f", "aGk/+w=="])
def test_what_programs_make_is_a_key(desk: Desk, key: str) -> None:
    """Counters, UUIDs and digests are idempotency keys."""
    desk.submit("access", "--idempotency-key", f"{key}{desk.person}")


KINDS = {"attest": CODE, "channel": CODE, "matter": REFERENCE, "idempotency_key": KEY}


def _parameters(group: Group) -> list[Parameter]:
    found: list[Parameter] = []
    for name in group.list_commands(Context(group)):
        command = group.get_command(Context(group), name)
        assert command is not None
        found += _parameters(command) if isinstance(command, Group) else command.params
    return found


def test_every_such_option_has_its_rule() -> None:
    """An option of one of these names is of the type that refuses prose, in every command."""
    seen = {p.name: p.type for p in _parameters(dsr) if p.name in KINDS}
    assert seen == KINDS
