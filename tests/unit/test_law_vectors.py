"""Every vector of `tests/vectors`: the packs answer what was worked out by hand from the law."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dsr_worker.domain.breach import BreachFacts, Notice
from dsr_worker.domain.calendar import to_utc
from dsr_worker.domain.clock import Pause, PauseGround, StartKind
from dsr_worker.domain.retention import Anchor, ends_on
from dsr_worker.statutes import (
    ClockKind,
    ClockSpec,
    LawPack,
    Market,
    appeal_clock,
    breach_duties,
    complaint_clocks,
    load_pack,
    packs,
    request_clocks,
    retention_maximum,
    retention_minimum,
    retention_rules,
)

_FOLDER = Path(__file__).parent.parent / "vectors"
_KINDS = ("requests", "appeals", "complaints", "breaches")


@cache
def _file(name: str) -> dict[str, Any]:
    path = _FOLDER / f"{name}.yaml"
    found: dict[str, Any] = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return found


def _vectors(kind: str) -> list[Any]:
    return list(_read(kind))


def _read(kind: str) -> Iterator[Any]:
    for name in packs():
        if (_FOLDER / f"{name}.yaml").exists():
            for number, vector in enumerate(_file(name).get(kind, ()), start=1):
                yield pytest.param(load_pack(name), vector, id=f"{name}-{number}")


def _instant(text: object) -> datetime:
    return text if isinstance(text, datetime) else datetime.fromisoformat(str(text))


def _plain(value: object) -> str | None:
    if value is None:
        return None
    return to_utc(value).isoformat() if isinstance(value, datetime) else str(value)


def _answers(specs: list[ClockSpec]) -> dict[str, date | None]:
    by_kind = {spec.kind: spec for spec in specs}
    found: dict[str, date | None] = {"acknowledge_by": None}
    if (acknowledge := by_kind.get(ClockKind.ACKNOWLEDGE)) is not None:
        found["acknowledge_by"] = acknowledge.due.due_on
        found["conservative_acknowledge_by"] = acknowledge.due.conservative_due_on
    answer = by_kind.get(ClockKind.RESPOND) or by_kind.get(ClockKind.APPEAL)
    if answer is not None:
        found["due_on"] = answer.due.due_on
        found["conservative_due_on"] = answer.due.conservative_due_on
        extended = answer.extended_due
        found["extended_due_on"] = None if extended is None else extended.due_on
        found["extension_notice_by"] = answer.extension_notice_by
    return found


def _compare(vector: dict[str, Any], found: dict[str, Any]) -> None:
    wanted = {name: _plain(value) for name, value in vector["expect"].items()}
    assert {name: _plain(found[name]) for name in wanted} == wanted, vector["why"]


@pytest.mark.parametrize(("pack", "vector"), _vectors("requests"))
def test_a_request_is_due_when_the_law_says(pack: LawPack, vector: dict[str, Any]) -> None:
    """First and extended date, acknowledgement and notice of extension are those of the vector."""
    pauses = [
        Pause(PauseGround(p["ground"]), _instant(p["asked"]), _instant(p["answered"]))
        for p in vector.get("pauses", ())
    ]
    specs = request_clocks(
        pack,
        vector["right"],
        vector.get("country"),
        _instant(vector["received"]),
        vector.get("zone"),
        pauses=pauses,
    )
    assert specs[0].row_id in vector["rows"]
    _compare(vector, _answers(specs))


@pytest.mark.parametrize(("pack", "vector"), _vectors("appeals"))
def test_an_appeal_is_due_when_the_law_says(pack: LawPack, vector: dict[str, Any]) -> None:
    """The clock of an appeal is that of the vector; null where the law gives none."""
    spec = appeal_clock(
        pack,
        vector["right"],
        vector.get("country"),
        _instant(vector["received"]),
        _instant(vector["appealed"]),
        vector.get("zone"),
    )
    if spec is None:
        assert vector["expect"] == {"due_on": None}, vector["why"]
    else:
        _compare(vector, _answers([spec]))


@pytest.mark.parametrize(("pack", "vector"), _vectors("complaints"))
def test_a_complaint_is_due_when_the_law_says(pack: LawPack, vector: dict[str, Any]) -> None:
    """A complaint's clocks are those of the vector."""
    specs = complaint_clocks(
        pack, vector.get("country"), _instant(vector["received"]), vector.get("zone")
    )
    _compare(vector, _answers(specs))


