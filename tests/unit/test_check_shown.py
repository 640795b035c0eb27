"""What a check prints: what asks for something stands out, what does not is counted."""

from __future__ import annotations

import json

import pytest

from dsr_worker.cli import faults
from dsr_worker.cli.checking import Line, told

COLUMNS = ", ".join(f"a_long_column_{n}" for n in range(9))
SQL = f"CREATE INDEX CONCURRENTLY ON public.orders ({COLUMNS})"
FINE = [Line("shop", "ok", f"table{n}", f"no index on {'x ' * 90}", SQL) for n in range(18)]
WARNED = Line("shop", "warning", "orders", f"something {'long ' * 60}", "look at the map")
SLOW = Line("lake", "warning", "events", "no index", SQL)
WRONG = Line("files", "error", "", "a fault")


def _shown(capsys: pytest.CaptureFixture[str], *lines: Line, verbose: bool = False) -> list[str]:
    told(lines, verbose=verbose, as_json=False)
    return capsys.readouterr().out.splitlines()


def test_what_is_in_order_is_one_line_with_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    """The one real warning does not drown in what asks for nothing."""
    shown = _shown(capsys, *FINE[:9], WARNED, *FINE[9:])
    assert shown[0] == "warning  shop orders"
    assert [line for line in shown if "ask for nothing" in line] == [
        "18 finding(s) ask for nothing (shop 18): --verbose shows them."
    ]
    assert "table1" not in "".join(shown)
    assert shown[-1] == "0 error(s), 1 warning(s)."


def test_verbose_shows_every_finding(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is folded then."""
    shown = _shown(capsys, *FINE, WARNED, verbose=True)
    assert sum(line.startswith("ok ") for line in shown) == len(FINE)
    assert "ask for nothing" not in "".join(shown)


def test_a_statement_stands_whole_on_its_own_line(capsys: pytest.CaptureFixture[str]) -> None:
    """It can be copied; prose is wrapped."""
    shown = _shown(capsys, SLOW, WARNED, WRONG)
    assert f"  {SQL}" in shown
    assert all(len(line) <= 100 for line in shown if line != f"  {SQL}")
    assert "  remedy: look at the map" in shown


def test_json_has_every_finding(capsys: pytest.CaptureFixture[str]) -> None:
    """Machines get what people get with --verbose, and the same exit code."""
    assert told([*FINE, WRONG], verbose=False, as_json=True) == faults.REFUSED
    assert len(json.loads(capsys.readouterr().out)["findings"]) == len(FINE) + 1


@pytest.mark.parametrize(("strict", "code"), [(False, faults.OK), (True, faults.REFUSED)])
def test_folding_changes_no_exit_code(
    capsys: pytest.CaptureFixture[str], *, strict: bool, code: int
) -> None:
    """Warnings fail the strict check alone, whatever is shown of the rest."""
    assert told([*FINE, WARNED], verbose=False, strict=strict, as_json=False) == code
    assert told(FINE, verbose=False, strict=strict, as_json=False) == faults.OK
    assert capsys.readouterr().out