@pytest.mark.parametrize(("pack", "vector"), _vectors("breaches"))
def test_a_breach_is_told_when_the_law_says(pack: LawPack, vector: dict[str, Any]) -> None:
    """Each duty named is due at the vector's instant, an exclusive end; null: no number."""
    where = Market(pack, vector.get("country", pack.default_country))
    facts = BreachFacts(
        events={StartKind(k): _instant(at) for k, at in vector.get("events", {}).items()},
        notices_sent={
            Notice(pack.name, where.jurisdiction, told): _instant(at)
            for told, at in vector.get("notices", {}).items()
        },
    )
    duties = breach_duties([where], _instant(vector["aware"]), facts, vector.get("zone"))
    wanted = {
        rule: None if at is None else to_utc(_instant(at)) for rule, at in vector["expect"].items()
    }
    found = {duty.rule_id: duty.due_at for duty in duties if duty.rule_id in wanted}
    assert found == wanted, vector["why"]


def _retention() -> list[Any]:
    if not (_FOLDER / "retention.yaml").exists():
        return []
    vectors = enumerate(_file("retention")["rules"], start=1)
    return [pytest.param(vector, id=f"{vector['rule']}-{number}") for number, vector in vectors]


@pytest.mark.parametrize("vector", _retention())
def test_a_retention_period_ends_when_the_law_says(vector: dict[str, Any]) -> None:
    """The last day of a minimum or a maximum is that of the vector."""
    find = retention_minimum if vector["side"] == "minimum" else retention_maximum
    limit = find(vector["rule"])
    found = ends_on(limit.period, Anchor(limit.anchor), vector["record_on"], "UTC")
    assert found == vector["expect"], vector["why"]


@pytest.mark.parametrize("name", packs())
def test_every_row_has_a_vector_or_says_why_it_needs_none(name: str) -> None:
    """No row of a law is there that nobody has worked through."""
    pack = load_pack(name)
    assert (_FOLDER / f"{name}.yaml").exists(), f"tests/vectors/{name}.yaml is missing"
    file = _file(name)
    shown = {row for kind in _KINDS for vector in file.get(kind, ()) for row in vector["rows"]}
    excused = {row for row, reason in file.get("none", {}).items() if str(reason).strip()}
    rows = {row.id for row in (*pack.rights, *pack.complaints, *pack.breach)}
    assert rows - shown - excused == set()
    assert (shown | excused) - rows == set(), "a vector names a row that is not there"


def test_every_retention_rule_has_a_vector() -> None:
    """Every rule of the retention table was worked through on a day."""
    shown = {vector["rule"] for vector in _file("retention")["rules"]}
    assert {row.id for row in retention_rules()} <= shown | set(_file("retention").get("none", {}))


def _every_vector() -> Iterator[dict[str, Any]]:
    for path in sorted(_FOLDER.glob("*.yaml")):
        file = _file(path.stem)
        for kind in (*_KINDS, "rules"):
            yield from file.get(kind, ())


def test_every_vector_gives_its_reasoning() -> None:
    """A date without the way to it is an opinion: each one says how it was reached."""
    vectors = list(_every_vector())
    assert [vector for vector in vectors if len(str(vector.get("why", ""))) < len("30 days.")] == []
    assert all(vector["expect"] for vector in vectors if "rule" not in vector)


def test_the_pages_say_how_many_vectors_there_are() -> None:
    """The number that the pages show is counted here, and the promise of two hundred is kept."""
    number = sum(1 for _ in _every_vector())
    assert number >= 200
    pages = [_FOLDER / "README.md", _FOLDER.parents[1] / "docs" / "deadlines.md"]
    for page in pages:
        assert f"{number} dates" in page.read_text(encoding="utf-8"), f"{page.name}: {number} dates"
